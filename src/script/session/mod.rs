//! A session: the engine, the host behind it, and what a script or the prompt has defined so far.

mod core;
mod prompt;
mod recording;
mod source;
mod transcript;

pub use core::{Config, Session};
pub use recording::Recording;
pub use source::Source;
pub use transcript::*;
