//! The program and its commands.

use super::data::Data;
use super::host::HostArguments;
use super::run::{RecheckArguments, ReplayArguments, RunArguments};
use super::sweep::SweepArguments;
use crate::cli::permissions::Permissions;
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
    /// Put a run into one file, to be passed on: script and modules, settings, metrics, weights; no checkpoints. To go on with a run
    /// elsewhere, copy its whole folder.
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

/// Which run or sweep, and where its report goes.
#[derive(Args, Clone, Debug)]
pub struct ReportArguments {
    /// The folder of the run or the sweep, which may be under way, or may have been killed.
    pub run: PathBuf,
    /// Write the page to this file only, and leave the folder as it is.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
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
