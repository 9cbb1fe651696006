//! A run's checkpoints: when they are written, what goes into them, and how a run goes on from one.
//!
//! As for its loops ([`super::loops`]), a part of the run is borrowed for one call of it.

use super::archive::refuse_links_out;
use super::front::Run;
use super::processes::Decision;
use super::recorder::epochs;
use super::resume::{
    Asked, Entry, Holder, Parts, PartsMut, Position, Resume, ShardState, latest, notes, put_back_inside, write_shard,
};
use crate::base::files::quoted_path;
use crate::base::interrupt;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};
use std::time::Instant;

/// A pack has no checkpoints, nor has a folder that was copied without them: to begin anew there would write over what was passed on. A
/// run's own folder has its lock from the start.
fn refuse_copied_without(folder: &Path) -> Result<(), String> {
    let is_own = folder.join(".lock").exists() || folder.join("checkpoints").exists();
    match epochs(folder).len() {
        n if n > 0 && !is_own => Err(format!(
            "resume: {} has {n} epochs of metrics and no checkpoints, as what was unpacked has; to go on with a run elsewhere copy its \
             whole folder, or begin it anew in another one: workbench run {}",
            folder.display(),
            quoted_path(folder)
        )),
        _ => Ok(()),
    }
}

impl Run {
    pub(super) fn holder(&self) -> Option<Rc<dyn Holder>> {
        self.holder.borrow().as_ref().and_then(Weak::upgrade)
    }

    /// Go on with the run in `folder`, from its last good checkpoint. Nothing in it changes before the script has come to
    /// the checkpoint's loop and everything has been put back.
    pub fn resume(&self, folder: &Path) -> Result<(), String> {
        refuse_links_out(folder)?;
        let group = self.group();
        let taken = refuse_copied_without(folder)
            .and_then(|()| self.recorder.borrow_mut().take_over(folder, !group.is_first()));
        let old = group.all_well(taken)?;
        let (found, damaged) = latest(&folder.join("checkpoints"), group)?;
        damaged.iter().for_each(|why| self.note(&format!("note: {why}")));
        let Some(found) = found else {
            self.note("there is no checkpoint to go on from: the run begins anew, in the same folder");
            return Ok(());
        };
        self.checkpoints.borrow_mut().go_on_after(&found);
        self.recorder.borrow_mut().go_on(old, found.checkpoint.state.seconds, found.checkpoint.state.recording);
        let notes = notes(&found.checkpoint, &found.path, self.recorder.borrow().record());
        self.resume.replace(Resume::from(found.checkpoint));
        notes.iter().for_each(|text| self.note(text));
        Ok(())
    }

    /// What a checkpoint holds of the loop that begins is put back, if it holds something; the first epoch.
    pub(super) fn enter_loop(&self, epochs: usize, label: &str) -> Result<usize, String> {
        let Some(holder) = self.holder().filter(|_| self.is_recorded()) else { return Ok(0) };
        let folder = self.checkpoint_folder()?;
        let training = &mut *self.training.borrow_mut();
        training.set_made(holder.made());
        let asked = Asked { index: training.index(), epochs, label };
        let entry = self.resume.borrow().begin_loop(&asked, &folder, self.group())?;
        if let Entry::Over(end) = &entry
            && let Some(text) = end.note()
        {
            self.note(&text);
        }
        let recorder = &mut *self.recorder.borrow_mut();
        let checkpoints = &mut *self.checkpoints.borrow_mut();
        let mut parts = PartsMut { holder: &*holder, training, recorder, checkpoints };
        let first = match entry {
            Entry::New => return Ok(0),
            Entry::Over(end) => {
                end.put_back(&mut parts)?;
                None
            }
            Entry::Here(arrival) => {
                let (resume, first) = arrival.put_back(&mut parts)?.open(parts.recorder)?;
                self.resume.replace(resume);
                parts.recorder.write_record()?;
                first
            }
        };
        if first.is_none() {
            parts.training.skip_loop();
        }
        Ok(first.unwrap_or(epochs))
    }

    /// What was to be resumed and never came up.
    pub fn never_reached(&self) -> Option<String> {
        self.resume.borrow().never_reached()
    }

    /// Does it matter what the script uses now? Between the beginning of an epoch and its pass over the training images
    /// it does: a run that goes on inside the epoch does this part again, with the networks of a later time.
    pub fn is_watched(&self) -> bool {
        self.training.borrow().is_watched() && self.is_recorded()
    }

    /// The script has used what changes while it trains, before the epoch's pass.
    pub fn used_before_pass(&self, what: &str) {
        self.training.borrow_mut().used_before_pass(what);
    }

