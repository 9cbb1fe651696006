//! The command line's grammar and its help.

use super::permissions::Permissions;
use crate::script::language::limits::Limits;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Certifiably robust neural networks as short scripts: train, bound, certify.
#[derive(Debug, Parser)]
#[command(name = "workbench", version, after_help = EXAMPLES, arg_required_else_help = false)]
pub struct Arguments {
    /// What to do; without a command, an interactive prompt.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What a script runs on.
    #[command(flatten)]
    pub host: HostArguments,
}

const EXAMPLES: &str = "\
Examples:
  workbench run scripts/quickstart.rhai                   train and certify on the built-in digits, a minute or two
  workbench run scripts/mnist_4c3f.rhai --data-dir ~/data --set epochs=4 --set ramp=2
  workbench run my_net.rhai --device cuda:1 --seed 3
  workbench run my_net.rhai --resume runs/2026-01-31-my_net-k3x9a
  workbench new my_net --from cifar10_6c2f                a copy to vary
  workbench sweep my_net.rhai --set lr=1e-3,3e-4 --seeds 3
  workbench sweep my_net.rhai --seeds 100 --plan          items for a cluster; then --item K --of, and --collect
  workbench compare runs/2026-01-31-my_net-*              settings that differ, results side by side
  workbench pack runs/2026-01-31-my_net-k3x9a             one file to pass on; `workbench replay` repeats it
  workbench report runs/2026-01-31-my_net-k3x9a           plots and a page about the run, report.html
  workbench check my_net.rhai                             find misspelt names, run nothing
  workbench doc lip::bounds                               what it does, its shapes and options
  workbench doc weight decay                              where the documentation speaks of it
  workbench repl my_net.rhai                              run it, then go on at the prompt
  workbench weights other.pth --fit digits                what is in a file, and whether it fits
  workbench data fetch cifar10                            download it once, checked to the last pixel
  workbench                                               a prompt; type `help` there
  echo 'print(1 + 1)' | workbench                         the prompt, fed from a pipe

Exit codes:
  0    the script ended well
  1    an error in the script or its data
  2    wrong use of the command line
  75   asked to stop by SIGUSR1, as schedulers do before a time limit; to be started again
  130  interrupted by Ctrl-C (a second Ctrl-C ends at once)
  N    the script called exit(N)";

