//! PyTorch's format since version 1.6
//!
//! ```text
//! archive/data.pkl      a pickle: {"0.weight": tensor over storage 0, ...}, or {"epoch": 3, "state_dict": {...}}
//! archive/data/0        the numbers of storage 0, little-endian
//! archive/byteorder     "little", in files of newer versions
//! ```
//!
//! in a zip archive that compresses nothing.

use super::pickle::{Pickled, unpickle};
use super::refusal::Refusal;
use super::storages::{LONGEST_PICKLE, Storages};
use super::value::{Outcome, Storage};
use std::borrow::Cow;
use std::io::{Cursor, Read};
use zip::{CompressionMethod, ZipArchive};

/// The archive, for its numbers.
pub struct Zipped<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    /// Length of the file, which no entry exceeds.
    len: u64,
    /// What all names of entries begin with.
    root: String,
}

/// The pickle in it, run, and the rest.
pub fn open(bytes: &[u8]) -> Result<(Pickled, Zipped<'_>), Refusal> {
    let mut zip = ZipArchive::new(Cursor::new(bytes)).map_err(|e| Refusal::Damaged(e.to_string()))?;
    let root = root(&zip).map_err(Refusal::Damaged)?;
    let mut entry = |name: &str, limit| read(&mut zip, &format!("{root}{name}"), limit).map_err(Refusal::Damaged);
    // Versions before 2.1 wrote none, on little-endian machines as good as always.
    if entry("byteorder", 16)?.is_some_and(|order| order.trim_ascii() != b"little") {
        return Err(Refusal::Refused("its numbers are not little-endian".into()));
    }
    let pickle = entry("data.pkl", LONGEST_PICKLE)?.unwrap_or_default();
    let pickled = unpickle(&pickle).map_err(Refusal::Refused)?;
    Ok((pickled, Zipped { zip, len: bytes.len() as u64, root }))
}

impl Storages for Zipped<'_> {
    fn bytes(&mut self, storage: &Storage) -> Outcome<Cow<'_, [u8]>> {
        let entry = format!("{}data/{}", self.root, storage.key);
        let bytes = read(&mut self.zip, &entry, self.len)?;
        bytes.map(Cow::Owned).ok_or_else(|| format!("it has no entry `{entry}`, where its numbers should be"))
    }
}

/// The folder in which everything lies: that of the only `data.pkl` at the top.
fn root(zip: &ZipArchive<Cursor<&[u8]>>) -> Outcome<String> {
    let mut found = vec![];
    for name in zip.file_names() {
        let name = name.map_err(|e| e.to_string())?;
        let root = name.strip_suffix("data.pkl").filter(|root| root.matches('/').count() <= 1);
        found.extend(root.filter(|root| root.is_empty() || root.ends_with('/')).map(str::to_string));
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err("it is a zip archive without a `data.pkl`".into()),
        n => Err(format!("it has {n} entries called `data.pkl`")),
    }
}

/// An entry of the archive, if there is one, checked against its checksum. What is compressed or longer than `limit` is
/// refused before it is read.
fn read(zip: &mut ZipArchive<Cursor<&[u8]>>, name: &str, limit: u64) -> Outcome<Option<Vec<u8>>> {
    let Some(index) = zip.index_for_name(name) else { return Ok(None) };
    let entry = zip.by_index(index).map_err(|e| format!("`{name}`: {e}"))?;
    let (size, packed) = (entry.size(), entry.compressed_size());
    if entry.compression() != CompressionMethod::Stored || size != packed {
        return Err(format!("`{name}` is compressed, which PyTorch never does"));
    }
    if size > limit {
        return Err(format!("`{name}` claims {size} bytes, at most {limit} can be"));
    }
    let mut bytes = vec![];
    entry.take(limit).read_to_end(&mut bytes).map_err(|e| format!("`{name}`: {e}"))?;
    if bytes.len() as u64 != size {
        return Err(format!("`{name}` has {} of its {size} bytes", bytes.len()));
    }
    Ok(Some(bytes))
}

/// The pickle and the numbers of the first storage, for tests.
#[cfg(test)]
pub fn parts(bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut zip = ZipArchive::new(Cursor::new(bytes)).unwrap();
    let root = root(&zip).unwrap();
    let mut entry = |name: &str| read(&mut zip, &format!("{root}{name}"), 1 << 20).unwrap().unwrap();
    (entry("data.pkl"), entry("data/0"))
}
