//! Networks: layers, their parameters by name, initialisation, weights in and out.
//!
//! A network is a list of layers over one input shape. Its affine layers (convolution, linear, pooling, normalisation)
//! give away their linear map, its adjoint and its absolute value, which is all that the bounds need. Since
//! normalisation, pooling and flatten are layers like any other linear map, epsilon keeps the units of the images.
//!
//! No kind of layer is the default: every match on an affine operation or an activation writes its arms out, so that a new
//! kind does not compile until each bound says what it does with it.

mod affine;
mod init;
mod layer;
pub mod pretrained;
mod pytorch;
mod sequential;
mod spec;
mod weights;

pub(crate) use layer::halves;
pub use layer::{Layer, Operation};
pub use sequential::Sequential;
pub use spec::LayerSpec;
pub use weights::{Rounded, load_model, model_of};
