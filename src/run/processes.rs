//! A run on several processes: process 0 has the folder, the screen and the checkpoints; the others write what they would into a folder
//! of their own that goes away with them. What is decided is decided for all, behind the same batch.
//!
//! ```text
//! between two batches   the largest of (asked to stop, a checkpoint is due by the clock), told a batch later: nobody waits
//! between two epochs    asked to stop, at once; what was logged, added up; are the parameters still the same?
//! ```

use super::front::Run;
use super::resume::Holder;
use super::training::{Saved, together};
use crate::base::interrupt;
use crate::compute::collective::{Group, Ranks, Slice};
use std::path::{Component, Path, PathBuf};

/// What all processes act on behind a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    pub stop: bool,
    /// A checkpoint is due by the clock of process 0.
    pub timed: bool,
}

impl Run {
    /// This process among those of the run.
    pub fn ranks(&self) -> &Ranks {
        &self.ranks
    }

    pub(super) fn group(&self) -> &Group {
        &self.ranks.group
    }

    /// The part of a batch at hand that a step is for, where batches are dealt out.
    pub fn slice(&self) -> Option<Slice> {
        self.slice.get().filter(|_| self.ranks.deals())
    }

    /// A part of a batch of the epoch's pass begins, or none.
    pub fn set_slice(&self, slice: Option<Slice>) {
        self.slice.set(slice);
        self.has_shared.set(self.has_shared.get() || slice.is_some());
    }

    /// Something was done by several processes together.
    pub fn set_shared(&self) {
        self.has_shared.set(true);
    }

    /// Has anything been, so far? Without, all processes have done the same.
    pub fn has_shared(&self) -> bool {
        self.has_shared.get()
    }

    /// Where this process writes what the script would write to `path`: process 0 there, the others below their own folder.
    pub fn aside_of(&self, path: &Path) -> Result<PathBuf, String> {
        let aside = self.aside.borrow().as_ref().map(|folder| folder.path().to_path_buf());
        let Some(aside) = aside.filter(|aside| !path.starts_with(aside)) else { return Ok(path.to_path_buf()) };
        let own = elsewhere(&aside, path);
        let folder = own.parent().unwrap_or(&aside);
        std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        Ok(own)
    }

    /// Where it reads what the script reads from `path`: what it has written itself, and what process 0 has written before, as in an
    /// earlier sitting.
    pub fn read_of(&self, path: &Path) -> PathBuf {
        let aside = self.aside.borrow().as_ref().map(|folder| folder.path().to_path_buf());
        let (Some(aside), Some(home)) = (aside, self.home.borrow().clone()) else { return path.to_path_buf() };
        match path.strip_prefix(&aside) {
            Ok(inside) if !path.exists() => home.join(inside),
            Ok(_) => path.to_path_buf(),
            Err(_) => {
                let own = elsewhere(&aside, path);
                if own.exists() { own } else { path.to_path_buf() }
            }
        }
    }

    /// All processes see the folder of process 0, which is there now; the others write into one of their own.
    pub fn share_folder(&self) -> Result<(), String> {
        let group = self.group();
        if group.is_alone() {
            return Ok(());
        }
        let made =
            if group.is_first() { self.open_folder().and_then(|folder| whole(&folder)) } else { Ok(PathBuf::new()) };
        let home = group.of_first(made)??;
        let seen = if home.join(".lock").exists() {
            Ok(())
        } else {
            Err(format!(
                "the run's folder {} is not to be seen on this machine: processes of one run need a common file system; start them in a \
                 folder that all machines have, or give --into FOLDER on one",
                home.display()
            ))
        };
        group.all_well(seen)?;
        if !group.is_first() {
            let aside = tempfile::tempdir().map_err(|e| format!("a temporary folder: {e}"))?;
            self.set_folder(aside.path().to_path_buf());
            self.aside.replace(Some(aside));
        }
        self.home.replace(Some(home));
        Ok(())
    }

    /// The folder of the checkpoints, the same for all processes.
    pub(super) fn checkpoint_folder(&self) -> Result<PathBuf, String> {
        let own = self.open_folder()?;
        let home = self.home.borrow().clone();
        Ok(home.unwrap_or(own).join("checkpoints"))
    }

    /// Whether requests to stop wait: inside a loop of several processes they always do, until all of them hear of it at one place.
    pub(super) fn hold(&self, on: bool) {
        let in_loop =
            !self.group().is_alone() && self.training.try_borrow().is_ok_and(|training| training.is_in_loop());
        interrupt::hold(on || in_loop);
    }

    /// Is everybody to stop between two epochs?
    pub(super) fn is_asked_between_epochs(&self) -> Result<bool, String> {
        if self.group().is_alone() {
            return Ok(interrupt::requested());
        }
        let asked = self.group().largest(&[asked()])?[0];
        ask(asked);
        Ok(asked > 0.0)
    }

