//! Do the pages of a column chunk unpack to what they say? The reader sets aside what a page's header promises, and unpacks gzip and
//! brotli to their ends: so both are looked at before it reads, and a small file cannot fill the memory.
//!
//! A page is a header, in Thrift's compact protocol, and so many bytes as the header says.

use super::errors::broken;
use crate::base::interrupt;
use crate::data::error::{Error, Result};
use flate2::read::MultiGzDecoder;
use parquet::basic::Compression;
use parquet::file::metadata::ColumnChunkMetaData;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

/// A header longer than this is none.
const HEADER: usize = 1 << 20;

/// Check `chunk` of `file`, which errors call `shown`; no page may unpack to more than `most` bytes.
pub fn check(file: &mut File, shown: &str, chunk: &ColumnChunkMetaData, most: i64) -> Result<()> {
    let (start, length) = chunk.byte_range();
    let mut bytes = vec![];
    let mut read = || {
        file.seek(SeekFrom::Start(start))?;
        file.take(length).read_to_end(&mut bytes)
    };
    read().map_err(|e| broken(shown, e))?;
    let mut left = &bytes[..];
    while !left.is_empty() {
        if interrupt::requested() {
            return Err(Error::Interrupted);
        }
        let (page, rest) = header(left).ok_or_else(|| broken(shown, "a page has no header"))?;
        let packed = usize::try_from(page.packed).ok().and_then(|n| rest.split_at_checked(n));
        let (packed, rest) = packed.ok_or_else(|| broken(shown, "a page is cut off"))?;
        let levels = page.levels.clamp(0, packed.len() as i64) as usize;
        if page.unpacked < 0 || page.unpacked > most || unpacks_to_more(chunk.compression(), &packed[levels..], &page) {
            return Err(broken(shown, format!("a page unpacks to more than {} bytes", page.unpacked.clamp(0, most))));
        }
        left = rest;
    }
    Ok(())
}

/// Does gzip or brotli hold more than the page's header says?
fn unpacks_to_more(codec: Compression, packed: &[u8], page: &Page) -> bool {
    let mut reader: Box<dyn Read + '_> = match codec {
        _ if !page.is_packed => return false,
        Compression::GZIP(_) => Box::new(MultiGzDecoder::new(packed)),
        Compression::BROTLI(_) => Box::new(brotli::Decompressor::new(packed, 1 << 12)),
        _ => return false,
    };
    let mut room = vec![0; 1 << 16];
    let mut left = page.unpacked;
    loop {
        match reader.read(&mut room) {
            Ok(0) => return false,
            Ok(n) if n as i64 > left => return true,
            Ok(n) => left -= n as i64,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            // What is broken in it is the reader's to tell.
            Err(_) => return false,
        }
    }
}

/// What a page's header says.
struct Page {
    unpacked: i64,
    packed: i64,
    /// Bytes of levels before what is packed.
    levels: i64,
    is_packed: bool,
}

/// The header that `bytes` begin with, and what follows it.
fn header(bytes: &[u8]) -> Option<(Page, &[u8])> {
    let mut thrift = Thrift { left: &bytes[..bytes.len().min(HEADER)], depth: 0 };
    let mut page = Page { unpacked: -1, packed: -1, levels: 0, is_packed: true };
    let (mut id, before) = (0, thrift.left.len());
    while let Some(kind) = thrift.field(&mut id)? {
        match (id, kind) {
            (2, INT) => page.unpacked = thrift.number()?,
            (3, INT) => page.packed = thrift.number()?,
            // A data page of the second version.
            (8, STRUCT) => {
                let mut id = 0;
                while let Some(kind) = thrift.field(&mut id)? {
                    match (id, kind) {
                        (5 | 6, INT) => page.levels = page.levels.checked_add(thrift.number()?)?,
                        (7, FALSE) => page.is_packed = false,
                        (_, kind) => thrift.skip(kind)?,
                    }
                }
            }
            (_, kind) => thrift.skip(kind)?,
        }
    }
    Some((page, &bytes[before - thrift.left.len()..]))
}

/// Types of fields.
const FALSE: u8 = 2;
const INT: u8 = 5;
const STRUCT: u8 = 12;
/// Structs within structs, at the most.
const DEPTH: usize = 8;

struct Thrift<'a> {
    left: &'a [u8],
    depth: usize,
}

impl Thrift<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.left.split_first()?;
        self.left = rest;
        Some(*first)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// A signed number.
    fn number(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// The type of the next field, whose number `id` becomes; nothing inside at the end of a struct.
    fn field(&mut self, id: &mut i64) -> Option<Option<u8>> {
        let byte = self.byte()?;
        if byte == 0 {
            return Some(None);
        }
        *id = match byte >> 4 {
            0 => self.number()?,
            step => id.checked_add(step.into())?,
        };
        Some(Some(byte & 0x0f))
    }

    fn skip(&mut self, kind: u8) -> Option<()> {
        match kind {
            1 | FALSE => {}
            3 => self.left = self.left.get(1..)?,
            4..=6 => {
                self.number()?;
            }
            7 => self.left = self.left.get(8..)?,
            8 => {
                let length = usize::try_from(self.varint()?).ok()?;
                self.left = self.left.get(length..)?;
            }
            9 | 10 => {
                let head = self.byte()?;
                let length = if head >> 4 == 15 { self.varint()? } else { (head >> 4).into() };
                for _ in 0..length {
                    // Booleans in lists take a byte each.
                    if matches!(head & 0x0f, 1 | 2) {
                        self.left = self.left.get(1..)?;
                    } else {
                        self.nested(head & 0x0f)?
                    }
                }
            }
            STRUCT => {
                let mut id = 0;
                while let Some(kind) = self.field(&mut id)? {
                    self.nested(kind)?;
                }
            }
            _ => return None,
        }
        Some(())
    }

    fn nested(&mut self, kind: u8) -> Option<()> {
        self.depth += 1;
        let done = if self.depth > DEPTH { None } else { self.skip(kind) };
        self.depth -= 1;
        done
    }
}
