//! Weights from PyTorch: `torch.save(model.state_dict(), path)`, or a checkpoint that holds a state_dict.
//!
//! ```text
//! archive/data.pkl      a pickle: {"0.weight": tensor over storage 0, ...}, or {"epoch": 3, "state_dict": {...}}
//! archive/data/0        the numbers of storage 0, little-endian
//! archive/byteorder     "little", in files of newer versions
//! ```
//!
//! in a zip archive that compresses nothing. candle's reader of this format leaves out what it does not understand, reads
//! no strided tensors but plain transposes, copies memoised values (2^n memory for n bytes), overflows the stack when it
//! drops deep values, and allocates what a text claims before it is there. Files from elsewhere want more care, so this
//! reader is our own.
//! Nothing in a file is run, no entry is unpacked, and numbers are read only for tensors that fit the network.

mod pickle;
mod stored;
mod value;

use candle_core::{Device, Error, Result, Tensor};
use pickle::{Pickled, unpickle};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{Cursor, Read};
use std::path::Path;
use value::Stored;
use value::{Id, Outcome, Value};
use zip::{CompressionMethod, ZipArchive};

/// Keys under which training programs keep the weights; they decide where a file has several dictionaries of tensors.
const USUAL_KEYS: [&str; 4] = ["state_dict", "model_state_dict", "model", "net"];

/// A pickle takes some 200 bytes per tensor and up to a hundred times its size in memory.
const LONGEST_PICKLE: u64 = 4 << 20;

/// No parameter has a longer name.
const LONGEST_NAME: usize = 200;

/// A file of weights, its tensors described and not yet read.
pub struct Archive<'a> {
    source: String,
    zip: ZipArchive<Cursor<&'a [u8]>>,
    /// Length of the file, which no entry exceeds.
    len: u64,
    /// What all names of entries begin with.
    root: String,
    /// The tensors under their names, without the prefix that all of them share.
    pub tensors: BTreeMap<String, Stored>,
}

/// Is this a PyTorch file? Told by its first bytes; the extension only counts where those are of no known kind.
pub fn is_pytorch(path: &Path, bytes: &[u8]) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).map(str::to_lowercase);
    let named = matches!(extension.as_deref(), Some("pt" | "pth"));
    is_zip(bytes) || is_bare_pickle(bytes) || (named && !is_safetensors(bytes))
}

fn is_zip(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04")
}

/// The length of the header in 8 bytes, then the header, in JSON.
fn is_safetensors(bytes: &[u8]) -> bool {
    bytes.get(8) == Some(&b'{')
}

/// What `torch.save` wrote before version 1.6, and `pickle.dump`: no archive around the pickle.
fn is_bare_pickle(bytes: &[u8]) -> bool {
    matches!(bytes, [0x80, 2..=5, ..]) && !is_safetensors(bytes)
}

impl<'a> Archive<'a> {
    /// Read the description of the tensors in the bytes of a file; `source` is named in errors.
    pub fn open(source: &str, bytes: &'a [u8]) -> Result<Self> {
        if is_bare_pickle(bytes) {
            return Err(Error::Msg(format!(
                "load: {source} is a bare pickle, as PyTorch wrote before version 1.6; load it where you trust it and \
                 save it again with a newer one: torch.save(model.state_dict(), path)"
            )));
        }
        if !is_zip(bytes) {
            return Err(damaged(source, "it does not begin as a zip archive"));
        }
        let mut zip = ZipArchive::new(Cursor::new(bytes)).map_err(|e| damaged(source, &e.to_string()))?;
        let root = root(&zip).map_err(|why| damaged(source, &why))?;
        let mut entry = |name: &str, limit| read(&mut zip, &format!("{root}{name}"), limit);
        let order = entry("byteorder", 16).map_err(|why| damaged(source, &why))?;
        // Versions before 2.1 wrote none, on little-endian machines as good as always.
        if order.is_some_and(|order| order.trim_ascii() != b"little") {
            return Err(refused(source, "its numbers are not little-endian"));
        }
        let pickle = entry("data.pkl", LONGEST_PICKLE).map_err(|why| damaged(source, &why))?.unwrap_or_default();
        let tensors =
            unpickle(&pickle).and_then(|pickled| state_dict(&pickled)).map_err(|why| refused(source, &why))?;
        Ok(Self { source: source.into(), zip, len: bytes.len() as u64, root, tensors })
    }

    /// The tensors of floats, read.
    pub fn read(mut self, device: &Device) -> Result<HashMap<String, Tensor>> {
        let mut found = HashMap::new();
        for (name, stored) in &self.tensors {
            let Some(dtype) = stored.storage.element.float else { continue };
            let entry = format!("{}data/{}", self.root, stored.storage.key);
            let bytes = read(&mut self.zip, &entry, self.len)
                .and_then(|bytes| bytes.ok_or_else(|| format!("it has no entry `{entry}`, where `{name}` should be")))
                .and_then(|bytes| stored.gather(&bytes))
                .map_err(|why| damaged(&self.source, &why))?;
            found.insert(name.clone(), Tensor::from_raw_buffer(&bytes, dtype, &stored.dims, device)?);
        }
        Ok(found)
    }
}

fn damaged(source: &str, why: &str) -> Error {
    Error::Msg(format!(
        "load: {source} is no readable PyTorch file ({why}); it is cut off, damaged, or of another format"
    ))
}

