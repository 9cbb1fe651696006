//! The script host: one Rhai engine, where modules come from, strict options and settings, error reports, the check
//! before a run. What scripts can call is bound in `bind`; nothing here knows the terminal.

pub mod access;
pub mod arithmetic;
pub mod bind;
pub mod callbacks;
pub mod carried;
pub mod catches;
pub mod caught;
pub mod changes;
pub mod check;
pub mod collections;
pub mod copies;
mod divisor;
pub mod docs;
pub mod engine;
pub mod error;
pub mod explain;
pub mod guard;
pub mod habits;
pub mod lexical;
pub mod limits;
pub mod loader;
pub mod names;
pub mod options;
pub mod outline;
pub mod present;
pub mod presets;
pub mod prompt;
pub mod purity;
pub mod recording;
pub mod refused;
pub mod report;
pub mod resolver;
pub mod scopes;
pub mod session;
pub mod settings;
pub mod shipped;
pub mod signatures;
pub mod stdlib;
pub mod suggest;
pub mod typed;
pub mod wording;

pub use crate::compute::output;
pub use error::{Res, candle, fail};
pub use options::Options;
pub use session::Session;
