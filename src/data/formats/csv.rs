//! CSV of images: one image per line, its values (whole numbers from 0 to the manifest's `scale`, in CHW order) and its label,
//! separated by commas; no blank lines. A byte order mark before the first is skipped. There may be a header, and quotes
//! around a field.
//!
//! Where the label stands is what the manifest's `label` says. Without it: in the column that the header calls a label; else last,
//! unless the last column cannot hold labels and the first can; where both can, the file is refused, since a pixel that is taken
//! for a label trains on nothing.

use super::raw::{Raw, label};
use crate::base::interrupt;
use crate::base::text::MARK;
use crate::data::error::{Error, Result};
use crate::data::file_error::FileError;
use crate::data::manifest::Manifest;
use crate::data::read::Input;
use std::io::{BufRead, BufReader, Read};

/// What columns of labels are called.
const NAMES: [&str; 5] = ["label", "labels", "class", "target", "y"];
/// The most bytes of a header's field.
const HEADER_FIELD: u64 = 64;

/// Read rows `first..first + size` of `input`, which has to hold exactly `rows` rows; all of them are checked.
pub fn load(manifest: &Manifest, first: usize, size: usize, rows: usize, input: &Input) -> Result<Raw> {
    let column = column(manifest, input)?;
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    let mut lines = Lines::open(manifest, input)?;
    let mut row = 0;
    while lines.next()? {
        let line = lines.number;
        let fail = |message| FileError::Row { file: input.shown(), line, message };
        if row == rows {
            let found = "more".into();
            return Err(FileError::Count { file: input.shown(), what: "rows", expected: rows as u64, found }.into());
        }
        let stored = parse(manifest, lines.text(), column, &mut values).map_err(fail)?;
        labels.push(label(manifest, &input.shown(), row, stored.into())?);
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

/// How many rows `input` holds, without its header.
pub fn count(manifest: &Manifest, input: &Input) -> Result<usize> {
    let (mut lines, mut rows) = (Lines::open(manifest, input)?, 0);
    while lines.next()? {
        rows += 1;
    }
    Ok(rows)
}

/// What is to be told of a file whose label is not said to stand first, and is found there.
pub fn note(manifest: &Manifest, input: &Input) -> Result<Option<String>> {
    let is_said = manifest.label.is_some() || Lines::open(manifest, input)?.header.is_some();
    let is_told = !is_said && column(manifest, input)? == 0;
    Ok(is_told.then(|| {
        let file = input.shown();
        format!("{file}: labels are taken from its first column, as the last looks less like them; `label: first` in the manifest says so")
    }))
}

/// The lines of a file behind its header.
struct Lines<'a> {
    input: &'a Input,
    reader: BufReader<Box<dyn Read>>,
    line: Vec<u8>,
    longest: u64,
    /// Of the line at hand, from 1.
    number: usize,
    /// The first line is one of values, and the next to be given.
    is_held: bool,
    /// The names of the columns.
    header: Option<Vec<String>>,
}

impl<'a> Lines<'a> {
    fn open(manifest: &Manifest, input: &'a Input) -> Result<Self> {
        // Lines are bounded so that a file without line breaks cannot fill the memory.
        let longest = longest_line(manifest);
        let reader = BufReader::new(input.open()?);
        let mut own = Self { input, reader, line: vec![], longest, number: 0, is_held: false, header: None };
        let may_be = manifest.header != Some(false);
        // A header's fields are longer than those of a row.
        own.longest = if may_be { longest.max((manifest.pixels() as u64 + 1) * HEADER_FIELD) } else { longest };
        let there = own.read()?;
        own.longest = longest;
        let is_header = manifest.header.unwrap_or_else(|| is_header(own.text()));
        if there && is_header {
            own.header = Some(fields(own.text()).map(|f| String::from_utf8_lossy(f).trim().to_owned()).collect());
        } else if there {
            own.check()?;
            own.is_held = true;
        }
        Ok(own)
    }

    /// The next line; false at the end.
    fn next(&mut self) -> Result<bool> {
        if std::mem::take(&mut self.is_held) {
            return Ok(true);
        }
        let there = self.read()?;
        self.check()?;
        Ok(there)
    }

    fn read(&mut self) -> Result<bool> {
        if interrupt::requested() {
            return Err(Error::Interrupted);
        }
        self.line.clear();
        let room = self.longest + 1 + MARK.len() as u64;
        let read = self.reader.by_ref().take(room).read_until(b'\n', &mut self.line);
        read.map_err(|e| self.input.failed(e))?;
        if self.number == 0 && self.line.starts_with(MARK.as_bytes()) {
            self.line.drain(..MARK.len());
        }
        self.number += 1;
        Ok(!self.line.is_empty())
    }

    fn check(&self) -> Result<()> {
        if self.line.len() as u64 <= self.longest {
            return Ok(());
        }
        let message = format!("longer than {} bytes, the most that a row of this data set can take", self.longest);
        Err(FileError::Row { file: self.input.shown(), line: self.number, message }.into())
    }

    /// The line at hand without its end.
    fn text(&self) -> &[u8] {
        let text = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        text.strip_suffix(b"\r").unwrap_or(text)
    }
}

/// The fields of a line, without quotes around them.
fn fields(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&b| b == b',').map(|f| f.strip_prefix(b"\"").and_then(|f| f.strip_suffix(b"\"")).unwrap_or(f))
}

