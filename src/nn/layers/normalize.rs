//! `normalize(mean, std)`: `(x - mean) / std` per channel, so that epsilon keeps the units of the images. `normalize()` takes both from a
//! file of weights; they are parameters that are not trained, 0 and 1 until then.

use super::affine::{Affine, Dense, Rounding, Structure};
use super::entry::{Argument, Entry, Takes, read, settings};
use super::graph::Graph;
use super::spec::{Kind, LayerSpec, Own, Parameter, Place, Role, Start, Word};
use crate::compute::precision::Precision;
use candle_core::{DType, Device, Result, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::rc::Rc;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalize {
    /// Both empty: a file's.
    pub mean: Vec<f64>,
    pub std: Vec<f64>,
}

pub const ENTRY: Entry = Entry {
    name: "normalize",
    arguments: &[Argument { name: "mean", takes: Takes::Numbers }, Argument { name: "std", takes: Takes::Numbers }],
    options: &[],
    make: |given| LayerSpec::of(Normalize { mean: given.numbers("mean"), std: given.numbers("std") }),
    read: read::<Normalize>,
};

/// The same without numbers.
pub const OF_FILE: Entry =
    Entry { arguments: &[], make: |_| LayerSpec::of(Normalize { mean: vec![], std: vec![] }), ..ENTRY };

impl Kind for Normalize {
    fn name(&self) -> &str {
        ENTRY.name
    }

    fn describe(&self) -> String {
        match self.is_of_file() {
            true => "normalize()".into(),
            false => format!("normalize({:?}, {:?})", self.mean, self.std),
        }
    }

    fn own(&self) -> Vec<Own> {
        // Its numbers are parameters, which a file changes.
        let word = Own { name: ENTRY.name.into(), identity: String::new(), word: Word::Statistics };
        if self.is_of_file() { vec![word] } else { vec![] }
    }

    fn settings(&self) -> Map<String, Value> {
        settings(self)
    }

    fn output_shape(&self, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
        let (Self { mean, std }, channels) = (self, input[0]);
        if self.is_of_file() {
            return Ok(input.to_vec());
        }
        for (name, values) in [("mean", mean), ("std", std)] {
            if values.len() != channels {
                return Err(format!("{name} has {} values for {channels} channels", values.len()));
            }
        }
        match std.iter().chain(mean).all(|v| v.is_finite()) && std.iter().all(|s| *s > 0.0) {
            true => Ok(input.to_vec()),
            false => Err(format!("mean {mean:?} and std {std:?} must be finite, std above 0")),
        }
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        if !self.is_of_file() {
            return vec![];
        }
        let kept =
            |name, value| Parameter { is_trained: false, ..Parameter::new(name, &input[..1], Start::Constant(value)) };
        vec![kept("mean", 0.0), kept("std", 1.0)]
    }

    fn export(&self, place: &Place, graph: &mut Graph, x: String) -> Result<String> {
        let mut shape = vec![1; place.input.len() + 1];
        shape[1] = place.input[0];
        let (mean, std) = match self.is_of_file() {
            true => (place.parameter("mean")?, place.parameter("std")?),
            false => {
                (Tensor::new(self.mean.as_slice(), place.device)?, Tensor::new(self.std.as_slice(), place.device)?)
            }
        };
        let mean = graph.numbers("mean", &mean.reshape(shape.as_slice())?.to_dtype(place.dtype)?);
        let std = graph.numbers("std", &std.reshape(shape)?.to_dtype(place.dtype)?);
        let centred = graph.apply("Sub", &[&x, &mean], &[]);
        Ok(graph.apply("Div", &[&centred, &std], &[]))
    }

    fn build(&self, place: &Place) -> Result<Role> {
        let Self { mean, std } = self;
        let mut shape = vec![1; place.input.len() + 1];
        shape[1] = place.input[0];
        if self.is_of_file() {
            let (mean, std) = (place.parameter("mean")?.detach(), place.parameter("std")?.detach());
            let scale = std.recip()?;
            let shift = (mean.neg()? * &scale)?;
            return Ok(Role::Affine(Rc::new(Scaling {
                scale: scale.reshape(shape.clone())?,
                shift: shift.reshape(shape)?,
            })));
        }
        let make = |values: Vec<f64>| Tensor::from_vec(values, shape.clone(), place.device)?.to_dtype(place.dtype);
        Ok(Role::Affine(Rc::new(Scaling {
            scale: make(std.iter().map(|s| 1.0 / s).collect())?,
            shift: make(mean.iter().zip(std).map(|(m, s)| -m / s).collect())?,
        })))
    }
}

impl Normalize {
    fn is_of_file(&self) -> bool {
        self.mean.is_empty() && self.std.is_empty()
    }
}

/// `x scale + shift`: of a normalisation `scale` = 1/std and `shift` = -mean/std; shaped to be broadcast over a batch.
#[derive(Clone, Debug)]
pub(super) struct Scaling {
    pub scale: Tensor,
    pub shift: Tensor,
}

impl Affine for Scaling {
    fn forward(&self, x: &Tensor, precision: Precision) -> Result<Tensor> {
        self.add_bias(&self.apply(x, precision)?)
    }

    fn apply(&self, x: &Tensor, _: Precision) -> Result<Tensor> {
        x.broadcast_mul(&self.scale)
    }

    fn adjoint(&self, y: &Tensor, _: Precision) -> Result<Tensor> {
        y.broadcast_mul(&self.scale)
    }

    fn apply_absolute(&self, h: &Tensor, _: Precision) -> Result<Tensor> {
        h.broadcast_mul(&self.scale.abs()?)
    }

    fn row_norms(&self) -> Result<Tensor> {
        self.scale.abs()?.reshape((1, ()))
    }

    fn add_bias(&self, y: &Tensor) -> Result<Tensor> {
        y.broadcast_add(&self.shift)
    }

    fn weight(&self) -> Option<&Tensor> {
        None
    }

    fn is_trained(&self) -> bool {
        self.scale.track_op()
    }

    fn terms(&self) -> usize {
        1
    }

    /// 6 for (x - mean) times 1/std: the roundings of the mean, of the subtraction, of std, of the reciprocal, of the product, and the f64
    /// of `shift`; x scale + shift and (x - mean)/std have fewer. The difference comes before the product. Nothing is
    /// flushed on the way where scales are in this range, or 0.
    fn rounding(&self) -> Result<Rounding> {
        let scales = self.scale.detach().abs()?.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
        let usual = scales.iter().all(|s| *s == 0.0 || (2f64.powi(-100)..=2f64.powi(100)).contains(s));
        let largest = if usual { scales.iter().copied().fold(0.0, f64::max) } else { f64::NAN };
        let least = scales.iter().filter(|s| **s > 0.0).fold(1.0, |m: f64, s| m.min(*s));
        Ok(Rounding { steps: 6, largest, stretch: 1.0 / least })
    }

    fn weight_roundings(&self) -> usize {
        0
    }

    fn dense(&self) -> Option<Dense> {
        Some(Dense::Diagonal { scale: self.scale.clone() })
    }

    fn structure(&self) -> Result<Option<Structure>> {
        Ok(None)
    }

    fn numbers(&self) -> (DType, Device) {
        (self.scale.dtype(), self.scale.device().clone())
    }

    fn frozen(&self) -> Rc<dyn Affine> {
        Rc::new(Self { scale: self.scale.detach(), shift: self.shift.detach() })
    }

    fn each_sample(&self) -> Result<Option<Vec<Rc<dyn Affine>>>> {
        Ok(None)
    }

    fn seen(&self, _: &Tensor) -> Result<Option<Rc<dyn Affine>>> {
        Ok(None)
    }
}
