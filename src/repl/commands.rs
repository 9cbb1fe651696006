//! Commands of the prompt: `:vars`, `:type`, `:time`, `:load`, `:reload`, `:save`, `:device`, `:quit`.
//! `:save` writes over nothing but what it wrote.

use crate::base::files::quoted_path;
use crate::base::output;
use crate::base::suggest;
use crate::run::duration;
use crate::script::explain::report::{Failure, FailureKind};
use crate::script::session::Session;
use crate::show::table;
use std::path::Path;
use std::time::Instant;

/// Every command, and what comes after it.
pub const COMMANDS: [(&str, &str); 9] = [
    (":vars", ""),
    (":type", "EXPR"),
    (":time", "EXPR"),
    (":load", "FILE"),
    (":reload", ""),
    (":save", "FILE"),
    (":device", ""),
    (":help", "NAME"),
    (":quit", ""),
];

/// The first line of a file that `:save` may write over.
const SAVED: &str = "// Typed at the workbench prompt.";

/// Do what `line`, which begins with `:`, asks for.
pub fn run(session: &mut Session, line: &str) -> Result<(), Failure> {
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim().trim_end_matches(';').trim();
    let known = COMMANDS.iter().find(|(name, _)| *name == word.trim_end_matches(';'));
    let Some((name, wanted)) = known else {
        let names = || COMMANDS.iter().map(|(name, _)| *name);
        return Err(Failure::bare(format!("no command `{word}`{}", suggest::hint_and_list(word, "commands", names))));
    };
    if wanted.is_empty() != rest.is_empty() && *name != ":help" {
        let after = if wanted.is_empty() { "nothing".to_string() } else { format!("{wanted} after it") };
        return Err(Failure::bare(format!("`{name}` takes {after}")));
    }
    match *name {
        ":vars" => output::line(&variables(session)),
        ":type" => {
            let value = session.value_of(rest)?;
            output::line(&session.kind(&value));
        }
        ":time" => {
            let start = Instant::now();
            let value = session.eval(rest)?;
            let took = start.elapsed();
            if let Some(value) = value {
                output::line(&value);
            }
            let exact = if took.as_secs() < 1 { format!("{:.2} ms", 1e3 * took.as_secs_f64()) } else { duration(took) };
            output::line(&session.screen().dim(&exact));
        }
        ":load" => session.load_file(Path::new(unquoted(rest)))?,
        ":reload" => {
            let changed = session.reload()?;
            let text =
                if changed.is_empty() { "no file has changed".into() } else { changed.join(", ") + " read again" };
            output::line(&text);
        }
        ":save" => save(session, unquoted(rest))?,
        ":device" => {
            let (device, threads) = session.machine();
            output::line(&format!("{device}, {threads} threads"));
        }
        ":help" => output::line(&super::help::about(session, rest).map_err(Failure::bare)?),
        _ => return Err(Failure { kind: FailureKind::Exit(0), reports: vec![] }),
    }
    Ok(())
}

/// A path may stand in quotes, as it does elsewhere in Rhai.
fn unquoted(path: &str) -> &str {
    path.strip_prefix('"').and_then(|p| p.strip_suffix('"')).unwrap_or(path)
}

fn variables(session: &Session) -> String {
    let screen = session.screen();
    let room = screen.width.saturating_sub(30).max(20);
    let rows: Vec<Vec<String>> = session
        .variables()
        .into_iter()
        .map(|(name, value, _)| vec![format!("{name}: {}", session.kind(&value)), session.brief(&value, room)])
        .collect();
    let mut lines = vec![];
    let wide = rows.iter().map(|row| row[0].chars().count()).max().unwrap_or(0).min(28);
    for row in &rows {
        lines.push(table::clipped(&format!("{:<wide$}  {}", row[0], row[1]), screen.width));
    }
    lines.extend(session.functions().into_iter().map(|shown| format!("fn {shown}")));
    lines.extend(session.modules().into_iter().map(|(alias, file)| format!("import {file} as {alias}")));
    if lines.is_empty() { "nothing is defined yet".into() } else { lines.join("\n") }
}

/// Write what was typed; another's file is left alone.
fn save(session: &Session, file: &str) -> Result<(), Failure> {
    let path = Path::new(file);
    let path = if path.extension().is_none() { path.with_extension("rhai") } else { path.to_path_buf() };
    if path.exists() && !crate::base::text::read(&path).is_ok_and(|text| text.starts_with(SAVED)) {
        return Err(Failure::bare(format!(
            ":save: {} is there already and was not saved from the prompt; give another name",
            path.display()
        )));
    }
    let text = session.script();
    crate::base::files::replace(&path, text.as_bytes())
        .map_err(|e| Failure::bare(format!(":save: cannot write {}: {e}", path.display())))?;
    output::line(&format!("saved as {}; workbench run {} runs it", path.display(), quoted_path(&path)));
    Ok(())
}
