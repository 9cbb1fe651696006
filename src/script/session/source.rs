//! What a session knows before it starts: a script that comes with its own modules; the prompt's last value.

use crate::run::{Arithmetic, Data};
use crate::script::language::loader::Fetch;
use crate::script::stdlib::Modules;
use std::path::PathBuf;

/// The variable that `_` stands for.
pub const LAST: &str = "last_value";

/// A script that comes with its own modules: one that was packed, kept in a run's folder, or is on the hub.
#[derive(Clone, Default)]
pub struct Source {
    /// The modules of std, where they are not the program's.
    pub std: Option<Modules>,
    /// Brings modules that are not there.
    pub fetch: Option<Fetch>,
    /// How the script was named on the command line, if not by its path.
    pub shown: Option<String>,
    /// A folder that the script was put into for as long as it runs: nobody is shown its name.
    pub temporary: Option<PathBuf>,
    /// What the data sets were, in order, when the run loaded them that the script is of; and the path of its script then.
    pub data: Vec<Data>,
    pub was: PathBuf,
    /// The random bits that the run drew from the operating system.
    pub entropy: Vec<String>,
    /// Is that run repeated, so that the data have to be the same?
    pub repeats: bool,
    /// Which arithmetic the script is written for.
    pub arithmetic: Option<Arithmetic>,
}
