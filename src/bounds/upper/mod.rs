//! Upper bounds on the spectral norm of one affine layer, masked per sample, that are true: `||I_rows W I_columns|| <= upper`
//!
//! ```text
//! method           holds                                       masks      what it does
//! cholesky         always, rounding included                   yes        Cholesky factorisation of s^2 I - A^T A
//! gram_iteration   always, rounding included                   yes        Gram iteration; linear layers
//! circulant        always, rounding included                   ignored    the largest norm over frequencies; convolutions
//! lanczos          but for a stated probability of failure     yes        Lanczos' iteration from fresh random vectors
//! ```
//!
//! All compute in f64 on the host, whatever the layer's type, samples in parallel. A layer with a weight that is not
//! finite has the bound NaN, which certifies nothing. Pooling is bounded without masks, by one channel; dividing by a
//! standard deviation exactly. Maps without a dense form that say what they are made of (orthogonal ones by frequency, exponentials) are bounded
//! by that, without masks, whatever the method ([`structured`]). f32 is no option: the rounding of inner products, 1e-4 of the square of the norm and
//! more, would be the gap.
//!
//! A certificate rests on proved inequalities only. Every computed number that a verdict uses, here as in
//! `bounds/outward` and `bounds/margin/certified`, is on the safe side of the exact one, with its constant derived in
//! the first lines of its file. Estimates (Lanczos' Ritz values, power iteration) choose what is tried and what is
//! given up, never what is certified.

mod cholesky;
mod circulant;
mod found;
mod gram;
mod gram_iteration;
mod lanczos;
mod masked;
pub mod rounding;
mod structured;
mod tridiagonal;

use crate::base::random::Key;
use crate::compute::element::Host;
use crate::nn::Layer;
use crate::nn::layers::Dense;
use candle_core::{DType, Device, Result, Tensor, bail};
use found::Found;
use gemm::Parallelism;
use lanczos::Stream;
use masked::{Kind, Map, Masks};
use rayon::prelude::*;

/// How a bound is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Cholesky,
    GramIteration,
    Circulant,
    Lanczos,
}

impl Method {
    /// All methods by the names that scripts use.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("cholesky", Self::Cholesky),
        ("gram_iteration", Self::GramIteration),
        ("circulant", Self::Circulant),
        ("lanczos", Self::Lanczos),
    ];

    /// What scripts of 0.1 called them.
    pub const FORMER: [(&'static str, &'static str); 3] =
        [("factor", "cholesky"), ("squaring", "gram_iteration"), ("fourier", "circulant")];
}

/// How to bound.
#[derive(Clone, Debug)]
pub struct UpperOptions {
    pub method: Method,
    /// How far, relatively, the bound may lie above what is known from below.
    pub tolerance: f64,
    /// "lanczos": the probability with which one sample's bound may be wrong.
    pub failure: f64,
    /// "lanczos": the most steps of a run. "gram_iteration": the squarings.
    pub steps: usize,
    /// What random numbers are made of; "lanczos": drawn after the layer was made.
    pub key: Key,
    /// The samples' places in the data, which name their random numbers; as many as samples.
    pub index: Vec<u64>,
    /// See [`Stream::turn`].
    pub turn: u64,
}

/// Upper bounds of a batch.
#[derive(Clone, Debug)]
pub struct NormBound {
    /// `[B]`, f64.
    pub upper: Tensor,
    /// What the norms are at least, `[B]`, f64; 0 where the method does not say.
    pub lower: Tensor,
    /// Lanczos steps and factorisations of each sample.
    pub steps: Vec<u32>,
}

/// Upper bounds on the norm of `I_rows W I_columns` of each of `options.index.len()` samples; masks as in
/// [`super::spectral_norm`].
pub fn norm_bound(
    layer: &Layer,
    columns: Option<&Tensor>,
    rows: Option<&Tensor>,
    options: &UpperOptions,
) -> Result<NormBound> {
    let batch = options.index.len();
    check(layer, columns, rows, batch, options)?;
    if let Some(each) = layer.each_sample()? {
        return one_by_one(&each, columns, rows, options);
    }
    shared(layer, columns, rows, options)
}

