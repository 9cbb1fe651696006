//! A session: the engine, the host behind it and what a script or the prompt has defined so far.

use super::recording::Recording;
use super::source::{LAST, Source};
use super::transcript::Typed;
use crate::compute::collective::Ranks;
use crate::report;
use crate::run::{Arithmetic, Record, Status};
use crate::script::access::Allowed;
use crate::script::bind;
use crate::script::bind::{Host, HostConfig};
use crate::script::check;
use crate::script::docs::Docs;
use crate::script::explain::explain;
use crate::script::explain::report::{Failure, FailureKind, Report};
use crate::script::language::Res;
use crate::script::language::engine;
use crate::script::language::guard::guarded;
use crate::script::language::kept;
use crate::script::language::lexical;
use crate::script::language::limits::Limits;
use crate::script::language::loader::Loader;
use crate::script::settings::Overrides;
use crate::script::stdlib::stdlib;
use crate::show::Screen;
use rhai::{AST, Engine, EvalAltResult, LexError, ParseErrorType, Scope};
use std::cell::{OnceCell, RefCell};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// What a session is started with, from the command line.
pub struct Config {
    /// Where tensors live.
    pub device: candle_core::Device,
    /// The seed of everything random.
    pub seed: u64,
    /// How many threads compute.
    pub threads: usize,
    /// Where data sets are kept, if not at the usual place.
    pub data_dir: Option<PathBuf>,
    /// The arguments of `--set`.
    pub overrides: Overrides,
    /// The script, or nothing at the prompt.
    pub script: Option<PathBuf>,
    /// How a run of the script is written down.
    pub recording: Recording,
    /// Where the script's modules come from, if not from its folder and the program.
    pub source: Source,
    /// What scripts may touch beside the usual.
    pub allowed: Allowed,
    /// How much they may take.
    pub limits: Limits,
    /// This process among those of the run.
    pub ranks: Ranks,
}

/// One run of a script, or one sitting at the prompt.
pub struct Session {
    pub(super) engine: Rc<Engine>,
    pub(super) loader: Rc<Loader>,
    pub(super) host: Rc<Host>,
    overrides: Rc<RefCell<Overrides>>,
    docs: OnceCell<Docs>,
    source: Source,
    recording: Recording,
    /// The prompt's variables.
    pub(super) scope: Scope<'static>,
    /// The prompt's functions and imports so far.
    pub(super) library: AST,
    /// All that was typed so far; lines of error messages count from its beginning.
    pub(super) transcript: String,
    /// The inputs that went well, in order, for `:save`.
    pub(super) typed: Vec<Typed>,
    /// Scripts that were loaded into the prompt.
    pub(super) scripts: Vec<String>,
}

impl Session {
    /// Start the engine and the host.
    pub fn new(config: Config) -> Self {
        let at_prompt = config.script.is_none();
        let overrides = if at_prompt { config.overrides.repeatable() } else { config.overrides };
        let overrides = Rc::new(RefCell::new(overrides));
        let loader = Loader::fetching(config.source.std.unwrap_or(stdlib()), config.source.fetch.clone());
        loader.set_arithmetic(config.source.arithmetic.unwrap_or(Arithmetic::Fractions));
        let (source, recording) = (config.source, config.recording);
        let host = Host::new(HostConfig {
            device: config.device,
            seed: config.seed,
            threads: config.threads,
            data_dir: config.data_dir,
            overrides: overrides.clone(),
            script_path: config.script,
            loader: loader.clone(),
            allowed: config.allowed,
            ranks: config.ranks,
        });
        let mut engine = {
            let run = host.run.clone();
            let between = move || run.close_left_loop();
            engine::build(
                |engine| bind::register(engine, &host),
                loader.clone(),
                host.printer(),
                between,
                bind::watch,
                &config.limits,
            )
        };
        // At the prompt, names of earlier inputs are not in the text that is being parsed.
        engine.set_strict_variables(!at_prompt);
        loader.set_constants(host.scope());
        let (scope, library) = (Scope::new(), AST::empty());
        Self {
            engine: Rc::new(engine),
            loader,
            host,
            overrides,
            source,
            recording,
            docs: OnceCell::new(),
            scope,
            library,
            transcript: String::new(),
            typed: vec![],
            scripts: vec![],
        }
    }

    /// The sources loaded so far.
    pub fn loader(&self) -> &Rc<Loader> {
        &self.loader
    }

    /// What the run was and came to, and its folder if it has one.
    pub fn record(&self) -> (Record, Option<PathBuf>) {
        (self.host.run.record(), self.host.run.folder())
    }

    /// The engine, for its documentation and completion.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The documentation.
    pub fn docs(&self) -> &Docs {
        self.docs.get_or_init(|| Docs::with(self.loader.modules()))
    }

    /// What text is drawn for.
    pub fn set_screen(&self, screen: Screen) {
        self.host.screen.set(screen);
    }

    /// What text is drawn for.
    pub fn screen(&self) -> Screen {
        self.host.screen.get()
    }

