//! PyTorch's format before version 0.1.10: a tar archive, nothing in it compressed
//!
//! ```text
//! storages   a pickle of their number; for each a pickle (key, location, type), 8 bytes with how many numbers, then these;
//!            at the end a pickle of parts: [(key, key of the whole, offset, length), ...]
//! tensors    a pickle of their number; for each a pickle (key, key of its storage, type), then in binary
//!            the number of axes in 8 bytes, shape, strides, offset, 8 bytes each
//! pickle     what was saved, its tensors by their keys
//! ```

use super::bare::numbers;
use super::pickle::{Pickled, nothing, unpickle_next};
use super::refusal::{Refusal, shown};
use super::storages::{LONGEST_PICKLE, Storages};
use super::value::{Id, Known, Outcome, Storage, Stored, Value};
use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Read;

/// More of them than any file of weights has.
const MOST: i64 = 1 << 20;

/// The numbers of the storages, by key.
pub struct Kept(HashMap<String, Vec<u8>>);

/// Does it say so where a tar archive does?
pub fn is_tar(bytes: &[u8]) -> bool {
    bytes.get(257..262) == Some(b"ustar")
}

/// What was saved, and the numbers.
pub fn open(bytes: &[u8]) -> Result<(Pickled, Kept), Refusal> {
    let mut entries = HashMap::new();
    let damaged = |e: std::io::Error| Refusal::Damaged(e.to_string());
    for entry in tar::Archive::new(bytes).entries().map_err(damaged)? {
        let entry = entry.map_err(damaged)?;
        let name = entry.path().map_err(damaged)?.to_string_lossy().trim_start_matches("./").to_string();
        if !["storages", "tensors", "pickle"].contains(&name.as_str()) {
            continue;
        }
        if entry.header().entry_type() != tar::EntryType::Regular || entries.contains_key(&name) {
            return Err(Refusal::Refused(format!("its `{name}` is no plain file, or there are two")));
        }
        let size = entry.size();
        let mut content = vec![];
        // No entry is longer than the file.
        entry.take(bytes.len() as u64).read_to_end(&mut content).map_err(damaged)?;
        if content.len() as u64 != size {
            return Err(Refusal::Damaged(format!("`{}` has {} of its {size} bytes", shown(&name), content.len())));
        }
        entries.insert(name, content);
    }
    let entry = |name: &str| {
        let missing = || Refusal::Damaged(format!("it is a tar archive without an entry `{name}`"));
        entries.get(name).map(Vec::as_slice).ok_or_else(missing)
    };
    let (storages, kept) = storages(entry("storages")?).map_err(Refusal::Damaged)?;
    let tensors = tensors(entry("tensors")?, &storages).map_err(Refusal::Damaged)?;
    let mut pickle = entry("pickle")?;
    if pickle.len() as u64 > LONGEST_PICKLE {
        return Err(Refusal::Refused(format!("its description of the tensors takes {} bytes", pickle.len())));
    }
    let by_key = |values: &[Value], id: Id| {
        let key = key(&values[id])?;
        let tensor = tensors.get(&key).ok_or_else(|| format!("it names tensor {key}, which it does not hold"))?;
        Ok(Value::Tensor(Box::new(tensor.clone())))
    };
    let pickled = unpickle_next(&mut pickle, &by_key).map_err(Refusal::Refused)?;
    Ok((pickled, Kept(kept)))
}

/// The storages by key, and the numbers of those that are not part of another.
type Held = (HashMap<String, Storage>, HashMap<String, Vec<u8>>);

