//! Large tensors whose gradients bypass candle's store
//!
//! candle adds every gradient that an operation returns to a tensor of zeros: two more sweeps over memory for each. Here
//! the graph holds a token of one element for each large tensor; its gradient waits in a slot beside the token, is handed
//! over whole to the operation that made the tensor, and is added only where a second one comes. candle still walks the
//! graph, in the same order, tokens for tensors. A region's center, lower and upper are such a tensor.

use super::known::with_gradient;
use super::prepared::{Gradients, Operation, Prepared};
use candle_core::{CpuStorage, CudaStorage, Result, Shape, Storage, Tensor, bail};
use std::sync::{Arc, Mutex, PoisonError};

/// A tensor whose gradient goes by a slot. Cloning shares both.
#[derive(Clone, Debug)]
pub struct Tracked {
    value: Tensor,
    token: Tensor,
    slot: Arc<Slot>,
}

/// A gradient on its way to the operation that made its tensor.
#[derive(Debug)]
pub struct Arriving {
    pub tensor: Tensor,
    /// Nobody else holds its memory, so that it may be overwritten.
    pub alone: bool,
}

/// Gradients that have arrived: of the whole, and of parts along the first axis.
#[derive(Debug, Default)]
struct Slot(Mutex<Arrived>);

/// The whole, and parts by their number.
type Arrived = (Option<Arriving>, Vec<(usize, Tensor)>);

impl Slot {
    fn add(&self, gradient: Arriving) -> Result<()> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slot.0 = Some(match slot.0.take() {
            Some(sum) => {
                let sum = (sum.tensor.reshape(gradient.tensor.shape())? + gradient.tensor)?;
                Arriving { tensor: sum, alone: true }
            }
            None => gradient,
        });
        Ok(())
    }

    fn add_part(&self, part: usize, gradient: Tensor) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.push((part, gradient));
    }

    /// What has arrived, of this shape and in the numbers of `like`; nothing is left.
    fn take(&self, shape: &Shape, like: &Tensor) -> Result<Arriving> {
        let (whole, parts) = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut alone = whole.as_ref().is_none_or(|g| g.alone);
        let mut sum = whole.map(|g| g.tensor.reshape(shape)).transpose()?;
        let zeros = |shape: &[usize]| Tensor::zeros(shape, like.dtype(), like.device());
        if !parts.is_empty() {
            let one = |i: usize| {
                let own = parts.iter().filter(|(part, _)| *part == i).map(|(_, g)| g.clone());
                let part = &shape.dims()[1..];
                own.map(|g| g.reshape(part)).reduce(|a, b| a? + b?).unwrap_or_else(|| zeros(part))
            };
            let stacked = Tensor::stack(&(0..shape.dims()[0]).map(one).collect::<Result<Vec<_>>>()?, 0)?;
            // Of a single part the stack may be the part itself.
            alone = sum.is_some();
            sum = Some(match sum {
                Some(sum) => (sum + stacked)?,
                None => stacked,
            });
        }
        Ok(Arriving { tensor: sum.map_or_else(|| zeros(shape.dims()), Ok)?, alone })
    }
}

impl Tracked {
    /// From a tensor of candle's graph, or outside of it.
    pub fn of(tensor: &Tensor) -> Result<Self> {
        let value = tensor.detach();
        let slot = Arc::new(Slot::default());
        let zero = Tensor::zeros(1, value.dtype(), value.device())?;
        let (gradient, like) = (slot.clone(), value.clone());
        let token = with_gradient("tape", tensor, &zero, move |_| Ok(gradient.take(like.shape(), &like)?.tensor))?;
        Ok(Self { value, token, slot })
    }

    /// The numbers, outside of the graph.
    pub fn value(&self) -> &Tensor {
        &self.value
    }

    /// Does any parameter stand behind it?
    pub fn track_op(&self) -> bool {
        self.token.track_op()
    }

    /// As a tensor of candle's graph.
    pub fn tensor(&self) -> Result<Tensor> {
        self.leave(self.value.clone(), None)
    }

    /// Its part `at` along the first axis, as a tensor of candle's graph.
    pub fn part(&self, at: usize) -> Result<Tensor> {
        self.leave(self.value.get(at)?, Some(at))
    }

