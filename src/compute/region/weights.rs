//! The weight of an affine layer, as bounds need it on a device with kernels of our own: its products, |W|, the norms of its
//! rows, and the gradient of all three.

use crate::compute::autograd::{Argument, Arrived, Node};
use crate::compute::conv::Window;
use crate::compute::conv::in_layout as conv;
use crate::compute::gpu::recording::{at_end, is_recording};
use crate::compute::gpu::{Arg, Blocks, Source, launch, room};
use crate::compute::layout;
use crate::compute::layout::Layout;
use crate::compute::power::gpu_passes::weight_halves;
use crate::compute::precision::{Precision, matmul};
use crate::compute::variables::age;
use candle_core::{DType, Result, Tensor};
use std::cell::RefCell;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

const SOURCE: Source = Source::Region;

/// The linear map of a layer, by its weight, on activations and weights in one layout.
#[derive(Clone, Copy, Debug)]
pub enum Map {
    /// `[O, I]`.
    Linear(Precision),
    /// `[O, I, KH, KW]`, or `[O, KH, KW, I]`.
    Conv(Window, Layout),
}

impl Map {
    /// The layout of the activations.
    pub fn layout(self) -> Layout {
        match self {
            Self::Linear(_) => Layout::Nchw,
            Self::Conv(_, layout) => layout,
        }
    }

    /// `W x`.
    pub fn apply(self, x: &Tensor, w: &Tensor) -> Result<Tensor> {
        with_wide_sums([x, w], |x, w| match self {
            Self::Linear(precision) => matmul(x, &w.t()?, precision),
            Self::Conv(window, layout) => conv::forward(layout, x, w, window),
        })
    }

    /// `W^T y`; `shape` is that of a sample of the result, plane by plane.
    pub fn adjoint(self, y: &Tensor, w: &Tensor, shape: &[usize]) -> Result<Tensor> {
        with_wide_sums([y, w], |y, w| match self {
            Self::Linear(precision) => matmul(y, w, precision),
            Self::Conv(window, layout) => conv::input(layout, y, w, window, (shape[1], shape[2])),
        })
    }

    /// `W^T y`, written into `to` `[B, ...]`.
    pub fn adjoint_into(self, y: &Tensor, w: &Tensor, to: &Tensor) -> Result<()> {
        match self {
            Self::Linear(precision) => to.slice_set(&matmul(y, w, precision)?, 0, 0),
            Self::Conv(window, layout) => conv::input_into(layout, y, w, window, to),
        }
    }

    /// The gradient of w `[O, I, KH, KW]` for `y . W x`, in the map's layout.
    pub fn weight(self, x: &Tensor, y: &Tensor, w: &[usize]) -> Result<Tensor> {
        with_wide_sums([x, y], |x, y| match self {
            Self::Linear(precision) => matmul(&y.t()?, x, precision),
            Self::Conv(window, layout) => conv::weight(layout, x, y, window, (w[2], w[3])),
        })
    }
}

/// A product of halves is summed in f32, and rounded at its end: a GPU's matrix units do so by themselves, main memory's products by way
/// of f32.
fn with_wide_sums([a, b]: [&Tensor; 2], product: impl Fn(&Tensor, &Tensor) -> Result<Tensor>) -> Result<Tensor> {
    if a.dtype() == DType::F16 && a.device().is_cpu() {
        return product(&a.to_dtype(DType::F32)?, &b.to_dtype(DType::F32)?)?.to_dtype(DType::F16);
    }
    product(a, b)
}

/// What bounds want of a weight, outside of the graph: the norms of its rows `[O]`, and in the layout of its products it and its
/// absolute values.
#[derive(Clone, Debug)]
pub struct WeightParts {
    /// As the layer has it.
    own: Tensor,
    pub weight: Tensor,
    pub absolute: Tensor,
    pub norms: Tensor,
    layout: Layout,
    /// The weight as halves, in the layout, once somebody has asked.
    halves: Arc<OnceLock<Tensor>>,
    /// Takes the gradients of all that is computed of the weight, and adds them up in one kernel.
    sink: Argument,
}

/// What of the weight a gradient belongs to, by the row of the sink that takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfWeight {
    /// W in the products of a region, in the layout.
    Products,
    /// |W|, in the layout.
    Absolute,
    /// The norms of the rows.
    Norms,
    /// W in v . W u, in the layout.
    Envelope,
}

impl OfWeight {
    fn row(self) -> Range<usize> {
        let at = self as usize;
        at..at + 1
    }
}

/// The parts of a layer's weight, made once for all who ask for them between two changes of variables, and kept as long as the layer:
/// up to twice the weight's memory beside it, on a device with kernels.
#[derive(Clone, Debug, Default)]
pub struct Prepared(Arc<Mutex<Option<(u64, WeightParts)>>>);

