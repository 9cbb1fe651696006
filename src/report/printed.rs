//! What the run printed, folded up.

use super::inside::is_plain;
use maud::{Markup, html};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Of a longer text the end.
const LONGEST: u64 = 256 << 10;

/// The end of a file, and where it begins.
fn end(file: &Path) -> std::io::Result<(u64, Vec<u8>)> {
    let mut file = File::open(file)?;
    let from = file.metadata()?.len().saturating_sub(LONGEST);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = vec![];
    file.take(LONGEST).read_to_end(&mut bytes)?;
    Ok((from, bytes))
}

/// The text of `output.txt` in the run's folder.
pub fn printed(folder: &Path) -> Markup {
    let file = folder.join("output.txt");
    let (from, bytes) = is_plain(&file, u64::MAX).then(|| end(&file).ok()).flatten().unwrap_or_default();
    let is_shown = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    let text: String = String::from_utf8_lossy(&bytes).chars().filter(is_shown).collect();
    html! {
        @if !text.trim().is_empty() {
            details {
                summary { code { "output.txt" } @if from > 0 { ", its last " (LONGEST >> 10) " KiB" } }
                pre.printed.wide { (text.trim_matches('\n')) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_printed_is_text() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(printed(folder.path()).into_string(), "");
        std::fs::write(folder.path().join("output.txt"), "\u{1b}[1m<b>bold</b>\n").expect("written");
        let text = printed(folder.path()).into_string();
        assert!(text.contains("&lt;b&gt;bold") && !text.contains('\u{1b}'), "{text}");
        std::fs::write(folder.path().join("output.txt"), format!("begin{}end", "x".repeat(300 << 10)))
            .expect("written");
        let text = printed(folder.path()).into_string();
        assert!(text.contains("xend") && !text.contains("begin") && text.contains("its last 256 KiB"), "the end alone");
    }
}
