//! CSV of images: one image per line, its values (whole numbers from 0 to the manifest's `scale`, in CHW order) and then
//! its label, separated by commas; no header, no quotes, no blank lines. A byte order mark before the first is skipped.

use super::raw::Raw;
use crate::base::interrupt;
use crate::base::text::MARK;
use crate::data::error::{Error, Result};
use crate::data::file_error::FileError;
use crate::data::manifest::Manifest;
use crate::data::read::Input;
use std::io::{BufRead, BufReader, Read};

/// Read rows `first..first + size` of `input`, which has to hold exactly `rows` rows; all of them are checked.
pub fn load(manifest: &Manifest, first: usize, size: usize, rows: usize, input: &Input) -> Result<Raw> {
    let mut reader = BufReader::new(input.open()?);
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    let mut line = Vec::new();
    let mut row = 0;
    // Lines are bounded so that a file without line breaks cannot fill the memory.
    let longest = longest_line(manifest);
    loop {
        if interrupt::requested() {
            return Err(Error::Interrupted);
        }
        line.clear();
        let room = longest + 1 + MARK.len() as u64;
        reader.by_ref().take(room).read_until(b'\n', &mut line).map_err(|e| input.failed(e))?;
        if row == 0 && line.starts_with(MARK.as_bytes()) {
            line.drain(..MARK.len());
        }
        if line.is_empty() {
            break;
        }
        let fail = |message| FileError::Row { file: input.shown(), line: row + 1, message };
        if row == rows {
            let found = "more".into();
            return Err(FileError::Count { file: input.shown(), what: "rows", expected: rows as u64, found }.into());
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if line.len() as u64 > longest {
            return Err(
                fail(format!("longer than {longest} bytes, the most that a row of this data set can take")).into()
            );
        }
        let label = parse(manifest, text, &mut values).map_err(fail)?;
        if label as usize >= manifest.classes.get() {
            let classes = manifest.classes.get();
            return Err(FileError::Label { file: input.shown(), index: row, value: label, classes }.into());
        }
        labels.push(label);
        if !(first..first + size).contains(&row) {
            values.truncate(values.len() - manifest.pixels());
            labels.pop();
        }
        row += 1;
    }
    if row == 0 {
        return Err(FileError::Empty { file: input.shown(), expected: format!("{rows} rows") }.into());
    }
    if row < rows {
        let found = row.to_string();
        return Err(FileError::Count { file: input.shown(), what: "rows", expected: rows as u64, found }.into());
    }
    Ok((values, labels))
}

/// Append the values of one row and return its label.
fn parse(manifest: &Manifest, text: &[u8], values: &mut Vec<u8>) -> std::result::Result<u32, String> {
    let scale = manifest.scale.get();
    let expected = manifest.pixels() + 1;
    let found = text.split(|&b| b == b',').count();
    if found != expected {
        return Err(format!("expected {expected} columns ({} values and the label), found {found}", expected - 1));
    }
    let mut label = 0;
    for (column, field) in text.split(|&b| b == b',').enumerate() {
        // Digits only: neither signs, blanks nor fractions, all of which would mean another file than expected.
        let number = std::str::from_utf8(field).ok().filter(|s| s.bytes().all(|b| b.is_ascii_digit()));
        let number = number.and_then(|s| s.parse::<u32>().ok()).ok_or_else(|| {
            format!("column {}: expected a whole number below 2^32, found `{}`", column + 1, field.escape_ascii())
        })?;
        if column + 1 == expected {
            label = number;
        } else if number > u32::from(scale) {
            return Err(format!("column {}: expected 0..={scale}, the manifest's scale, found {number}", column + 1));
        } else {
            values.push(number as u8);
        }
    }
    Ok(label)
}

/// Room for every value with its comma, any u32 as label, and the line's end.
fn longest_line(manifest: &Manifest) -> u64 {
    4 * manifest.pixels() as u64 + 12
}
