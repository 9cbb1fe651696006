//! Weights as `torch.save(state_dict, path)` writes them, for `torch.load(path, weights_only=True)`: the zip archive of [`super::zipped`],
//! its pickle written by hand, a storage for each tensor.

use crate::base::files::replace;
use candle_core::{DType, Error, Result, Tensor};
use std::io::{Cursor, Write};
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Write tensors of f32 or f64 under these names, in this order.
pub fn save(path: &Path, tensors: &[(String, Tensor)]) -> Result<()> {
    let failed = |e: &dyn std::fmt::Display| Error::Msg(format!("export: {}: {e}", path.display()));
    let stem = path.file_stem().map_or("archive".into(), |stem| stem.to_string_lossy().into_owned());
    let root: String =
        stem.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
    let mut zip = ZipWriter::new(Cursor::new(vec![]));
    // Numbers begin at multiples of 64, as PyTorch has them, so that a file can be mapped.
    let plain = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).with_alignment(64);
    let mut add = |name: &str, content: &[u8]| -> std::result::Result<(), zip::result::ZipError> {
        zip.start_file(format!("{root}/{name}"), plain)?;
        Ok(zip.write_all(content)?)
    };
    add("data.pkl", &pickle(tensors)).map_err(|e| failed(&e))?;
    add("byteorder", b"little").map_err(|e| failed(&e))?;
    for (key, (_, tensor)) in tensors.iter().enumerate() {
        add(&format!("data/{key}"), &numbers(tensor)?).map_err(|e| failed(&e))?;
    }
    add("version", b"3\n").map_err(|e| failed(&e))?;
    let bytes = zip.finish().map_err(|e| failed(&e))?.into_inner();
    replace(path, &bytes).map_err(|e| failed(&e))
}

fn numbers(tensor: &Tensor) -> Result<Vec<u8>> {
    let flat = tensor.detach().flatten_all()?;
    Ok(match tensor.dtype() {
        DType::F64 => flat.to_vec1::<f64>()?.iter().flat_map(|v| v.to_le_bytes()).collect(),
        _ => flat.to_dtype(DType::F32)?.to_vec1::<f32>()?.iter().flat_map(|v| v.to_le_bytes()).collect(),
    })
}

/// `OrderedDict([(name, _rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())), ...])` in protocol 2.
fn pickle(tensors: &[(String, Tensor)]) -> Vec<u8> {
    const EMPTY: &[u8] = b"ccollections\nOrderedDict\n)R";
    let text = |out: &mut Vec<u8>, text: &str| {
        out.push(b'X');
        out.extend((text.len() as u32).to_le_bytes());
        out.extend(text.as_bytes());
    };
    let whole = |out: &mut Vec<u8>, n: usize| {
        out.extend([0x8a, 8]);
        out.extend((n as i64).to_le_bytes());
    };
    let sizes = |out: &mut Vec<u8>, all: &[usize]| {
        out.push(b'(');
        all.iter().for_each(|n| whole(out, *n));
        out.push(b't');
    };
    let mut out = [b"\x80\x02", EMPTY, b"("].concat();
    for (key, (name, tensor)) in tensors.iter().enumerate() {
        text(&mut out, name);
        out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut out, "storage");
        out.extend(if tensor.dtype() == DType::F64 {
            b"ctorch\nDoubleStorage\n".as_slice()
        } else {
            b"ctorch\nFloatStorage\n"
        });
        text(&mut out, &key.to_string());
        text(&mut out, "cpu");
        whole(&mut out, tensor.elem_count());
        out.extend(b"tQ");
        whole(&mut out, 0);
        sizes(&mut out, tensor.dims());
        let mut strides = vec![1; tensor.rank()];
        (0..tensor.rank().saturating_sub(1)).rev().for_each(|i| strides[i] = strides[i + 1] * tensor.dims()[i + 1]);
        sizes(&mut out, &strides);
        out.push(0x89);
        out.extend(EMPTY);
        out.extend(b"tR");
    }
    out.extend(b"u.");
    out
}
