//! One run of a script: its folder with all that it was and came to, its progress on the screen, its checkpoints; runs that were,
//! sweeps of runs, records of evaluations.

pub mod archive;
mod checkpoints;
mod epochs;
mod front;
mod loops;
pub mod numbers;
mod pass;
mod processes;
mod progress;
mod recorder;
pub mod records;
mod resume;
pub mod sweep;
mod training;

pub use archive::{StoredRun, commands, link_out, refuse_links_out};
pub use epochs::{Epochs, Stop};
pub use front::Run;
pub use numbers::{csv, duration, names, table, time};
pub use pass::Pass;
pub use recorder::{
    Arithmetic, Best, Data, Drawn, Git, Options, RESERVED, RUN_JSON, Record, RunFolder, Setting, Sitting, Status,
    epochs, git_state, is_under_way, lock,
};
pub use resume::{Holder, Piece};
pub use training::Value;
