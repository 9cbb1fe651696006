//! The command line: what it takes, what it does, and the exit code it ends with.

mod arguments;
mod data;
mod doc;
mod origin;
mod packing;
mod permissions;
mod processes;
mod recheck;
mod report;
mod run;
mod runs;
mod signals;
mod start;
mod sweep;
mod variant;
mod weights;

use crate::base::files::quoted;
use crate::base::{memory, output};
use crate::repl;
use crate::repl::terminal::{colours, complain};
use crate::script::explain::report::{Failure, FailureKind};
use crate::script::settings::Overrides;
use arguments::{Arguments, Command};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};
use permissions::Permissions;
use start::{Started, end, start};
use std::io::IsTerminal;
use std::process::ExitCode;

/// Wrong use of the command line.
const USAGE: u8 = 2;

/// Parse the command line, do what it asks, and say how it went. `exit` ends the process where there is no way back: at a second
/// Ctrl-C, and when an operation takes far too much memory.
pub fn main(exit: fn(i32) -> !) -> ExitCode {
    signals::end_by(exit);
    // Before there is a second thread, which would get an arena of its own: blocks above 64 MiB are mapped anew there, whatever
    // the allocator was told.
    memory::keep_freed_memory();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    let stack = arguments.limits().stack();
    // Scripts run on a thread of its own, whose stack is as deep as their calls may be.
    let work = || match dispatch(arguments) {
        Ok(code) => code,
        Err(message) => {
            complain(&format!("error: {message}"));
            ExitCode::from(USAGE)
        }
    };
    let thread = std::thread::Builder::new().name("workbench".into()).stack_size(stack).spawn(work);
    match thread.map(std::thread::JoinHandle::join) {
        Ok(Ok(code)) => code,
        // A panic has said what it was.
        Ok(Err(_)) => ExitCode::FAILURE,
        Err(e) => {
            complain(&format!("error: no thread with a stack of {} MiB: {e}; lower --max-calls", stack >> 20));
            ExitCode::from(USAGE)
        }
    }
}

/// clap's own words; a flag that looks like a script's setting is told how settings are given.
fn usage(error: &clap::Error) -> ExitCode {
    let flag = match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(flag))) => flag.strip_prefix("--"),
        _ => None,
    };
    let _ = error.print();
    let given: Vec<String> = std::env::args().collect();
    if error.kind() == ErrorKind::InvalidSubcommand
        && let Some(script) = given.get(1).filter(|word| word.ends_with(".rhai"))
    {
        complain(&format!("\n  a script is run by: workbench run {}", quoted(script)));
    }
    let takes_settings = given.get(1).is_some_and(|command| ["run", "sweep"].contains(&command.as_str()));
    if let Some(key) = flag.filter(|_| takes_settings) {
        let key = key.split('=').next().unwrap_or(key);
        let value = given.iter().enumerate().find_map(|(i, word)| {
            let rest = word.strip_prefix("--")?.strip_prefix(key)?;
            if rest.is_empty() { given.get(i + 1).map(String::as_str) } else { rest.strip_prefix('=') }
        });
        let setting = quoted(&format!("{key}={}", value.unwrap_or("VALUE")));
        complain(&format!("\n  a setting of the script is given with --set: --set {setting}"));
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE))
}

