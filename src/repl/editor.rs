//! The prompt at a terminal: rustyline edits the line, keeps the history and completes names.

use super::complete::{Vocabulary, complete, signature};
use super::evaluate::{Outcome, evaluate, fresh};
use super::terminal::{colours, complain, shows_colours, width};
use crate::script::explain::report::Failure;
use crate::script::session::Session;
use crate::show::highlight::highlight;
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hint, Hinter};
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{
    Cmd, ColorMode, CompletionType, Config, Context, Editor, EventHandler, Helper, KeyCode, KeyEvent, Modifiers,
};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashSet;
use std::path::PathBuf;
use std::rc::Rc;

/// Columns of `> `.
const PROMPT_WIDTH: usize = 2;
/// Lines of history kept.
const HISTORY: usize = 5000;

/// What rustyline asks while a line is edited.
struct Assistant {
    session: Rc<RefCell<Session>>,
    vocabulary: Vocabulary,
    /// Names of functions, which are coloured.
    functions: HashSet<String>,
}

impl Helper for Assistant {}

impl Highlighter for Assistant {
    fn highlight<'l>(&self, line: &'l str, _position: usize) -> Cow<'l, str> {
        Cow::Owned(highlight(line, |word| self.functions.contains(word)))
    }

    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _default: bool) -> Cow<'b, str> {
        Cow::Owned(format!("\x1b[1;34m{prompt}\x1b[0m"))
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(format!("\x1b[2m{hint}\x1b[0m"))
    }

    fn highlight_char(&self, _line: &str, _position: usize, kind: CmdKind) -> bool {
        kind != CmdKind::MoveCursor
    }
}

/// The parameters of the function whose bracket was just opened; shown, never put in.
struct Parameters(String);

impl Hint for Parameters {
    fn display(&self) -> &str {
        &self.0
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

impl Hinter for Assistant {
    type Hint = Parameters;

    fn hint(&self, line: &str, position: usize, _: &Context<'_>) -> Option<Parameters> {
        // Without colours nobody could tell it from what was typed.
        let found = Some(line).filter(|line| position == line.len() && shows_colours())?;
        let text = signature(&self.session.borrow(), found)?;
        let column = line.rsplit('\n').next().map_or(0, |last| last.chars().count()) + PROMPT_WIDTH;
        (column + text.chars().count() < width()).then_some(Parameters(text))
    }
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(&self, line: &str, position: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, names) = complete(&self.session.borrow(), &self.vocabulary, line, position);
        Ok((start, names.into_iter().map(|name| Pair { display: name.clone(), replacement: name }).collect()))
    }
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext) -> rustyline::Result<ValidationResult> {
        let input = context.input();
        // Commands and questions are one line.
        if input.starts_with([':', '?']) {
            return Ok(ValidationResult::Valid(None));
        }
        // An empty line forces evaluation, whatever is still open.
        let forced = input.rsplit('\n').next().is_some_and(|last| last.trim().is_empty());
        let incomplete = !forced && self.session.borrow().is_incomplete(input);
        Ok(if incomplete { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}

/// What to try first.
fn welcome() -> [String; 4] {
    [
        format!("workbench {}; `help` for help, Ctrl-D to leave", env!("CARGO_PKG_VERSION")),
        "  demo               one image of a trained network: its bounds, its certificate, an attack".into(),
        "  ?guide/quickstart  a first network of your own, line by line".into(),
        "  ?guide/how_do_i    tasks and their lines; ?name about any name".into(),
    ]
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
    for line in welcome() {
        crate::base::output::line(&line);
    }
    loop {
        fresh();
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
    let colour = if colours() { ColorMode::Enabled } else { ColorMode::Disabled };
    let config = Config::builder()
        .max_history_size(HISTORY)?
        .history_ignore_dups(true)?
        .history_ignore_space(true)
        .completion_type(CompletionType::List)
        .color_mode(colour);
    let mut editor = Editor::with_config(config.build())?;
    let vocabulary = Vocabulary::new(&session.borrow());
    let functions = session.borrow().natives().into_iter().map(|native| native.name).collect();
    editor.set_helper(Some(Assistant { session: session.clone(), vocabulary, functions }));
    // A new line without leaving the input.
    editor.bind_sequence(KeyEvent(KeyCode::Enter, Modifiers::ALT), EventHandler::Simple(Cmd::Newline));
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