impl Arguments {
    /// The limits that the command's script is held to.
    pub fn limits(&self) -> Limits {
        match &self.command {
            Some(
                Command::Run(RunArguments { permissions, .. })
                | Command::Replay(ReplayArguments { permissions, .. })
                | Command::Recheck(RecheckArguments { permissions, .. })
                | Command::Repl { permissions, .. },
            ) => permissions.limits(),
            _ => Limits::default(),
        }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a script, after checking its names; or go on with a run that was interrupted.
    Run(RunArguments),
    /// Run a run again, exactly as it was: its script and modules, settings, seed, threads and data.
    Replay(ReplayArguments),
    /// Compute rows of a certified evaluation's records again, and say whether they come out as they stand there.
    Recheck(RecheckArguments),
    /// Run a script once for every combination of some settings, and for several seeds.
    Sweep(SweepArguments),
    /// The runs that are there, and how they stand.
    Runs {
        /// The folder that holds them.
        #[arg(default_value = "runs")]
        folder: PathBuf,
    },
    /// The settings in which runs differ, and their results side by side.
    Compare {
        /// Folders of runs, or packs.
        #[arg(required = true)]
        runs: Vec<PathBuf>,
        /// Write the comparison as a page into this file too.
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
    },
    /// A copy of a script to vary.
    New {
        /// The new script's name; NAME.rhai is written into the working folder.
        name: String,
        /// What to begin with: the name of a script that comes with the program, or the path of one.
        #[arg(long, value_name = "SCRIPT", default_value = "quickstart")]
        from: String,
    },
    /// Put a run into one file, to be passed on: script and modules, settings, metrics, weights.
    Pack {
        /// The run's folder.
        run: PathBuf,
        /// The file [default: RUN.workbench in the working folder].
        #[arg(long, value_name = "FILE")]
        into: Option<PathBuf>,
    },
    /// Take a pack apart into a run's folder, after checking every byte.
    Unpack {
        /// The pack.
        pack: PathBuf,
        /// The folder, which must not be there yet [default: runs/NAME].
        #[arg(long, value_name = "FOLDER")]
        into: Option<PathBuf>,
    },
    /// What makes a shell complete this program's commands and options: put it where the shell looks.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// The manual page, as `man` reads it: `workbench man > workbench.1`; with a folder, a page for each command in it.
    Man {
        /// The folder, which is there.
        into: Option<PathBuf>,
    },
    /// Write what a person reads about a run or a sweep: plots and report.html, one file for any browser, in its folder.
    Report(ReportArguments),
    /// Data sets: what is there, fetching, checking, showing.
    Data {
        /// What to do.
        #[command(subcommand)]
        what: Data,
    },
    /// What a file of weights holds: names, shapes, types, ranges; and whether it fits a network.
    Weights {
        /// A file: safetensors, .pth of any version of PyTorch, ONNX.
        file: PathBuf,
        /// Which of several dictionaries of tensors [default: all].
        #[arg(long, value_name = "KEY")]
        take: Option<String>,
        /// The network that it is for: a file that this program has saved, or the name of a network inside the program.
        #[arg(long, value_name = "MODEL")]
        fit: Option<String>,
    },
    /// The prompt: type, look, change.
    Repl {
        /// A script to run first; what it defines stays.
        script: Option<PathBuf>,
        /// Override one of the script's settings, as with `run`.
        #[arg(long, value_name = "KEY=VALUE", requires = "script")]
        set: Vec<String>,
        /// What scripts may touch and take.
        #[command(flatten)]
        permissions: Permissions,
    },
    /// What a function, a type or a module does; where words are found; without any, what there is.
    Doc {
        /// A name: conv2d, Tensor, Tensor.reshape, lip::bounds, std/probe, guide/training; or words to look for.
        words: Vec<String>,
        /// Write the reference and the guide as static HTML into this folder.
        #[arg(long, value_name = "DIR", conflicts_with_all = ["words", "definitions"])]
        html: Option<PathBuf>,
        /// Write .d.rhai files for an editor's Rhai language server into this folder.
        #[arg(long, value_name = "DIR", conflicts_with = "words")]
        definitions: Option<PathBuf>,
    },
    /// Check the names in a script and in all it imports, without running anything.
    Check {
        /// The script: a .rhai file, or the name of one that comes with the program.
        script: PathBuf,
    },
}

/// What `workbench data` does. NAME is that of a data set, or the path of a manifest of your own.
#[derive(Debug, Subcommand)]
pub enum Data {
    /// All data sets that are known: where they are, how large, under which licence.
    List,
    /// All that is known about one.
    Info {
        /// The data set.
        name: String,
    },
    /// Download data sets from the Hugging Face hub, check them, and keep them decoded.
    ///
    /// HF_HOME, HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE are respected. A download that was cut off goes on where it stopped.
    Fetch {
        /// The data sets.
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Check every image, every label and all checksums of a data set, where it is.
    Verify {
        /// The data set.
        name: String,
    },
    /// Print the folder or the files that a data set is read from, and nothing else.
    Path {
        /// The data set.
        name: String,
    },
    /// Take over a data set from a folder of its original files or from an archive (.tar, .tar.gz, .zip), and keep it decoded.
    ///
    /// Without NAME it says what it recognises there: a data set that is known by name is taken over as that; of other files it
    /// says what they are and how a manifest describes them.
    Import {
        /// The data set, if it is to be this one, and the folder or archive.
        #[arg(required = true, num_args = 1..=2, value_names = ["NAME", "PATH"])]
        what: Vec<PathBuf>,
    },
    /// Show some images of each class, in the terminal and as a PNG file.
    Show {
        /// The data set.
        name: String,
        /// `train`, `test` or `validation`.
        #[arg(long, default_value = "train", value_parser = ["train", "test", "validation"])]
        split: String,
        /// Images of each class.
        #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64), value_name = "N")]
        columns: u16,
        /// The PNG file [default: NAME.png].
        #[arg(long, value_name = "FILE")]
        png: Option<PathBuf>,
    },
}

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

/// Which run or sweep, and where its report goes.
#[derive(Args, Clone, Debug)]
pub struct ReportArguments {
    /// The folder of the run or the sweep, which may be under way, or may have been killed.
    pub run: PathBuf,
    /// Write the page to this file only, and leave the folder as it is.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if share > 0.0 && share <= 1.0 => Ok(share),
        _ => Err("give a number above 0, 1 at the most".into()),
    }
}

fn minutes(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(minutes) if (0.001..=1e6).contains(&minutes) => Ok(minutes),
        _ => Err("give a number of minutes, such as 10".into()),
    }
}

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

fn threads(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(0) => Err("at least 1 thread must compute".into()),
        Ok(n) if n > 4096 => Err("at most 4096 threads can be asked for".into()),
        Ok(n) => Ok(n),
        Err(_) => Err("give a whole number, 1 or more".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_grammar_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn flags_stand_before_or_after_the_command() {
        for line in ["workbench --seed 3 run a.rhai --set a=1", "workbench run a.rhai --set a=1 --seed 3"] {
            let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
            assert_eq!(arguments.host.seed, Some(3));
            assert!(matches!(arguments.command, Some(Command::Run(run)) if run.set == ["a=1"]));
        }
        assert!(Arguments::try_parse_from(["workbench", "--threads", "0"]).is_err());
    }
}
