//! `workbench recheck`: the script of that name, on the records that the command line names.

use super::arguments::{HostArguments, RecheckArguments};
use super::origin::Origin;
use super::start::{Started, end, free, start, words};
use crate::base::files::path_word;
use crate::repl::terminal;
use crate::run::Record;
use crate::script::session::Recording;
use crate::script::settings::Overrides;
use std::path::Path;
use std::process::ExitCode;

/// Compute rows again.
pub fn run(what: RecheckArguments, host: HostArguments) -> Result<ExitCode, String> {
    let mut set = vec![format!("records={}", path_word(&what.records)), format!("model={}", path_word(&what.model))];
    if let Some(data) = what.data.or_else(|| data_of(&what.records)) {
        set.push(format!("data={data}"));
    }
    if !what.image.is_empty() {
        let list: Vec<String> = what.image.iter().map(u32::to_string).collect();
        set.push(format!("images=[{}]", list.join(",")));
    }
    let overrides = Overrides::parse(&set)?;
    let origin = Origin::find(Path::new("recheck"))?;
    let recording =
        Recording { into: free(what.into.as_deref())?, flags: words(&what.permissions, &host), ..Recording::default() };
    let threads = start(host.threads)?;
    let (script, source) = (Some(origin.script.clone()), origin.source.clone());
    let started = Started { threads, overrides, script, source, recording, ..Started::default() };
    let mut session = started.session(host, &what.permissions)?;
    session.set_screen(terminal::screen());
    Ok(end(session.run_file(&origin.script)))
}

/// The data set of the run whose folder the records lie in. A run records settings as a script writes them, words in quotes.
fn data_of(records: &Path) -> Option<String> {
    let record = records.canonicalize().ok().and_then(|path| Record::read(path.parent()?).ok())?;
    let data = record.settings.into_iter().find(|setting| setting.key == "data")?.value;
    Some(serde_json::from_str(&data).unwrap_or(data))
}
