//! What a user is shown when something is wrong: the words, the place, the call stack, the way out.

pub mod caught;
mod place;
pub mod report;
pub mod scopes;
mod unwind;
pub mod wording;

pub use unwind::explain;
