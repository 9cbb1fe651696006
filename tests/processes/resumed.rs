//! A run of several processes goes on: with as many bit for bit, with others up to rounding.

use super::launched::{TRAINS, apart, bytes, end_of, launched, launcher, rows, turn, wait_for_rows};
use super::program::Folder;
use std::process::Stdio;

const SLOW: [&str; 4] = ["--set", "pause=0.03", "--window", "4"];

/// Stopped by SIGUSR1 to the launcher, in the middle of the second epoch.
fn stopped(folder: &Folder, n: usize, into: &str, more: &[&str]) {
    let mut command = launcher(folder, n, &[&["run", "t.rhai", "--into", into], &SLOW[..], more].concat());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_rows(&folder.path().join(into), 7);
    // SAFETY: a signal to a process of our own.
    unsafe { libc::kill(child.id().cast_signed(), libc::SIGUSR1) };
    let said = end_of(folder, child, 30);
    assert!(said.ends_with("exit code 75"), "{said}");
    assert!(said.contains("epoch 2/3, batch"), "{said}");
    assert!(said.contains(&format!("go on with: mpirun -n {n} workbench run t.rhai --resume")), "{said}");
}

fn resumed(folder: &Folder, n: usize, run: &str, more: &[&str]) -> String {
    let arguments = [&["run", "--resume", run, "--window", "4"], more].concat();
    let said = if n == 1 { folder.run(&arguments) } else { launched(folder, n, &arguments) };
    assert!(said.ends_with("exit code 0"), "{said}");
    said
}

fn copied(folder: &Folder, from: &str, to: &str) {
    fn copy(from: &std::path::Path, to: &std::path::Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
            let (own, other) = (entry.path(), to.join(entry.file_name()));
            if own.is_dir() {
                copy(&own, &other)
            } else {
                assert!(std::fs::copy(&own, &other).is_ok());
            }
        }
    }
    copy(&folder.path().join(from), &folder.path().join(to));
}

