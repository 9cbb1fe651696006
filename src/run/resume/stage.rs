//! Where a run stands in going on
//!
//! ```text
//! Fresh ─ open ─▶ Live
//! Skipping ─ begin_loop ─▶ Arrival ─ put_back ─▶ Restored ─ open ─▶ Live, or Inside ─ begin_pass ─▶ Live
//! ```
//!
//! The script is run again from its top, with the same seed, so it makes the same networks, optimisers and stores in the
//! same order. Loops that were over are skipped, with the state that they ended in; the loop that was under way goes on at
//! its epoch, and the epoch's pass over the training images at its batch. What lies between loops is done again. Nothing in the
//! folder changes before everything is back in place: only [`Recorder::open`] makes an [`Opened`], without which no run is live.

use super::checkpoint::{Checkpoint, end_of_loop};
use super::snapshot::PartsMut;
use super::state::Position;
use crate::compute::collective::Group;
use crate::run::recorder::{Lengths, Opened, Record, Recorder};
use std::path::Path;
use std::rc::Rc;

/// How a run stands.
#[derive(Debug, Default)]
pub enum Resume {
    /// Nothing is written down yet, and nothing is to be put back.
    #[default]
    Fresh,
    /// Loops that were over are skipped until the checkpoint's begins.
    Skipping(Rc<Checkpoint>),
    /// Everything is as at the beginning of the checkpoint's epoch, whose pass is to begin at the checkpoint's batch.
    Inside(Rc<Checkpoint>, Opened),
    /// What the script does, it does for the first time.
    Live(Opened),
}

/// A loop that begins.
pub struct Asked<'a> {
    /// Its number in the script, from 0.
    pub index: usize,
    pub epochs: usize,
    pub label: &'a str,
}

/// What is to be done first where a loop begins.
pub enum Entry {
    /// Nothing: it begins with its first epoch.
    New,
    Over(EndOfLoop),
    Here(Arrival),
}

/// An earlier sitting has finished the loop: everything as it was at its end.
pub struct EndOfLoop {
    end: Box<Checkpoint>,
    index: usize,
    left_early: bool,
}

/// The loop of the checkpoint.
pub struct Arrival(Rc<Checkpoint>);

/// Everything is as it was at the checkpoint, but for the folder.
pub struct Restored(Rc<Checkpoint>);

impl Resume {
    /// Go on from this checkpoint.
    pub fn from(checkpoint: Checkpoint) -> Self {
        Self::Skipping(Rc::new(checkpoint))
    }

    /// May something be written down? While loops are skipped nothing is.
    pub fn is_skipping(&self) -> bool {
        matches!(self, Self::Skipping(_))
    }

    /// Something is to be written down: the files are opened, if they are not and nothing is to be put back before.
    pub fn open(self, recorder: &mut Recorder) -> (Self, Result<(), String>) {
        match self {
            Self::Fresh => match recorder.open(Lengths::default(), "the beginning") {
                Ok(opened) => (Self::Live(opened), recorder.write_record()),
                Err(why) => (Self::Fresh, Err(why)),
            },
            other => (other, Ok(())),
        }
    }

    /// A loop begins. `folder` is that of the checkpoints.
    pub fn begin_loop(&self, asked: &Asked, folder: &Path, group: &Group) -> Result<Entry, String> {
        match self {
            Self::Fresh | Self::Live(_) => Ok(Entry::New),
            Self::Skipping(from) if asked.index < from.state.position.index => {
                let left_early = from.state.left_early.contains(&asked.index);
                EndOfLoop::find(asked, folder, left_early, group).map(Entry::Over)
            }
            Self::Skipping(from) => {
                asked.check(&from.state.position)?;
                Ok(Entry::Here(Arrival(from.clone())))
            }
            // The script has left the epoch without the pass that was to go on.
            Self::Inside(from, _) => {
                asked.check(&from.state.position)?;
                Err(unreached(from))
            }
        }
    }

    /// The epoch's pass begins; `never` says why the epoch cannot be cut in two, if it cannot. The checkpoint that lies inside it.
    pub fn begin_pass(self, never: Option<&str>) -> (Self, Result<Option<Rc<Checkpoint>>, String>) {
        match (self, never) {
            (Self::Inside(_, opened), Some(why)) => {
                let wrong = format!("resume: the checkpoint lies inside an epoch that cannot be cut in two: {why}");
                (Self::Live(opened), Err(wrong))
            }
            (Self::Inside(from, opened), None) => (Self::Live(opened), Ok(Some(from))),
            (other, _) => (other, Ok(None)),
        }
    }

    /// What was to be gone on from and never came up.
    pub fn never_reached(&self) -> Option<String> {
        match self {
            Self::Skipping(from) | Self::Inside(from, _) => Some(unreached(from)),
            Self::Fresh | Self::Live(_) => None,
        }
    }
}