    fn leave(&self, value: Tensor, part: Option<usize>) -> Result<Tensor> {
        if !self.track_op() {
            return Ok(value);
        }
        let (slot, zero) = (self.slot.clone(), self.token.detach());
        with_gradient("tape", &self.token, &value, move |g| {
            match part {
                Some(part) => slot.add_part(part, g.clone()),
                None => slot.add(Arriving { tensor: g.clone(), alone: false })?,
            }
            Ok(zero.clone())
        })
    }

    /// The same numbers in another shape.
    pub fn reshape(&self, shape: impl Into<Shape>) -> Result<Self> {
        Ok(Self { value: self.value.reshape(shape.into())?, token: self.token.clone(), slot: self.slot.clone() })
    }

    /// A tensor of candle's graph that is computed from this; `backward` makes its gradient that of this.
    pub fn out(
        &self,
        name: &'static str,
        value: Tensor,
        backward: impl Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static,
    ) -> Result<Tensor> {
        let (slot, zero) = (self.slot.clone(), self.token.detach());
        with_gradient(name, &self.token, &value, move |g| {
            slot.add(Arriving { tensor: backward(g)?, alone: true })?;
            Ok(zero.clone())
        })
    }

    /// `value`, computed from this, `a` and `b`. `backward` gets the value's gradient, and whether that of this is wanted; the
    /// gradients that it returns are its own, or made in place of the one it got.
    pub fn then(
        &self,
        name: &'static str,
        value: Tensor,
        a: &Tensor,
        b: &Tensor,
        backward: impl Fn(Arriving, bool) -> Result<Gradients> + Send + Sync + 'static,
    ) -> Result<Self> {
        let shape = value.shape().clone();
        self.then_shaped(name, value, shape, a, b, backward)
    }

    /// The same for a value whose gradient has a shape of its own.
    pub fn then_shaped(
        &self,
        name: &'static str,
        value: Tensor,
        shape: Shape,
        a: &Tensor,
        b: &Tensor,
        backward: impl Fn(Arriving, bool) -> Result<Gradients> + Send + Sync + 'static,
    ) -> Result<Self> {
        let slot = Arc::new(Slot::default());
        let step = Step {
            name,
            zero: self.token.detach(),
            to: self.slot.clone(),
            from: slot.clone(),
            shape,
            backward: Box::new(backward),
        };
        Ok(Self { value, token: self.token.apply_op3(a, b, Operation(step))?, slot })
    }
}

type Backward = Box<dyn Fn(Arriving, bool) -> Result<Gradients> + Send + Sync>;

/// From one token to the next.
struct Step {
    name: &'static str,
    zero: Tensor,
    to: Arc<Slot>,
    from: Arc<Slot>,
    shape: Shape,
    backward: Backward,
}

impl Prepared for Step {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu(&self) -> Result<(CpuStorage, Shape)> {
        let (storage, layout) = self.zero.storage_and_layout();
        match storage.try_clone(layout)? {
            Storage::Cpu(copy) => Ok((copy, layout.shape().clone())),
            _ => bail!("{}: its arguments live on different devices", self.name),
        }
    }

    fn cuda(&self) -> Result<(CudaStorage, Shape)> {
        let (storage, layout) = self.zero.storage_and_layout();
        match storage.try_clone(layout)? {
            Storage::Cuda(copy) => Ok((copy, layout.shape().clone())),
            _ => bail!("{}: its arguments live on different devices", self.name),
        }
    }

    fn backward(&self, [token, a, b]: [&Tensor; 3], _: &Tensor) -> Result<Gradients> {
        let wanted = token.track_op();
        let (own, of_a, of_b) = (self.backward)(self.from.take(&self.shape, &self.zero)?, wanted)?;
        match own {
            Some(own) if wanted => self.to.add(Arriving { tensor: own, alone: true })?,
            _ if wanted => bail!("{}: no gradient", self.name),
            _ => {}
        }
        let only = |wanted: bool, gradient: Option<Tensor>| gradient.filter(|_| wanted);
        Ok((wanted.then(|| self.zero.clone()), only(a.track_op(), of_a), only(b.track_op(), of_b)))
    }
}
