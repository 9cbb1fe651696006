//! The modules `std/...`, which are inside the program.

use crate::base::embedded::{Files, STDLIB};

/// Modules of std: name without `std/`, source.
pub type Modules = Files;

/// The embedded modules: name without `std/`, source.
pub fn stdlib() -> Modules {
    STDLIB
}
