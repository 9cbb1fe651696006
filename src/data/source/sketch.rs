//! What data files say of themselves, and the manifest that would describe them, as far as they tell.

use crate::compute::arrays::npz::Npz;
use crate::compute::arrays::{Layout, idx, npy};
use crate::data::error::Result;
use crate::data::formats::{npy as arrays, parquet};
use flate2::read::MultiGzDecoder;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// Of each kind so many files are told.
const SHOWN: usize = 8;
/// The most that is read of a header.
const HEADER: u64 = 1 << 20;

/// A line for each of `files` in `folder`, given by their kinds, and a manifest where they tell enough.
pub fn of_files(folder: &Path, files: &BTreeMap<String, Vec<PathBuf>>) -> Result<Vec<String>> {
    let mut lines = vec![];
    for (kind, paths) in files {
        for path in paths.iter().take(SHOWN) {
            let name = path.strip_prefix(folder).unwrap_or(path).display().to_string();
            let told = match kind.as_str() {
                "npz" => npz(path),
                "npy" => {
                    reader(path).and_then(|mut r| npy::header(&mut r)).map(|l| vec![format!("an array {}", shown(&l))])
                }
                "idx" => reader(path).and_then(|mut r| idx::header(&mut r)).map(|l| vec![format!("IDX {}", shown(&l))]),
                "csv" => csv(path),
                "parquet" => parquet::describe(path).map(rows).map_err(|e| e.to_string()),
                _ => continue,
            };
            let told = told.unwrap_or_else(|why| vec![format!("no readable {kind} file: {why}")]);
            lines.extend(
                told.into_iter().enumerate().map(|(i, text)| if i == 0 { format!("{name}: {text}") } else { text }),
            );
        }
        if paths.len() > SHOWN && ["npz", "npy", "idx", "csv", "parquet"].contains(&kind.as_str()) {
            lines.push(format!("... and {} more of {kind}", paths.len() - SHOWN));
        }
    }
    Ok(lines)
}

fn shown(layout: &Layout) -> String {
    format!("{:?} of {:?}", layout.shape, layout.kind)
}

fn reader(path: &Path) -> std::result::Result<Box<dyn Read>, String> {
    let file = BufReader::new(File::open(path).map_err(|e| e.to_string())?);
    let packed = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("gz"));
    Ok(if packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) })
}

/// The arrays of a file, and the manifest of one that is laid out as MedMNIST's or Keras's are.
fn npz(path: &Path) -> std::result::Result<Vec<String>, String> {
    let mut archive = Npz::open(path)?;
    let names = archive.names();
    let mut shapes = BTreeMap::new();
    for name in &names {
        if let Some(Ok(layout)) = archive.with(name, |reader| npy::header(reader)) {
            shapes.insert(name.clone(), layout.shape);
        }
    }
    let all: Vec<String> = shapes.iter().map(|(name, shape)| format!("{name} {shape:?}")).collect();
    let mut lines = vec![format!("arrays {}", all.join(", "))];
    let mut splits: Vec<(&str, (String, String))> = ["train", "validation", "test"]
        .into_iter()
        .filter_map(|split| Some((split, arrays::names_of(split, &names)?)))
        .collect();
    if splits.is_empty() {
        splits.extend(arrays::plain_names(&names).map(|names| ("train", names)));
    }
    let Some((_, (images, labels))) = splits.first() else { return Ok(lines) };
    let image = match shapes.get(images).map(Vec::as_slice) {
        Some([_, h, w]) => format!("[1, {h}, {w}]"),
        Some([_, h, w, c @ (1 | 3)] | [_, c @ (1 | 3), h, w]) => format!("[{c}, {h}, {w}]"),
        _ => return Ok(lines),
    };
    let read = archive.with(labels, |reader| npy::read(&mut reader.take(HEADER)));
    let largest = read.and_then(|array| array.ok()).and_then(|a| a.whole()?.max()).unwrap_or(1);
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let splits: Vec<String> = splits.iter().map(|(split, _)| format!("{split}: {{ file: {file} }}")).collect();
    lines.extend(manifest(&file, &image, &(largest + 1).to_string(), "npz", "", &splits.join(", ")));
    Ok(lines)
}

/// The columns of a file, and its manifest.
fn csv(path: &Path) -> std::result::Result<Vec<String>, String> {
    let mut line = vec![];
    BufReader::new(reader(path)?.take(HEADER)).read_until(b'\n', &mut line).map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&line);
    let fields: Vec<&str> = text.trim_end().trim_start_matches('\u{feff}').split(',').collect();
    let is_header = fields.iter().any(|f| f.trim_matches('"').starts_with(|c: char| c.is_alphabetic()));
    let first = fields.iter().take(3).copied().collect::<Vec<_>>().join(", ");
    let header = if is_header { format!("a header ({first}, ...)") } else { "no header".into() };
    let mut lines = vec![format!("{} columns, {header}", fields.len())];
    let pixels = fields.len().saturating_sub(1);
    let side = (1..=1024).find(|side| side * side == pixels || 3 * side * side == pixels);
    if let Some(side) = side {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let image = format!("[{}, {side}, {side}]", pixels / (side * side));
        let label = if is_header { "" } else { "label: last # or first" };
        lines.extend(manifest(
            &file,
            &image,
            "10 # as many as there are",
            "csv",
            label,
            &format!("train: {{ file: {file} }}"),
        ));
    }
    Ok(lines)
}

fn rows(columns: Vec<(String, String)>) -> Vec<String> {
    let shown: Vec<String> = columns.iter().map(|(name, kind)| format!("{name} ({kind})")).collect();
    vec![format!(
        "columns {}; in a manifest: `format: parquet`, `columns: {{ image: ..., label: ... }}`, `files: [...]`",
        shown.join(", ")
    )]
}

/// The lines of a manifest that describes `file`.
fn manifest(file: &str, shape: &str, classes: &str, format: &str, more: &str, splits: &str) -> Vec<String> {
    let name: String =
        file.split('.').next().unwrap_or("my").chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    let name = if name.is_empty() { "my".into() } else { name };
    let lines = [
        format!("  beside it, in {name}.yaml:"),
        format!("    name: {name}"),
        format!("    shape: {shape}"),
        format!("    classes: {classes}"),
        format!("    format: {format}"),
        format!("    {more}"),
        format!("    splits: {{ {splits} }}"),
    ];
    lines.into_iter().filter(|line| !line.trim().is_empty()).collect()
}
