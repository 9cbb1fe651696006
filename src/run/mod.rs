//! One run of a script: its folder, its progress on the screen, its tables, on the screen and as CSV.

mod csv;
mod folder;
mod format;
mod metrics;
mod parquet;
mod progress;
pub mod records;
mod table;

pub use csv::csv;
pub use folder::RunFolder;
pub use format::duration;
pub use metrics::Value;
pub use progress::Run;
pub use table::table;