/// `Err` is wrong use of the command line.
fn dispatch(arguments: Arguments) -> Result<ExitCode, String> {
    let (host, usual) = (arguments.host, Permissions::default());
    match &arguments.command {
        Some(Command::Replay(_)) => processes::refuse("replay")?,
        Some(Command::Recheck(_)) => processes::refuse("recheck")?,
        // Points of a plan are runs of their own, whoever starts them.
        Some(Command::Sweep(what)) if what.item.is_none() => processes::refuse("sweep")?,
        Some(Command::Repl { .. }) | None => processes::refuse("the prompt")?,
        Some(_) => {}
    }
    match arguments.command {
        Some(Command::Run(what)) => run::run(&what, host),
        Some(Command::Replay(what)) => run::replay(&what, host),
        Some(Command::Recheck(what)) => recheck::run(what, host),
        Some(Command::New { name, from }) => Ok(end(variant::make(&name, &from).map_err(Failure::bare))),
        Some(Command::Pack { run, into }) => Ok(end(packing::pack(&run, into.as_deref()).map_err(Failure::bare))),
        Some(Command::Unpack { pack, into }) => Ok(end(packing::unpack(&pack, into.as_deref()).map_err(Failure::bare))),
        Some(Command::Runs { folder }) => Ok(end(runs::list(&folder).map_err(Failure::bare))),
        Some(Command::Compare { runs, .. }) if runs.len() < 2 => {
            Err(format!("compare: {} alone; name two runs or more", runs[0].display()))
        }
        Some(Command::Compare { runs, html }) => Ok(end(runs::compare(&runs, html.as_deref()).map_err(Failure::bare))),
        Some(Command::Sweep(what)) => sweep::run(&what, host),
        Some(Command::Report(what)) => report::run(&what),
        Some(Command::Completions { shell }) => {
            output::line(
                written(|text| clap_complete::generate(shell, &mut Arguments::command(), "workbench", text))?
                    .trim_end(),
            );
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Man { into: Some(into) }) => {
            clap_mangen::generate_to(Arguments::command(), &into)
                .map_err(|e| format!("man: {}: {e}", into.display()))?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Man { into: None }) => {
            let page = clap_mangen::Man::new(Arguments::command());
            let mut failed = Ok(());
            let text = written(|text| failed = page.render(text))?;
            failed.map_err(|e| format!("man: {e}"))?;
            output::line(text.trim_end());
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Check { script }) => {
            let origin = origin::Origin::find(&script)?;
            let threads = start(host.threads)?;
            let source = origin.source.clone();
            let started = Started { threads, script: Some(origin.script.clone()), source, ..Started::default() };
            let session = started.session(host, &usual)?;
            let result = session.check_closely(&origin.script);
            if result.is_ok() {
                output::line(&format!("{}: no problems found", script.display()));
            }
            Ok(end(result))
        }
        Some(Command::Data { what }) => {
            start(host.threads)?;
            Ok(data::run(&what, host.data_dir.as_deref()))
        }
        Some(Command::Weights { file, take, fit }) => Ok(weights::run(&file, take.as_deref(), fit.as_deref())),
        Some(Command::Doc { words, html, definitions }) => {
            Ok(end(doc::run(&words, html.as_deref(), definitions.as_deref())))
        }
        Some(Command::Repl { script, set, permissions }) => {
            let origin = script.as_deref().map(origin::Origin::find).transpose()?;
            if origin.as_ref().is_some_and(|origin| origin.record.is_some()) {
                return Err("repl: give a script; workbench run goes on from a run or a pack".into());
            }
            let threads = start(host.threads)?;
            let source = origin.as_ref().map(|origin| origin.source.clone()).unwrap_or_default();
            let mut overrides = Overrides::parse(&set)?;
            overrides.complete(origin.as_ref().map_or(&[], |origin| origin.settings.as_slice()));
            let started = Started { threads, overrides, source, ..Started::default() };
            let mut session = started.session(host, &permissions)?;
            session.set_screen(repl::terminal::screen());
            match origin.as_ref().map_or(Ok(()), |origin| session.load_file(&origin.script)) {
                // A person stays, with what the script defined before it failed; a pipe has nobody to put it right.
                Err(failure) if failure.kind == FailureKind::Error && std::io::stdin().is_terminal() => {
                    complain(&failure.render(colours()));
                    Ok(end(repl::run(session)))
                }
                loaded => Ok(end(loaded.and_then(|()| repl::run(session)))),
            }
        }
        None => {
            let threads = start(host.threads)?;
            let session = Started { threads, ..Started::default() }.session(host, &usual)?;
            Ok(end(repl::run(session)))
        }
    }
}

/// What is written into memory, as text.
fn written(write: impl FnOnce(&mut Vec<u8>)) -> Result<String, String> {
    let mut bytes = vec![];
    write(&mut bytes);
    String::from_utf8(bytes).map_err(|e| e.to_string())
}