/// Of a layer that has one map for all samples.
fn shared(layer: &Layer, columns: Option<&Tensor>, rows: Option<&Tensor>, options: &UpperOptions) -> Result<NormBound> {
    let batch = options.index.len();
    let (index, name) = (layer.index, layer.spec.describe());
    let masked = columns.is_some() || rows.is_some();
    if let Some(structure) = layer.structure("norm_bound")? {
        let found = structured::bound(&structure, options.tolerance)?;
        return assemble(&vec![found; batch], 1.0, 0.0);
    }
    let pooled = is_bounded_whole(layer);
    let host = |mask: Option<&Tensor>| match mask {
        Some(mask) if !pooled => mask.to_device(&Device::Cpu)?.contiguous().map(Some),
        _ => Ok(None),
    };
    let (columns, rows) = (host(columns)?, host(rows)?);
    let Some(map) = Map::of(layer)? else {
        return assemble(&vec![Found { upper: f64::NAN, lower: f64::NAN, steps: 0 }; batch], 1.0, 0.0);
    };
    let masks = (columns.as_ref().map(Host::of), rows.as_ref().map(Host::of));
    let (columns, rows) =
        (masks.0.as_ref().map(Host::slice::<u8>).transpose()?, masks.1.as_ref().map(Host::slice::<u8>).transpose()?);
    let alike = (columns.is_none() && rows.is_none() && options.method != Method::Lanczos)
        || options.method == Method::Circulant;
    // A bound that leaves masks out says nothing of the masked norm from below.
    let blind = masked && (pooled || options.method == Method::Circulant);
    let told = |found: Found| if blind { Found { lower: 0.0, ..found } } else { found };
    if alike {
        let found = one(&map, Masks::default(), (layer.index, &name), options, 0, Parallelism::Rayon(0))?;
        return assemble(&vec![told(found); batch], map.unit, map.apart);
    }
    // A few samples share the threads within each; many have one thread each.
    let threads = if batch < rayon::current_num_threads() { Parallelism::Rayon(0) } else { Parallelism::None };
    let found: Result<Vec<Found>> = (0..batch)
        .into_par_iter()
        .map(|b| {
            let (n, m) = (map.inputs(), map.outputs());
            let masks = Masks { columns: columns.map(|c| &c[b * n..][..n]), rows: rows.map(|r| &r[b * m..][..m]) };
            one(&map, masks, (index, &name), options, b, threads).map(told)
        })
        .collect();
    assemble(&found?, map.unit, map.apart)
}

/// Each sample by its own map.
fn one_by_one(
    each: &[Layer],
    columns: Option<&Tensor>,
    rows: Option<&Tensor>,
    options: &UpperOptions,
) -> Result<NormBound> {
    let batch = options.index.len();
    if each.len() != batch {
        bail!("norm_bound: {} has maps for {} samples, {batch} are asked for", each[0].title(), each.len());
    }
    let narrowed = |t: Option<&Tensor>, b| t.map(|t| t.narrow(0, b, 1)?.contiguous()).transpose();
    let (mut upper, mut lower, mut steps) = (vec![], vec![], vec![]);
    for (b, layer) in each.iter().enumerate() {
        let (columns, rows) = (narrowed(columns, b)?, narrowed(rows, b)?);
        let own = UpperOptions { index: vec![options.index[b]], ..options.clone() };
        let found = shared(layer, columns.as_ref(), rows.as_ref(), &own)?;
        upper.push(found.upper);
        lower.push(found.lower);
        steps.extend(found.steps);
    }
    Ok(NormBound { upper: Tensor::cat(&upper, 0)?, lower: Tensor::cat(&lower, 0)?, steps })
}

/// Is the layer bounded without masks, whatever they are?
fn is_bounded_whole(layer: &Layer) -> bool {
    match layer.dense() {
        Some(Dense::EachChannel { .. } | Dense::Diagonal { .. }) => true,
        Some(Dense::Convolution { .. } | Dense::Matrix { .. }) => false,
        // These have no norm: `Map::of` refuses them.
        None => false,
    }
}