fn storages(mut rest: &[u8]) -> Outcome<Held> {
    let (mut found, mut kept) = (HashMap::new(), HashMap::new());
    for _ in 0..count(&mut rest)? {
        let told = plain(&mut rest)?;
        let [id, _, kind] = tuple(&told, told.root)?[..] else {
            return Err("it describes a storage in a way of its own".into());
        };
        let Value::Name(Known::Storage(element)) = told.values[kind] else {
            return Err(format!("it gives a storage {} for its type", told.values[kind].kind()));
        };
        let key = key(&told.values[id])?;
        let numbers = numbers(&mut rest, element.size)?;
        let len = numbers.len() / element.size;
        kept.insert(key.clone(), numbers.to_vec());
        found.insert(key.clone(), Storage { element, key, len, part: None });
    }
    let parts = plain(&mut rest)?;
    let Value::List(parts_of) = &parts.values[parts.root] else {
        return Err("its parts of storages are no list".into());
    };
    for part in parts_of {
        let [own, whole, offset, length] = tuple(&parts, *part)?[..] else {
            return Err("it describes a part of a storage in a way of its own".into());
        };
        let whole = key(&parts.values[whole])?;
        let whole =
            found.get(&whole).ok_or_else(|| format!("it has a part of storage {whole}, which it does not hold"))?;
        let size = |id: Id| match parts.values[id] {
            Value::Integer(n) => usize::try_from(n).map_err(|_| format!("a part of a storage is {n}")),
            _ => Err("a part of a storage has no size".to_string()),
        };
        let (at, length) = (size(offset)?, size(length)?);
        if at.checked_add(length).is_none_or(|end| end > whole.len) {
            return Err(format!("a part of a storage, {at} and {length} numbers on, reaches beyond its {}", whole.len));
        }
        let storage = Storage { part: Some((at, length)), ..whole.clone() };
        found.insert(key(&parts.values[own])?, storage);
    }
    Ok((found, kept))
}

fn tensors(mut rest: &[u8], storages: &HashMap<String, Storage>) -> Outcome<HashMap<String, Stored>> {
    let mut found = HashMap::new();
    for _ in 0..count(&mut rest)? {
        let told = plain(&mut rest)?;
        let [own, storage, _] = tuple(&told, told.root)?[..] else {
            return Err("it describes a tensor in a way of its own".into());
        };
        let storage = key(&told.values[storage])?;
        let storage = storages
            .get(&storage)
            .ok_or_else(|| format!("it has a tensor of storage {storage}, which it does not hold"))?;
        // The upper half is left over from a time when it was written in 8 bytes.
        let axes = word(&mut rest)? & 0xffff_ffff;
        if axes > 64 {
            return Err(format!("the shape of a tensor has {axes} axes"));
        }
        let mut sizes = || (0..axes).map(|_| size(&mut rest)).collect::<Outcome<Vec<_>>>();
        let (dims, strides) = (sizes()?, sizes()?);
        let tensor = Stored::of(storage.clone(), dims, strides, size(&mut rest)?)?;
        found.insert(key(&told.values[own])?, tensor);
    }
    Ok(found)
}

fn word(rest: &mut &[u8]) -> Outcome<u64> {
    let (word, behind) = rest.split_first_chunk::<8>().ok_or("it ends inside a tensor")?;
    *rest = behind;
    Ok(u64::from_le_bytes(*word))
}

fn size(rest: &mut &[u8]) -> Outcome<usize> {
    let n = word(rest)?;
    usize::try_from(n).ok().filter(|n| *n <= isize::MAX as usize).ok_or_else(|| format!("a size of a tensor is {n}"))
}

/// A pickle that names nothing outside.
fn plain(rest: &mut &[u8]) -> Outcome<Pickled> {
    unpickle_next(rest, &nothing)
}

fn count(rest: &mut &[u8]) -> Outcome<i64> {
    let found = plain(rest)?;
    match found.values[found.root] {
        Value::Integer(n @ 0..MOST) => Ok(n),
        Value::Integer(n) => Err(format!("it claims {n} of them")),
        ref other => Err(format!("it gives {} for a number", other.kind())),
    }
}

fn tuple(pickled: &Pickled, id: Id) -> Outcome<&[Id]> {
    match &pickled.values[id] {
        Value::Tuple(parts) => Ok(parts),
        other => Err(format!("it gives {}, where a tuple should be", other.kind())),
    }
}

/// Storages and tensors are numbered; Python 2 wrote the number as a text too.
fn key(value: &Value) -> Outcome<String> {
    match value {
        Value::Integer(n) => Ok(n.to_string()),
        Value::Text(text) if !text.is_empty() && text.len() <= 20 && text.bytes().all(|b| b.is_ascii_digit()) => {
            Ok(text.clone())
        }
        other => Err(format!("it names a storage or a tensor by {}", other.kind())),
    }
}

impl Storages for Kept {
    fn bytes(&mut self, storage: &Storage) -> Outcome<Cow<'_, [u8]>> {
        let bytes = self.0.get(&storage.key).ok_or_else(|| format!("its storage {} is not there", storage.key))?;
        Ok(Cow::Borrowed(bytes))
    }
}
