//! The command line's grammar and its help.

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
  workbench report runs/2026-01-31-my_net-k3x9a           plots and a page about the run, report.html
  workbench check my_net.rhai                             find misspelt names, run nothing
  workbench doc lip::bounds                               what it does, its shapes and options
  workbench repl my_net.rhai                              run it, then go on at the prompt
  workbench data fetch cifar10                            download it once, checked to the last pixel
  workbench                                               a prompt; type `help` there
  echo 'print(1 + 1)' | workbench                         the prompt, fed from a pipe

Exit codes:
  0    the script ended well
  1    an error in the script or its data
  2    wrong use of the command line
  130  interrupted by Ctrl-C (a second Ctrl-C ends at once)
  N    the script called exit(N)";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a script, after checking its names; or go on with a run that was interrupted.
    Run(RunArguments),
    /// Write what a person reads about a run: plots and report.html, one file for any browser, in the run's folder.
    Report(ReportArguments),
    /// Data sets: what is there, fetching, checking, showing.
    Data {
        /// What to do.
        #[command(subcommand)]
        what: Data,
    },
    /// The prompt: type, look, change.
    Repl {
        /// A script to run first; what it defines stays.
        script: Option<PathBuf>,
        /// Override one of the script's settings, as with `run`.
        #[arg(long, value_name = "KEY=VALUE", requires = "script")]
        set: Vec<String>,
    },
    /// What a function, a type or a module does; without a name, what there is.
    Doc {
        /// A name: conv2d, Tensor, Tensor.reshape, lip::bounds, std/probe.
        name: Option<String>,
        /// Write the reference and the guide as static HTML into this folder.
        #[arg(long, value_name = "DIR", conflicts_with_all = ["name", "definitions"])]
        html: Option<PathBuf>,
        /// Write .d.rhai files for an editor's Rhai language server into this folder.
        #[arg(long, value_name = "DIR", conflicts_with = "name")]
        definitions: Option<PathBuf>,
    },
    /// Check the names in a script and in all it imports, without running anything.
    Check {
        /// The script, a .rhai file.
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
    /// HF_HOME, HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE are heard. A download that was cut off goes on where it stopped.
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
    Import {
        /// The data set.
        name: String,
        /// The folder or archive.
        path: PathBuf,
    },
    /// Show some images of each class, in the terminal and as a PNG file.
    Show {
        /// The data set.
        name: String,
        /// `train` or `test`.
        #[arg(long, default_value = "train", value_parser = ["train", "test"])]
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
    /// The script, a .rhai file.
    #[arg(required_unless_present = "resume")]
    pub script: Option<PathBuf>,
    /// Override one of the script's settings; may be given for several keys.
    ///
    /// The script declares its settings with `settings(#{ key: default, ... })`; the value must be of the default's type.
    /// Numbers may be written as 0.1, 1e-3 or 36/255, arrays as [1, 2].
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
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
}

/// Which run, and where its report goes.
#[derive(Args, Clone, Debug)]
pub struct ReportArguments {
    /// The run's folder. The run may be under way, or may have been killed.
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
