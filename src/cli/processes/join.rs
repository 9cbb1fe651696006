//! The processes that a launcher has started find each other, share out the threads and GPUs of their machine, and end together.

use super::super::arguments::{RunArguments, SumOrder};
use super::super::signals;
use super::super::start::end;
use crate::base::threads::{Share, processors};
use crate::base::{interrupt, output};
use crate::compute::collective::{Group, Launch, Ranks, Strata, Sum, found};
use crate::repl::terminal::{colours, complain};
use crate::run::Record;
use crate::script::explain::report::{Failure, FailureKind};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

/// How long a process waits for process 0 to say what all of them have met.
const FLOOR: Duration = Duration::from_millis(1500);

/// How long processes that were asked to stop wait for each other.
const LAST_WORDS: Duration = Duration::from_secs(20);

/// This process among the others, and what of its machine is its own.
pub struct Joined {
    pub ranks: Ranks,
    /// Of the processors.
    pub threads: Share,
    /// Which of the machine's processes it is.
    local: usize,
}

/// A process alone, with the shards of the run.
pub fn alone(what: &RunArguments, old: Option<&Record>) -> Result<Joined, String> {
    let strata = strata(what, old, 0, 1)?;
    Ok(Joined { ranks: Ranks { group: Rc::default(), strata }, threads: Share::default(), local: 0 })
}

/// Greet the others of the launcher.
pub fn join(
    launch: &Launch,
    what: &RunArguments,
    old: Option<&Record>,
    told: Vec<(String, String)>,
) -> Result<Joined, String> {
    let rank = launch.rank;
    let sum = match what.sum {
        SumOrder::Ordered => Sum::Ordered,
        SumOrder::Fast => Sum::Fast,
    };
    let late = move |why: &str| {
        complain(&format!("process {rank}: {why}"));
        end_at_once(interrupt::TRY_AGAIN);
    };
    signals::say_nothing();
    let group = Group::join(launch, sum, Duration::from_secs_f64(60.0 * what.deadline), late)?;
    let joined = alike(&group, told).and_then(|()| shared_out(launch, &group, what, old));
    match joined {
        Ok((strata, threads, local)) => Ok(Joined { ranks: Ranks { group: Rc::new(group), strata }, threads, local }),
        Err(why) => {
            wait_for_first(rank);
            complain(&format!("error: {why}"));
            group.abort(2);
            Err(why)
        }
    }
}

/// An error unless all processes were started with the same.
fn alike(group: &Group, told: Vec<(String, String)>) -> Result<(), String> {
    let first = group.of_first(told.clone())?;
    let of =
        |list: &[(String, String)], name: &str| list.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
    let other = first.iter().chain(&told).find(|(name, _)| of(&first, name) != of(&told, name));
    let own = match other {
        None => Ok(()),
        Some((name, _)) => Err(format!(
            "{name} is {} here and {} on process 0: the processes of one run are started alike; for runs of their own give each --processes 1",
            of(&told, name).unwrap_or("not given".into()),
            of(&first, name).unwrap_or("not given".into())
        )),
    };
    group.all_well(own)
}

/// Which shards, processors and GPUs are whose.
fn shared_out(
    launch: &Launch,
    group: &Group,
    what: &RunArguments,
    old: Option<&Record>,
) -> Result<(Strata, Share, usize), String> {
    let strata = strata(what, old, launch.rank, launch.world)?;
    let own = (sysinfo::System::host_name().unwrap_or_default(), processors());
    let all = group.of_all(own.clone())?;
    let before = &all[..launch.rank];
    let same = |other: &&(String, Vec<usize>)| **other == own;
    let threads = Share { at: before.iter().filter(same).count(), of: all.iter().filter(same).count() };
    let local = before.iter().filter(|other| other.0 == own.0).count();
    if group.is_first() {
        let library = group.library().unwrap_or_default();
        let shards = if strata.shards == launch.world { String::new() } else { format!(", {} shards", strata.shards) };
        let each = threads.processors().len();
        let each = if each == 1 { "1 processor".to_string() } else { format!("{each} processors") };
        output::note(&format!("{} processes by {} ({library}), {each} each{shards}", launch.world, launch.by));
        let here = all.iter().filter(|other| other.0 == own.0);
        let used: std::collections::BTreeSet<usize> = here.flat_map(|other| other.1.iter().copied()).collect();
        let there = sysinfo::System::physical_core_count().unwrap_or(0);
        if used.len() < there && own.1.len() < 3 {
            output::note(&format!(
                "note: the launcher ties these processes to {} of this machine's {there} cores; mpirun --bind-to none leaves them free",
                used.len()
            ));
        }
    }
    Ok((strata, threads, local))
}

