//! What a layer is: its map, function or rearrangement, and the forms of it that kernels and bounds ask for.

use super::place::Layer;
use crate::nn::layers::{
    Activation, Affine, ClippedMaxMin, Clipping, Dense, Fused, MaxMin, Meeting, Reshape, Role, Side, Structure,
};
use candle_core::{DType, Device, Result, Tensor, bail};

impl Layer {
    /// The weight of a layer that has one to train.
    pub fn weight(&self) -> Option<&Tensor> {
        match &self.role {
            Role::Affine(map) => map.weight(),
            Role::Activation(_) | Role::Reshape(_) | Role::Branches(_) => None,
        }
    }

    /// The map of an affine layer in a form that fast kernels take, if it has one, in the precision that is chosen now.
    pub fn dense(&self) -> Option<Dense> {
        let Role::Affine(map) = &self.role else { return None };
        let precision = self.precision.get();
        map.dense().map(|dense| match dense {
            Dense::Convolution { weight, bias, window, prepared } => {
                Dense::Convolution { weight, bias, window: window.computed_in(precision), prepared }
            }
            Dense::EachChannel { weight, window } => {
                Dense::EachChannel { weight, window: window.computed_in(precision) }
            }
            other @ (Dense::Matrix { .. } | Dense::Diagonal { .. }) => other,
        })
    }

    /// What proved bounds rest on where the map has no dense form; none of a map with a form, and of one that its matrix bounds.
    pub fn structure(&self, op: &str) -> Result<Option<Structure>> {
        let map = self.affine(op)?;
        if map.dense().is_some() { Ok(None) } else { map.structure() }
    }

    /// What scripts call the form of an affine layer's map, if it has one.
    pub fn form(&self) -> Result<Option<&'static str>> {
        Ok(match (&self.role, self.dense()) {
            (_, Some(dense)) => Some(dense.name()),
            // Before its weight is made a map has no structure to tell.
            (Role::Affine(map), None) => map.structure()?.map(|structure| structure.name()),
            (Role::Activation(_) | Role::Reshape(_) | Role::Branches(_), None) => None,
        })
    }

    /// An activation in a form that fused kernels take, if it has one.
    pub fn fused(&self) -> Option<Fused> {
        match &self.role {
            Role::Activation(f) => f.facts().fused,
            Role::Affine(_) | Role::Reshape(_) | Role::Branches(_) => None,
        }
    }

    /// The map of an affine layer; `op` is named in the error.
    pub fn affine(&self, op: &str) -> Result<&dyn Affine> {
        match &self.role {
            Role::Affine(map) => Ok(&**map),
            Role::Activation(_) | Role::Reshape(_) | Role::Branches(_) => bail!("{op}: {} is not affine", self.title()),
        }
    }

    /// The function of an activation; `op` is named in the error.
    pub fn activation(&self, op: &str) -> Result<&dyn Activation> {
        match &self.role {
            Role::Activation(f) => Ok(&**f),
            Role::Affine(_) | Role::Reshape(_) | Role::Branches(_) => bail!("{op}: {} is no activation", self.title()),
        }
    }

    /// The rearrangement of a layer that is one; `op` is named in the error.
    pub fn reshape(&self, op: &str) -> Result<&dyn Reshape> {
        match &self.role {
            Role::Reshape(r) => Ok(&**r),
            Role::Affine(_) | Role::Activation(_) | Role::Branches(_) => {
                bail!("{op}: {} does more than rearrange its input", self.title())
            }
        }
    }

    /// Convolution, linear, pooling, normalisation: a linear map and a bias.
    pub fn is_affine(&self) -> bool {
        matches!(self.role, Role::Affine(_))
    }

    /// How the branches of a block with activations inside meet; none of other layers.
    pub fn meeting(&self) -> Option<Meeting> {
        match &self.role {
            Role::Branches(inside) => Some(inside.meeting),
            Role::Affine(_) | Role::Activation(_) | Role::Reshape(_) => None,
        }
    }

    /// A function that is not linear in one piece.
    pub fn is_activation(&self) -> bool {
        matches!(self.role, Role::Activation(_))
    }

    fn clipping(&self) -> Option<&dyn Clipping> {
        match &self.role {
            Role::Activation(f) => f.clipping(),
            Role::Affine(_) | Role::Reshape(_) | Role::Branches(_) => None,
        }
    }

    /// An activation that is constant beyond a threshold: ReLU kinds and clipped MaxMin, not plain MaxMin.
    pub fn can_clip(&self) -> bool {
        self.clipping().is_some()
    }

    /// Where an activation's mask is read; none of a layer all of whose outputs can vary.
    pub fn mask_side(&self) -> Option<Side> {
        self.clipping().map(Clipping::side)
    }

    /// MaxMin in either form: its mask is read behind it and bears on the columns of the next layer only.
    pub fn is_maxmin(&self) -> bool {
        self.spec.is::<MaxMin>() || self.spec.is::<ClippedMaxMin>()
    }

    /// A true upper bound of an activation's or a rearrangement's Lipschitz constant; an affine layer's is its norm, a block's what its
    /// branches come to.
    pub fn lipschitz(&self) -> Option<f64> {
        match &self.role {
            Role::Activation(f) => Some(f.facts().lipschitz),
            Role::Reshape(_) => Some(1.0),
            Role::Affine(_) | Role::Branches(_) => None,
        }
    }

    /// Number type and device of an affine layer's map.
    pub fn numbers(&self) -> Option<(DType, Device)> {
        match &self.role {
            Role::Affine(map) => Some(map.numbers()),
            Role::Activation(_) | Role::Reshape(_) | Role::Branches(_) => None,
        }
    }
}
