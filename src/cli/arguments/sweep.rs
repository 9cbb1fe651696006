//! `workbench sweep`.

use super::values::minutes;
use crate::cli::permissions::Permissions;
use clap::Args;
use std::path::PathBuf;

/// A sweep.
#[derive(Args, Clone, Debug)]
pub struct SweepArguments {
    /// What is run, as for `run`.
    #[arg(required_unless_present_any = ["resume", "item", "collect"], conflicts_with_all = ["resume", "item", "collect"])]
    pub script: Option<PathBuf>,
    /// A setting and the values it takes, separated by commas; may be given for several keys.
    #[arg(long, value_name = "KEY=VALUE,VALUE,...", conflicts_with_all = ["resume", "item", "collect"])]
    pub set: Vec<String>,
    /// Run every combination with so many seeds, counted from --seed.
    #[arg(long, value_name = "N", conflicts_with_all = ["resume", "item", "collect"], value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub seeds: Option<u32>,
    /// So many runs at a time, which share the threads.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub jobs: u32,
    /// Go on with the sweep in this folder: points that are finished stay, others go on or begin.
    #[arg(long, value_name = "SWEEP")]
    pub resume: Option<PathBuf>,
    /// Write the sweep into this folder, which must not be there yet [default: runs/DATE-sweep-SCRIPT-ID].
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["resume", "item", "collect"])]
    pub into: Option<PathBuf>,
    /// Write the sweep's plan and run nothing: its points are items for a scheduler, each run by --item on any machine.
    #[arg(long, conflicts_with_all = ["resume", "item", "collect", "jobs"])]
    pub plan: bool,
    /// Run one point of a plan, or go on with it: items count from 0, as array jobs do.
    #[arg(long, value_name = "K", requires = "of", conflicts_with_all = ["resume", "collect", "jobs"])]
    pub item: Option<usize>,
    /// Write a checkpoint also in the middle of an epoch, after so many minutes without one.
    #[arg(long, value_name = "MINUTES", value_parser = minutes, conflicts_with_all = ["plan", "collect"])]
    pub checkpoint_minutes: Option<f64>,
    /// The folder of the plan.
    #[arg(long, value_name = "SWEEP", requires = "item")]
    pub of: Option<PathBuf>,
    /// Tables and page of what the points of a plan have come to, and which items are not finished; runs nothing.
    #[arg(long, value_name = "SWEEP", conflicts_with_all = ["resume", "jobs"])]
    pub collect: Option<PathBuf>,
    /// What the script may touch and take.
    #[command(flatten)]
    pub permissions: Permissions,
}
