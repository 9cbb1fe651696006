//! One run of a script: its folder with all that it was and came to, its progress on the screen, its checkpoints; tables.

pub mod archive;
mod front;
pub mod numbers;
mod precision;
mod recorder;
pub mod records;
mod resume;
mod statements;
pub mod sweep;
mod training;

pub use recorder::arithmetic::Arithmetic;
pub use resume::checkpoint::{Piece, hex};
pub use numbers::csv::csv;
pub use recorder::folder::RunFolder;
pub use numbers::format::duration;
pub use recorder::git::state as git_state;
pub use archive::stored_run::Kept;
pub use archive::links::{link_out, refuse_links_out};
pub use recorder::lock::is_under_way;
pub use training::metrics::Value;
pub use front::Run;
pub use recorder::writer::Options;
pub use resume::stage::Holder;
pub use recorder::rows::{RESERVED, epochs};
pub use recorder::run_json::{Best, Data, Git, Record, Setting, Sitting, Status};
pub use statements::Drawn;
pub use numbers::table::table;
