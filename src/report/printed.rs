//! What the run printed, folded up.

use maud::{Markup, html};
use std::path::Path;

/// Of a longer text the end.
const LONGEST: usize = 256 << 10;

/// The text of `output.txt` in the run's folder.
pub fn printed(folder: &Path) -> Markup {
    let file = folder.join("output.txt");
    // Looked at before it is opened: a pipe would wait for a writer.
    let is_file = file.symlink_metadata().is_ok_and(|about| about.is_file());
    let bytes = is_file.then(|| std::fs::read(&file).ok()).flatten().unwrap_or_default();
    let from = bytes.len().saturating_sub(LONGEST);
    let is_shown = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    let text: String = String::from_utf8_lossy(&bytes[from..]).chars().filter(is_shown).collect();
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
    }
}
