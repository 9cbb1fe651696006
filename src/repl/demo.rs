//! `demo`: the script of that name typed at the prompt, part by part: what it is about, the lines, what comes of them. Its variables stay.

use crate::base::output;
use crate::script::explain::report::Failure;
use crate::script::session::Session;
use crate::script::shipped;
use std::path::Path;

/// Is the word free, or a variable or function of somebody's own?
pub fn is_free(session: &Session) -> bool {
    let functions = session.functions();
    session.variables().iter().all(|(name, ..)| name != "demo") && !functions.iter().any(|f| f.starts_with("demo("))
}

pub fn run(session: &mut Session) -> Result<(), Failure> {
    let (_, text) = shipped::find(Path::new("demo"))
        .ok_or_else(|| Failure::bare("`demo` is a file or folder here; start elsewhere"))?;
    let parts = parts(text);
    let own: Vec<&str> = parts
        .iter()
        .flat_map(|(_, code)| code)
        .filter_map(|line| line.strip_prefix("let ")?.split_whitespace().next())
        .collect();
    let taken: Vec<String> =
        session.variables().into_iter().map(|(name, ..)| name).filter(|name| own.contains(&name.as_str())).collect();
    if !taken.is_empty() {
        return Err(Failure::bare(format!(
            "demo: it would take the place of your {}; type it at a prompt of its own",
            taken.join(", ")
        )));
    }
    for (about, code) in parts {
        output::line("");
        about.iter().for_each(|line| output::line(&session.screen().dim(line)));
        for (at, line) in code.iter().enumerate() {
            output::line(&format!("{}{line}", if at == 0 { "> " } else { "  " }));
        }
        if let Some(value) = session.eval(&code.join("\n"))? {
            output::line(&value);
        }
    }
    Ok(())
}

/// Comments and lines of each part; empty lines are between them. The script's own header is none.
fn parts(text: &str) -> Vec<(Vec<&str>, Vec<&str>)> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("//!")).collect();
    let parts = lines.split(|line| line.trim().is_empty()).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (about, code): (Vec<&str>, Vec<&str>) = part.iter().partition(|line| line.starts_with("//"));
            (about.into_iter().map(|line| line.trim_start_matches('/').trim()).collect(), code)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn a_part_is_a_comment_and_lines() {
        let found = parts("//! what\n\nlet a = 1;\n\n// Twice.\n// So.\na * 2\n  + a\n");
        assert_eq!(found, [(vec![], vec!["let a = 1;"]), (vec!["Twice.", "So."], vec!["a * 2", "  + a"])]);
    }
}
