//! The script host: one Rhai engine, where modules come from, strict options and settings, error reports, the check
//! before a run. What scripts can call is bound in `bind`; nothing here knows the terminal.

pub mod access;
pub mod bind;
pub mod carried;
pub mod check;
pub mod docs;
pub mod engine;
pub mod error;
pub mod explain;
pub mod guard;
pub mod lexical;
pub mod limits;
pub mod loader;
pub mod names;
pub mod options;
pub mod outline;
pub mod output;
pub mod present;
pub mod prompt;
pub mod recording;
pub mod report;
pub mod resolver;
pub mod session;
pub mod settings;
pub mod shipped;
pub mod signatures;
pub mod stdlib;
pub mod suggest;
pub mod typed;
pub mod wording;

pub use error::{Res, candle, fail};
pub use options::Options;
pub use session::Session;
