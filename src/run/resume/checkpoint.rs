//! Checkpoints: all that a run needs to go on, in one file
//!
//! ```text
//! checkpoints/000012-<first 16 hexadecimal digits of the file's SHA-256>.safetensors
//! ```
//!
//! The tensors are those of the script's networks, optimisers and stores of vectors; everything else is JSON in the
//! file's metadata. A file is written to the side, synced and renamed to the name that holds its checksum, so one that
//! is cut off or changed is recognised, and one under way has no name yet. Metrics are synced before it, and cut back
//! to the lengths that it names, so that no row comes twice. Tensors go to the file piece by piece: a store of many
//! gigabytes is never copied in memory.

use super::state::{FORMAT, State};
use crate::base::hex::hex;
use candle_core::Tensor;
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors, View};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Key of the metadata entry that holds the state.
const STATE: &str = "workbench.checkpoint";

/// The start of the names of files that are not finished.
const UNFINISHED: &str = ".unfinished-";

/// Writes the numbers of a tensor.
pub type WriteNumbers = Box<dyn Fn(&mut dyn Write) -> io::Result<()>>;

/// A tensor on its way to a file.
pub struct Piece {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    /// Writes the numbers, little-endian.
    pub write: WriteNumbers,
}

impl Piece {
    /// A tensor of a network or an optimiser, as it is now.
    pub fn of_tensor(name: String, tensor: Tensor) -> Self {
        let (dtype, shape) = (View::dtype(&tensor), tensor.dims().to_vec());
        Self { name, dtype, shape, write: Box::new(move |out| out.write_all(&View::data(&tensor))) }
    }
}

/// A checkpoint that was read and found whole.
#[derive(Debug)]
pub struct Checkpoint {
    pub state: State,
    map: Mmap,
}

/// Write a checkpoint into `folder`; its name begins with `stem`.
pub fn write(folder: &Path, stem: &str, state: &State, pieces: &[Piece]) -> io::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let header = header(state, pieces)?;
    let file = crate::base::files::temporary().prefix(UNFINISHED).tempfile_in(folder)?;
    let sum = {
        let mut out = Summed { out: BufWriter::with_capacity(1 << 20, file.as_file()), sum: Sha256::new() };
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        pieces.iter().try_for_each(|piece| (piece.write)(&mut out))?;
        out.flush()?;
        hex(&out.sum.finalize())
    };
    file.as_file().sync_all()?;
    let path = folder.join(format!("{stem}-{}.safetensors", &sum[..16]));
    file.persist(&path).map_err(|e| e.error)?;
    // The name is safe only when the folder is.
    std::fs::File::open(folder)?.sync_all()?;
    Ok(path)
}

fn header(state: &State, pieces: &[Piece]) -> io::Result<Vec<u8>> {
    let mut entries = Map::new();
    entries.insert("__metadata__".into(), json!({ STATE: serde_json::to_string(state)? }));
    let mut at = 0;
    for piece in pieces {
        let length = piece.shape.iter().product::<usize>() * piece.dtype.bitsize() / 8;
        let entry = json!({ "dtype": piece.dtype, "shape": piece.shape, "data_offsets": [at, at + length] });
        entries.insert(piece.name.clone(), entry);
        at += length;
    }
    let mut text = serde_json::to_vec(&Value::Object(entries))?;
    text.resize(text.len().next_multiple_of(8), b' ');
    Ok(text)
}

/// Adds up what passes through.
struct Summed<W> {
    out: W,
    sum: Sha256,
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.sum.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Checkpoint {
    /// Read the file at `path`; an error says what is wrong with it.
    pub fn open(path: &Path) -> Result<Self, String> {
        let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
        // SAFETY: checkpoints are never changed in place, and a run's folder is locked by the process that runs it.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| e.to_string())?;
        let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
        let sum = hex(&Sha256::digest(&map));
        if stem.rsplit('-').next() != Some(&sum[..16]) {
            return Err(format!("its checksum is {}, not the one in its name: it is cut off or damaged", &sum[..16]));
        }
        let unreadable = |why: &dyn std::fmt::Display| format!("it is no checkpoint of this version ({why})");
        SafeTensors::deserialize(&map).map_err(|e| unreadable(&e))?;
        let (_, header) = SafeTensors::read_metadata(&map).map_err(|e| unreadable(&e))?;
        let text = header.metadata().as_ref().and_then(|m| m.get(STATE)).ok_or_else(|| unreadable(&"no state"))?;
        let state: State = serde_json::from_str(text).map_err(|e| unreadable(&e))?;
        if state.format != FORMAT {
            return Err(unreadable(&format!("form {}, {FORMAT} is known", state.format)));
        }
        Ok(Self { state, map })
    }

    /// The tensors by name.
    pub fn tensors(&self) -> Result<SafeTensors<'_>, String> {
        SafeTensors::deserialize(&self.map).map_err(|e| e.to_string())
    }
}

/// The checkpoints of a folder whose names begin with digits, the latest first, with their numbers.
pub fn numbered(folder: &Path) -> Vec<(u64, PathBuf)> {
    let mut found: Vec<_> = files(folder)
        .into_iter()
        .filter_map(|path| Some((path.file_stem()?.to_str()?.split('-').next()?.parse().ok()?, path)))
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found
}

/// The checkpoint of the end of loop number `index`.
pub fn end_of_loop(folder: &Path, index: usize) -> Option<PathBuf> {
    let stem = end_stem(index);
    files(folder).into_iter().find(|path| is_called(path, &stem))
}

/// Remove the checkpoints beside `path` whose names begin with `stem` too.
pub fn keep_only(path: &Path, stem: &str) {
    let others = path.parent().map(files).unwrap_or_default();
    for other in others.into_iter().filter(|other| other != path && is_called(other, stem)) {
        let _ = std::fs::remove_file(other);
    }
}

fn is_called(path: &Path, stem: &str) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&format!("{stem}-")))
}

/// How the name of the checkpoint of the end of loop number `index` begins.
pub fn end_stem(index: usize) -> String {
    format!("loop{index}")
}

/// Remove what a process that was killed has left half-written.
pub fn tidy(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
    entries.filter(|p| p.extension().is_some_and(|e| e == "safetensors")).collect()
}
