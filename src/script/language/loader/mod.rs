//! Where scripts come from: the modules of `std` are embedded, everything else is a file. The loader reads and parses each file once,
//! keeps every source for error excerpts and run folders, and refuses function names that clash. It never runs anything.
//!
//! `state` says what it remembers, `locate` which file an import means, `parse` how a text becomes a program.

mod locate;
mod parse;
mod state;

pub use state::{Fetch, Loader, State};
