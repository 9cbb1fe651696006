//! The command line's grammar and its help: the commands (`commands`), the options of those that have many (`run`, `sweep`, `data`), the
//! options of all (`host`), and how numbers among them are read (`values`).

mod commands;
mod data;
mod host;
mod run;
mod sweep;
mod values;

pub use commands::{Arguments, Command, ReportArguments};
pub use data::Data;
pub use host::HostArguments;
pub use run::{RecheckArguments, ReplayArguments, RunArguments, SumOrder};
pub use sweep::SweepArguments;
