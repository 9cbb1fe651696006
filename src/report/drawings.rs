//! Drawings that a script made with `plot` or `picture`, in the page itself: as images, in which nothing runs and which fetch nothing.

use super::inside::{is_name, is_plain};
use crate::run::Record;
use maud::{Markup, html};
use std::fmt::Write;
use std::path::Path;

/// No drawing of ours is as large; a larger file is named only.
const LARGEST: u64 = 4 << 20;

/// The drawings of the run in `folder`, and where the records of its evaluations are.
pub fn drawings(folder: &Path, record: &Record) -> Markup {
    html! {
        @for name in record.drawings.iter().filter(|name| !record.records.iter().any(|of| **name == pictured(of))) {
            @match image(folder, name) {
                Some(source) => figure.wide { img alt=(name) src=(source); },
                None => p { "Drawing: " code { (name) } "." },
            }
        }
        @for name in &record.records {
            p { "A record for each image: " code { (name) } "." }
        }
    }
}

/// The file with the images of the tables of these records, which `cascade::certified_report` writes.
pub fn pictured(records: &str) -> String {
    format!("closest-{records}.png")
}

/// The drawing as an address that holds it, if it is a file in the folder itself.
pub fn image(folder: &Path, name: &str) -> Option<String> {
    let path = Path::new(name);
    let kind = match path.extension().and_then(|kind| kind.to_str()) {
        Some("svg") => "svg+xml",
        Some("png") => "png",
        _ => return None,
    };
    let inside = is_name(path);
    let file = folder.join(path);
    let plain = is_plain(&file, LARGEST);
    let bytes = (inside && plain).then(|| std::fs::read(file).ok())??;
    let mut address = format!("data:image/{kind},");
    for byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b' ' | b'=' | b':' | b'/' | b'.' | b',' | b'-' | b'_' | b';' => {
                address.push(char::from(byte));
            }
            // To a text nothing fails to be written.
            _ => drop(write!(address, "%{byte:02X}")),
        }
    }
    Some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawings_of_the_folder_are_in_the_page_and_others_are_not() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let folder = root.path().join("run");
        std::fs::create_dir(&folder).expect("made");
        std::fs::write(folder.join("a b.svg"), "<svg a=\"1\">é</svg>").expect("written");
        std::fs::write(root.path().join("other.svg"), "<svg/>").expect("written");
        let record = Record {
            drawings: ["a b.svg", "../other.svg", "gone.svg", "x\"y.txt"].map(String::from).to_vec(),
            records: vec!["records".into()],
            ..Record::default()
        };
        let text = drawings(&folder, &record).into_string();
        assert_eq!(text.matches("<img").count(), 1, "{text}");
        assert!(text.contains("src=\"data:image/svg+xml,%3Csvg a=%221%22%3E%C3%A9%3C/svg%3E\""), "{text}");
        for named in ["../other.svg", "gone.svg", "x&quot;y.txt", "<code>records</code>"] {
            assert!(text.contains(named), "{named}: {text}");
        }
    }
}
