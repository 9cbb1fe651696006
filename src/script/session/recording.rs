//! A script's run, as it is to be written down or gone on with: what the run cannot know by itself.

use super::Source;
use crate::base::hex::hex;
use crate::compute::device;
use crate::run::{Arithmetic, Git, Options, Record, git_state};
use crate::script::bind::Host;
use crate::script::check::loop_state::{Carried, captured, carried};
use crate::script::language::loader::Loader;
use crate::script::language::origin::is_std;
use crate::script::language::purity::Purity;
use crate::script::language::refused;
use rhai::{AST, Engine};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// What is carried, with its file.
type Found = (String, Carried);

/// How a run is written down.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    pub options: Options,
    /// Go on with the run in this folder, although the script or its settings may have changed.
    pub resume: Option<PathBuf>,
    pub allow_changes: bool,
    /// Words of the command line that a run needs again: permissions, limits, where data is.
    pub flags: Vec<String>,
    /// The folder to write into, if not one below `runs/`.
    pub into: Option<PathBuf>,
    /// The repository, where somebody has looked already.
    pub git: Option<Option<Git>>,
}

impl Recording {
    /// The script at `path` has been checked and is about to run.
    pub fn begin(
        &self,
        path: &Path,
        source: &Source,
        host: &Host,
        engine: &Engine,
        loader: &Rc<Loader>,
    ) -> Result<(), String> {
        let ranks = host.run.ranks();
        let record = Record {
            script: source.shown.clone().unwrap_or_else(|| path.display().to_string()),
            main: path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            overrides: host.overrides.borrow().given().to_vec(),
            seed: host.seed,
            device: device::name(&host.device),
            threads: host.threads,
            flags: self.flags.clone(),
            versions: versions(),
            arithmetic: loader.arithmetic(),
            git: self.git.clone().unwrap_or_else(|| git_state(Path::new("."))),
            processes: Some(ranks.group.world()),
            launcher: ranks.group.launcher().map(|launcher| launcher.to_string()),
            shards: Some(ranks.strata.shards),
            by_shard: ranks.strata.by_shard,
            ..Record::default()
        };
        let sources = loader.clone();
        host.run.start_recording(record, self.options.clone(), Box::new(move || sources.closure()));
        if source.repeats {
            host.run.expect_data(source.data.clone(), source.was.clone());
            host.run.expect_entropy(source.entropy.clone());
        } else {
            host.run.know_data(source.data.clone(), source.was.clone());
        }
        if loader.arithmetic() == Arithmetic::Whole {
            host.run.note(&arithmetic_of_before(engine, loader));
        }
        let (batches, epochs) = self.carried(engine, loader);
        host.run.set_carried(batches.first().map(place));
        if let Some(into) = self.into.as_ref().filter(|_| ranks.group.is_first()) {
            std::fs::create_dir_all(into).map_err(|e| format!("--into {}: {e}", into.display()))?;
            host.run.set_folder(into.clone());
        }
        let Some(folder) = &self.resume else {
            // Who names a folder finds the run there, also if it only evaluates.
            self.into
                .as_ref()
                .filter(|_| ranks.group.is_first())
                .map_or(Ok(()), |_| host.run.open_folder().map(|_| ()))?;
            return host.run.share_folder();
        };
        if !self.allow_changes {
            same_script(&Record::read(folder)?, loader)?;
        }
        for found in epochs {
            host.run.note(&format!(
                "note: {} changes from epoch to epoch and is not kept (run.keep): the run may not end as one that was not \
                 interrupted",
                place(&found)
            ));
        }
        host.run.resume(folder)?;
        host.run.share_folder()
    }

    /// What the script and its modules carry from batch to batch, and from epoch to epoch, with the files.
    fn carried(&self, engine: &Engine, loader: &Loader) -> (Vec<Found>, Vec<Found>) {
        let asts: Vec<(String, Rc<AST>)> =
            loader.sources().into_iter().filter_map(|(name, _)| loader.ast(&name).map(|ast| (name, ast))).collect();
        let functions = asts.iter().flat_map(|(_, ast)| ast.iter_functions().map(|f| f.name.to_string()));
        let functions: BTreeSet<String> = functions.filter(|name| !name.starts_with("anon$")).collect();
        let purity = Purity::new(engine, functions);
        let (mut batches, mut epochs) = (vec![], vec![]);
        for (name, ast) in &asts {
            let (in_batches, in_epochs) = carried(ast, &purity);
            batches.extend(in_batches.into_iter().map(|found| (name.clone(), found)));
            // Those of std are known to forget what they captured.
            let hidden = if is_std(name) { vec![] } else { captured(ast, &purity) };
            batches.extend(hidden.iter().map(|found| (name.clone(), found.clone())));
            epochs.extend(hidden.into_iter().map(|found| (name.clone(), found)));
            epochs.extend(in_epochs.into_iter().map(|found| (name.clone(), found)));
        }
        (batches, epochs)
    }
}

/// What a run of before 0.2 is told that is repeated, varied or goes on.
fn arithmetic_of_before(engine: &Engine, loader: &Loader) -> String {
    const SHOWN: usize = 8;
    let lines = loader.sources().into_iter().flat_map(|(name, text)| {
        refused::divisions(engine, &text).into_iter().map(move |line| format!("{name}:{line}"))
    });
    let lines: Vec<String> = lines.collect();
    let places = match lines.len() {
        0 => "; it divides nowhere".to_string(),
        n if n > SHOWN => format!("; it divides in {}, and {} lines more", lines[..SHOWN].join(", "), n - SHOWN),
        _ => format!("; it divides in {}", lines.join(", ")),
    };
    format!(
        "note: this run was made with the arithmetic of before 0.2, and is run with it again, so that its numbers come out as \
         they were: 7 / 2 is 3, -x ** 2 is (-x) ** 2, floats within 2.2e-16 are equal. As a script of its own, under today's \
         arithmetic, where 7 / 2 is 3.5, it may come to something else{places}"
    )
}

fn place((file, found): &Found) -> String {
    format!("`{}` ({file}:{})", found.name, found.at.line().unwrap_or(0))
}

/// Is it the script that the run began with, with all its modules?
fn same_script(old: &Record, loader: &Loader) -> Result<(), String> {
    let sum = |text: &str| hex(&Sha256::digest(text));
    let now: BTreeMap<String, String> = loader.closure().into_iter().map(|(name, text)| (name, sum(&text))).collect();
    // Modules that are imported by a path made while the script runs are not loaded yet.
    let other = now.iter().find(|(name, sum)| old.files.get(*name) != Some(sum));
    match other {
        None => Ok(()),
        Some((name, _)) => Err(format!(
            "--resume: {name} is not as it was when the run began; run the script as it was (a copy of it is in the run's \
             folder), or add --allow-changes"
        )),
    }
}

fn versions() -> BTreeMap<String, String> {
    [("workbench", env!("CARGO_PKG_VERSION")), ("rhai", "1.27.0"), ("candle", candle_version())]
        .map(|(name, version)| (name.to_string(), version.to_string()))
        .into()
}

/// The version that Cargo.lock pins, found when the program is built.
fn candle_version() -> &'static str {
    let lock = include_str!("../../../Cargo.lock");
    let after = lock.split("name = \"candle-core\"\nversion = \"").nth(1);
    after.and_then(|rest| rest.split('"').next()).unwrap_or("unknown")
}