/// The shards of the run, and this process's.
fn strata(what: &RunArguments, old: Option<&Record>, rank: usize, world: usize) -> Result<Strata, String> {
    let was = old.map(Record::shards);
    let shards = match (what.shards, was) {
        (Some(asked), Some(was)) if asked as usize != was && !what.reshard => {
            return Err(format!(
                "--resume: the run has {was} shards, now {asked} are asked for; leave that out, or add --reshard, which deals the images \
                 anew, so that the order of batches changes"
            ));
        }
        (Some(asked), _) => asked as usize,
        (None, Some(was)) if !what.reshard => was,
        (None, _) => world,
    };
    let by_shard = what.by_shard || old.is_some_and(|old| old.by_shard);
    Strata::deal(shards, rank, world, by_shard).map_err(|why| match was {
        Some(was) if was == shards => format!("--resume: {why}; or deal the images anew: --reshard"),
        _ => why,
    })
}

impl Joined {
    /// The device that is meant: of several GPUs of a machine, each process has its own.
    pub fn device(&self, given: Option<String>) -> Option<String> {
        let own = |name: String| if name == "cuda" { format!("cuda:{}", self.local) } else { name };
        if self.ranks.group.is_alone() { given } else { given.map(own) }
    }

    /// How the run ended, for all processes; the exit code.
    pub fn end(&self, result: Result<(), Failure>) -> ExitCode {
        let group = &self.ranks.group;
        if group.is_alone() {
            return end(result);
        }
        if let Err(Failure { kind: FailureKind::Error, .. }) = &result {
            wait_for_first(group.rank());
            if let Err(failure) = &result {
                complain(&format!(
                    "{}{}",
                    if group.is_first() { String::new() } else { self.ranks.prefix() },
                    failure.render(colours())
                ));
            }
            group.abort(1);
            return ExitCode::FAILURE;
        }
        let stopped = matches!(&result, Err(Failure { kind: FailureKind::Interrupted, .. }));
        let code = match (group.is_first(), result) {
            (true, result) => end(result),
            (false, Ok(())) => ExitCode::SUCCESS,
            (false, Err(failure)) => ExitCode::from(u8::try_from(failure.exit_code()).unwrap_or(1)),
        };
        if stopped {
            group.wait_no_longer_than(LAST_WORDS);
        }
        if let Err(why) = group.leave() {
            complain(&format!("{}{why}", self.ranks.prefix()));
        }
        code
    }
}

/// An error unless this process is alone: only `workbench run` is done by several.
pub fn refuse(command: &str) -> Result<(), String> {
    match found() {
        None => Ok(()),
        Some(launch) => {
            wait_for_first(launch.rank);
            Err(format!(
                "{command}: {} has started {} processes, each of which would do the same; several processes share a `workbench run`, all \
                 else is done by one",
                launch.by, launch.world
            ))
        }
    }
}

/// What all have met is said by process 0, which ends the others.
pub fn wait_for_first(rank: usize) {
    if rank > 0 {
        std::thread::sleep(FLOOR);
    }
}

/// Without handlers, which might wait for MPI.
fn end_at_once(code: u8) -> ! {
    #[cfg(unix)]
    // SAFETY: nothing of this process is needed any more.
    unsafe {
        libc::_exit(code.into())
    }
    #[cfg(not(unix))]
    std::process::abort()
}
