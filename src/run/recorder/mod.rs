//! What is in a run's folder: `run.json`, the script and its modules, the rows of metrics, what was printed, the best weights.
//! Knows nothing of the screen, nor of checkpoints.

mod arithmetic;
mod best;
mod earlier;
mod events;
mod folder;
mod git;
mod lock;
mod options;
mod overhead;
mod rows;
mod run_json;
mod writer;

pub use arithmetic::Arithmetic;
pub use best::{FILE as BEST_FILE, check_score};
pub use earlier::Drawn;
pub use folder::RunFolder;
pub use git::state as git_state;
pub use lock::{is_under_way, lock};
pub use options::Options;
pub use rows::{Lengths, RESERVED, Row, epochs, refuse_reserved};
pub use run_json::{Best, Data, FILE as RUN_JSON, Git, Record, Setting, Sitting, Status};
pub use writer::{Opened, Recorder, Sources};
