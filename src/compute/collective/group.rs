//! The processes of a run: sums of a known order, what one knows told to all, one decision for all without waiting, an end where one is
//! gone. Alone, everything is what it is already.

use super::launch::{Launch, Launcher};
use super::mpi::{Mpi, Number, Request};
use super::ordered::{Sum, tree};
use super::watch::Watch;
#[cfg(feature = "cuda")]
use crate::base::output::note;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;

/// The processes of a run.
#[derive(Debug, Default)]
pub struct Group {
    others: Option<Others>,
    rank: usize,
    sum: Sum,
}

#[derive(Debug)]
struct Others {
    mpi: Mpi,
    by: Launcher,
    world: usize,
    watch: Arc<Watch>,
    /// The GPUs, once a sum was asked for there; nothing where NCCL is not on all machines.
    #[cfg(feature = "cuda")]
    gpus: std::cell::OnceCell<Option<super::nccl::Nccl>>,
}

/// Values that are under way.
#[derive(Debug)]
pub struct Told {
    values: Box<[f64]>,
    request: Option<Request>,
}

/// What is under way is written to by MPI, whoever has no more use for it.
impl Drop for Told {
    fn drop(&mut self) {
        if self.request.is_some() {
            Box::leak(std::mem::take(&mut self.values));
        }
    }
}

impl Group {
    /// Greet the other processes of the launcher. One that does not answer for as long as `deadline` is an end: `end` is called with what
    /// is to be said.
    pub fn join(
        launch: &Launch,
        sum: Sum,
        deadline: Duration,
        end: impl Fn(&str) + Send + 'static,
    ) -> Result<Self, String> {
        let mpi = Mpi::begin(launch)?;
        let watch = Watch::begin(deadline, end);
        let others = Others {
            mpi,
            by: launch.by,
            world: launch.world,
            watch,
            #[cfg(feature = "cuda")]
            gpus: std::cell::OnceCell::new(),
        };
        Ok(Self { rank: launch.rank, sum, others: Some(others) })
    }

    /// The sum of vectors that lie on GPUs, without a way through main memory; nothing where they do not, or where NCCL is missing.
    #[cfg(feature = "cuda")]
    pub(super) fn sum_on_gpus(&self, own: &candle_core::Tensor) -> candle_core::Result<Option<candle_core::Tensor>> {
        use super::nccl::{Found, gpu_of};
        let (Some(others), Some(device)) = (&self.others, gpu_of(own.device())) else { return Ok(None) };
        if others.gpus.get().is_none() {
            let found = match self.all_well(Found::look()) {
                Ok(library) => {
                    let joined = others.watch.inside("NCCL's beginning", || library.join(&others.mpi, device));
                    Some(joined.map_err(candle_core::Error::Msg)?)
                }
                Err(why) => {
                    if self.is_first() {
                        note(&format!("note: gradients are added by way of main memory, since NCCL is missing: {why}"));
                    }
                    None
                }
            };
            let _ = others.gpus.set(found);
        }
        match others.gpus.get() {
            Some(Some(gpus)) => others.watch.inside("sum on GPUs", || gpus.sum(own, self.sum)).map(Some),
            _ => Ok(None),
        }
    }

    /// Which of them this is, from 0.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// How many there are.
    pub fn world(&self) -> usize {
        self.others.as_ref().map_or(1, |others| others.world)
    }

    /// Are there others?
    pub fn is_alone(&self) -> bool {
        self.others.is_none()
    }

    /// Is this the one that has the folder and the screen?
    pub fn is_first(&self) -> bool {
        self.rank == 0
    }

    /// Who has started them.
    pub fn launcher(&self) -> Option<Launcher> {
        self.others.as_ref().map(|others| others.by)
    }

    /// The library's name, where one was opened.
    pub fn library(&self) -> Option<String> {
        self.others.as_ref().map(|others| others.mpi.version())
    }

    /// Where the run stands, for the message of the deadline.
    pub fn at(&self, place: impl FnOnce() -> String) {
        if let Some(others) = &self.others {
            others.watch.at(place());
        }
    }

    fn inside<T>(
        &self,
        what: &'static str,
        alone: T,
        work: impl FnOnce(&Mpi) -> Result<T, String>,
    ) -> Result<T, String> {
        match &self.others {
            None => Ok(alone),
            Some(others) => others.watch.inside(what, || work(&others.mpi)),
        }
    }

    /// The sums of the values over all processes, in their place.
    pub fn sum<T: Number>(&self, values: &mut [T]) -> Result<(), String> {
        let world = self.world();
        self.inside("sum", (), |mpi| match self.sum {
            Sum::Fast => mpi.allreduce(values),
            Sum::Ordered => {
                // Each adds up one part, so that as much is sent as in a ring: 2 (n - 1) / n of the numbers.
                let each = values.len().div_ceil(world);
                let (mut sent, mut parts) = (vec![T::default(); each * world], vec![T::default(); each * world]);
                sent[..values.len()].copy_from_slice(values);
                mpi.all_to_all(&sent, &mut parts, each)?;
                tree(&mut parts, each, world);
                mpi.all_gather(&parts[..each], &mut sent)?;
                values.copy_from_slice(&sent[..values.len()]);
                Ok(())
            }
        })
    }