    /// What is to be done behind batch `done`, on all processes the same: what they told each other a batch ago.
    pub(super) fn decide(&self, done: usize, more: bool) -> Result<Decision, String> {
        let timed = self.checkpoints.borrow().is_time();
        let group = self.group();
        if group.is_alone() {
            return Ok(Decision { stop: interrupt::asked(), timed });
        }
        group.at(|| self.training.borrow().place().at(done));
        let number = done as f64;
        let mine = [asked(), f64::from(u8::from(timed && group.is_first())), number, -number];
        let next = if more { Some(group.tell(&mine)?) } else { None };
        let Some(before) = self.told.replace(next) else { return Ok(Decision::default()) };
        let values = group.told(before)?;
        if values[2].to_bits() != (-values[3]).to_bits() {
            return Err(format!(
                "processes are at different batches of an epoch, {} and {}: the script does not do the same on all processes; let no condition on \
                 a process's own numbers stand around `step`",
                -values[3], values[2]
            ));
        }
        ask(values[0]);
        let decision = Decision { stop: values[0] > 0.0, timed: values[1] > 0.0 };
        if decision.stop
            && let Some(last) = self.told.take()
        {
            group.told(last)?;
        }
        Ok(decision)
    }

    /// What was told at the last batch of a pass that was left in the middle: nothing stays under way.
    pub(super) fn hear_the_last(&self) -> Result<(), String> {
        let last = self.told.take();
        last.map_or(Ok(()), |last| self.group().told(last).map(drop))
    }

    /// Generators and counters are the same on all processes again, behind something that they have shared out: the furthest of each.
    pub fn align(&self) -> Result<(), String> {
        let holder = self.holder.borrow().as_ref().and_then(std::rc::Weak::upgrade);
        let Some(holder) = holder.filter(|_| !self.group().is_alone() && self.slice.get().is_none()) else {
            return Ok(());
        };
        let mut all = self.group().patiently(|| self.group().of_all(holder.counters()))?.into_iter();
        let mut furthest = all.next().unwrap_or_default();
        for other in all {
            for (name, value) in other.as_object().into_iter().flatten() {
                if value.as_u64() > furthest[name].as_u64() {
                    furthest[name] = value.clone();
                }
            }
        }
        holder.set_counters(&furthest)
    }

    /// What a value that is logged now counts for, and whether it is another batch's.
    pub(super) fn weight(&self) -> (f64, bool) {
        match self.slice() {
            Some(slice) => (slice.share(), slice.last),
            // The same on all processes.
            None => (if self.group().is_first() { 1.0 } else { 0.0 }, true),
        }
    }

    /// What was logged by all processes so far, in place of what this one has logged.
    pub(super) fn add_up(&self, saved: Saved) -> Result<Saved, String> {
        if self.group().is_alone() { Ok(saved) } else { self.group().of_all(saved).map(together) }
    }

    /// An epoch is over: parameters that no gradient moves (running statistics) become their means over the processes; an error unless all
    /// others are the same everywhere.
    pub(super) fn compare(&self, holder: &dyn Holder) -> Result<(), String> {
        let group = self.group();
        if group.is_alone() {
            return Ok(());
        }
        holder.settle(group)?;
        let prints = group.of_all(holder.fingerprint())?;
        match prints.iter().position(|print| print != &prints[0]) {
            None => Ok(()),
            Some(rank) => Err(format!(
                "process {rank} has other parameters than process 0 behind {}: the script does not do the same on all processes; let \
                 everything that changes parameters follow from batches of the epoch's pass, by optimizer.step, or be the same everywhere",
                self.training.borrow().place().at(self.training.borrow().place().batch)
            )),
        }
    }
}

/// What stands below `aside` for a path outside of it.
fn elsewhere(aside: &Path, path: &Path) -> PathBuf {
    let names = path.components().filter(|part| matches!(part, Component::Normal(_)));
    aside.join("elsewhere").join(names.collect::<PathBuf>())
}

/// What this process is asked: 0 nothing, 1 to stop, 2 to stop for now.
fn asked() -> f64 {
    match (interrupt::asked(), interrupt::exit_code()) {
        (false, _) => 0.0,
        (true, interrupt::TRY_AGAIN) => 2.0,
        (true, _) => 1.0,
    }
}

/// Another process is asked that.
fn ask(asked: f64) {
    if asked > 1.5 {
        interrupt::request_for_now();
    } else if asked > 0.5 {
        interrupt::request();
    }
}

fn whole(folder: &Path) -> Result<PathBuf, String> {
    folder.canonicalize().map_err(|e| format!("{}: {e}", folder.display()))
}
