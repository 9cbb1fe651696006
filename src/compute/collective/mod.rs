//! Several processes that train one network: who has started them, sums and messages between them by an MPI that is opened at run time,
//! and which images are whose; between GPUs by NCCL, opened likewise. A process alone opens no library and copies nothing.

mod abi;
mod gradient;
mod group;
mod launch;
mod mpi;
#[cfg(feature = "cuda")]
mod nccl;
mod ordered;
mod ranks;
mod strata;
mod watch;

pub use group::{Group, Told};
pub use launch::{Launch, found};
pub use ordered::{Counter, Sum, tree};
pub use ranks::Ranks;
pub use strata::{Slice, Strata};
