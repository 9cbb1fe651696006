//! Weights from PyTorch: `torch.save(model.state_dict(), path)`, or a checkpoint that holds a state_dict, in each of its three formats
//!
//! ```text
//! since 1.6     a zip archive that compresses nothing (`zipped`)
//! since 0.1.10  several pickles one behind the other, then the numbers (`bare`)
//! before        a tar archive of storages, tensors and a pickle (`tarred`)
//! ```
//!
//! candle's reader of the first leaves out what it does not understand, reads no strided tensors but plain transposes, copies memoised
//! values (2^n memory for n bytes), overflows the stack when it drops deep values, and allocates what a text claims before it is there.
//! Files from elsewhere want more care, so this reader is our own. Nothing in a file is run, no entry is unpacked, and numbers are read
//! only for tensors that fit the network.

mod bare;
mod dictionaries;
mod pickle;
mod refusal;
mod storages;
mod stored;
mod tarred;
mod value;
mod write;
mod zipped;

pub use dictionaries::{Described, Dictionary};
pub use write::save;

use candle_core::{DType, Device, Result, Tensor};
use refusal::{damaged, refused};
use std::path::Path;
use storages::Storages;

/// A file of weights, its tensors described and not yet read.
pub struct Archive<'a> {
    source: String,
    storages: Box<dyn Storages + 'a>,
    /// All dictionaries of tensors in it.
    pub dictionaries: Vec<Dictionary>,
}

/// Is this a PyTorch file? Told by its first bytes; the extension only counts where those are of no known kind.
pub fn is_pytorch(path: &Path, bytes: &[u8]) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).map(str::to_lowercase);
    let named = matches!(extension.as_deref(), Some("pt" | "pth" | "tar" | "ckpt"));
    is_zip(bytes) || is_pickle(bytes) || tarred::is_tar(bytes) || (named && !is_safetensors(bytes))
}

fn is_zip(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04")
}

/// The length of the header in 8 bytes, then the header, in JSON.
fn is_safetensors(bytes: &[u8]) -> bool {
    bytes.get(8) == Some(&b'{')
}

/// What `torch.save` wrote before version 1.6, and `pickle.dump`: no archive around the pickle.
fn is_pickle(bytes: &[u8]) -> bool {
    matches!(bytes, [0x80, 2..=5, ..]) && !is_safetensors(bytes)
}

impl<'a> Archive<'a> {
    /// Read the description of the tensors in the bytes of a file; `source` is named in errors.
    pub fn open(source: &str, bytes: &'a [u8]) -> Result<Self> {
        let (pickled, storages): (_, Box<dyn Storages + 'a>) = if is_zip(bytes) {
            let (pickled, storages) = zipped::open(bytes).map_err(|why| why.named(source))?;
            (pickled, Box::new(storages))
        } else if tarred::is_tar(bytes) {
            let (pickled, storages) = tarred::open(bytes).map_err(|why| why.named(source))?;
            (pickled, Box::new(storages))
        } else if is_pickle(bytes) {
            let (pickled, storages) = bare::open(bytes).map_err(|why| why.named(source))?;
            (pickled, Box::new(storages))
        } else {
            return Err(damaged(source, "it does not begin as one of PyTorch's three formats"));
        };
        let dictionaries = dictionaries::find(&pickled).map_err(|why| refused(source, &why))?;
        Ok(Self { source: source.into(), storages, dictionaries })
    }

    /// The numbers of one tensor; of integers in 64 bits, of truth values as 0 and 1.
    pub fn read(&mut self, name: &str, tensor: &Described, device: &Device) -> Result<Tensor> {
        let stored = &tensor.0;
        let bytes = self.storages.bytes(&stored.storage).and_then(|bytes| stored.gather(&bytes));
        let bytes = bytes.map_err(|why| damaged(&self.source, &format!("`{name}`: {why}")))?;
        let raw = |dtype| Tensor::from_raw_buffer(&bytes, dtype, &stored.dims, device);
        match stored.storage.element.float {
            Some(dtype) => raw(dtype),
            None => match tensor.kind() {
                "U8" | "BOOL" => raw(DType::U8),
                "I64" => raw(DType::I64),
                "I32" => raw(DType::I32)?.to_dtype(DType::I64),
                "I16" => raw(DType::I16)?.to_dtype(DType::I64),
                _ => {
                    let signed: Vec<_> = bytes.iter().map(|b| i64::from(*b as i8)).collect();
                    Tensor::from_vec(signed, stored.dims.as_slice(), device)
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::pickle::unpickle;
    use super::*;
    use std::collections::BTreeMap;

    /// All numbers of the only dictionary.
    fn numbers(bytes: &[u8]) -> Result<BTreeMap<String, Vec<f32>>> {
        let mut archive = Archive::open("it", bytes)?;
        let all = archive.dictionaries[0].tensors.clone();
        let read = all.iter().map(|(name, tensor)| {
            let t = archive.read(name, tensor, &Device::Cpu)?;
            Ok((name.clone(), t.flatten_all()?.to_dtype(DType::F32)?.to_vec1()?))
        });
        read.collect()
    }

    /// Files of both older formats, ended at any byte and with bytes changed: an answer, and never a panic.
    #[test]
    fn damaged_old_files_are_answered() {
        for bytes in [
            include_bytes!("../../../tests/pytorch/legacy.pth").as_slice(),
            include_bytes!("../../../tests/pytorch/old_views.pth").as_slice(),
            include_bytes!("../../../tests/pytorch/oldest.pth").as_slice(),
        ] {
            assert!(!numbers(bytes).unwrap().is_empty());
            let mut refused = 0;
            for at in (0..bytes.len()).step_by(1 + bytes.len() / 3000) {
                refused += usize::from(numbers(&bytes[..at]).is_err());
                for value in [0, 1, b'.', b'(', b'R', b'X', 0x7f, 0x8a, 0xff] {
                    let mut damaged = bytes.to_vec();
                    damaged[at] = value;
                    refused += usize::from(numbers(&damaged).is_err());
                }
            }
            assert!(refused > 500, "{refused} refused");
        }
    }

    /// Every byte of a real pickle set to other values, and the pickle ended at every byte: an answer, and never a panic.
    /// The archive's checksum is out of the way here.
    #[test]
    fn damaged_pickles_are_answered() {
        let bytes = include_bytes!("../../../tests/pytorch/nested.pth").as_slice();
        let (pickle, storage) = zipped::parts(bytes);
        let (mut fine, mut refused) = (0, 0);
        let mut answer = |pickle: &[u8]| match unpickle(pickle).and_then(|pickled| dictionaries::find(&pickled)) {
            Ok(found) => {
                fine += 1;
                // Only tensors of a network's size are ever gathered.
                let all = found.iter().flat_map(|dictionary| &dictionary.tensors);
                let small = all.filter(|(_, t)| t.dims().iter().product::<usize>() <= 128);
                small.for_each(|(_, tensor)| drop(tensor.0.gather(&storage)));
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
        let (whole, mut fine) = (numbers(&bytes).unwrap(), 0);
        let open = numbers;
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