impl EndOfLoop {
    fn find(asked: &Asked, folder: &Path, left_early: bool, group: &Group) -> Result<Self, String> {
        let index = asked.index;
        let path = end_of_loop(folder, index).ok_or_else(|| {
            format!("resume: the end of loop {} is missing in {}; begin the run anew", index + 1, folder.display())
        })?;
        let end = Checkpoint::open(&path, group)
            .map_err(|why| format!("resume: {} cannot be used: {why}; begin the run anew", path.display()))?;
        asked.check(&end.state.position)?;
        Ok(Self { end: Box::new(end), index, left_early })
    }

    /// What is to be said about it.
    pub fn note(&self) -> Option<String> {
        self.left_early.then(|| {
            format!(
                "note: loop {} was left by `break`; what the script does between it and the next loop may come out \
                 differently, what follows does not",
                self.index + 1
            )
        })
    }

    /// Objects and generators as they were.
    pub fn put_back(self, run: &mut PartsMut) -> Result<(), String> {
        run.put_back(&self.end, false)
    }
}

impl Arrival {
    /// Objects and generators as they were.
    pub fn put_back(self, run: &mut PartsMut) -> Result<Restored, String> {
        run.put_back(&self.0, self.0.state.position.batch > 0)?;
        Ok(Restored(self.0))
    }
}

impl Restored {
    /// Open the files, cut back to what the checkpoint saw. How the run stands, and the epoch that it goes on with; none if the
    /// loop was over.
    pub fn open(self, recorder: &mut Recorder) -> Result<(Resume, Option<usize>), String> {
        let state = &self.0.state;
        let Position { epoch, batch, ended, .. } = state.position;
        let opened = recorder.open(state.lengths, &state.position.describe())?;
        let resume = if ended || batch == 0 { Resume::Live(opened) } else { Resume::Inside(self.0, opened) };
        Ok((resume, (!ended).then_some(epoch)))
    }
}

impl Asked<'_> {
    /// An error unless it is the loop that the run stood in.
    fn check(&self, expected: &Position) -> Result<(), String> {
        if expected.label == self.label && expected.epochs == self.epochs {
            return Ok(());
        }
        let name = |label: &str, epochs| format!("run.epochs({epochs}, \"{label}\")");
        Err(format!(
            "resume: loop {} of the run was {}, the script now says {}; resume with the script and settings of the run",
            expected.index + 1,
            name(&expected.label, expected.epochs),
            name(self.label, self.epochs)
        ))
    }
}

fn unreached(from: &Checkpoint) -> String {
    format!(
        "resume: the script ended before it came to {}; is it the script of this run?",
        from.state.position.describe()
    )
}

