//! A session: the engine, the host behind it and what a script or the prompt has defined so far.

use super::bind::{self, Host, HostConfig};
use super::error::Res;
use super::explain::explain;
use super::guard::guarded;
use super::loader::Loader;
use super::report::{Failure, FailureKind, Report};
use super::settings::Overrides;
use super::stdlib::stdlib;
use super::{check, engine};
use rhai::{AST, Dynamic, Engine, EvalAltResult, LexError, Module, ParseErrorType, Scope, Stmt};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// The name under which the prompt's input appears in error messages.
pub const PROMPT: &str = "prompt";

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
}

/// One run of a script, or one sitting at the prompt.
pub struct Session {
    engine: Engine,
    loader: Rc<Loader>,
    host: Rc<Host>,
    overrides: Rc<RefCell<Overrides>>,
    /// The prompt's variables.
    scope: Scope<'static>,
    /// The prompt's functions and imports so far.
    library: AST,
    /// All that was typed so far; lines of error messages count from its beginning.
    transcript: String,
}

impl Session {
    /// Start the engine and the host.
    pub fn new(config: Config) -> Self {
        let at_prompt = config.script.is_none();
        let overrides = if at_prompt { config.overrides.repeatable() } else { config.overrides };
        let overrides = Rc::new(RefCell::new(overrides));
        let loader = Loader::new(stdlib());
        let host = Host::new(HostConfig {
            device: config.device,
            seed: config.seed,
            threads: config.threads,
            data_dir: config.data_dir,
            overrides: overrides.clone(),
            script_path: config.script,
        });
        let mut engine = engine::build(|engine| bind::register(engine, &host), loader.clone(), host.printer());
        // At the prompt, names of earlier inputs are not in the text that is being parsed.
        engine.set_strict_variables(!at_prompt);
        loader.set_constants(host.scope());
        let (scope, library) = (Scope::new(), AST::empty());
        Self { engine, loader, host, overrides, scope, library, transcript: String::new() }
    }

    /// The sources loaded so far.
    pub fn loader(&self) -> &Rc<Loader> {
        &self.loader
    }

    /// The engine, for its documentation and completion.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Check the names in the script at `path` and in all it imports, without running anything.
    pub fn check_file(&self, path: &Path) -> Result<(), Failure> {
        let main = self.loader.open_script(path).map_err(Failure::bare)?;
        let reports = check::problems(&self.engine, &self.loader, &main);
        if reports.is_empty() { Ok(()) } else { Err(Failure { kind: FailureKind::Error, reports }) }
    }

    /// Check the script at `path`, then run it.
    pub fn run_file(&mut self, path: &Path) -> Result<(), Failure> {
        self.check_file(path)?;
        let main = self.loader.open_script(path).map_err(Failure::bare)?;
        let result = guarded(|| self.run(&main));
        self.host.finish();
        result.map_err(|error| self.failure(&error, &main))?;
        self.overrides.borrow().unused().map_or(Ok(()), |message| Err(Failure::bare(message)))
    }

    fn run(&mut self, main: &str) -> Res<()> {
        let ast = self.loader.parse(&self.engine, main)?;
        self.engine.run_ast_with_scope(&mut Scope::new(), &ast)
    }

    fn failure(&self, error: &EvalAltResult, main: &str) -> Failure {
        let mut failure = explain(error, main, &self.engine, &self.loader);
        if failure.kind == FailureKind::Interrupted {
            let note = self.host.interrupted_note();
            failure.reports.iter_mut().for_each(|report: &mut Report| report.notes.extend(note.clone()));
        }
        failure
    }

    /// Evaluate one input of the prompt; what it defines stays. Returns the value to show, if it has one.
    pub fn eval(&mut self, input: &str) -> Result<Option<String>, Failure> {
        let result = guarded(|| self.eval_input(input));
        self.host.finish();
        result.map_err(|error| self.failure(&error, PROMPT))
    }

    fn eval_input(&mut self, input: &str) -> Res<Option<String>> {
        let before = self.transcript.matches('\n').count();
        self.transcript += input.trim_end();
        self.transcript.push('\n');
        let padded = "\n".repeat(before) + input;
        let ast = self.loader.parse_input(&self.engine, PROMPT, &self.transcript, &padded, &self.scope)?;
        let mut all = self.library.merge(&ast);
        all.set_source(PROMPT);
        // The functions stay even when a statement fails; imports only when they worked.
        let functions = all.clone_functions_only();
        let result = self.engine.eval_ast_with_scope::<Dynamic>(&mut self.scope, &all);
        let imports: Vec<Stmt> = match &result {
            Ok(_) => all.statements().iter().filter(|s| matches!(s, Stmt::Import(..))).cloned().collect(),
            Err(_) => self.library.statements().to_vec(),
        };
        self.library = AST::new(imports, Module::new()).merge(&functions);
        let value = result?;
        let hidden = value.is_unit() || input.trim_end().ends_with(';');
        if hidden { Ok(None) } else { self.shown(value).map(Some) }
    }

    /// A value as the prompt shows it: in its short form.
    fn shown(&self, value: Dynamic) -> Res<String> {
        let mut scope = Scope::new();
        scope.push_dynamic("value", value);
        let ast = self.engine.compile_with_scope(&scope, "to_debug(value)")?;
        self.engine.eval_ast_with_scope::<Dynamic>(&mut scope, &ast).map(|text| text.to_string())
    }

    /// Does `input` stop in the middle: an open bracket, an open string, half an expression?
    pub fn is_incomplete(&self, input: &str) -> bool {
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

    /// Names that a user of the prompt may want completed: natives, own functions, variables, constants.
    pub fn completions(&self) -> Vec<String> {
        let mut names: Vec<String> = super::signatures::natives(&self.engine).into_iter().map(|n| n.name).collect();
        names.extend(self.library.iter_functions().map(|f| f.name.to_string()));
        names.extend(self.scope.iter_raw().map(|(name, ..)| name.to_string()));
        names.extend(self.loader.constants().iter_raw().map(|(name, ..)| name.to_string()));
        names.retain(|name| rhai::is_valid_identifier(name) && !name.starts_with("anon$"));
        names.sort();
        names.dedup();
        names
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.host.finish();
    }
}