/// Is a first line a header? One field that is a word, or nothing but names; a single letter among numbers is a slip.
fn is_header(text: &[u8]) -> bool {
    let is_name =
        |field: &[u8]| field.is_ascii() && field.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_');
    fields(text).any(|field| field.len() > 1 && is_name(field)) || fields(text).all(is_name)
}

/// In which column the labels stand, from 0.
fn column(manifest: &Manifest, input: &Input) -> Result<usize> {
    let (last, file) = (manifest.pixels(), input.shown());
    let fail = |message| Error::from(FileError::Content { file: file.clone(), message });
    let header = Lines::open(manifest, input)?.header;
    let named = |wanted: &str| header.iter().flatten().position(|name| name.eq_ignore_ascii_case(wanted));
    match manifest.label.as_deref() {
        Some("first") => return Ok(0),
        Some("last") => return Ok(last),
        Some(name) => {
            let names: Vec<&str> = header.iter().flatten().map(String::as_str).take(8).collect();
            let found =
                if names.is_empty() { "no header".into() } else { format!("the columns {}, ...", names.join(", ")) };
            let message =
                format!("no column `{name}`, which `label` names; found {found}; give `first`, `last` or a name");
            return named(name).ok_or_else(|| fail(message));
        }
        None => {}
    }
    let found: Vec<usize> = NAMES.iter().filter_map(|name| named(name)).collect();
    if let [only] = found[..] {
        return Ok(only);
    }
    guess(manifest, input)
}

/// The column of labels where nothing names it: see the head of this file.
fn guess(manifest: &Manifest, input: &Input) -> Result<usize> {
    let (last, classes, from) = (manifest.pixels(), manifest.classes.get(), manifest.first_label.unwrap_or(0));
    let mut counts = [vec![0_u32; classes], vec![0_u32; classes]];
    let mut can = [true; 2];
    let mut lines = Lines::open(manifest, input)?;
    while lines.next()? {
        let ends = [fields(lines.text()).next(), fields(lines.text()).last()];
        for ((field, counts), can) in ends.into_iter().zip(&mut counts).zip(&mut can) {
            let class = field.and_then(|f| number(f)?.checked_sub(from)).filter(|c| (*c as usize) < classes);
            class.map_or_else(|| *can = false, |class| counts[class as usize] += 1);
        }
    }
    for (can, counts) in can.iter_mut().zip(&counts) {
        *can &= counts.iter().all(|n| *n > 0);
    }
    // Labels are often as many of each class; pixels hardly ever are.
    let even = counts.each_ref().map(|counts| classes > 1 && counts.iter().all(|n| *n == counts[0]));
    match (can, even) {
        ([true, false], _) | ([true, true], [true, false]) => Ok(0),
        ([_, true], [false, true]) | ([false, _], _) => Ok(last),
        _ => {
            let message = format!(
                "its first and its last column could both be labels of {classes} classes; say which it is in the manifest: \
                 `label: first` or `label: last`"
            );
            Err(FileError::Content { file: input.shown(), message }.into())
        }
    }
}

/// A whole number; nothing for what is none or too large.
fn number(field: &[u8]) -> Option<u32> {
    // Digits only: neither signs, blanks nor fractions, all of which would mean another file than expected.
    std::str::from_utf8(field).ok().filter(|s| s.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()
}

/// Append the values of one row and return what stands in the column of labels.
fn parse(manifest: &Manifest, text: &[u8], column: usize, values: &mut Vec<u8>) -> std::result::Result<u32, String> {
    let scale = manifest.byte_scale();
    let expected = manifest.pixels() + 1;
    let found = fields(text).count();
    if found != expected {
        return Err(format!("expected {expected} columns ({} values and the label), found {found}", expected - 1));
    }
    let mut label = 0;
    for (at, field) in fields(text).enumerate() {
        let number = number(field).ok_or_else(|| {
            format!("column {}: expected a whole number below 2^32, found `{}`", at + 1, field.escape_ascii())
        })?;
        if at == column {
            label = number;
        } else if number > u32::from(scale) {
            return Err(format!("column {}: expected 0..={scale}, the manifest's scale, found {number}", at + 1));
        } else {
            values.push(number as u8);
        }
    }
    Ok(label)
}

/// Room for every value with its comma and quotes, any u32 as label, and the line's end.
fn longest_line(manifest: &Manifest) -> u64 {
    6 * manifest.pixels() as u64 + 14
}
