//! The prompt fed from a pipe or a file: no prompts, values to standard output, errors to standard error.

use super::evaluate::{Outcome, evaluate};
use crate::base::text::MARK;
use crate::script::explain::report::{Failure, FailureKind, Report};
use crate::script::session::Session;
use std::io::BufRead;

/// Evaluate standard input, input by input. One that fails does not stop the next, but the end is a failure.
pub fn run(mut session: Session) -> Result<(), Failure> {
    let (mut input, mut failed, mut total) = (String::new(), 0, 0);
    // A file may begin with it.
    let mut mark = MARK;
    let mut lines = std::io::stdin().lock().lines();
    loop {
        let line = lines.next().transpose().map_err(|e| Failure::bare(format!("cannot read standard input: {e}")))?;
        let ended = line.is_none();
        let line = line.unwrap_or_default();
        let line = line.strip_prefix(std::mem::take(&mut mark)).unwrap_or(&line);
        let forced = ended || line.is_empty();
        input += line;
        input.push('\n');
        if !forced && !input.starts_with([':', '?']) && session.is_incomplete(&input) {
            continue;
        }
        if !input.trim().is_empty() {
            total += 1;
            match evaluate(&mut session, &input) {
                Outcome::Done => {}
                Outcome::Failed => failed += 1,
                Outcome::Leave(failure) => return Err(failure),
            }
            if crate::base::interrupt::requested() {
                let report = Report::bare("the rest of the input was not read");
                return Err(Failure { kind: FailureKind::Interrupted, reports: vec![report] });
            }
        }
        input.clear();
        if ended {
            break;
        }
    }
    if failed == 0 { Ok(()) } else { Err(Failure::bare(format!("{failed} of {total} inputs failed"))) }
}
