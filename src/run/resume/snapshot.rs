//! What a checkpoint takes from a run, and what it puts back.

use super::checkpoint::{self, Checkpoint};
use super::checkpoint_file::Piece;
use super::holder::Holder;
use super::shards::logged_by;
use super::state::{FORMAT, Position, State};
use crate::compute::collective::Strata;
use crate::run::recorder::{Best, Recorder};
use crate::run::resume::schedule::Checkpoints;
use crate::run::training::Training;
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// The parts of a run that are in a checkpoint. Nothing that was logged may be pending.
pub struct Parts<'a> {
    pub holder: &'a dyn Holder,
    pub training: &'a Training,
    pub recorder: &'a Recorder,
    pub checkpoints: &'a Checkpoints,
    pub strata: &'a Strata,
    /// The files of the parts by shards.
    pub shards: Vec<String>,
}

/// The same, to be changed.
pub struct PartsMut<'a> {
    pub holder: &'a dyn Holder,
    pub training: &'a mut Training,
    pub recorder: &'a mut Recorder,
    pub checkpoints: &'a mut Checkpoints,
}

impl Parts<'_> {
    /// Write a checkpoint into `folder`; its name begins with `stem`. With the stores of vectors, if the run keeps them at all?
    pub fn write(&self, folder: &Path, stem: &str, position: Position, vectors: bool) -> Result<PathBuf, String> {
        let Self { holder, training, recorder, checkpoints, strata, shards } = self;
        let vectors = vectors && checkpoints.options().vectors;
        let (objects, mut pieces) = holder.pieces(training.made(), vectors && strata.is_whole())?;
        let lengths = recorder.sync()?;
        pieces.extend(recorder.best_files().iter().map(best_piece));
        let ([epoch, window], window_batches) = training.logged();
        let (began, record) = (training.began(), recorder.record());
        // Before the first batch, the whole epoch is done again.
        let anew = training.is_in_epoch() && position.batch == 0;
        let state = State {
            format: FORMAT,
            position,
            step: if anew { began.step } else { training.step() },
            seconds: recorder.seconds(),
            recording: recorder.recording_seconds(),
            device: record.device.clone(),
            threads: record.threads,
            vectors,
            objects,
            at_epoch: began.counters.clone(),
            now: if anew { began.counters.clone() } else { holder.counters() },
            epoch,
            window,
            window_batches,
            last: training.last().to_vec(),
            lengths,
            kept: checkpoints.kept().clone(),
            results: record.results.clone(),
            best: record.best.clone(),
            left_early: training.left_early().to_vec(),
            shards: shards.clone(),
        };
        checkpoint::write(folder, stem, &state, &pieces).map_err(|e| {
            let last = checkpoints
                .last()
                .map_or("there is none before it".into(), |p| format!("the last good one is {}", p.display()));
            format!("checkpoint: {}: {e}; {last}. Make room, then go on with --resume", folder.display())
        })
    }
}

impl PartsMut<'_> {
    /// Objects and generators as they were at the checkpoint; generators as at the beginning of its epoch, if the run goes on
    /// `inside` it, whose beginning the script does again.
    pub fn put_back(&mut self, from: &Checkpoint, inside: bool) -> Result<(), String> {
        let State { step, objects, at_epoch, now, last, kept, results, left_early, best, .. } = &from.state;
        let files = best_files(best, &from.tensors()?)?;
        let failed = |why: String| format!("resume: {why}");
        self.holder.restore(objects, &from.tensors()?).map_err(failed)?;
        for part in &from.shards {
            let place = (part.state.shard, part.state.shards);
            self.holder.restore_shard(objects, place, &part.tensors()?).map_err(failed)?;
        }
        self.holder.set_counters(if inside { at_epoch } else { now }).map_err(|why| format!("resume: {why}"))?;
        self.training.put_back(*step, last, left_early);
        self.recorder.put_back(results, best, files);
        self.checkpoints.set_kept(kept.clone());
        Ok(())
    }
}

/// The epoch's pass begins again: generators and what was logged as they were between its two batches. The batches that are done.
pub fn put_back_inside(
    from: &Checkpoint,
    holder: &dyn Holder,
    training: &mut Training,
    strata: &Strata,
) -> Result<usize, String> {
    let State { now, epoch, window, window_batches, step, position, .. } = &from.state;
    holder.set_counters(now).map_err(|why| format!("resume: {why}"))?;
    let logged = match from.shards.is_empty() {
        true if strata.own.start == 0 => [epoch.clone(), window.clone()],
        true => [vec![], vec![]],
        false => logged_by(&from.shards, &strata.own, strata.shards),
    };
    training.put_back_inside(*step, logged, *window_batches);
    Ok(position.batch)
}

/// A file of the best weights, as a checkpoint holds it.
fn best_piece((file, bytes): (&String, &Rc<Vec<u8>>)) -> Piece {
    let own = bytes.clone();
    Piece {
        name: format!("best/{file}"),
        dtype: Dtype::U8,
        shape: vec![bytes.len()],
        write: Box::new(move |out| out.write_all(&own)),
    }
}

/// The files of the best weights that a checkpoint holds.
fn best_files(best: &[Best], tensors: &SafeTensors) -> Result<BTreeMap<String, Rc<Vec<u8>>>, String> {
    let file = |best: &Best| {
        let found = tensors.tensor(&format!("best/{}", best.file));
        let found = found.map_err(|e| format!("resume: the checkpoint lacks {}: {e}", best.file))?;
        Ok((best.file.clone(), Rc::new(found.data().to_vec())))
    };
    best.iter().map(file).collect()
}
