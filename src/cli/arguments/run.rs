//! `workbench run`, and what runs again what was: `replay`, `recheck`.

use super::values::{minutes, share};
use crate::cli::permissions::Permissions;
use clap::Args;
use std::path::PathBuf;

/// What is run, and how it is written down.
#[derive(Args, Clone, Debug)]
pub struct RunArguments {
    /// The script: a .rhai file, hf://OWNER/REPOSITORY/PATH.rhai@REVISION on the hub, or what was run before: a pack, a run's
    /// folder.
    #[arg(required_unless_present = "resume")]
    pub script: Option<PathBuf>,
    /// Override one of the script's settings; may be given for several keys.
    ///
    /// The script declares its settings with `settings(#{ key: default, ... })`; the value must be of the default's type.
    /// Numbers may be written as 0.1, 1e-3 or 36/255, arrays as [1, 2].
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// The same as a sweep has recorded it: what it names is not granted.
    #[arg(long, value_name = "KEY=VALUE", hide = true)]
    pub set_recorded: Vec<String>,
    /// Go on with the run in this folder, from its last good checkpoint, with its settings, seed and threads.
    #[arg(long, value_name = "RUN")]
    pub resume: Option<PathBuf>,
    /// Resume although the script, a module, a setting or the seed is another one; the run is then no longer one experiment.
    #[arg(long, requires = "resume")]
    pub allow_changes: bool,
    /// The largest share of the time that goes into the checkpoints a script asks for; 1 writes every one.
    #[arg(long, value_name = "SHARE", default_value_t = 0.01, value_parser = share)]
    pub checkpoint_share: f64,
    /// Write a checkpoint also in the middle of an epoch, after so many minutes without one.
    #[arg(long, value_name = "MINUTES", value_parser = minutes)]
    pub checkpoint_minutes: Option<f64>,
    /// Leave the power-iteration vectors out of checkpoints: smaller, but a resumed run does not end bit for bit the same.
    #[arg(long)]
    pub without_vectors: bool,
    /// Besides each epoch, record the means over so many batches.
    #[arg(long, value_name = "BATCHES", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub window: u32,
    /// Write the run into this folder, which must not be there yet [default: runs/DATE-SCRIPT-ID].
    #[arg(long, value_name = "FOLDER", conflicts_with = "resume")]
    pub into: Option<PathBuf>,
    /// Train on so many processes of this machine, started by its mpirun (1: alone, whatever has started it); by hand: `mpirun -n N workbench run ...`, or srun.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub processes: Option<u32>,
    /// Deal the images out to so many shards for the run's life [default: as many as processes]: a number of processes that divides it
    /// trains on the same batches.
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub shards: Option<u32>,
    /// Each shard's part of a batch as a batch of its own, one after another, gradients added: the numbers of as many processes as shards.
    #[arg(long)]
    pub by_shard: bool,
    /// Go on with another number of shards: images are dealt anew, and the order of batches changes.
    #[arg(long, requires = "resume")]
    pub reshard: bool,
    /// How gradients of several processes are added: in an order of ours, the same everywhere, or as the library is fastest.
    #[arg(long, value_name = "ORDER", default_value = "ordered")]
    pub sum: SumOrder,
    /// A process that hears nothing of the others for so many minutes ends.
    #[arg(long, value_name = "MINUTES", default_value_t = RunArguments::DEADLINE, value_parser = minutes)]
    pub deadline: f64,
    /// What the script may touch and take.
    #[command(flatten)]
    pub permissions: Permissions,
}

impl RunArguments {
    /// Minutes that a process waits for the others.
    pub const DEADLINE: f64 = 10.0;
}

/// The order of sums over processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum SumOrder {
    /// A balanced tree, the same bits for every library.
    #[default]
    Ordered,
    /// The library's own.
    Fast,
}

/// A run that is run again.
#[derive(Args, Clone, Debug)]
pub struct ReplayArguments {
    /// The run's folder, or a pack.
    pub run: PathBuf,
    /// Write the new run into this folder, which must not be there yet [default: runs/DATE-SCRIPT-ID].
    #[arg(long, value_name = "FOLDER")]
    pub into: Option<PathBuf>,
    /// What the script may touch and take.
    #[command(flatten)]
    pub permissions: Permissions,
}

/// Records that are computed again, by the script `recheck`.
#[derive(Args, Clone, Debug)]
pub struct RecheckArguments {
    /// The folder of the records: `records` in a run's folder.
    pub records: PathBuf,
    /// The weights file of the network that they are of.
    #[arg(long, value_name = "PATH")]
    pub model: PathBuf,
    /// The data set that was evaluated [default: that of the run whose folder the records lie in, else the digits].
    #[arg(long, value_name = "NAME")]
    pub data: Option<String>,
    /// The number of an image; may be given several times [default: all].
    #[arg(long, value_name = "N")]
    pub image: Vec<u32>,
    /// Write the run into this folder, which must not be there yet [default: runs/DATE-recheck-ID].
    #[arg(long, value_name = "FOLDER")]
    pub into: Option<PathBuf>,
    /// What the script may touch and take.
    #[command(flatten)]
    pub permissions: Permissions,
}