    /// Process 0's bytes, in the place of these, which are as many everywhere.
    pub fn broadcast(&self, bytes: &mut [u8]) -> Result<(), String> {
        self.inside("broadcast", (), |mpi| mpi.broadcast(bytes))
    }

    /// What process 0 knows.
    pub fn of_first<T: Serialize + DeserializeOwned>(&self, own: T) -> Result<T, String> {
        if self.is_alone() {
            return Ok(own);
        }
        let mut text = if self.is_first() { written(&own)? } else { vec![] };
        let mut length = (text.len() as u64).to_le_bytes();
        self.broadcast(&mut length)?;
        text.resize(u64::from_le_bytes(length) as usize, 0);
        self.broadcast(&mut text)?;
        if self.is_first() { Ok(own) } else { read(&text) }
    }

    /// What each knows, in the order of the processes.
    pub fn of_all<T: Serialize + DeserializeOwned>(&self, own: T) -> Result<Vec<T>, String> {
        if self.is_alone() {
            return Ok(vec![own]);
        }
        let mut text = written(&own)?;
        let mut lengths = vec![0_u64; self.world()];
        let length = text.len() as u64;
        self.inside("gather", (), |mpi| mpi.all_gather(&[length], &mut lengths))?;
        let most = lengths.iter().max().map_or(0, |most| *most as usize);
        let mut all = vec![0_u8; most * self.world()];
        text.resize(most, 0);
        self.inside("gather", (), |mpi| mpi.all_gather(&text, &mut all))?;
        lengths.iter().zip(all.chunks(most.max(1))).map(|(length, text)| read(&text[..*length as usize])).collect()
    }

    /// An error on one process is an error on all: the first of them, with the process that it comes from.
    pub fn all_well<T>(&self, own: Result<T, String>) -> Result<T, String> {
        if self.is_alone() {
            return own;
        }
        let found = self.of_all(own.as_ref().err().cloned())?;
        match found.into_iter().enumerate().find_map(|(rank, why)| Some((rank, why?))) {
            Some((rank, why)) if rank != self.rank => Err(format!("process {rank}: {why}")),
            Some((_, why)) => Err(why),
            None => own,
        }
    }

    /// Begin to find the largest of each value over all processes, without waiting for them.
    pub fn tell(&self, values: &[f64]) -> Result<Told, String> {
        let mut values: Box<[f64]> = values.into();
        let request = self.inside("decision", None, |mpi| mpi.begin_largest(&mut values).map(Some))?;
        Ok(Told { values, request })
    }

    /// What it came to.
    pub fn told(&self, mut told: Told) -> Result<Box<[f64]>, String> {
        self.inside("decision", (), |mpi| {
            while let Some(request) = &mut told.request
                && !mpi.is_done(request)?
            {
                std::thread::yield_now();
            }
            Ok(())
        })?;
        told.request = None;
        Ok(std::mem::take(&mut told.values))
    }

    /// The largest of each value over all processes.
    pub fn largest(&self, values: &[f64]) -> Result<Box<[f64]>, String> {
        let told = self.tell(values)?;
        self.told(told)
    }

    /// Without a deadline: for what may take one process far longer than the others.
    pub fn patiently<T>(&self, work: impl FnOnce() -> T) -> T {
        let Some(others) = &self.others else { return work() };
        let limit = others.watch.set_limit(Duration::MAX);
        let result = work();
        others.watch.set_limit(limit);
        result
    }

    /// From now on a collective that takes longer than that is an end.
    pub fn wait_no_longer_than(&self, limit: Duration) {
        if let Some(others) = &self.others {
            others.watch.set_limit(limit);
        }
    }

    /// End all processes at once, with this code.
    pub fn abort(&self, code: i32) {
        if let Some(others) = &self.others {
            others.watch.end();
            others.mpi.abort(code);
        }
    }

    /// This process says nothing any more. Waits until all have come to this.
    pub fn leave(&self) -> Result<(), String> {
        self.inside("end", (), Mpi::finalize)?;
        self.others.iter().for_each(|others| others.watch.end());
        Ok(())
    }
}

fn written<T: Serialize>(value: &T) -> Result<Vec<u8>, String> {
    serde_json::to_vec(value).map_err(|e| format!("a message to the other processes: {e}"))
}

fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    serde_json::from_slice(text)
        .map_err(|e| format!("a message of another process cannot be read: {e}; do all of them run the same program?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alone_everything_is_what_it_is() {
        let group = Group::default();
        let mut values = [0.1_f32, 0.2];
        group.sum(&mut values).expect("a sum");
        assert_eq!((values, group.world(), group.is_first()), ([0.1, 0.2], 1, true));
        assert_eq!(group.of_all("x".to_string()), Ok(vec!["x".to_string()]));
        assert_eq!(group.of_first(3), Ok(3));
        assert_eq!(group.all_well::<()>(Err("no".into())), Err("no".into()));
        assert_eq!(group.largest(&[1.0, f64::NEG_INFINITY]).as_deref(), Ok([1.0, f64::NEG_INFINITY].as_slice()));
        assert_eq!((group.leave(), group.library()), (Ok(()), None));
    }
}
