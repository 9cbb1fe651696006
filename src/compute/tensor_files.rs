//! Tensors in files: safetensors, NumPy's arrays and IDX. A file appears whole or not at all; errors name the file and what is
//! wrong with it.

use super::arrays::npz::Npz;
use super::arrays::{Layout, idx, npy};
use crate::base::error::message;
use crate::base::files::{folder_of, replace, temporary};
use crate::base::memory;
use candle_core::{Device, Error, Result, Tensor};
use flate2::read::MultiGzDecoder;
use safetensors::SafeTensors;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// Named tensors of a file.
pub type Tensors = HashMap<String, Tensor>;

/// Write tensors to a safetensors file, all or nothing.
pub fn write_safetensors(
    path: &Path,
    tensors: Vec<(String, Tensor)>,
    metadata: Option<HashMap<String, String>>,
) -> Result<()> {
    let bytes = safetensors::serialize(tensors, metadata).map_err(|e| failed("save", path, &e))?;
    replace(path, &bytes).map_err(|e| failed("save", path, &e))
}

/// All tensors of a safetensors file.
pub fn read_safetensors(path: &Path, device: &Device) -> Result<Tensors> {
    Ok(parse_safetensors(path, &read_bytes(path)?, device)?.0)
}

/// The tensors and the metadata in the bytes of a safetensors file; `path` is named in errors.
pub fn parse_safetensors(path: &Path, bytes: &[u8], device: &Device) -> Result<(Tensors, HashMap<String, String>)> {
    // The header is checked first: candle's own reader gives the same message for every kind of damage.
    let (_, metadata) = header_of(path, bytes)?;
    let tensors =
        candle_core::safetensors::load_buffer(bytes, device).map_err(|e| failed("load", path, &message(&e)))?;
    Ok((tensors, metadata))
}

/// What the bytes of a safetensors file say of its tensors, and the metadata.
pub fn header_of<'a>(path: &Path, bytes: &'a [u8]) -> Result<(SafeTensors<'a>, HashMap<String, String>)> {
    let check = || -> std::result::Result<_, safetensors::SafeTensorError> {
        Ok((SafeTensors::deserialize(bytes)?, SafeTensors::read_metadata(bytes)?))
    };
    let (found, (_, header)) = check().map_err(|e| {
        Error::Msg(format!(
            "load: {} is no readable safetensors file ({e}); it is cut off, damaged, or of another format",
            path.display()
        ))
    })?;
    Ok((found, header.metadata().clone().unwrap_or_default()))
}

/// A whole file.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| failed("load", path, &e))
}

/// Write one tensor to an npy file, all or nothing.
pub fn write_npy(path: &Path, tensor: &Tensor) -> Result<()> {
    let folder = folder_of(path);
    let beside = temporary().suffix(".npy").tempfile_in(folder).map_err(|e| failed("save", path, &e))?;
    tensor.detach().to_device(&Device::Cpu)?.contiguous()?.write_npy(beside.path())?;
    beside.persist(path).map(|_| ()).map_err(|e| failed("save", path, &e.error))
}

/// Read a tensor from an npy file, in whichever order of axes and of bytes.
pub fn read_npy(path: &Path, device: &Device) -> Result<Tensor> {
    let read = || {
        let mut reader = open(path)?;
        let layout = npy::header(&mut reader)?;
        tensor(layout, &mut reader, device)
    };
    read().map_err(|why| failed("load_npy", path, &damage(&why)))
}

/// Read a tensor from an IDX file, packed with gzip or not.
pub fn read_idx(path: &Path, device: &Device) -> Result<Tensor> {
    let read = || {
        let file = open(path)?;
        let packed = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("gz"));
        let mut reader: Box<dyn Read> = if packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
        let layout = idx::header(&mut reader)?;
        tensor(layout, &mut reader, device)
    };
    read().map_err(|why| failed("load_idx", path, &damage(&why)))
}

/// All arrays of an npz file, by name.
pub fn read_npz(path: &Path, device: &Device) -> Result<Vec<(String, Tensor)>> {
    let fail = |why: &str| failed("load_npz", path, &damage(why));
    open(path).map_err(|why| fail(&why))?;
    let mut archive = Npz::open(path).map_err(|why| fail(&why))?;
    let names = archive.names();
    if names.is_empty() {
        return Err(failed("load_npz", path, &"holds no array (NAME.npy); is it an npz file?"));
    }
    let mut read = |name: String| {
        let one = archive.with(&name, |reader| tensor(npy::header(reader)?, reader, device));
        let one = one.unwrap_or_else(|| Err("it cannot be unpacked".into()));
        one.map(|tensor| (name.clone(), tensor)).map_err(|why| fail(&format!("array {name}: {why}")))
    };
    names.into_iter().map(&mut read).collect()
}