#[test]
fn the_same_number_of_processes_goes_on_bit_for_bit_and_others_up_to_rounding() {
    let Some(_turn) = turn() else { return };
    let folder = Folder::new(&[("t.rhai", TRAINS)]);
    let whole = launched(&folder, 4, &["run", "t.rhai", "--into", "whole", "--window", "4"]);
    assert!(whole.ends_with("exit code 0"), "{whole}");
    stopped(&folder, 4, "cut", &[]);
    copied(&folder, "cut", "others");
    copied(&folder, "cut", "damaged");
    let said = resumed(&folder, 4, "cut", &[]);
    assert!(said.contains("resumed from epoch 2/3, after batch"), "{said}");
    assert!(bytes(&folder, "whole/model.safetensors") == bytes(&folder, "cut/model.safetensors"));
    assert_eq!(rows(&folder, "whole"), rows(&folder, "cut"));
    // Two, stopped again, and then one, shard by shard: even the bits are the same.
    let mut command = launcher(&folder, 2, &["run", "--resume", "others", "--by-shard", "--window", "4"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_rows(&folder.path().join("others"), 11);
    // SAFETY: a signal to a process of our own.
    unsafe { libc::kill(child.id().cast_signed(), libc::SIGUSR1) };
    let said = end_of(&folder, child, 30);
    assert!(said.ends_with("exit code 75"), "{said}");
    resumed(&folder, 1, "others", &["--by-shard"]);
    assert!(apart(&rows(&folder, "whole"), &rows(&folder, "others")) < 1e-12);
    assert!(bytes(&folder, "whole/model.safetensors") == bytes(&folder, "others/model.safetensors"));
    // A part of the last checkpoint is damaged: nobody takes that one.
    let shard = latest_part(&folder, "damaged");
    std::fs::write(&shard, b"cut off").unwrap();
    let said = launched(&folder, 4, &["run", "--resume", "damaged", "--window", "4"]);
    assert!(said.contains("the one before is taken") && said.contains("shard-2-of-4"), "{said}");
    assert!(bytes(&folder, "whole/model.safetensors") == bytes(&folder, "damaged/model.safetensors"));
}

/// The third part of the last checkpoint.
fn latest_part(folder: &Folder, run: &str) -> std::path::PathBuf {
    let files = std::fs::read_dir(folder.path().join(run).join("checkpoints")).unwrap();
    let mut parts: Vec<_> =
        files.map(|file| file.unwrap().path()).filter(|p| p.display().to_string().contains(".shard-2-")).collect();
    parts.sort();
    parts.pop().unwrap()
}

/// The parts are there and the checkpoint that names them is not: as if all processes had been killed between them.
#[test]
fn parts_without_a_checkpoint_are_no_part_of_anything() {
    let Some(_turn) = turn() else { return };
    let folder = Folder::new(&[("t.rhai", TRAINS)]);
    let every = ["--set", "every=5", "--checkpoint-share", "1"];
    let whole = launched(&folder, 2, &[&["run", "t.rhai", "--into", "whole"], &every[..]].concat());
    assert!(whole.ends_with("exit code 0"), "{whole}");
    stopped(&folder, 2, "cut", &every);
    let checkpoints = folder.path().join("cut/checkpoints");
    let main = || {
        let files = std::fs::read_dir(&checkpoints).unwrap().map(|file| file.unwrap().path());
        let mut own: Vec<_> = files.filter(|p| !p.display().to_string().contains(".shard-")).collect();
        own.retain(|p| p.file_name().unwrap().to_string_lossy().starts_with("0000"));
        own.sort();
        own
    };
    let last = main().pop().unwrap();
    std::fs::remove_file(&last).unwrap();
    resumed(&folder, 2, "cut", &[]);
    assert!(bytes(&folder, "whole/model.safetensors") == bytes(&folder, "cut/model.safetensors"));
    let numbers: Vec<String> =
        main().iter().map(|p| p.file_name().unwrap().to_string_lossy()[..6].to_string()).collect();
    let parts =
        std::fs::read_dir(&checkpoints).unwrap().map(|file| file.unwrap().file_name().to_string_lossy().into_owned());
    let parts: Vec<String> = parts.filter(|name| name.contains(".shard-")).collect();
    assert!(parts.iter().all(|name| numbers.contains(&name[..6].to_string())), "{numbers:?} {parts:?}");
    assert_eq!(parts.len(), 2 * numbers.len());
}

#[test]
fn another_number_of_shards_is_asked_for_in_words() {
    let Some(_turn) = turn() else { return };
    let folder = Folder::new(&[("t.rhai", TRAINS)]);
    stopped(&folder, 2, "cut", &[]);
    let said = launched(&folder, 3, &["run", "--resume", "cut"]);
    assert!(said.contains("2 shards cannot be dealt to 3 processes alike") && said.contains("--reshard"), "{said}");
    let said = folder.run(&["run", "--resume", "cut", "--shards", "3"]);
    assert!(said.contains("the run has 2 shards, now 3 are asked for"), "{said}");
    copied(&folder, "cut", "one");
    for (n, run) in [(3, "cut"), (1, "one")] {
        resumed(&folder, n, run, &["--reshard"]);
        let record: serde_json::Value = serde_json::from_slice(&bytes(&folder, &format!("{run}/run.json"))).unwrap();
        assert_eq!(record.get("shards").map_or(1, |n| n.as_u64().unwrap()), n as u64);
        let last = rows(&folder, run).last().unwrap()["loss"].as_f64().unwrap();
        assert!(last.is_finite() && last < 3.0, "{last}");
    }
    // From one shard to several.
    let whole = folder.run(&["run", "t.rhai", "--into", "alone", "--set", "epochs=1"]);
    assert!(whole.ends_with("exit code 0"), "{whole}");
    let said = launched(&folder, 2, &["run", "--resume", "alone"]);
    assert!(said.contains("1 shards cannot be dealt to 2 processes") && said.contains("--reshard"), "{said}");
}