fn one(
    map: &Map,
    masks: Masks,
    (index, name): (usize, &str),
    options: &UpperOptions,
    b: usize,
    threads: Parallelism,
) -> Result<Found> {
    let stream = Stream { key: options.key, sample: options.index[b], layer: index as u64, turn: options.turn };
    match (&map.kind, options.method) {
        (Kind::Diagonal(largest), _) => Ok(Found { upper: *largest, lower: *largest, steps: 0 }),
        _ if map.holder == 0.0 => Ok(Found { upper: 0.0, lower: 0.0, steps: 0 }),
        (Kind::Conv(g), Method::Circulant) => circulant::fourier(map, g, options.tolerance),
        (_, Method::Circulant) => bail!(
            "norm_bound: \"circulant\" is for convolutions, layer {index} is {name}; use \"cholesky\" or \"gram_iteration\""
        ),
        (_, Method::GramIteration) => gram_iteration::squaring(map, masks, options.steps, threads),
        (_, Method::Cholesky) => cholesky::factor(map, masks, options.tolerance, stream, threads),
        (_, Method::Lanczos) => {
            lanczos::probable(map, masks, options.failure, options.tolerance, options.steps, stream)
        }
    }
}

/// Multiplications and additions of one factorisation for each sample: what "cholesky" costs.
pub fn factor_cost(layer: &Layer, columns: Option<&Tensor>, rows: Option<&Tensor>, batch: usize) -> Result<Vec<f64>> {
    check_masks(layer, columns, rows, batch)?;
    if layer.structure("factor_cost")?.is_some() {
        return Ok(vec![0.0; batch]);
    }
    let Some(map) = Map::of(layer)? else { return Ok(vec![0.0; batch]) };
    let flat = |mask: Option<&Tensor>| mask.map(|m| m.flatten_from(1)?.to_vec2::<u8>()).transpose();
    let pooled = is_bounded_whole(layer);
    let (columns, rows) = if pooled { (None, None) } else { (flat(columns)?, flat(rows)?) };
    let of = |b: usize| Masks {
        columns: columns.as_ref().map(|m| m[b].as_slice()),
        rows: rows.as_ref().map(|m| m[b].as_slice()),
    };
    Ok((0..batch).into_par_iter().map(|b| cholesky::cost(&map, of(b)).1).collect())
}

/// The scaled bounds as those of the layer: `unit` is a power of two, so this is exact but for numbers that are next to nothing.
/// `apart` is how far the scaled map may be from the layer's.
fn assemble(found: &[Found], unit: f64, apart: f64) -> Result<NormBound> {
    let batch = found.len();
    // Nothing is rounded where nothing is added.
    let upper = |f: &Found| if apart == 0.0 { f.upper } else { rounding::raised(f.upper + apart, 2) };
    let lower = |f: &Found| if apart == 0.0 { f.lower } else { (f.lower - apart).max(0.0) };
    let scaled = |x: f64| if x > 0.0 && x * unit < 1e-300 { x * unit + 1e-300 } else { x * unit };
    Ok(NormBound {
        upper: Tensor::from_vec(found.iter().map(|f| scaled(upper(f))).collect::<Vec<f64>>(), batch, &Device::Cpu)?,
        lower: Tensor::from_vec(found.iter().map(|f| lower(f) * unit).collect::<Vec<f64>>(), batch, &Device::Cpu)?,
        steps: found.iter().map(|f| f.steps).collect(),
    })
}

fn check(
    layer: &Layer,
    columns: Option<&Tensor>,
    rows: Option<&Tensor>,
    batch: usize,
    options: &UpperOptions,
) -> Result<()> {
    check_masks(layer, columns, rows, batch)?;
    if batch == 0 {
        bail!("norm_bound: no samples");
    }
    if !(options.tolerance > 0.0 && options.tolerance <= 1.0) {
        bail!("norm_bound: a tolerance of {}; it must lie above 0 and be at most 1", options.tolerance);
    }
    Ok(())
}

fn check_masks(layer: &Layer, columns: Option<&Tensor>, rows: Option<&Tensor>, batch: usize) -> Result<()> {
    for (what, mask, shape) in [("column", columns, &layer.input), ("row", rows, &layer.output)] {
        let want = [&[batch], shape.as_slice()].concat();
        let Some(mask) = mask else { continue };
        if mask.dims() != want || mask.dtype() != DType::U8 {
            bail!(
                "norm_bound: {}: the {what} mask wants {want:?} of U8, got {:?} of {:?}",
                layer.title(),
                mask.dims(),
                mask.dtype()
            );
        }
    }
    Ok(())
}
