//! What a layer is to a bound.

use super::activation::Activation;
use super::affine::Affine;
use super::reshape::Reshape;
use std::rc::Rc;

/// One of three roles, each behind what a bound may ask of it.
#[derive(Clone, Debug)]
pub enum Role {
    /// A linear map and a bias.
    Affine(Rc<dyn Affine>),
    /// A function of its input that is not linear.
    Activation(Rc<dyn Activation>),
    /// The same numbers in another arrangement.
    Reshape(Rc<dyn Reshape>),
}
