//! The script host: one Rhai engine, where modules come from, strict options and settings, error reports, the check
//! before a run. What scripts can call is bound in `bind`; nothing here knows the terminal.

pub mod access;
pub mod bind;
pub mod check;
pub mod docs;
pub mod explain;
pub mod language;
pub mod present;
pub mod presets;
pub mod session;
pub mod settings;
pub mod shipped;
pub mod stdlib;
pub mod values;

pub use language::{Options, Res, candle, fail};
pub use session::Session;
