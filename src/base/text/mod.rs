//! Text that people hand in, before it means anything: files, which may begin with a byte order mark, and Rhai source as
//! [`tokens`].
//!
//! Editors on Windows put U+FEFF in front of a file. It says nothing about the text, so every reader of text skips it, and
//! lines and columns count from what follows it. Ends of lines may be `\r\n` everywhere.
//!
//! This stands on the ground floor, since colours and data read text as scripts do, and neither knows of scripts. It takes
//! Rhai's own tokenizer and needs no engine.

pub mod tokens;

use std::io;
use std::path::Path;

/// The byte order mark.
pub const MARK: &str = "\u{feff}";

/// `text` without the mark that it may begin with.
pub fn plain(text: &str) -> &str {
    text.strip_prefix(MARK).unwrap_or(text)
}

/// The same for the bytes of a text.
pub fn plain_bytes(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(MARK.as_bytes()).unwrap_or(bytes)
}

/// `text` as a terminal may be given it: what would move the cursor or change colours is spelt out. Ends of lines and tabs stay.
pub fn printable(text: &str) -> String {
    let strange = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !text.contains(strange) {
        return text.to_string();
    }
    text.chars().map(|c| if strange(c) { c.escape_default().to_string() } else { c.to_string() }).collect()
}

/// The bytes of a file as text, its mark included; an error says what they are instead.
pub fn utf8(bytes: Vec<u8>) -> Result<String, String> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err("UTF-16 text; save it as UTF-8".into());
    }
    String::from_utf8(bytes).map_err(|e| format!("not UTF-8 text: {}", e.utf8_error()))
}

/// The text of a file, without its mark.
pub fn read(path: &Path) -> io::Result<String> {
    let text = utf8(std::fs::read(path)?).map_err(|what| io::Error::new(io::ErrorKind::InvalidData, what))?;
    Ok(match text.strip_prefix(MARK) {
        Some(rest) => rest.to_string(),
        None => text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mark_at_the_beginning_is_skipped() {
        assert_eq!(plain("\u{feff}a\u{feff}"), "a\u{feff}");
        assert_eq!(plain("\u{feff}\u{feff}a"), "\u{feff}a");
        assert_eq!(plain_bytes(b"\xef\xbb\xbfa"), b"a");
        assert_eq!(plain_bytes(b"\xef\xbb"), b"\xef\xbb");
        assert_eq!((plain(""), plain_bytes(b"")), ("", &b""[..]));
    }

    #[test]
    fn what_is_no_text_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            read(&path).map_err(|e| e.to_string())
        };
        assert_eq!(read("\u{feff}é\r\n".as_bytes()).as_deref(), Ok("é\r\n"));
        assert_eq!(read(b"\xff\xfea\0").unwrap_err(), "UTF-16 text; save it as UTF-8");
        assert!(read(b"a\xffb").unwrap_err().starts_with("not UTF-8 text: "));
    }
}
