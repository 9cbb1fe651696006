//! What is known from an earlier run: the one that goes on here, or is repeated, or whose script is run in a variation. It says which
//! data sets and random bits have to come again, and where data may be.

use super::run_json::Data;
use crate::base::error::message;
use crate::base::random::Key;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// When random bits were drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drawn {
    /// By this run, from the operating system.
    Now,
    /// By the run that is repeated: whoever made the network may have known them.
    Before,
}

/// The earlier run; nothing of it where there is none.
#[derive(Debug, Default)]
pub struct Earlier {
    /// The data sets that the run had when it began, and that the script has not loaded again yet.
    loaded: VecDeque<Data>,
    /// The data sets of the run that this one is a variation of: where to look, if that is allowed.
    known: Vec<Data>,
    /// The path of its script.
    script: Option<PathBuf>,
    /// The random bits of the run that goes on here, or is repeated, which the script has not asked for again yet.
    drawn: VecDeque<String>,
    repeats: bool,
}

impl Earlier {
    /// The script will load these data sets, in this order.
    pub fn expect_data(&mut self, data: Vec<Data>, script: PathBuf) {
        (self.loaded, self.script) = (data.into(), Some(script));
    }

    /// The script will draw these random bits, as the run did that goes on here.
    pub fn expect_entropy(&mut self, drawn: Vec<String>) {
        self.drawn = drawn.into();
    }

    /// The script will draw these random bits, as the run did that is repeated.
    pub fn repeat_entropy(&mut self, drawn: Vec<String>) {
        (self.drawn, self.repeats) = (drawn.into(), true);
    }

    /// The script is that of a run which had these data sets.
    pub fn know_data(&mut self, data: Vec<Data>, script: PathBuf) {
        (self.known, self.script) = (data, Some(script));
    }

    /// The next random bits, from the operating system if the run has drawn none before.
    pub fn entropy(&mut self) -> Result<(Key, Drawn), String> {
        let Some(text) = self.drawn.pop_front() else {
            return Ok((Key::drawn().map_err(|e| message(&e))?, Drawn::Now));
        };
        let key =
            Key::parse(&text).ok_or_else(|| format!("run.json: `{text}` is no entropy: 64 hexadecimal digits"))?;
        Ok((key, if self.repeats { Drawn::Before } else { Drawn::Now }))
    }

    /// Where the data set that the script calls `asked` was, best first; and whether it will be checked to hold what it held then.
    pub fn places(&self, asked: &str) -> (Vec<PathBuf>, bool) {
        let is_it = |data: &&Data| data.asked.as_deref().is_none_or(|known| known == asked);
        let next = self.loaded.front().filter(is_it);
        let known = || self.known.iter().find(|data| data.asked.as_deref() == Some(asked) || data.name == asked);
        let beside = self.script.as_deref().and_then(Path::parent).map(|folder| folder.join(asked));
        let place = |data: &Data| data.place.as_ref().map(PathBuf::from);
        match (next, known()) {
            (Some(data), _) => (place(data).into_iter().chain(beside).collect(), true),
            (None, Some(data)) => (place(data).into_iter().chain(beside).collect(), false),
            (None, None) => (beside.into_iter().filter(|_| !self.known.is_empty()).collect(), false),
        }
    }

    /// A data set was loaded: an error unless it is what the run had, if it had one.
    pub fn check_data(&mut self, data: &Data) -> Result<(), String> {
        let old = self.loaded.pop_front();
        if old.is_some_and(|old| old.name != data.name || old.splits != data.splits) {
            return Err(format!(
                "dataset: `{}` does not hold what it held when the run began, which this one goes on with or repeats; bring \
                 that back, or begin anew",
                data.name
            ));
        }
        Ok(())
    }
}
