//! The prompt at a terminal: rustyline edits the line, keeps the history and completes names.

use super::terminal::complain;
use super::{Outcome, evaluate, fresh};
use crate::script::report::Failure;
use crate::script::session::Session;
use rustyline::completion::{Completer, Pair, extract_word};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Config, Context, Editor, Helper};
use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

/// Lines of history kept.
const HISTORY: usize = 5000;

/// What rustyline asks while a line is edited.
struct Assistant {
    session: Rc<RefCell<Session>>,
    names: Vec<String>,
}

impl Helper for Assistant {}

impl Highlighter for Assistant {}

impl Hinter for Assistant {
    type Hint = String;
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(&self, line: &str, position: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, word) = extract_word(line, position, None, |c| !(c.is_alphanumeric() || c == '_'));
        let matching = self.names.iter().filter(|name| !word.is_empty() && name.starts_with(word));
        let pair = |name: &String| Pair { display: name.clone(), replacement: name.clone() };
        Ok((start, matching.map(pair).collect()))
    }
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext) -> rustyline::Result<ValidationResult> {
        let input = context.input();
        // An empty line forces evaluation, whatever is still open.
        let forced = input.rsplit('\n').next().is_some_and(|last| last.trim().is_empty());
        let incomplete = !forced && self.session.borrow().is_incomplete(input);
        Ok(if incomplete { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}

/// Read and evaluate until Ctrl-D or `exit()`.
pub fn run(session: Session) -> Result<(), Failure> {
    let session = Rc::new(RefCell::new(session));
    let mut editor = editor(&session).map_err(|e| Failure::bare(format!("cannot use this terminal: {e}")))?;
    let history = history_file();
    if let Some(file) = &history {
        // The first sitting has none.
        let _ = editor.load_history(file);
    }
    println!("workbench {}; `help` for help, Ctrl-D to leave", env!("CARGO_PKG_VERSION"));
    loop {
        fresh();
        if let Some(assistant) = editor.helper_mut() {
            assistant.names = session.borrow().completions();
        }
        let input = match editor.readline("> ") {
            Ok(input) => input,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(Failure::bare(format!("cannot read from the terminal: {error}"))),
        };
        if !input.trim().is_empty() && editor.add_history_entry(input.trim_end()).unwrap_or(false) {
            // After each line, since saving at the end loses everything when the process is killed. A folder that
            // cannot be written to costs the history and nothing else.
            let _ = history.as_ref().map(|file| editor.append_history(file));
        }
        fresh();
        if let Outcome::Leave(failure) = evaluate(&mut session.borrow_mut(), &input) {
            return Err(failure);
        }
    }
}

fn editor(session: &Rc<RefCell<Session>>) -> rustyline::Result<Editor<Assistant, DefaultHistory>> {
    let config = Config::builder().max_history_size(HISTORY)?.history_ignore_dups(true)?.history_ignore_space(true);
    let mut editor = Editor::with_config(config.build())?;
    editor.set_helper(Some(Assistant { session: session.clone(), names: vec![] }));
    Ok(editor)
}

/// Where the history lives: `WORKBENCH_HISTORY`, or the user's state folder as XDG has it. None if there is no place.
fn history_file() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(file) = folder("WORKBENCH_HISTORY") {
        return Some(file);
    }
    let state = folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/state")))?;
    let own = state.join("workbench");
    if let Err(error) = std::fs::create_dir_all(&own) {
        complain(&format!("the history is not kept: cannot create {}: {error}", own.display()));
        return None;
    }
    Some(own.join("history"))
}
