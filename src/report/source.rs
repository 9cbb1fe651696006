//! The script and its modules, folded up at the end of the page.

use super::inside::is_name;
use crate::base::hex::hex;
use crate::base::text::plain;
use crate::run::Record;
use crate::show::highlight::{Part, parts};
use maud::{Markup, html};
use sha2::{Digest, Sha256};
use std::path::Path;

/// A text that is longer than this is not a script.
const LONGEST: u64 = 1 << 20;

/// All sources, the script first.
pub fn sources(folder: &Path, record: &Record) -> Markup {
    let main = format!("source/{}", record.main);
    let mut names: Vec<&String> = record.files.keys().collect();
    names.sort_by_key(|name| (**name != main, name.starts_with("stdlib/"), *name));
    html! { @for name in names { (one(folder, name, &record.files[name])) } }
}

fn one(folder: &Path, name: &str, sum: &str) -> Markup {
    let (note, text) = match read(folder, name) {
        Err(why) => (format!(" – {why}"), String::new()),
        Ok(text) if hex(&Sha256::digest(&text)) != sum => (" – changed since the run".into(), text),
        Ok(text) => (String::new(), text),
    };
    html! {
        details {
            summary { code { (name) } (note) }
            pre { code { (coloured(plain(&text))) } }
        }
    }
}

/// A file below the folder. The names are from a file that somebody else may have written.
fn read(folder: &Path, name: &str) -> Result<String, String> {
    let plain = is_name(Path::new(name));
    let inside = |path: &Path| Some(path.canonicalize().ok()?.starts_with(folder.canonicalize().ok()?));
    let path = folder.join(name);
    if !plain || inside(&path) == Some(false) {
        return Err("not shown: it lies outside the run's folder".into());
    }
    match std::fs::metadata(&path) {
        Ok(about) if about.is_file() && about.len() <= LONGEST => {
            std::fs::read_to_string(&path).map_err(|e| format!("cannot be read: {e}"))
        }
        Ok(_) => Err("not shown: it is no script".into()),
        Err(e) => Err(format!("cannot be read: {e}")),
    }
}

fn coloured(text: &str) -> Markup {
    let text = text.lines().collect::<Vec<_>>().join("\n");
    html! {
        @for (part, text) in parts(&text, |_| false) {
            @match part {
                Part::Keyword => b { (text) },
                Part::Comment => i { (text) },
                _ => (text),
            }
        }
    }
}
