//! A network as a list of layers, some of them blocks of further lists, built from an input shape.
//!
//! `network` builds it, names the layer whose shape does not fit, and says what it holds; `current` makes the weights that are functions of
//! parameters; `variants` makes the same network otherwise; `step` follows an optimiser's step; `summary` describes it.

mod current;
mod network;
mod step;
mod summary;
mod variants;

pub use network::Sequential;
