//! What every command takes: device, seed, threads, data.

use super::values::threads;
use clap::Args;
use std::path::PathBuf;

/// What a script runs on; the same for every command.
#[derive(Args, Clone, Debug)]
pub struct HostArguments {
    /// Where to compute: cpu, cuda or cuda:N [default: cpu].
    #[arg(long, global = true, value_name = "DEVICE")]
    pub device: Option<String>,
    /// Seed of everything random; the same seed gives the same numbers on the same device [default: 0].
    #[arg(long, global = true, value_name = "N")]
    pub seed: Option<u64>,
    /// How many threads compute [default: one for each processor].
    #[arg(long, global = true, value_name = "N", value_parser = threads)]
    pub threads: Option<usize>,
    /// Where data sets are: a folder that holds them, or holds a folder `mnist` and so on.
    ///
    /// Tried before the folder in the environment variable WORKBENCH_DATA and the cache folder.
    #[arg(long, global = true, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
}