impl Prepared {
    /// Those of `weight`, which is the same at each call, for products in this layout.
    pub fn parts(&self, weight: &Tensor, layout: Layout) -> Result<WeightParts> {
        if is_recording() {
            return self.recorded(weight, layout);
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = age();
        match known.as_ref() {
            Some((then, parts)) if *then == now && parts.layout == layout => Ok(parts.clone()),
            _ => {
                let parts = WeightParts::new(weight, layout)?;
                *known = Some((now, parts.clone()));
                Ok(parts)
            }
        }
    }
}

thread_local! {
    /// Those that belong to the recording at hand: whose they are, and for which layout. Whose they are is kept with them, so that no other
    /// comes to lie in its place.
    static RECORDED: RefCell<Vec<(Prepared, Layout, WeightParts)>> = const { RefCell::new(vec![]) };
}

impl Prepared {
    /// While work is recorded: made inside it, and given back at its end. What was kept before stays as it is.
    fn recorded(&self, weight: &Tensor, layout: Layout) -> Result<WeightParts> {
        let known = RECORDED.with_borrow(|all| {
            let own = |(of, lies, _): &&(Self, Layout, WeightParts)| Arc::ptr_eq(&of.0, &self.0) && *lies == layout;
            all.iter().find(own).map(|(.., parts)| parts.clone())
        });
        if let Some(known) = known {
            return Ok(known);
        }
        let made = WeightParts::new(weight, layout)?;
        RECORDED.with_borrow_mut(|all| all.push((self.clone(), layout, made.clone())));
        at_end(|| drop(RECORDED.take()));
        Ok(made)
    }
}

impl WeightParts {
    fn new(weight: &Tensor, layout: Layout) -> Result<Self> {
        let own = weight.detach().contiguous()?;
        let (rows, dtype, device) = (own.dim(0)?, own.dtype(), own.device());
        let in_layout = || room(layout::shape(own.dims(), layout), dtype, device);
        let turned = (layout == Layout::Nhwc).then(in_layout).transpose()?;
        let (absolute, norms) = (in_layout()?, room(rows, dtype, device)?);
        let tensors = [(&own).into(), turned.as_ref().into(), (&absolute).into(), (&norms).into()];
        let counts = [own.elem_count() / rows.max(1), taps(&own)].map(Arg::Count);
        launch(SOURCE, "weight_parts", &own, Blocks::Exactly(rows), &[&tensors[..], &counts].concat())?;
        let sink = sink(weight, &own, &norms, layout);
        let halves = Arc::default();
        Ok(Self { weight: turned.unwrap_or_else(|| own.clone()), own, absolute, norms, layout, halves, sink })
    }

    /// The weight as halves over the norm of its largest row, in the layout.
    pub fn halves(&self) -> Result<Tensor> {
        if let Some(known) = self.halves.get() {
            return Ok(known.clone());
        }
        let made = weight_halves(&self.weight, &self.norms)?;
        Ok(self.halves.get_or_init(|| made).clone())
    }

    /// Where the gradients of what is computed of the weight go.
    pub fn of(&self, part: OfWeight) -> Argument {
        self.sink.rows(part.row())
    }

    /// The shape of the weight as the layer has it.
    pub fn dims(&self) -> &[usize] {
        self.own.dims()
    }
}

fn sink(weight: &Tensor, own: &Tensor, norms: &Tensor, layout: Layout) -> Argument {
    let (w, norms) = (own.clone(), norms.clone());
    let backward = move |arrived: Arrived, _: &[bool]| {
        let (d, count) = (room(w.shape(), w.dtype(), w.device())?, w.elem_count());
        let rows = [OfWeight::Products, OfWeight::Absolute, OfWeight::Norms, OfWeight::Envelope].map(OfWeight::row);
        let parts = arrived.split(rows)?.map(|g| g.map(|g| g.contiguous()).transpose());
        let parts = parts.into_iter().collect::<Result<Vec<_>>>()?;
        let gradients: Vec<Arg> = parts.iter().map(|g| Arg::from(g.as_ref())).collect();
        let counts = [count, count / norms.elem_count().max(1), taps(&w), usize::from(layout == Layout::Nhwc)];
        let args = [&gradients[..], &[&w, &norms, &d].map(Arg::Tensor), &counts.map(Arg::Count)].concat();
        launch(SOURCE, "weight_gradient", &w, Blocks::Elements(count), &args)?;
        Ok(vec![Some(d)])
    };
    Node::argument("weight", vec![Argument::of(weight)], backward)
}

/// Positions of a kernel.
fn taps(w: &Tensor) -> usize {
    w.dims()[2..].iter().product()
}
