//! The part of a checkpoint that is one shard's: the vectors of its images, and what its process has logged
//!
//! ```text
//! checkpoints/000012.shard-2-of-4-<first 16 hexadecimal digits of the file's SHA-256>.safetensors
//! ```
//!
//! Each process writes those of its shards, all at the same time. The checkpoint itself comes last and names them, so that one without it
//! is no part of anything.

use super::checkpoint_file::{Piece, sum_of, write_file};
use crate::run::training::{Saved, together};
use memmap2::Mmap;
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use std::io;
use std::ops::Range;
use std::path::Path;

/// Key of the metadata entry that holds what is no tensor.
const SHARD: &str = "workbench.shard";

/// What is no tensor.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardState {
    pub shard: usize,
    pub shards: usize,
    /// What was logged in the epoch and in the window of batches by the process that has this shard as its first.
    pub logged: Option<[Saved; 2]>,
}

/// A part that was read and found whole.
#[derive(Debug)]
pub struct Shard {
    pub state: ShardState,
    map: Mmap,
}

/// Write a part; the name of its file.
pub fn write(folder: &Path, stem: &str, state: &ShardState, pieces: &[Piece]) -> io::Result<String> {
    let stem = format!("{stem}.shard-{}-of-{}", state.shard, state.shards);
    let path = write_file(folder, &stem, (SHARD, serde_json::to_string(state)?), pieces)?;
    Ok(path.file_name().unwrap_or_default().to_string_lossy().into_owned())
}

impl Shard {
    /// Open the part of this name; `checks` its sum, or another process does.
    pub fn open(folder: &Path, name: &str, checks: bool) -> Result<Self, String> {
        let failed = |why: &dyn std::fmt::Display| format!("its part {name}: {why}");
        let file = std::fs::File::open(folder.join(name)).map_err(|e| failed(&e))?;
        // SAFETY: parts are never changed in place, and a run's folder is locked by the process that runs it.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| failed(&e))?;
        if checks {
            sum_of(&folder.join(name), &map).map_err(|e| failed(&e))?;
        }
        let (_, header) = SafeTensors::read_metadata(&map).map_err(|e| failed(&e))?;
        let text = header.metadata().as_ref().and_then(|entries| entries.get(SHARD));
        let state = serde_json::from_str(text.ok_or_else(|| failed(&"no state"))?).map_err(|e| failed(&e))?;
        Ok(Self { state, map })
    }

    /// The tensors by name.
    pub fn tensors(&self) -> Result<SafeTensors<'_>, String> {
        SafeTensors::deserialize(&self.map).map_err(|e| e.to_string())
    }
}

/// What the process with the shards `own` of `shards` had logged: of another number of shards, process 0 takes all of it.
pub fn logged_by(parts: &[Shard], own: &Range<usize>, shards: usize) -> [Saved; 2] {
    let is_ours = |state: &ShardState| {
        if state.shards == shards { own.contains(&state.shard) } else { own.start == 0 }
    };
    let ours: Vec<&[Saved; 2]> =
        parts.iter().filter(|part| is_ours(&part.state)).filter_map(|part| part.state.logged.as_ref()).collect();
    [0, 1].map(|which| together(ours.iter().map(|logged| logged[which].clone())))
}