fn refused(source: &str, why: &str) -> Error {
    Error::Msg(format!(
        "load: {source} holds no weights that can be read: {why}; where you trust the file, save the weights alone: \
         torch.save(model.state_dict(), path)"
    ))
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

/// The one dictionary of tensors: the whole, or one entry of it.
fn state_dict(pickled: &Pickled) -> Outcome<BTreeMap<String, Stored>> {
    let Pickled { values, root } = pickled;
    let Value::Dict(entries) = &values[*root] else {
        return Err(format!("it is {}, no dictionary", values[*root].kind()));
    };
    if let Some(tensors) = tensors_of(values, *root) {
        return named(tensors);
    }
    // Each dictionary is looked at once, however many keys lead to it.
    let mut seen = HashSet::new();
    let nested = |(key, value): &(Id, Id)| match &values[*key] {
        Value::Text(key) if seen.insert(*value) => tensors_of(values, *value).map(|tensors| (key.as_str(), tensors)),
        _ => None,
    };
    let mut found: Vec<_> = entries.iter().filter_map(nested).collect();
    if found.len() > 1 && found.iter().filter(|(key, _)| USUAL_KEYS.contains(key)).count() == 1 {
        found.retain(|(key, _)| USUAL_KEYS.contains(key));
    }
    match found.len() {
        1 => named(found.remove(0).1),
        0 => Err(format!("neither it nor one of its {} entries is a dictionary of tensors", entries.len())),
        n => {
            let keys: Vec<_> = found.iter().take(5).map(|(key, _)| format!("`{}`", shown(key))).collect();
            Err(format!("it holds {n} dictionaries of tensors ({}), and which is meant is unclear", keys.join(", ")))
        }
    }
}

/// The entries of a dictionary whose keys are texts and whose values are tensors, all of them.
fn tensors_of(values: &[Value], id: Id) -> Option<Vec<(&str, &Stored)>> {
    let Value::Dict(entries) = &values[id] else { return None };
    let tensor = |(key, value): &(Id, Id)| match (&values[*key], &values[*value]) {
        (Value::Text(key), Value::Tensor(tensor)) => Some((key.as_str(), &**tensor)),
        _ => None,
    };
    entries.iter().map(tensor).collect::<Option<Vec<_>>>().filter(|tensors| !tensors.is_empty())
}

/// Tensors by name, without the prefix that all share before the position of the layer: `module.0.weight` is `0.weight`.
fn named(tensors: Vec<(&str, &Stored)>) -> Outcome<BTreeMap<String, Stored>> {
    if let Some((name, _)) = tensors.iter().find(|(n, _)| n.len() > LONGEST_NAME || n.chars().any(char::is_control)) {
        return Err(format!("`{}...` is no name of a tensor", shown(name)));
    }
    let prefix = |name: &str| -> Option<usize> {
        let mut at = 0;
        for part in name.split('.') {
            if !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) {
                return Some(at);
            }
            at += part.len() + 1;
        }
        None
    };
    let first = tensors[0].0;
    let shared = &first[..prefix(first).unwrap_or(0)];
    let shared = if tensors.iter().all(|(name, _)| name.starts_with(shared)) { shared.len() } else { 0 };
    Ok(tensors.into_iter().map(|(name, stored)| (name[shared..].to_string(), stored.clone())).collect())
}

/// A key of somebody else's choice, fit for a message.
fn shown(key: &str) -> String {
    key.chars().take(60).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every byte of a real pickle set to other values, and the pickle ended at every byte: an answer, and never a panic.
    /// The archive's checksum is out of the way here.
    #[test]
    fn damaged_pickles_are_answered() {
        let bytes = include_bytes!("../../../tests/pytorch/nested.pth").as_slice();
        let mut zip = ZipArchive::new(Cursor::new(bytes)).unwrap();
        let root = root(&zip).unwrap();
        let storage = read(&mut zip, &format!("{root}data/0"), 1 << 20).unwrap().unwrap();
        let pickle = read(&mut zip, &format!("{root}data.pkl"), 1 << 20).unwrap().unwrap();
        let (mut fine, mut refused) = (0, 0);
        let mut answer = |pickle: &[u8]| match unpickle(pickle).and_then(|pickled| state_dict(&pickled)) {
            Ok(tensors) => {
                fine += 1;
                // Only tensors of a network's size are ever gathered.
                let small = tensors.values().filter(|t| t.dims.iter().product::<usize>() <= 128);
                small.for_each(|tensor| drop(tensor.gather(&storage)));
            }
            Err(_) => refused += 1,
        };
        answer(&pickle);
        for at in 0..pickle.len() {
            answer(&pickle[..at]);
            for value in [0, 1, b'.', b'(', b't', b'u', b'R', b'h', b'X', 0x7f, 0x85, 0x8a, 0xff] {
                let mut damaged = pickle.clone();
                damaged[at] = value;
                answer(&damaged);
            }
        }
        assert!(fine > 100 && refused > 10_000, "{fine} read, {refused} refused");
    }

    /// A file with any byte changed, or ended at any byte, gives its own weights or an error, and never other weights.
    #[test]
    fn damaged_archives_are_answered() {
        let bytes = include_bytes!("../../../tests/pytorch/plain.pth").to_vec();
        let open = |bytes: &[u8]| -> Result<BTreeMap<String, Vec<f32>>> {
            let found = Archive::open("it", bytes)?.read(&Device::Cpu)?;
            found.into_iter().map(|(name, t)| Ok((name, t.flatten_all()?.to_vec1()?))).collect()
        };
        let (whole, mut fine) = (open(&bytes).unwrap(), 0);
        for at in 0..bytes.len() {
            assert!(open(&bytes[..at]).is_err(), "cut off at {at}");
            for value in [0, 1, 0x50, 0x7f, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] = value;
                if let Ok(found) = open(&damaged) {
                    assert_eq!(found, whole, "byte {at} set to {value}");
                    fine += 1;
                }
            }
        }
        assert!(fine < 4 * bytes.len(), "damage is seen where it matters");
    }
}
