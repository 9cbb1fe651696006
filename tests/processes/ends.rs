//! Whatever ends one process ends all, in seconds or at the deadline, with a message; the last checkpoint is whole.

use super::launched::{TRAINS, end_of, launched, launcher, launcher_of, processes_of, turn, wait_for_rows};
use super::program::Folder;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// One process goes its own way in the fourth epoch.
const ODD: &str = r#"
let cfg = settings(#{ how: "", epochs: 6, pause: 0.0 });
let data = dataset("digits", #{ train_limit: 300 });
let model = sequential(data.shape, [flatten(), linear(10)]);
let optimizer = sgd(model, #{ lr: 0.05 });
for epoch in run.epochs(cfg.epochs) {
    for batch in data.train.batches(60) {
        let loss = cross_entropy(model.forward(batch.x), batch.y);
        let odd  = epoch == 3 && batch.number == 2 && run.rank == 2;
        if cfg.how == "error" && odd { throw "something of process 2"; }
        if cfg.how == "nan" && odd { loss = loss * (0.0 / 0.0); }
        if cfg.how == "twice" && odd { optimizer.step(loss); }
        if cfg.how == "never" && odd { continue; }
        if cfg.how == "weights" && odd { model.param("1.weight").assign(model.param("1.weight") * 2.0); }
        if cfg.how == "everybody" && epoch == 3 { throw "something of all"; }
        optimizer.step(cross_entropy(model.forward(batch.x), batch.y));
        run.log(#{ loss: loss });
        if cfg.pause > 0.0 { sleep(cfg.pause); }
    }
    run.checkpoint();
}
"#;

#[test]
fn what_one_process_does_alone_is_told_and_ends_all() {
    let Some(_turn) = turn() else { return };
    let wanted = [
        ("error", "process 2 of 3: error: something of process 2"),
        ("nan", "`loss` is NaN at epoch 4/6, batch 3 of 5"),
        ("twice", "does not do the same on all processes"),
        ("never", "does not do the same on all processes"),
        ("weights", "process 2 has other parameters than process 0 behind epoch 4/6"),
        ("everybody", "error: something of all"),
    ];
    for (how, message) in wanted {
        let folder = Folder::new(&[("odd.rhai", ODD)]);
        let (began, set) = (Instant::now(), format!("how={how}"));
        let said = launched(&folder, 3, &["run", "odd.rhai", "--into", "run", "--deadline", "0.2", "--set", &set]);
        assert!(said.replace("  ", " ").contains(message), "{how}: {said}");
        assert!(said.ends_with("exit code 1"), "{how}: {said}");
        assert!(began.elapsed() < Duration::from_secs(12), "{how}: {:?}", began.elapsed());
        if how == "everybody" {
            assert_eq!(said.matches("something of all\n").count(), 1, "{said}");
        }
    }
}

/// Begin a training of three processes that is under way.
fn under_way(folder: &Folder, deadline: &str) -> std::process::Child {
    let arguments =
        ["run", "t.rhai", "--into", "run", "--set", "pause=0.03", "--set", "epochs=30", "--deadline", deadline];
    let mut command = launcher(folder, 3, &arguments);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_rows(&folder.path().join("run"), 2);
    child
}

/// It is gone on with from its last checkpoint, to the end.
fn goes_on(folder: &Folder) {
    let said = launched(folder, 3, &["run", "--resume", "run", "--allow-changes", "--set", "pause=0.0"]);
    assert!(said.contains("resumed from") && said.ends_with("exit code 0"), "{said}");
}

#[test]
fn a_process_that_is_killed_or_hangs_ends_all_and_the_last_checkpoint_is_whole() {
    let Some(_turn) = turn() else { return };
    for (signal, deadline) in [(libc::SIGKILL, "10"), (libc::SIGSTOP, "0.05")] {
        let folder = Folder::new(&[("t.rhai", TRAINS)]);
        let child = under_way(&folder, deadline);
        let processes = processes_of(&child);
        assert_eq!(processes.len(), 3);
        // SAFETY: a signal to a process of our own.
        unsafe { libc::kill(processes[1], signal) };
        let said = end_of(&folder, child, 20);
        assert!(!said.ends_with("exit code 0"), "{said}");
        if signal == libc::SIGSTOP {
            assert!(
                said.contains("the other processes have not answered for 3s (") && said.contains("epoch "),
                "{said}"
            );
        }
        goes_on(&folder);
    }
}

#[test]
fn a_library_of_another_launcher_is_refused() {
    let Some(_turn) = turn() else { return };
    let folder = Folder::new(&[("odd.rhai", ODD)]);
    let with = |library: &str| {
        let mut command = launcher(&folder, 2, &["run", "odd.rhai"]);
        folder.shown(&command.env("WORKBENCH_MPI", library).output().unwrap())
    };
    let said = with("libm.so.6");
    assert!(said.contains("libm.so.6 is no MPI library") && !said.ends_with("exit code 0"), "{said}");
    let said = with("libno_such_mpi.so.3");
    assert!(said.contains("its MPI library cannot be opened") && said.contains("WORKBENCH_MPI=PATH"), "{said}");
    // Processes that believe to be alone would write one run several times: the variables of a launcher, and no launcher behind them.
    let mut alone = folder.command(&["run", "odd.rhai"]);
    let said = folder.shown(&alone.env("OMPI_COMM_WORLD_RANK", "1").env("OMPI_COMM_WORLD_SIZE", "4").output().unwrap());
    assert!(said.contains("takes it for number 0 of 1: the library belongs to another launcher"), "{said}");
    assert!(!folder.path().join("runs").exists());
}

#[test]
fn what_several_processes_cannot_do_together_is_said() {
    let folder = Folder::new(&[("odd.rhai", ODD), ("plain.rhai", "print(1);")]);
    let by = |variables: [(&str, &str); 2], arguments: &[&str]| {
        folder.shown(&folder.command(arguments).envs(variables).stdin(Stdio::null()).output().unwrap())
    };
    let torchrun = [("RANK", "0"), ("WORLD_SIZE", "2")];
    let said = by(torchrun, &["run", "odd.rhai"]);
    assert!(said.contains("torchrun has started 2 processes, but no MPI"), "{said}");
    let said = by(torchrun, &["sweep", "odd.rhai", "--seeds", "2"]);
    assert!(said.contains("sweep: torchrun has started 2 processes, each of which would do the same"), "{said}");
    assert!(by(torchrun, &[]).contains("the prompt: torchrun has started 2 processes"));
    let said = by(torchrun, &["run", "odd.rhai", "--processes", "2"]);
    assert!(said.contains("--processes 2: torchrun has started 2 processes already"), "{said}");
    let said = folder.run(&["run", "odd.rhai", "--shards", "7"]);
    assert!(said.contains("60 images cannot be dealt to 7 shards alike; take 56 or 63"), "{said}");
    let Some(_turn) = turn() else { return };
    let said = launched(&folder, 2, &["run", "plain.rhai"]);
    assert!(said.contains("the 2 processes have all done the same"), "{said}");
    let said = launched(&folder, 2, &["run", "odd.rhai", "--shards", "3"]);
    assert!(said.contains("3 shards cannot be dealt to 2 processes alike; give --shards 2 or 4"), "{said}");
    assert_eq!(said.matches("cannot be dealt").count(), 1, "{said}");
}

/// The processes of one run are started alike; those that are to do runs of their own are told so.
#[test]
fn processes_of_one_run_are_started_alike() {
    let Some(_turn) = turn() else { return };
    let folder = Folder::new(&[("odd.rhai", ODD), ("plain.rhai", "run.result(#{ seed: seed });")]);
    let by_shell = |command: &str| {
        let shell = command.replace("workbench", env!("CARGO_BIN_EXE_workbench"));
        folder.shown(&launcher_of(&folder, 2, &["bash", "-c", &shell]).output().unwrap())
    };
    let said = by_shell("exec workbench run odd.rhai --seed $OMPI_COMM_WORLD_RANK");
    assert!(said.contains("--seed is 1 here and 0 on process 0") && !said.ends_with("exit code 0"), "{said}");
    let said = by_shell("exec workbench run odd.rhai --set how=$OMPI_COMM_WORLD_RANK");
    assert!(said.contains("--set how is") && said.contains("give each --processes 1"), "{said}");
    let said = by_shell(
        "exec workbench run plain.rhai --processes 1 --seed $OMPI_COMM_WORLD_RANK --into own$OMPI_COMM_WORLD_RANK",
    );
    assert!(said.ends_with("exit code 0"), "{said}");
    let said = folder.run(&["sweep", "plain.rhai", "--seeds", "2", "--plan", "--into", "plan"]);
    assert!(said.ends_with("exit code 0"), "{said}");
    let said = by_shell("exec workbench sweep --item $OMPI_COMM_WORLD_RANK --of plan");
    assert!(said.ends_with("exit code 0"), "{said}");
    let said = folder.run(&["sweep", "--collect", "plan"]);
    assert!(said.ends_with("exit code 0"), "{said}");
}

/// A disk that is full where process 0 writes.
#[test]
fn a_full_disk_of_process_0_ends_all_with_its_last_checkpoint() {
    let Some(_turn) = turn() else { return };
    let folder = Folder::new(&[("t.rhai", TRAINS)]);
    let child = under_way(&folder, "1");
    let limit = libc::rlimit { rlim_cur: 20_000, rlim_max: 20_000 };
    let first = processes_of(&child).into_iter().min().unwrap();
    // SAFETY: the limit of a process of our own: its files may not grow beyond this, and neither does a checkpoint.
    unsafe { libc::prlimit(first, libc::RLIMIT_FSIZE, &raw const limit, std::ptr::null_mut()) };
    let said = end_of(&folder, child, 30);
    assert!(said.contains("File too large") && said.ends_with("exit code 1"), "{said}");
    goes_on(&folder);
}

/// `--processes` begins the launcher by itself; Ctrl-C reaches all of them behind the same batch.
#[test]
fn the_program_starts_its_own_processes() {
    let Some(_turn) = turn() else { return };
    let folder = Folder::new(&[("t.rhai", TRAINS)]);
    let said = folder.run(&["run", "t.rhai", "--processes", "2", "--into", "two", "--set", "epochs=1"]);
    assert!(said.contains("2 processes by mpirun") && said.ends_with("exit code 0"), "{said}");
    let arguments = ["run", "t.rhai", "--processes=2", "--into", "cut", "--set", "pause=0.03", "--window", "4"];
    let child = folder.spawn(&arguments);
    wait_for_rows(&folder.path().join("cut"), 3);
    // SAFETY: a signal to a process of our own.
    unsafe { libc::kill(child.id().cast_signed(), libc::SIGINT) };
    let said = end_of(&folder, child, 30);
    assert!(said.contains("interrupted: this batch is finished") && said.ends_with("exit code 130"), "{said}");
    assert!(said.contains("go on with: mpirun -n 2 workbench run t.rhai --resume"), "{said}");
    let said = folder.run(&["run", "--resume", "cut", "--processes", "2"]);
    assert!(said.contains("resumed from") && said.ends_with("exit code 0"), "{said}");
    // Without an mpirun.
    let mut command = folder.command(&["run", "t.rhai", "--processes", "2"]);
    let said = folder.shown(&command.env("PATH", "/nowhere").output().unwrap());
    assert!(said.contains("there is no mpirun on PATH; install an MPI, such as Debian's openmpi-bin"), "{said}");
}
