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

use super::checkpoint_file::{Piece, UNFINISHED, sum_of, write_file};
use super::shards::Shard;
use super::state::{FORMAT, State};
use crate::compute::collective::Group;
use memmap2::Mmap;
use safetensors::SafeTensors;
use std::io;
use std::path::{Path, PathBuf};

/// Key of the metadata entry that holds the state.
const STATE: &str = "workbench.checkpoint";

/// A checkpoint that was read and found whole.
#[derive(Debug)]
pub struct Checkpoint {
    pub state: State,
    /// Its parts by shards, where the run has several.
    pub shards: Vec<Shard>,
    map: Mmap,
}

/// Write a checkpoint into `folder`; its name begins with `stem`.
pub fn write(folder: &Path, stem: &str, state: &State, pieces: &[Piece]) -> io::Result<PathBuf> {
    write_file(folder, stem, (STATE, serde_json::to_string(state)?), pieces)
}

impl Checkpoint {
    /// Read the file at `path`, and its parts; an error says what is wrong with it. Each of the processes checks the sums of some parts.
    pub fn open(path: &Path, group: &Group) -> Result<Self, String> {
        let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
        // SAFETY: checkpoints are never changed in place, and a run's folder is locked by the process that runs it.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| e.to_string())?;
        sum_of(path, &map)?;
        let unreadable = |why: &dyn std::fmt::Display| format!("it is no checkpoint of this version ({why})");
        SafeTensors::deserialize(&map).map_err(|e| unreadable(&e))?;
        let (_, header) = SafeTensors::read_metadata(&map).map_err(|e| unreadable(&e))?;
        let text = header.metadata().as_ref().and_then(|m| m.get(STATE)).ok_or_else(|| unreadable(&"no state"))?;
        let state: State = serde_json::from_str(text).map_err(|e| unreadable(&e))?;
        if state.format != FORMAT {
            return Err(unreadable(&format!("form {}, {FORMAT} is known", state.format)));
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        let parts = state.shards.iter().enumerate();
        let shards = parts.map(|(at, name)| Shard::open(folder, name, at % group.world() == group.rank()));
        Ok(Self { shards: shards.collect::<Result<_, _>>()?, state, map })
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

/// Remove parts that belong to none of the checkpoints with these numbers.
pub fn keep_parts_of(folder: &Path, numbers: &[u64]) {
    for path in files(folder) {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let Some((number, _)) = name.split_once(".shard-") else { continue };
        if !number.parse().is_ok_and(|number: u64| numbers.contains(&number)) {
            let _ = std::fs::remove_file(path);
        }
    }
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
