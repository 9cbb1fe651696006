//! What a person reads about a run: plots as SVG, and one page, `report.html`, that needs neither a network nor a script.
//!
//! Everything is made from the files in the run's folder, so it can be made again at any time, of a run that is under way or
//! was killed too.

mod curves;
mod page;
mod sections;
mod source;
mod words;

use crate::compute::files::replace_unsynced;
use crate::run::epochs;
use crate::show::plot::{Format, Plot};
use std::path::Path;

pub use page::page;

/// The page's name in the run's folder.
pub const FILE: &str = "report.html";

/// Write the plots and the page into the run's folder.
pub fn write(folder: &Path) -> Result<(), String> {
    for (name, plot) in curves::plots(&epochs(folder)) {
        put(&folder.join("plots").join(format!("{name}.svg")), &drawn(&plot)?)?;
    }
    put(&folder.join(FILE), page(folder)?.as_bytes())
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), String> {
    replace_unsynced(path, bytes).map_err(|e| format!("report: cannot write {}: {e}", path.display()))
}

fn drawn(plot: &Plot) -> Result<Vec<u8>, String> {
    plot.render(Format::Svg).map_err(|e| format!("report: {e}"))
}
