//! What a person reads about a run, a sweep or several runs: plots as SVG, and one page that needs neither a network nor a
//! script.
//!
//! Everything is made from the files in the folder of the run or the sweep, so it can be made again at any time, of a run that
//! is under way or was killed too. A page shows nothing else, no file outside of the folder either, and every text in it is
//! escaped: the HTML is written with `maud`, in which a text is escaped by its type.

mod by_class;
mod closest;
mod comparison;
mod curves;
mod dependence;
mod drawings;
mod frame;
mod groups;
mod inside;
mod page;
mod printed;
mod robustness;
mod sections;
mod source;
mod sweep;
mod tables;
mod together;
mod words;

use crate::base::files::replace_unsynced;
use crate::run::archive::outcome;
use crate::run::archive::outcome::{Outcome, outcomes};
use crate::run::epochs;
use crate::run::refuse_links_out;
use crate::run::sweep::{Sweep, is_sweep};
use crate::show::plot::Plot;
use std::path::Path;

pub use comparison::comparison;
pub use frame::FILE;
use frame::drawn;

/// The page about the run or the sweep in `folder`. With `links` it leads to files beside it, so it must lie in the folder.
pub fn page(folder: &Path, links: bool) -> Result<String, String> {
    if !is_sweep(folder) {
        return page::page(folder);
    }
    let plan = Sweep::read(folder)?;
    sweep::page(&plan, &outcomes(&plan, folder)?, folder, links)
}

/// Write the plots and the page into the folder of a run or a sweep; of a sweep the tables too.
pub fn write(folder: &Path) -> Result<(), String> {
    refuse_links_out(folder)?;
    if is_sweep(folder) {
        let plan = Sweep::read(folder)?;
        return write_sweep(&plan, &outcomes(&plan, folder)?, folder);
    }
    write_plots(folder, &curves::plots(&epochs(folder)))?;
    put(&folder.join(FILE), page::page(folder)?.as_bytes())
}

/// Write the tables, plots and the page of the sweep in `folder`, whose points came to `outcomes`.
pub fn write_sweep(plan: &Sweep, outcomes: &[Outcome], folder: &Path) -> Result<(), String> {
    refuse_links_out(folder)?;
    outcome::write(plan, outcomes, folder)?;
    write_plots(folder, &sweep::plots(plan, outcomes))?;
    put(&folder.join(FILE), sweep::page(plan, outcomes, folder, true)?.as_bytes())
}

fn write_plots(folder: &Path, plots: &[(String, Plot)]) -> Result<(), String> {
    plots.iter().try_for_each(|(name, plot)| put(&folder.join("plots").join(format!("{name}.svg")), &drawn(plot)?))
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), String> {
    replace_unsynced(path, bytes).map_err(|e| format!("report: cannot write {}: {e}", path.display()))
}
