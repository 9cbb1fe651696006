//! `conv2d(..., #{ weight: |w| ... })`, `linear(..., #{ weight: |w| ... })`: a layer whose weight is a differentiable function of its parameter
//! (a rescaling, a normalisation, a mask that stays). Bounds see the weight that the function gives.
//!
//! A network makes these weights anew when its parameters have changed ([`crate::nn::Sequential::current`]); until then its layers hold
//! their places ([`Underived`]), and whoever asks one for its map is told so.

use super::activation::{Activation, Boxes, Clipping, Facts, Lines};
use super::affine::{Affine, Dense, Rounding, Structure};
use super::graph::Graph;
use super::spec::{Deriving, Kind, LayerSpec, Own, Parameter, Place, Role, Word};
use crate::compute::precision::Precision;
use candle_core::{DType, Device, Result, Tensor, bail};
use serde_json::{Map, Value};
use std::rc::Rc;

/// The parameter that the function is of.
const WEIGHT: &str = "weight";

/// A layer and the function of its weight.
#[derive(Clone, Debug)]
pub struct Derived {
    pub layer: LayerSpec,
    pub by: Rc<dyn Deriving>,
}

impl Kind for Derived {
    fn name(&self) -> &str {
        self.layer.name()
    }

    fn describe(&self) -> String {
        let text = self.layer.describe();
        let open = text.strip_suffix(" })").map(|text| format!("{text}, weight: |w| ... }})"));
        open.unwrap_or_else(|| format!("{}, #{{ weight: |w| ... }})", text.trim_end_matches(')')))
    }

    fn own(&self) -> Vec<Own> {
        vec![Own { name: self.layer.name().into(), identity: self.by.identity(), word: Word::Weight }]
    }

    fn settings(&self) -> Map<String, Value> {
        self.layer.settings()
    }

    fn output_shape(&self, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
        self.layer.output_shape(input)
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        self.layer.parameters(input)
    }

    fn export(&self, place: &Place, graph: &mut Graph, x: String) -> Result<String> {
        let parameters = self.parameters_of(place)?;
        self.layer.export(&Place { parameters: &parameters, ..*place }, graph, x)
    }

    fn build(&self, place: &Place) -> Result<Role> {
        let parameters = self.parameters_of(place)?;
        self.layer.build(&Place { parameters: &parameters, ..*place })
    }
}

impl Derived {
    /// The layer's parameters, with the weight that the function makes.
    fn parameters_of(&self, place: &Place) -> Result<Vec<(String, Tensor)>> {
        let own = place.parameter(WEIGHT)?;
        let weight = self.by.derive(&own)?;
        if weight.dims() != own.dims() || weight.dtype() != own.dtype() {
            bail!(
                "{}: `weight` makes {:?} of {:?} of {:?} of {:?}; the weight keeps its shape and type",
                self.layer.describe(),
                weight.dims(),
                weight.dtype(),
                own.dims(),
                own.dtype()
            );
        }
        let put =
            |(name, t): &(String, Tensor)| (name.clone(), if name == WEIGHT { weight.clone() } else { t.clone() });
        Ok(place.parameters.iter().map(put).collect())
    }
}

/// In the place of a map whose weight has to be made: what it is made of, no products.
#[derive(Clone, Debug)]
pub struct Underived {
    pub title: String,
    pub terms: usize,
    pub numbers: (DType, Device),
}

impl Underived {
    fn none<T>(&self) -> Result<T> {
        bail!("{}: its weight is a function of a parameter and has to be made first; take model.current()", self.title)
    }
}

impl Affine for Underived {
    fn forward(&self, _: &Tensor, _: Precision) -> Result<Tensor> {
        self.none()
    }
    fn apply(&self, _: &Tensor, _: Precision) -> Result<Tensor> {
        self.none()
    }
    fn adjoint(&self, _: &Tensor, _: Precision) -> Result<Tensor> {
        self.none()
    }
    fn apply_absolute(&self, _: &Tensor, _: Precision) -> Result<Tensor> {
        self.none()
    }
    fn row_norms(&self) -> Result<Tensor> {
        self.none()
    }
    fn add_bias(&self, _: &Tensor) -> Result<Tensor> {
        self.none()
    }
    fn rounding(&self) -> Result<Rounding> {
        self.none()
    }
    fn each_sample(&self) -> Result<Option<Vec<Rc<dyn Affine>>>> {
        self.none()
    }
    fn seen(&self, _: &Tensor) -> Result<Option<Rc<dyn Affine>>> {
        self.none()
    }
    fn structure(&self) -> Result<Option<Structure>> {
        self.none()
    }
    fn weight(&self) -> Option<&Tensor> {
        None
    }
    fn dense(&self) -> Option<Dense> {
        None
    }
    fn is_trained(&self) -> bool {
        true
    }
    fn terms(&self) -> usize {
        self.terms
    }
    fn weight_roundings(&self) -> usize {
        0
    }
    fn numbers(&self) -> (DType, Device) {
        self.numbers.clone()
    }
    fn frozen(&self) -> Rc<dyn Affine> {
        Rc::new(self.clone())
    }
}

/// The same in the place of an activation that is made of parameters.
#[derive(Clone, Debug)]
pub struct Unmade {
    pub title: String,
}

impl Unmade {
    fn none<T>(&self) -> Result<T> {
        bail!("{}: it is made of parameters and has to be made first; take model.current()", self.title)
    }
}

impl Activation for Unmade {
    fn forward(&self, _: &Tensor) -> Result<Tensor> {
        self.none()
    }
    fn spread(&self, _: &Tensor) -> Result<Tensor> {
        self.none()
    }
    fn facts(&self) -> Facts {
        Facts { lipschitz: f64::NAN, roundings: None, thresholds: vec![], cancels: true, fused: None }
    }
    fn boxes(&self) -> Option<&dyn Boxes> {
        Some(self)
    }
    fn clipping(&self) -> Option<&dyn Clipping> {
        None
    }
    fn lines(&self) -> Option<&dyn Lines> {
        None
    }
    fn frozen(&self) -> Rc<dyn Activation> {
        Rc::new(self.clone())
    }
}

impl Boxes for Unmade {
    fn image(&self, _: &Tensor, _: &Tensor) -> Result<[Tensor; 2]> {
        self.none()
    }
}
