//! A tensor as a PyTorch file describes it: a window of shape, strides and offset over a storage of numbers.
//!
//! Tensors may share a storage, and read it in any order: a transposed weight has its strides swapped. A window that
//! reaches beyond its storage is refused where it is described, before any number is read.

use super::value::{Id, Known, Outcome, Storage, Stored, Value};

/// Numbers of a tensor that has more of them than its storage.
const MOST_REPEATED: usize = 1 << 22;

impl Storage {
    /// From `("storage", type, key, location, length)`, in older files with the part of it that is meant; where the storage lived, say on a
    /// GPU, does not matter.
    pub fn new(values: &[Value], id: Id) -> Outcome<Self> {
        let Value::Tuple(parts) = &values[id] else {
            return Err(format!("it names a storage by {}", values[id].kind()));
        };
        let found: Vec<_> = parts.iter().take(7).map(|part| &values[*part]).collect();
        let (found, part) = match found[..] {
            [a, b, c, d, len, Value::Plain] => ([a, b, c, d, len], None),
            [a, b, c, d, len, Value::Tuple(view)] => {
                let [_, offset, length] = view[..] else {
                    return Err("it describes a part of a storage in a way of its own".into());
                };
                let size = |id: Id| size("a part of a storage", &values[id]);
                ([a, b, c, d, len], Some((size(offset)?, size(length)?)))
            }
            [a, b, c, d, len] => ([a, b, c, d, len], None),
            _ => return Err("it describes a storage in a way that PyTorch does not".into()),
        };
        match found {
            [Value::Text(tag), Value::Name(Known::Storage(element)), Value::Text(key), _, len] if tag == "storage" => {
                // PyTorch numbers the entries. A key that is no number would be a name of somebody's choice.
                if key.is_empty() || key.len() > 20 || !key.bytes().all(|b| b.is_ascii_digit()) {
                    let key: String = key.chars().take(60).flat_map(char::escape_default).collect();
                    return Err(format!("it names `{key}` as a storage, which are numbered"));
                }
                let storage =
                    Self { element: *element, key: key.clone(), len: size("the length of a storage", len)?, part };
                match part {
                    Some((at, length)) if at.checked_add(length).is_none_or(|end| end > storage.len) => Err(format!(
                        "a part of a storage, {at} and {length} numbers on, reaches beyond its {}",
                        storage.len
                    )),
                    _ => Ok(storage),
                }
            }
            _ => Err("it describes a storage in a way that PyTorch does not".into()),
        }
    }

    /// Where a view of it begins, and how many numbers there are to see.
    fn seen(&self) -> (usize, usize) {
        self.part.unwrap_or((0, self.len))
    }
}

impl Stored {
    /// The tensor that the values at these positions describe.
    pub fn new(values: &[Value], storage: Id, offset: Id, dims: Id, strides: Id) -> Outcome<Self> {
        let Value::Storage(storage) = &values[storage] else {
            return Err(format!("it makes a tensor of {}", values[storage].kind()));
        };
        let (dims, strides) =
            (sizes(values, "the shape of a tensor", dims)?, sizes(values, "the strides of a tensor", strides)?);
        Self::of(Storage::clone(storage), dims, strides, size("the offset of a tensor", &values[offset])?)
    }

    /// A window over a storage.
    pub fn of(storage: Storage, dims: Vec<usize>, strides: Vec<usize>, offset: usize) -> Outcome<Self> {
        if dims.len() != strides.len() {
            return Err(format!("a tensor of shape {dims:?} has strides {strides:?}"));
        }
        // The last element that the tensor reads, unless it is empty.
        let last = dims.iter().zip(&strides).try_fold(offset, |at, (n, stride)| {
            n.saturating_sub(1).checked_mul(*stride).and_then(|step| at.checked_add(step))
        });
        let (start, seen) = storage.seen();
        if !dims.contains(&0) && last.is_none_or(|last| last >= seen) {
            return Err(format!(
                "a tensor of shape {dims:?}, strides {strides:?} and offset {offset} reaches beyond its storage of {seen} numbers"
            ));
        }
        // One number may stand for many, but not for more than any network has.
        let count = dims.iter().try_fold(1usize, |n, d| n.checked_mul(*d)).filter(|n| *n <= seen.max(MOST_REPEATED));
        if count.is_none() {
            return Err(format!("a tensor of shape {dims:?} repeats its {seen} numbers more often than is taken"));
        }
        Ok(Self { storage, dims, strides, offset: offset + start, negated: false })
    }

    /// What the value at `view` says of the numbers as they are stored: None, or a dictionary of truth values, of which PyTorch
    /// has `neg`, and `conj` for complex numbers. What is not known is refused, for the numbers may be others.
    pub fn viewed(&mut self, values: &[Value], view: Id) -> Outcome<()> {
        let entries = match &values[view] {
            Value::Plain => return Ok(()),
            Value::Dict(entries) => entries,
            other => return Err(format!("it describes a view of a tensor by {}", other.kind())),
        };
        for (key, value) in entries {
            match (&values[*key], &values[*value]) {
                (Value::Text(key), Value::Truth(on)) if key == "neg" => self.negated = *on,
                (_, Value::Truth(false)) => {}
                (Value::Text(key), _) => {
                    let key: String = key.chars().take(60).flat_map(char::escape_default).collect();
                    return Err(format!(
                        "a tensor in it is a view with the property `{key}`, which is not known; save a copy of it: \
                         tensor.resolve_conj().resolve_neg().clone()"
                    ));
                }
                (key, _) => return Err(format!("it names a property of a tensor by {}", key.kind())),
            }
        }
        Ok(())
    }

    /// The tensor's numbers in the order of its shape, out of the bytes of its storage.
    pub fn gather(&self, storage: &[u8]) -> Outcome<Vec<u8>> {
        let (size, key) = (self.storage.element.size, &self.storage.key);
        if self.storage.len.checked_mul(size) != Some(storage.len()) {
            let (len, name) = (self.storage.len, self.storage.element.name);
            return Err(format!("its storage {key} has {} bytes and should hold {len} {name}", storage.len()));
        }
        let count: usize = self.dims.iter().product();
        let mut gathered = Vec::with_capacity(count * size);
        let (mut index, mut at) = (vec![0; self.dims.len()], self.offset);
        for _ in 0..count {
            gathered.extend_from_slice(&storage[at * size..(at + 1) * size]);
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                if index[axis] < self.dims[axis] {
                    at += self.strides[axis];
                    break;
                }
                at -= (self.dims[axis] - 1) * self.strides[axis];
                index[axis] = 0;
            }
        }
        if self.negated && self.storage.element.float.is_some() {
            // The sign is the highest bit of the last byte, in every type of floats.
            gathered.iter_mut().skip(size - 1).step_by(size).for_each(|byte| *byte ^= 0x80);
        }
        Ok(gathered)
    }
}

fn size(what: &str, value: &Value) -> Outcome<usize> {
    match value {
        Value::Integer(n) => usize::try_from(*n).map_err(|_| format!("{what} is {n}")),
        other => Err(format!("{what} is {}", other.kind())),
    }
}

/// A tuple of sizes. PyTorch has at most 64 axes.
fn sizes(values: &[Value], what: &str, id: Id) -> Outcome<Vec<usize>> {
    match &values[id] {
        Value::Tuple(parts) if parts.len() > 64 => Err(format!("{what} has {} axes", parts.len())),
        Value::Tuple(parts) => parts.iter().map(|part| size(what, &values[*part])).collect(),
        other => Err(format!("{what} is {}", other.kind())),
    }
}
