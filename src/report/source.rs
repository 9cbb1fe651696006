//! The script and its modules, folded up at the end of the page.

use crate::base::hex::hex;
use crate::base::text::plain;
use crate::run::Record;
use crate::show::escaped;
use crate::show::highlight::{Part, painted};
use sha2::{Digest, Sha256};
use std::path::{Component, Path};

/// A text that is longer than this is not a script.
const LONGEST: u64 = 1 << 20;

/// All sources, the script first.
pub fn sources(folder: &Path, record: &Record) -> String {
    let main = format!("source/{}", record.main);
    let mut names: Vec<&String> = record.files.keys().collect();
    names.sort_by_key(|name| (**name != main, name.starts_with("stdlib/"), *name));
    names.into_iter().map(|name| one(folder, name, &record.files[name])).collect()
}

fn one(folder: &Path, name: &str, sum: &str) -> String {
    let (note, text) = match read(folder, name) {
        Err(why) => (format!(" – {why}"), String::new()),
        Ok(text) if hex(&Sha256::digest(&text)) != sum => (" – changed since the run".into(), text),
        Ok(text) => (String::new(), text),
    };
    format!(
        "<details><summary><code>{}</code>{}</summary>\n<pre><code>{}</code></pre>\n</details>\n",
        escaped(name),
        escaped(&note),
        coloured(plain(&text))
    )
}

/// A file below the folder. The names are from a file that somebody else may have written.
fn read(folder: &Path, name: &str) -> Result<String, String> {
    let plain = Path::new(name).components().all(|c| matches!(c, Component::Normal(_)));
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

fn coloured(text: &str) -> String {
    let paint = |part: Part, text: &str| match part {
        Part::Keyword => format!("<b>{}</b>", escaped(text)),
        Part::Comment => format!("<i>{}</i>", escaped(text)),
        _ => escaped(text),
    };
    painted(&text.lines().collect::<Vec<_>>().join("\n"), |_| false, paint)
}
