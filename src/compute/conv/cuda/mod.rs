//! The convolution and its two adjoints through cuDNN: graphs, engines, the choice among them.

mod chosen;
mod cudnn;
mod engines;
mod graph;
mod plan;
pub mod run;