/// What is said when a run goes on from the checkpoint at `path`, on the machine that `now` describes.
pub fn notes(from: &Checkpoint, path: &Path, now: &Record) -> Vec<String> {
    let state = &from.state;
    let mut notes = vec![format!("resumed from {}, {}", state.position.describe(), path.display())];
    if !state.vectors {
        notes.push("note: the checkpoint is without the power-iteration vectors, which start anew: the run will not end bit for bit as an uninterrupted one".into());
    }
    if state.threads != now.threads || state.device != now.device {
        notes.push(format!(
            "note: the run was on {} with {} threads, it goes on on {} with {}: it may not end bit for bit as \
             an uninterrupted one",
            state.device, state.threads, now.device, now.threads
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::collective::Strata;
    use crate::run::recorder::{RUN_JSON, RunFolder};
    use crate::run::resume::checkpoint_file::Piece;
    use crate::run::resume::holder::Holder;
    use crate::run::resume::schedule::Checkpoints;
    use crate::run::resume::snapshot::Parts;
    use crate::run::training::Training;
    use safetensors::SafeTensors;
    use serde_json::{Value, json};

    /// A script without objects.
    struct Nothing;

    impl Holder for Nothing {
        fn made(&self) -> u64 {
            0
        }
        fn counters(&self) -> Value {
            json!({ "objects": 0 })
        }
        fn set_counters(&self, _: &Value) -> Result<(), String> {
            Ok(())
        }
        fn pieces(&self, _: u64, _: bool) -> Result<(Value, Vec<Piece>), String> {
            Ok((Value::Null, vec![]))
        }
        fn restore(&self, _: &Value, _: &SafeTensors) -> Result<(), String> {
            Ok(())
        }
        fn pieces_of_shard(&self, _: u64, _: usize) -> Result<Vec<Piece>, String> {
            Ok(vec![])
        }
        fn restore_shard(&self, _: &Value, _: (usize, usize), _: &SafeTensors) -> Result<(), String> {
            Ok(())
        }
        fn share(&self, _: &Group) -> Result<(), String> {
            Ok(())
        }
        fn settle(&self, _: &Group) -> Result<(), String> {
            Ok(())
        }
        fn fingerprint(&self) -> String {
            String::new()
        }
    }

    /// The parts of a run that is written down into `folder`, in the second epoch of its loop `loops`.
    fn parts(folder: &Path, loops: usize) -> (Training, Recorder, Checkpoints) {
        let mut training = Training::default();
        (0..loops).for_each(|_| training.begin_loop(3, "net"));
        training.begin_epoch(1, json!({ "objects": 0 }));
        let mut recorder = Recorder::new(RunFolder::new(folder, "script"));
        recorder.begin(Record::default(), Box::new(Vec::new));
        recorder.set_folder(folder.to_path_buf());
        (training, recorder, Checkpoints::default())
    }

    /// The checkpoint of such a run after two batches, or at its loop's end.
    fn checkpoint(folder: &Path, loops: usize, ended: bool) -> Checkpoint {
        let (training, recorder, checkpoints) = &parts(folder, loops);
        let position = if ended { Position::at_end(training) } else { Position::after_batch(training, 2) };
        let stem = if ended { format!("loop{}", loops - 1) } else { "000001".into() };
        let strata = &Strata::default();
        let parts = Parts { holder: &Nothing, training, recorder, checkpoints, strata, shards: vec![] };
        let written = parts.write(folder, &stem, position, true);
        Checkpoint::open(&written.expect("written"), &Group::default()).expect("a checkpoint")
    }

    #[test]
    fn a_fresh_run_is_live_once_its_files_are_open() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (_, mut recorder, _) = parts(folder.path(), 1);
        let (run, opened) = Resume::Fresh.open(&mut recorder);
        assert!(matches!(run, Resume::Live(_)) && opened.is_ok() && folder.path().join(RUN_JSON).exists());
        let asked = Asked { index: 0, epochs: 3, label: "net" };
        assert!(matches!(run.begin_loop(&asked, folder.path(), &Group::default()), Ok(Entry::New)));
        assert_eq!(run.never_reached(), None);
    }

    #[test]
    fn nothing_is_written_before_everything_is_back() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let asked = |index, epochs| Asked { index, epochs, label: "net" };
        let (mut training, mut recorder, mut checkpoints) = parts(folder.path(), 2);
        let (run, opened) = Resume::from(checkpoint(folder.path(), 2, false)).open(&mut recorder);
        assert!(run.is_skipping() && opened.is_ok() && !folder.path().join(RUN_JSON).exists());
        let begin = |asked: &Asked| run.begin_loop(asked, folder.path(), &Group::default());
        assert!(begin(&asked(0, 3)).is_err_and(|why| why.contains("the end of loop 1 is missing")));
        checkpoint(folder.path(), 1, true);
        let recorder = &mut recorder;
        let mut parts = PartsMut { holder: &Nothing, training: &mut training, recorder, checkpoints: &mut checkpoints };
        let Ok(Entry::Over(end)) = begin(&asked(0, 3)) else { panic!("the first loop was over") };
        assert_eq!((end.note(), end.put_back(&mut parts)), (None, Ok(())));
        assert!(begin(&asked(1, 4)).is_err_and(|why| why.contains("the script now says run.epochs(4, \"net\")")));
        let Ok(Entry::Here(arrival)) = begin(&asked(1, 3)) else { panic!("the second loop was under way") };
        let restored = arrival.put_back(&mut parts).expect("put back");
        assert!(!folder.path().join(RUN_JSON).exists() && run.never_reached().is_some());
        let (run, first) = restored.open(parts.recorder).expect("opened");
        assert!(matches!(run, Resume::Inside(..)) && first == Some(1));
        assert!(run.never_reached().is_some_and(|why| why.contains("net epoch 2/3, after batch 2")));
        let (run, from) = run.begin_pass(None);
        assert!(matches!(run, Resume::Live(_)) && run.never_reached().is_none());
        assert_eq!(from.expect("no error").expect("a checkpoint").state.position.batch, 2);
    }

    #[test]
    fn an_epoch_that_cannot_be_cut_in_two_is_not_gone_on_with_inside() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (_, mut recorder, _) = parts(folder.path(), 1);
        let restored = Restored(Rc::new(checkpoint(folder.path(), 1, false)));
        let (run, _) = restored.open(&mut recorder).expect("opened");
        let (run, from) = run.begin_pass(Some("`x` changes"));
        assert!(from.is_err_and(|why| why.ends_with("cannot be cut in two: `x` changes")));
        assert!(matches!(run.begin_pass(Some("`x` changes")).1, Ok(None)), "the error comes once");
    }
}
