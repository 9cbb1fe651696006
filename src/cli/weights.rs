//! `workbench weights`: what a file of weights holds, and what of it would be whose in a network.

use crate::base::error::message;
use crate::base::output;
use crate::repl::terminal::complain;
use crate::script::present::weights;
use std::path::Path;
use std::process::ExitCode;

/// List what is in `file`; with `fit`, pair it with the network of another file, or of a name inside the program.
pub fn run(file: &Path, take: Option<&str>, fit: Option<&str>) -> ExitCode {
    match weights::told(file, take, fit, &|line| output::line(line)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("error: {}", message(&error).replacen("load: ", "weights: ", 1)));
            ExitCode::FAILURE
        }
    }
}