/// A regular file; opening a pipe would wait for ever.
fn open(path: &Path) -> std::result::Result<BufReader<File>, String> {
    if !std::fs::metadata(path).map_err(|e| e.to_string())?.is_file() {
        return Err("it is no regular file".into());
    }
    File::open(path).map(BufReader::new).map_err(|e| e.to_string())
}

/// The numbers that follow a header, if there is room for them.
fn tensor(layout: Layout, reader: &mut dyn Read, device: &Device) -> std::result::Result<Tensor, String> {
    let bytes = layout.bytes().map_or(u64::MAX, |n| n as u64);
    if memory::is_beyond(bytes) {
        let (bytes, limit) = (memory::describe(bytes), memory::describe(memory::limit()));
        return Err(format!(
            "its shape {:?} needs {bytes}, more than is left of the {limit} that a script may use",
            layout.shape
        ));
    }
    layout.read(reader)?.tensor(device).map_err(|e| message(&e))
}

/// What is wrong with a file, and the way out.
fn damage(why: &str) -> String {
    format!("{why}; is it a whole file of this format?")
}

fn failed(op: &str, path: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::Msg(format!("{op}: {}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_damage_is_named() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("a.safetensors");
        let t = Tensor::arange(0f64, 6.0, &Device::Cpu)?.reshape((2, 3))?;
        write_safetensors(&path, vec![("t".into(), t.clone())], None)?;
        assert_eq!(read_safetensors(&path, &Device::Cpu)?["t"].to_vec2::<f64>()?, t.to_vec2::<f64>()?);
        let bytes = read_bytes(&path)?;
        std::fs::write(&path, &bytes[..bytes.len() - 8])?;
        let error = read_safetensors(&path, &Device::Cpu).expect_err("the file is cut off");
        assert!(error.to_string().contains("no readable safetensors file"), "{error}");
        let npy = folder.path().join("t.npy");
        write_npy(&npy, &t)?;
        assert_eq!(read_npy(&npy, &Device::Cpu)?.to_vec2::<f64>()?, t.to_vec2::<f64>()?);
        Ok(())
    }
    #[test]
    fn arrays_of_others_are_read() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let put = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).map(|()| path)
        };
        let header = |kind: &str, order: &str| {
            let text = format!("{{'descr': '{kind}', 'fortran_order': {order}, 'shape': (2, 3), }}");
            [b"\x93NUMPY\x01\x00\x76\x00".as_slice(), format!("{text:117}\n").as_bytes()].concat()
        };
        let numbers: Vec<u8> = [0_u16, 300, 1, 400, 2, 500].iter().flat_map(|n| n.to_be_bytes()).collect();
        let array = [header(">u2", "True"), numbers].concat();
        let read = read_npy(&put("a.npy", &array)?, &Device::Cpu)?;
        assert_eq!(read.to_vec2::<u32>()?, [[0, 1, 2], [300, 400, 500]]);
        let error = read_npy(&put("b.npy", &array[..array.len() - 1])?, &Device::Cpu).expect_err("it is cut off");
        assert!(error.to_string().contains("b.npy: cut off: 11 bytes of numbers, expected 12"), "{error}");
        let error = read_npy(&put("c.npy", &header("|O", "False"))?, &Device::Cpu).expect_err("it holds objects");
        assert!(error.to_string().contains("expected whole or floating-point ones"), "{error}");
        let idx = [&[0, 0, 11, 2, 0, 0, 0, 2, 0, 0, 0, 1][..], &[255, 255, 0, 7]].concat();
        assert_eq!(read_idx(&put("d-idx2", &idx)?, &Device::Cpu)?.to_vec2::<i16>()?, [[-1], [7]]);
        let huge = [&[0, 0, 8, 3][..], &[255; 12]].concat();
        let error = read_idx(&put("e-idx3", &huge)?, &Device::Cpu).expect_err("it is none");
        assert!(error.to_string().contains("load_idx") && error.to_string().contains("e-idx3"), "{error}");
        let error = read_npz(&put("f.npz", &array)?, &Device::Cpu).expect_err("it is no archive");
        assert!(error.to_string().contains("load_npz"), "{error}");
        Ok(())
    }
}
