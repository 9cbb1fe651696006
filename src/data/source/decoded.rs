//! The decoded cache: one split in one file that is mapped into memory, so that a data set is decoded once
//!
//! ```text
//! "WBDATA1\n" | length of the header, u32 | header, JSON | zeros up to a multiple of 64 | labels, u32 | pixels, u8, CHW
//! ```
//!
//! Numbers are little-endian. The header says what the file was made from and holds a CRC-32 of each 4 MiB of what follows
//! it, and the file ends with a CRC-32 of the header: a file that is cut off, changed or of another manifest is not read.
//! Files are written to the side and renamed, never changed in place.

use crate::data::formats::Raw;
use crate::data::values::Values;
use memmap2::Mmap;
use rayon::prelude::*;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

const MAGIC: &[u8; 8] = b"WBDATA1\n";
const CHUNK: usize = 4 << 20;
const ALIGNMENT: usize = 64;
/// A header longer than this is none.
const HEADER: usize = 16 << 20;

/// What a file says about itself.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Header {
    /// What the split was decoded from: see `store`.
    pub key: String,
    /// Channels, height, width.
    pub shape: [usize; 3],
    /// Images.
    pub len: usize,
    /// The digest of the content (see `digest`).
    pub digest: String,
    /// For people: where the images came from, and checksums of those files where they were computed.
    pub source: String,
    /// What the classes are called, where labels were names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    sums: Vec<u32>,
}

/// An opened file.
pub struct Decoded {
    pub header: Header,
    pub values: Values,
    pub labels: Vec<u32>,
}

/// Why a cache file is not used.
#[derive(Debug, PartialEq, Eq)]
pub enum Unusable {
    /// There is none.
    Missing,
    /// It is damaged, and how that showed.
    Damaged(&'static str),
}

/// The split in the file at `path`, all of it checked.
pub fn open(path: &Path) -> Result<Decoded, Unusable> {
    let file = std::fs::File::open(path).map_err(|_| Unusable::Missing)?;
    // SAFETY: files of the cache are never changed in place, only replaced by others.
    let map = unsafe { Mmap::map(&file) }.map_err(|_| Unusable::Damaged("it cannot be mapped"))?;
    let cut = Unusable::Damaged("it is cut off");
    let length = match map.get(..12) {
        Some(start) if &start[..8] == MAGIC => u32::from_le_bytes([start[8], start[9], start[10], start[11]]) as usize,
        Some(_) => return Err(Unusable::Damaged("it does not begin as it should")),
        None => return Err(cut),
    };
    if length > HEADER || map.len() < 12 + length + 4 {
        return Err(cut);
    }
    let text = &map[12..12 + length];
    let sum = &map[map.len() - 4..];
    let header: Header = serde_json::from_slice(text).map_err(|_| Unusable::Damaged("its header is none"))?;
    if crc32fast::hash(text).to_le_bytes() != sum {
        return Err(Unusable::Damaged("the checksum of its header is wrong"));
    }
    let start = (12 + length).next_multiple_of(ALIGNMENT);
    let pixels = header.shape.iter().try_fold(header.len, |n, d| n.checked_mul(*d));
    let (Some(pixels), Some(bytes)) = (pixels, header.len.checked_mul(4)) else {
        return Err(Unusable::Damaged("its header is none"));
    };
    let end = start.checked_add(bytes).and_then(|n| n.checked_add(pixels));
    if end.and_then(|n| n.checked_add(4)) != Some(map.len()) {
        return Err(Unusable::Damaged("its length is wrong"));
    }
    if sums(&[&map[start..map.len() - 4]]) != header.sums {
        return Err(Unusable::Damaged("a checksum of its content is wrong"));
    }
    let labels = map[start..start + bytes].chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let labels = labels.collect();
    let range = start + bytes..map.len() - 4;
    Ok(Decoded { header, values: Values::Mapped(Arc::new(map), range), labels })
}

/// What the file at `path` says about itself, its content unchecked.
pub fn header(path: &Path) -> Option<Header> {
    let mut start = [0; 12];
    let mut file = std::fs::File::open(path).ok()?;
    file.read_exact(&mut start).ok()?;
    let length = u32::from_le_bytes([start[8], start[9], start[10], start[11]]) as usize;
    let mut text = vec![0; Some(length).filter(|n| *n <= HEADER)?];
    file.read_exact(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Writes a split to `path`, all or nothing.
pub fn write(
    path: &Path,
    (key, source, digest): (&str, &str, &str),
    classes: &[String],
    shape: [usize; 3],
    (pixels, labels): &Raw,
) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    let labels_bytes: Vec<u8> = labels.iter().flat_map(|l| l.to_le_bytes()).collect();
    let header = Header {
        key: key.into(),
        shape,
        len: labels.len(),
        digest: digest.into(),
        source: source.into(),
        classes: classes.to_vec(),
        sums: sums(&[&labels_bytes, pixels]),
    };
    let text = serde_json::to_vec(&header)?;
    let padding = (12 + text.len()).next_multiple_of(ALIGNMENT) - 12 - text.len();
    for part in [
        &MAGIC[..],
        &(text.len() as u32).to_le_bytes(),
        &text,
        &vec![0; padding],
        &labels_bytes,
        pixels,
        &crc32fast::hash(&text).to_le_bytes(),
    ] {
        file.write_all(part)?;
    }
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// CRC-32 of each piece of what the parts hold one after the other; two parts of whatever lengths.
fn sums(parts: &[&[u8]]) -> Vec<u32> {
    let total: usize = parts.iter().map(|p| p.len()).sum();
    let piece = |at: usize| {
        let (mut sum, mut before) = (crc32fast::Hasher::new(), 0);
        for part in parts {
            let from = (at * CHUNK).saturating_sub(before).min(part.len());
            let to = ((at + 1) * CHUNK).saturating_sub(before).min(part.len());
            sum.update(&part[from..to]);
            before += part.len();
        }
        sum.finalize()
    };
    (0..total.div_ceil(CHUNK)).into_par_iter().map(piece).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_byte_and_every_cut_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let raw = ((0..=255).cycle().take(24 * 5).collect::<Vec<u8>>(), vec![1, 0, 2, 2, 1]);
        write(&path, ("key", "here", "digest"), &[], [2, 3, 4], &raw).unwrap();
        let read = open(&path).unwrap_or_else(|e| panic!("{e:?}"));
        assert_eq!((&*read.values, &read.labels), (&raw.0[..], &raw.1));
        assert_eq!((read.header.key.as_str(), read.header.len), ("key", 5));
        let good = std::fs::read(&path).unwrap();
        let header = 12 + u32::from_le_bytes(good[8..12].try_into().unwrap()) as usize;
        let padding = header..header.next_multiple_of(ALIGNMENT);
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 4;
            std::fs::write(&path, &bad).unwrap();
            // The zeros between header and content are never read.
            assert_eq!(open(&path).is_ok(), padding.contains(&at), "byte {at}");
            std::fs::write(&path, &good[..at]).unwrap();
            assert!(open(&path).is_err(), "cut at {at}");
        }
        assert_eq!(open(&folder.path().join("none")).err(), Some(Unusable::Missing));
    }

    #[test]
    fn sums_do_not_depend_on_where_parts_meet() {
        let all: Vec<u8> = (0..CHUNK * 2 + 77).map(|i| (i * 7 / 3) as u8).collect();
        let whole = sums(&[&all]);
        assert_eq!(whole.len(), 3);
        for at in [0, 1, CHUNK - 1, CHUNK, CHUNK + 5, all.len()] {
            assert_eq!(sums(&[&all[..at], &all[at..]]), whole);
        }
    }
}
