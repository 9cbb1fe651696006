//! What a file of weights holds, as lines of text.

use crate::compute::tensor_files::read_bytes;
use crate::nn::onnx::is_onnx;
use crate::nn::weights::{Choice, File, sets_of};
use crate::nn::{Sequential, load_model, model_of, pretrained};
use candle_core::{DType, Device, Result, Tensor};
use std::path::Path;

/// Every tensor of the file with its shape, type and range; with `fit`, which parameter of that network each would be.
pub fn told(path: &Path, take: Option<&str>, fit: Option<&str>, line: &dyn Fn(&str)) -> Result<()> {
    if is_onnx(path) {
        if take.is_some() || fit.is_some() {
            candle_core::bail!(
                "weights: {} is a whole network in ONNX, of which nothing is taken or fitted; load_model(path) takes it",
                path.display()
            );
        }
        let net = load_model(path, None, &Device::Cpu)?.0;
        line(&format!("{}: a network\n{}", path.display(), net.describe()));
        let row = |(name, var): &(String, candle_core::Var)| {
            Ok([
                name.clone(),
                format!("{:?}", var.dims()),
                net.dtype().as_str().to_uppercase(),
                range(var.as_tensor())?,
            ])
        };
        show(line, &net.parameters().iter().map(row).collect::<Result<Vec<_>>>()?);
        return Ok(());
    }
    let bytes = read_bytes(path)?;
    let sets = match take {
        Some(take) => vec![take.to_string()],
        None => sets_of(path, &bytes)?,
    };
    for set in &sets {
        let mut file = File::open(path, &bytes, Some(set.as_str()).filter(|set| !set.is_empty() || sets.len() > 1))?;
        let product = |dims: &[usize]| dims.iter().fold(1usize, |n, d| n.saturating_mul(*d));
        let count = file.tensors.iter().fold(0usize, |n, t| n.saturating_add(product(&t.dims)));
        let of = if set.is_empty() { String::new() } else { format!(", `{set}`") };
        line(&format!("{}{of}: {} tensors, {count} numbers", path.display(), file.tensors.len()));
        let mut rows = vec![];
        for at in 0..file.tensors.len() {
            let range = range(&file.read(at, &Device::Cpu)?)?;
            let held = &file.tensors[at];
            rows.push([file.full_name(at).to_string(), format!("{:?}", held.dims), held.kind.clone(), range]);
        }
        show(line, &rows);
        if let Some(description) = file.description() {
            line(&format!("  network: {description}"));
        }
    }
    let Some(fit) = fit else { return Ok(()) };
    let choice = Choice { take: take.map(str::to_string), ..Choice::default() };
    let pairs = network(fit)?.fit(path, &bytes, &choice)?;
    line(&format!("fits {fit}:"));
    pairs.iter().for_each(|pair| line(&format!("  {pair}")));
    Ok(())
}

/// Rows in columns.
fn show(line: &dyn Fn(&str), rows: &[[String; 4]]) {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (a, b, c) = (width(0), width(1), width(2));
    for [name, dims, kind, range] in rows {
        line(format!("  {name:a$}  {dims:b$}  {kind:c$}  {range}").trim_end());
    }
}

fn network(name: &str) -> Result<Sequential> {
    Ok(match pretrained::find(name) {
        Some(bytes) => model_of(Path::new(name), bytes, None, &Device::Cpu)?.0,
        None => load_model(Path::new(name), None, &Device::Cpu)?.0,
    })
}

/// Numbers that are looked at at a time.
const PIECE: usize = 1 << 20;

/// The least and the largest number, and how many are none.
fn range(t: &Tensor) -> Result<String> {
    // In pieces: a file may be as large as memory.
    let flat = t.flatten_all()?;
    let (mut least, mut most, mut broken) = (f64::INFINITY, f64::NEG_INFINITY, 0);
    for at in (0..flat.elem_count()).step_by(PIECE) {
        let piece = flat.narrow(0, at, PIECE.min(flat.elem_count() - at))?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
        for value in piece {
            match value.is_finite() {
                true => (least, most) = (least.min(value), most.max(value)),
                false => broken += 1,
            }
        }
    }
    let ends = match () {
        () if least > most => String::new(),
        () if least == most => format!("{least:.4}"),
        () => format!("{least:.4} to {most:.4}"),
    };
    Ok(if broken > 0 {
        format!("{ends}  {broken} of {} are NaN or infinite", flat.elem_count()).trim().into()
    } else {
        ends
    })
}
