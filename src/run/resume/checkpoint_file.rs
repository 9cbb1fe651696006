//! A file of tensors whose name holds its checksum: written to the side, synced and renamed, piece by piece, so that one that is cut off
//! or changed is recognised, and a store of many gigabytes is never copied in memory.

use crate::base::hex::hex;
use candle_core::Tensor;
use safetensors::{Dtype, View};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// The start of the names of files that are not finished.
pub const UNFINISHED: &str = ".unfinished-";

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

/// Write a file of tensors with an entry of metadata; its name begins with `stem` and holds its checksum.
pub fn write_file(folder: &Path, stem: &str, entry: (&str, String), pieces: &[Piece]) -> io::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let header = header(entry, pieces)?;
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

fn header((key, text): (&str, String), pieces: &[Piece]) -> io::Result<Vec<u8>> {
    let mut entries = Map::new();
    entries.insert("__metadata__".into(), json!({ key: text }));
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

/// Is the file what its name says?
pub fn sum_of(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
    let sum = hex(&Sha256::digest(bytes));
    if stem.rsplit('-').next() == Some(&sum[..16]) {
        return Ok(());
    }
    Err(format!("its checksum is {}, not the one in its name: it is cut off or damaged", &sum[..16]))
}
