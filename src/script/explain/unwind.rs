//! From Rhai's nested error to a report: the innermost message, the place in the right file, the script's call stack.

use super::caught;
use super::report::{Failure, FailureKind, Place, Report, end_before};
use super::wording;
use crate::script::language::error::{ExitCode, Stopped};
use crate::script::language::loader::Loader;
use crate::script::language::origin::PROMPT;
use rhai::{Engine, EvalAltResult, ParseErrorType, Position};

/// More frames than this are shown as the first and the last ones.
const FRAMES: usize = 12;

/// One level of the script's call stack: in what, and where in it.
struct Frame {
    within: String,
    file: String,
    at: Position,
}

/// Explain `error`, which ended the script `main` (as the loader shows it).
pub fn explain(error: &EvalAltResult, main: &str, engine: &Engine, loader: &Loader) -> Failure {
    let (leaf, frames) = unwind(error, main, loader);
    let place = frames.iter().rev().find(|frame| !frame.at.is_none()).map(|frame| Place {
        file: frame.file.clone(),
        line: frame.at.line().unwrap_or(1),
        column: frame.at.position().unwrap_or(1),
    });
    if let EvalAltResult::ErrorTerminated(token, _) = leaf {
        if let Some(ExitCode(code)) = token.clone().try_cast::<ExitCode>() {
            return Failure { kind: FailureKind::Exit(code), reports: vec![] };
        }
        if let Some(Stopped(message)) = token.clone().try_cast::<Stopped>() {
            let place = place.and_then(|place| Some((place.clone(), loader.text(&place.file)?)));
            return Failure {
                kind: FailureKind::Error,
                reports: vec![Report { message, place, notes: stack(&frames).into_iter().collect() }],
            };
        }
        let place = place.map(|place| (place, "".into()));
        let report = Report { message: "interrupted".into(), place, notes: vec![] };
        return Failure { kind: FailureKind::Interrupted, reports: vec![report] };
    }
    let file = place.as_ref().map_or(main, |place| place.file.as_str()).to_string();
    let (mut message, mut notes) = wording::describe(leaf, &file, engine, loader);
    // One of the language's own errors that was caught and thrown again.
    if let EvalAltResult::ErrorRuntime(value, _) = leaf
        && let Some(sentence) = value.as_map_ref().ok().and_then(|map| caught::sentence(&map, engine, loader))
    {
        message = sentence;
    }
    notes.extend(stack(&frames));
    let place = place.and_then(|place| {
        let text = loader.text(&place.file)?;
        Some((refine(leaf, place, &text), text))
    });
    Failure { kind: FailureKind::Error, reports: vec![Report { message, place, notes }] }
}

/// The innermost error and the frames around it, outermost first.
fn unwind<'e>(error: &'e EvalAltResult, main: &str, loader: &Loader) -> (&'e EvalAltResult, Vec<Frame>) {
    let mut frames = vec![];
    let start = if main == PROMPT { "the input" } else { "the script" };
    let (mut error, mut within, mut file) = (error, start.to_string(), main.to_string());
    loop {
        let at = error.position();
        match error {
            EvalAltResult::ErrorInFunctionCall(name, source, inner, _) => {
                frames.push(Frame { within, file: file.clone(), at });
                within = if name.starts_with("anon$") { "a closure".into() } else { format!("function `{name}`") };
                // The prompt runs the functions of scripts that were loaded into it as its own.
                let home = if source == PROMPT { loader.home_of(name) } else { None };
                if let Some(home) = home.or_else(|| (!source.is_empty()).then(|| source.clone())) {
                    file = home;
                }
                error = inner;
            }
            EvalAltResult::ErrorInModule(name, inner, _) => {
                frames.push(Frame { within, file: file.clone(), at });
                within = format!("module {name}");
                if !name.is_empty() {
                    file = name.clone();
                }
                error = inner;
            }
            _ => {
                frames.push(Frame { within, file, at });
                return (error, frames);
            }
        }
    }
}

/// The call stack as one note, innermost first; nothing for an error in the script's own statements.
fn stack(frames: &[Frame]) -> Option<String> {
    if frames.len() < 2 {
        return None;
    }
    let mut lines: Vec<String> = frames.iter().rev().map(line).collect();
    if lines.len() > FRAMES {
        let left_out = lines.len() - FRAMES;
        lines.splice(FRAMES / 2..FRAMES / 2 + left_out, [format!("... {left_out} more ...")]);
    }
    Some(lines.join("\n"))
}

fn line(frame: &Frame) -> String {
    match (frame.at.line(), frame.at.position()) {
        (Some(line), column) => format!("in {} ({}:{line}:{})", frame.within, frame.file, column.unwrap_or(1)),
        (None, _) => format!("in {}", frame.within),
    }
}

/// Rhai misses a `;` only at the next word, often lines below; the caret belongs where the `;` does.
fn refine(leaf: &EvalAltResult, place: Place, text: &str) -> Place {
    if let EvalAltResult::ErrorParsing(ParseErrorType::MissingToken(token, _), _) = leaf
        && token == ";"
        && let Some((line, column)) = end_before(text, place.line, place.column)
    {
        return Place { line, column, ..place };
    }
    place
}
