//! One run of a script: its folder with all that it was and came to, its progress on the screen, its checkpoints; tables.

mod checkpoint;
mod csv;
mod display;
mod events;
mod folder;
mod format;
mod git;
mod metrics;
mod parquet;
mod precision;
mod progress;
mod recording;
pub mod records;
mod resuming;
mod rows;
mod run_json;
mod state;
mod table;

pub use checkpoint::Piece;
pub use csv::csv;
pub use folder::RunFolder;
pub use format::duration;
pub use git::state as git_state;
pub use metrics::Value;
pub use progress::Run;
pub use recording::Options;
pub use resuming::Holder;
pub use run_json::{Data, Git, Record, Setting, Status};
pub use table::table;
