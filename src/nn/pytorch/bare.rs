//! PyTorch's format from version 0.1.10 to 1.5, still written with `_use_new_zipfile_serialization=False`
//!
//! ```text
//! pickle   119547037146038801333356, which tells the format
//! pickle   1001, its version
//! pickle   {"protocol_version": 1001, "little_endian": True, "type_sizes": {...}}
//! pickle   what was saved: tensors over numbered storages
//! pickle   ["94221161410464", ...], the storages in the order in which they follow
//! for each, the number of its numbers in 8 bytes, then these
//! ```
//!
//! A storage may be a part of another, which is then the one that follows.

use super::pickle::{Kept, Pickled, nothing, storage, unpickle_next};
use super::refusal::{Refusal, shown};
use super::storages::{LONGEST_PICKLE, Storages};
use super::value::{Outcome, Storage, Value};
use std::borrow::Cow;
use std::collections::HashMap;

/// The first pickle, whole: an integer of ten bytes.
const BEGIN: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// The numbers of storages in the bytes of a file, by key.
pub struct Following<'a>(HashMap<String, &'a [u8]>);

/// What was saved, and the storages behind it.
pub fn open(bytes: &[u8]) -> Result<(Pickled, Following<'_>), Refusal> {
    let Some(mut rest) = bytes.strip_prefix(BEGIN) else {
        return Err(Refusal::Refused("it is a pickle of Python's own, not one of torch.save".into()));
    };
    // A program before the numbers; what is left of the file bounds it.
    let limited = |rest: &mut &[u8], what: &str, kept: Kept| {
        let whole = rest.len();
        let found = unpickle_next(rest, kept).map_err(Refusal::Refused)?;
        match whole - rest.len() {
            long if long as u64 > LONGEST_PICKLE => Err(Refusal::Refused(format!("{what} takes {long} bytes"))),
            _ => Ok(found),
        }
    };
    let version = limited(&mut rest, "its version", &nothing)?;
    if !matches!(version.values[version.root], Value::Integer(1001)) {
        return Err(Refusal::Refused("its version is not 1001, the only one there was".into()));
    }
    let system = limited(&mut rest, "its description", &nothing)?;
    if !is_little_endian(&system) {
        return Err(Refusal::Refused("its numbers are not little-endian".into()));
    }
    let pickled = limited(&mut rest, "its description of the tensors", &storage)?;
    let keys = limited(&mut rest, "its list of storages", &nothing)?;
    let sizes = sizes_of(&pickled);
    let mut found = HashMap::new();
    for key in texts(&keys).map_err(Refusal::Refused)? {
        let size = sizes.get(key.as_str()).copied().ok_or_else(|| {
            Refusal::Refused(format!("storage `{}` belongs to no tensor, so that its size is not known", shown(&key)))
        })?;
        let numbers = numbers(&mut rest, size).map_err(Refusal::Damaged)?;
        found.insert(key, numbers);
    }
    if !rest.is_empty() {
        return Err(Refusal::Damaged(format!("{} bytes are left behind its last storage", rest.len())));
    }
    Ok((pickled, Following(found)))
}

/// A storage as it lies in a file: how many numbers, then these, of `size` bytes each.
pub fn numbers<'a>(rest: &mut &'a [u8], size: usize) -> Outcome<&'a [u8]> {
    let (count, behind) = rest.split_first_chunk::<8>().ok_or("it ends before a storage")?;
    let count = u64::from_le_bytes(*count);
    let bytes = usize::try_from(count).ok().and_then(|n| n.checked_mul(size)).filter(|n| *n <= behind.len());
    let bytes = bytes
        .ok_or_else(|| format!("a storage claims {count} numbers of {size} bytes, {} bytes are left", behind.len()))?;
    let (numbers, behind) = behind.split_at(bytes);
    *rest = behind;
    Ok(numbers)
}

/// The size of a number of each storage that a tensor names.
fn sizes_of(pickled: &Pickled) -> HashMap<&str, usize> {
    let storages = pickled.values.iter().filter_map(|value| match value {
        Value::Storage(storage) => Some(&**storage),
        _ => None,
    });
    storages.map(|storage| (storage.key.as_str(), storage.element.size)).collect()
}

fn is_little_endian(system: &Pickled) -> bool {
    let Value::Dict(entries) = &system.values[system.root] else { return false };
    let said =
        entries.iter().find(|(key, _)| matches!(&system.values[*key], Value::Text(key) if key == "little_endian"));
    said.is_some_and(|(_, value)| matches!(system.values[*value], Value::Truth(true)))
}

fn texts(pickled: &Pickled) -> Outcome<Vec<String>> {
    let Value::List(ids) = &pickled.values[pickled.root] else {
        return Err(format!("its storages are {}, no list", pickled.values[pickled.root].kind()));
    };
    let text = |id: &usize| match &pickled.values[*id] {
        Value::Text(text) => Ok(text.clone()),
        other => Err(format!("it names a storage by {}", other.kind())),
    };
    ids.iter().map(text).collect()
}

impl Storages for Following<'_> {
    fn bytes(&mut self, storage: &Storage) -> Outcome<Cow<'_, [u8]>> {
        let bytes = self.0.get(&storage.key).ok_or_else(|| format!("its storage {} does not follow", storage.key))?;
        Ok(Cow::Borrowed(bytes))
    }
}