    /// A pass over the training images begins: is it the epoch's pass, and how many of its batches are done already, if the run can be
    /// interrupted at them?
    pub(super) fn begin_pass(&self) -> Result<Option<Option<usize>>, String> {
        let Some(holder) = self.holder().filter(|_| self.is_recorded()) else { return Ok(None) };
        let training = &mut *self.training.borrow_mut();
        if !training.begin_pass(holder.made()) {
            return Ok(None);
        }
        // What one process has used before the pass speaks against it for all.
        if !self.group().is_alone() {
            let whys = self.group().of_all(training.why_never().map(str::to_string))?;
            if let Some(why) = whys.into_iter().flatten().next() {
                training.never(why);
            }
        }
        let (resume, from) = self.resume.take().begin_pass(training.why_never());
        self.resume.replace(resume);
        match from? {
            Some(from) => put_back_inside(&from, &*holder, training, &self.ranks.strata).map(|done| Some(Some(done))),
            None => Ok(Some(training.why_never().is_none().then_some(0))),
        }
    }

    /// The script is between two batches of the epoch's pass; `done` are over, and another one follows or not. An interruption
    /// that has waited for this is heard now: `true`.
    pub(super) fn between_batches(&self, done: usize, more: bool) -> Result<bool, String> {
        let size = self.checkpoints.borrow().options().window;
        let window = self.training.borrow_mut().full_window(size, &|saved| self.add_up(saved))?;
        window.map_or(Ok(()), |values| self.add_row(Some(done), values))?;
        self.hold(more);
        let Decision { stop, timed } = self.decide(done, more)?;
        let due = self.checkpoints.borrow().is_due();
        if stop || done > 0 && (timed || due) {
            let at = Position::after_batch(&self.training.borrow(), done);
            self.write_checkpoint(stop || timed, at)?;
        }
        if stop {
            interrupt::hold(false);
        }
        Ok(stop)
    }

    /// The script asks for a checkpoint. It is written between two batches, or when the epoch is over.
    pub fn checkpoint(&self) -> Result<(), String> {
        if !self.training.borrow().is_in_epoch() {
            return Err("run.checkpoint: no loop over run.epochs(...) is under way; call it inside one".into());
        }
        self.checkpoints.borrow_mut().ask();
        Ok(())
    }

    pub(super) fn writes_checkpoints(&self) -> bool {
        self.is_recorded() && !self.resume.borrow().is_skipping()
    }

    /// Write a checkpoint: `surely`, or unless the last one was too short a time ago for what they cost.
    pub(super) fn write_checkpoint(&self, surely: bool, at: Position) -> Result<(), String> {
        if !self.writes_checkpoints() {
            return Ok(());
        }
        // By the clock of process 0.
        let turn = self.checkpoints.borrow_mut().take_turn(surely);
        if !self.group().of_first(turn)? {
            return Ok(());
        }
        let (began, stem) = (Instant::now(), self.checkpoints.borrow().next_stem());
        let path = self.group().patiently(|| self.write_parts(&stem, at, true))?;
        let checkpoints = &mut *self.checkpoints.borrow_mut();
        if self.group().is_first() {
            checkpoints.add(path, began.elapsed());
        } else {
            checkpoints.add_from_elsewhere(path, began.elapsed());
        }
        Ok(())
    }

    /// Each process writes the parts of its shards; then process 0 the checkpoint, which names them.
    pub(super) fn write_parts(&self, stem: &str, at: Position, vectors: bool) -> Result<PathBuf, String> {
        let holder = self.holder().ok_or("checkpoint: there is no session")?;
        let folder = self.checkpoint_folder()?;
        let (overhead, group) = (self.recorder.borrow().overhead(), self.group());
        overhead.time(|| {
            group.all_well(self.training.borrow_mut().read_back())?;
            let (training, recorder) = (&self.training.borrow(), &self.recorder.borrow());
            let (checkpoints, strata) = (&self.checkpoints.borrow(), &self.ranks.strata);
            let mut shards = vec![];
            if vectors && !strata.is_whole() {
                let own = self.write_shards(&folder, stem, &*holder);
                shards = group.of_all(group.all_well(own)?)?.concat();
            }
            let parts = Parts { holder: &*holder, training, recorder, checkpoints, strata, shards };
            let written = if group.is_first() { parts.write(&folder, stem, at, vectors) } else { Ok(PathBuf::new()) };
            group.of_first(written)?
        })
    }

    /// The files of this process's shards.
    fn write_shards(&self, folder: &Path, stem: &str, holder: &dyn Holder) -> Result<Vec<String>, String> {
        let (training, strata) = (self.training.borrow(), &self.ranks.strata);
        let with_vectors = self.checkpoints.borrow().options().vectors;
        let part = |shard: usize| {
            let pieces = if with_vectors { holder.pieces_of_shard(training.made(), shard)? } else { vec![] };
            let logged = (shard == strata.own.start).then(|| training.logged().0);
            let state = ShardState { shard, shards: strata.shards, logged };
            write_shard(folder, stem, &state, &pieces)
                .map_err(|e| format!("checkpoint: {}: {e}; make room, then go on with --resume", folder.display()))
        };
        strata.own.clone().map(part).collect()
    }
}
