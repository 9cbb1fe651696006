//! The documentation: one set of pages that `?name`, `workbench doc`, its search, the HTML reference, editors'
//! definitions, completion of options and the check read.
//!
//! Host functions are described in `docs/reference/*.d.rhai`, beside nothing else; functions of the stdlib, and of
//! anybody's modules, by the comments above them. Both have the same form (see [`parse()`]), and [`audit`] says what is
//! missing: a line for each function without shapes or values, errors, or an example that runs, for each option that is
//! not named, and for each entry without a function.

pub mod answer;
pub mod audit;
pub mod definitions;
mod find;
pub mod guide;
pub mod html;
mod library;
pub mod page;
mod parse;
pub mod search;
pub mod sentence;
pub mod terminal;

pub use find::Found;
pub use library::Docs;
pub use page::{Entry, Form, Kind, Page};
pub use parse::parse;