    /// Check the names in the script at `path` and in all it imports, without running anything.
    pub fn check_file(&self, path: &Path) -> Result<(), Failure> {
        let main = self.loader.open_script(path).map_err(Failure::bare)?;
        let reports = check::problems(&self.engine, &self.loader, self.docs(), &main);
        if reports.is_empty() { Ok(()) } else { Err(self.as_told(Failure { kind: FailureKind::Error, reports })) }
    }

    /// Without the name of a temporary folder.
    fn as_told(&self, failure: Failure) -> Failure {
        match &self.source.temporary {
            Some(folder) => failure.without_folder(&folder.display().to_string()),
            None => failure,
        }
    }

    /// The same, and whether every setting is read.
    pub fn check_closely(&self, path: &Path) -> Result<(), Failure> {
        self.check_file(path)?;
        let main = self.loader.open_script(path).map_err(Failure::bare)?;
        let reports = check::unused_settings(&self.engine, &self.loader, &main);
        if reports.is_empty() { Ok(()) } else { Err(Failure { kind: FailureKind::Error, reports }) }
    }

    /// Check the script at `path`, then run it.
    pub fn run_file(&mut self, path: &Path) -> Result<(), Failure> {
        self.check_file(path)?;
        self.loader.stop_fetching();
        let main = self.loader.open_script(path).map_err(Failure::bare)?;
        self.recording.begin(path, &self.source, &self.host, &self.engine, &self.loader).map_err(Failure::bare)?;
        let result = guarded(|| self.run(&main));
        self.host.finish();
        let result = result.map_err(|error| self.failure(&error, &main));
        // A loop that was left by `break` or `exit` has had its last epoch.
        let ended = match &result {
            Ok(()) => true,
            Err(failure) => matches!(failure.kind, FailureKind::Exit(_)),
        };
        let left = if ended { self.host.run.leave_loop().map_err(Failure::bare) } else { Ok(()) };
        let result = left.and(result);
        let ranks = self.host.run.ranks();
        if result.is_ok() && !ranks.group.is_alone() && !self.host.run.has_shared() {
            self.host.run.note(&format!(
                "note: the {} processes have all done the same: the script has no pass over training images inside run.epochs(...), which is \
                 what they share, and no evaluation of std",
                ranks.group.world()
            ));
        }
        let unused = || self.overrides.borrow().unused().or_else(|| self.host.run.never_reached());
        let result = result.and_then(|()| unused().map_or(Ok(()), |message| Err(Failure::bare(message))));
        if let Err(failure) = &result
            && !failure.reports.is_empty()
        {
            let error = (failure.kind == FailureKind::Error).then(|| failure.reports[0].message.clone());
            self.host.run.failed_with(&failure.render(false), error);
        }
        let status = match &result {
            Ok(()) => Status::Finished,
            Err(failure) if failure.kind == FailureKind::Interrupted => Status::Interrupted,
            Err(failure) if failure.exit_code() == 0 => Status::Finished,
            Err(_) => Status::Failed,
        };
        // What went wrong first is what is told.
        let finished = self.host.run.finish(status).map_err(Failure::bare);
        // The run is what it is without its report.
        if let Err(why) = self.host.run.illustrate(report::write) {
            self.host.run.note(&format!("note: {why}"));
        }
        result.and(finished)
    }

    fn run(&mut self, main: &str) -> Res<()> {
        let ast = self.loader.parse(&self.engine, main)?;
        let _here = kept::here(&self.engine);
        self.engine.run_ast_with_scope(&mut Scope::new(), &ast)
    }

    pub(super) fn failure(&self, error: &EvalAltResult, main: &str) -> Failure {
        let mut failure = explain(error, main, &self.engine, &self.loader);
        if failure.kind == FailureKind::Interrupted {
            let note = self.host.interrupted_note();
            failure.reports.iter_mut().for_each(|report: &mut Report| report.notes.extend(note.clone()));
        }
        self.as_told(failure)
    }

    /// Does `input` stop in the middle: an open bracket, an open string or comment, half an expression?
    pub fn is_incomplete(&self, input: &str) -> bool {
        // Rhai takes an open comment for one that ends with the text, and wants a function behind what describes one.
        if lexical::ends_in_block_comment(input) || lexical::ends_with_doc_comment(input) {
            return true;
        }
        // `_` alone is no name to Rhai.
        let input = &lexical::replaced(input, "_", LAST);
        let Err(error) = self.engine.compile(input) else { return false };
        match error.err_type() {
            ParseErrorType::UnexpectedEOF | ParseErrorType::BadInput(LexError::UnterminatedString) => true,
            // A missing bracket means more to come only when the parser ran off the end of the text.
            ParseErrorType::MissingToken(..) => {
                let (last, length) = input
                    .lines()
                    .enumerate()
                    .last()
                    .map_or((1, 0), |(i, line)| (i + 1, line.trim_end().chars().count()));
                let (line, column) = (error.position().line(), error.position().position().unwrap_or(0));
                line.is_none_or(|line| line > last || (line == last && column > length))
            }
            _ => false,
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.host.finish();
    }
}
