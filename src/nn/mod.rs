//! Networks: layers, their parameters by name, initialisation, weights in and out.
//!
//! A network is a list of layers over one input shape, some of them blocks that hold lists again. Its affine layers (convolution, linear, pooling, normalisation)
//! give away their linear map, its adjoint and its absolute value, which is all that the bounds need. Since
//! normalisation, pooling and flatten are layers like any other linear map, epsilon keeps the units of the images.
//!
//! What a kind of layer is stands in its file in [`layers`], and nowhere else.

mod description;
mod init;
mod layer;
pub mod layers;
mod linearized;
mod load;
pub mod onnx;
pub mod pretrained;
mod pytorch;
mod sequential;
pub mod vnnlib;
pub mod weights;

pub use layer::{Layer, forward};
pub use layers::{LayerSpec, Role};
pub use linearized::OneActivation;
pub use load::{load_model, model_of};
pub use sequential::Sequential;
pub use weights::{Choice, Folding, Loaded, Rounded, Whose};
