//! `workbench data fetch` against a hub on this machine: what goes wrong on the way never becomes data.

use crate::common::hub::{Hub, Mishap};
use crate::common::parquet;
use crate::common::program::Folder;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SHAPE: [usize; 3] = [3, 8, 8];

fn pixels(image: usize) -> Vec<u8> {
    (0..192).map(|i| (i * 37 + image * 101 + i * i * image) as u8).collect()
}

fn label(image: usize) -> i64 {
    (image * 2 / 3 % 2) as i64
}

/// Images `from..to` as a file of the hub.
fn file(from: usize, to: usize) -> Vec<u8> {
    let rows: Vec<_> = (from..to).map(|i| (parquet::png(&pixels(i), SHAPE), label(i))).collect();
    parquet::write(&rows, 4, ("img", "label"))
}

/// A folder with a manifest of 60 training and 6 test images and a script that looks at them.
fn folder(digest: &str) -> Folder {
    let digest = if digest.is_empty() { String::new() } else { format!(", digest: {digest}") };
    let manifest = format!(
        "name: spots\ntitle: Spots\nshape: [3, 8, 8]\nclasses: 2\nscale: 255\nformat: cifar\nsplits:\n  \
         train: {{ size: 60, files: [train.bin]{digest} }}\n  test: {{ size: 6, files: [test.bin] }}\n\
         hub:\n  repository: ada/spots\n  revision: main\n  columns: {{ image: img, label: label }}\n  \
         train: [data/train-0.parquet, data/train-1.parquet]\n  test: [data/test-0.parquet]\n\
         licence: none\ncitation: none\n"
    );
    let script = "let d = dataset(\"./spots.yaml\"); \
                  print(`${d.train.len()} ${d.test.len()} ${d.train.images([59])[0][2][7][7] * 255.0}`);";
    Folder::new(&[("spots.yaml", &manifest), ("look.rhai", script)])
}

fn hub(mishaps: Vec<Mishap>) -> Hub {
    let named = |name: &str, bytes| (format!("datasets/ada/spots/resolve/main/data/{name}.parquet"), bytes);
    Hub::start(
        vec![named("train-0", file(0, 33)), named("train-1", file(33, 60)), named("test-0", file(60, 66))],
        mishaps,
    )
}

fn command(folder: &Folder, hub: &Hub, arguments: &[&str]) -> Command {
    let mut command = folder.command(arguments);
    command.env("HF_ENDPOINT", &hub.address).env("HF_HOME", folder.path().join("hub")).env("HF_HUB_OFFLINE", "0");
    command.env("XDG_CACHE_HOME", folder.path().canonicalize().unwrap().join("cache")).env_remove("HF_TOKEN");
    command.env_remove("WORKBENCH_DATA").stdin(Stdio::null());
    command
}

fn fetch(folder: &Folder, hub: &Hub) -> String {
    folder.shown(&command(folder, hub, &["data", "fetch", "./spots.yaml"]).output().unwrap())
}

fn look(folder: &Folder, hub: &Hub) -> String {
    folder.shown(&command(folder, hub, &["run", "look.rhai"]).output().unwrap())
}

#[track_caller]
fn assert_is_right(folder: &Folder, hub: &Hub) {
    let seen = look(folder, hub);
    let expected = format!("60 6 {}", pixels(59)[191]);
    assert!(seen.contains(&expected) && seen.ends_with("exit code 0"), "{expected}: {seen}");
}

#[track_caller]
fn assert_nothing_is_there(folder: &Folder, hub: &Hub) {
    let seen = look(folder, hub);
    assert!(seen.contains("found nowhere") && seen.contains("workbench data fetch ./spots.yaml"), "{seen}");
    assert!(!folder.path().join("cache/workbench/decoded").exists());
}

#[test]
fn what_was_fetched_once_needs_no_hub_any_more() {
    let (folder, hub) = (folder(""), hub(vec![]));
    assert_nothing_is_there(&folder, &hub);
    assert!(hub.log().is_empty(), "a script asks nobody");
    let said = fetch(&folder, &hub);
    assert!(said.contains("60 train images") && said.contains("6 test images"), "{said}");
    assert!(said.contains("no digest of the published content is known"), "{said}");
    assert_is_right(&folder, &hub);
    let asked = hub.log().len();
    assert!(fetch(&folder, &hub).contains("here already"));
    assert_eq!(hub.log().len(), asked);
    for (arguments, expected) in [
        (["data", "verify", "./spots.yaml"], "train: 60 images, digest "),
        (["data", "path", "./spots.yaml"], "FOLDER/cache/workbench/decoded/spots-train-"),
        (["data", "info", "./spots.yaml"], "hf://datasets/ada/spots/data/train-1.parquet@main (SHA-256 "),
    ] {
        let said = folder.shown(&command(&folder, &hub, &arguments).output().unwrap());
        assert!(said.contains(expected) && said.ends_with("exit code 0"), "{arguments:?}: {said}");
    }
    // Gone from the decoded cache, but not from the hub's: no question is asked.
    std::fs::remove_dir_all(folder.path().join("cache")).unwrap();
    let offline =
        command(&folder, &hub, &["data", "fetch", "./spots.yaml"]).env("HF_HUB_OFFLINE", "1").output().unwrap();
    assert!(offline.status.success(), "{}", folder.shown(&offline));
    assert_eq!(hub.log().len(), asked);
    assert_is_right(&folder, &hub);
}

#[test]
fn offline_without_a_cache_says_so() {
    let (folder, hub) = (folder(""), hub(vec![]));
    let said = command(&folder, &hub, &["data", "fetch", "./spots.yaml"]).env("HF_HUB_OFFLINE", "1").output().unwrap();
    let said = folder.shown(&said);
    assert!(said.contains("HF_HUB_OFFLINE") && said.ends_with("exit code 1"), "{said}");
    assert!(hub.log().is_empty());
}

#[test]
fn a_download_goes_on_where_it_was_cut_off() {
    let (folder, hub) = (folder(""), hub(vec![Mishap::Cut(1000), Mishap::Cut(500)]));
    let said = fetch(&folder, &hub);
    assert!(said.contains("trying again") && said.ends_with("exit code 0"), "{said}");
    assert_is_right(&folder, &hub);
    let log = hub.log();
    assert!(log.iter().any(|l| l.contains(" 1000-")) && log.iter().any(|l| l.contains(" 1500-")), "{log:#?}");
}

#[test]
fn refusals_say_what_to_do_and_keep_nothing() {
    for (status, says) in
        [(401, "HF_TOKEN"), (403, "has not accepted its terms"), (404, "check repository, path and revision")]
    {
        let (folder, hub) = (folder(""), hub(vec![Mishap::Status(status)]));
        let said = fetch(&folder, &hub);
        assert!(said.contains(says) && said.contains(&status.to_string()) && said.ends_with("exit code 1"), "{said}");
        assert!(!said.contains("trying again"), "{said}");
        assert_nothing_is_there(&folder, &hub);
        // And the next time all is well.
        assert!(fetch(&folder, &hub).ends_with("exit code 0"));
        assert_is_right(&folder, &hub);
    }
}

#[test]
fn the_token_is_sent() {
    let (folder, hub) = (folder(""), hub(vec![]));
    let done =
        command(&folder, &hub, &["data", "fetch", "./spots.yaml"]).env("HF_TOKEN", "hf_secret").output().unwrap();
    assert!(done.status.success());
    assert!(hub.log().iter().all(|l| l.ends_with("Bearer hf_secret")), "{:#?}", hub.log());
}

#[test]
fn a_busy_hub_is_asked_again() {
    let (folder, hub) = (folder(""), hub(vec![Mishap::Status(429), Mishap::Status(503)]));
    let said = fetch(&folder, &hub);
    assert!(said.contains("too many requests (429)") && said.contains("status 503"), "{said}");
    assert_is_right(&folder, &hub);
}

#[test]
fn other_content_and_another_length_are_noticed() {
    for mishap in [Mishap::WrongContent, Mishap::Cut(700)] {
        let cut = matches!(mishap, Mishap::Cut(_));
        // After a cut, a server that sends everything again where the rest was asked for.
        let mishaps = if cut { vec![mishap, Mishap::Whole] } else { vec![mishap] };
        let (folder, hub) = (folder(""), hub(mishaps));
        let said = fetch(&folder, &hub);
        let expected = if cut { "bytes came, the server had announced" } else { "wrong content: its SHA-256 is" };
        assert!(said.contains(expected) && said.contains("trying again") && said.ends_with("exit code 0"), "{said}");
        assert_is_right(&folder, &hub);
    }
    // Wrong every time: nothing is kept.
    let (folder, hub) = (folder(""), hub(vec![Mishap::WrongContent; 5]));
    let said = fetch(&folder, &hub);
    assert!(said.contains("nothing was kept") && said.ends_with("exit code 1"), "{said}");
    assert_nothing_is_there(&folder, &hub);
}

/// The file in the hub's cache that holds `content`.
fn blob(folder: &Folder, content: &[u8]) -> std::path::PathBuf {
    folder.path().join("hub/hub/datasets--ada--spots/blobs").join(workbench::data::sha256(content))
}

#[test]
fn what_an_earlier_process_left_behind_is_taken_or_dropped() {
    // All of the file, but not yet under its name; and more than all of it. The hub has nothing more to send.
    for more in [0, 5] {
        let (folder, hub) = (folder(""), hub(vec![]));
        let whole = file(0, 33);
        let part = blob(&folder, &whole).with_extension("part");
        std::fs::create_dir_all(part.parent().unwrap()).unwrap();
        std::fs::write(&part, [&whole[..], &vec![0; more]].concat()).unwrap();
        let said = fetch(&folder, &hub);
        assert!(said.contains("trying again") && said.ends_with("exit code 0"), "{said}");
        assert_is_right(&folder, &hub);
        assert!(!part.exists());
    }
}

#[test]
fn a_damaged_file_in_the_hubs_cache_comes_anew() {
    let (folder, hub) = (folder(""), hub(vec![]));
    fetch(&folder, &hub);
    std::fs::remove_dir_all(folder.path().join("cache")).unwrap();
    let mut bytes = file(0, 33);
    let blob = blob(&folder, &bytes);
    bytes[40] ^= 1;
    std::fs::write(&blob, bytes).unwrap();
    let said = fetch(&folder, &hub);
    assert!(said.contains("in the cache, wrong content") && said.ends_with("exit code 0"), "{said}");
    assert_is_right(&folder, &hub);
}

#[test]
fn files_that_hold_something_else_are_not_kept_by_the_hubs_cache_either() {
    let other = Hub::start(vec![("datasets/ada/spots/resolve/main/data/".into(), b"no Parquet".to_vec())], vec![]);
    let folder = folder("");
    let said = fetch(&folder, &other);
    assert!(said.contains("broken Parquet file") && said.ends_with("exit code 1"), "{said}");
    let right = hub(vec![]);
    assert!(fetch(&folder, &right).ends_with("exit code 0"));
    assert_is_right(&folder, &right);
}

#[test]
fn the_content_decides() {
    let pixels: Vec<u8> = (0..60).flat_map(pixels).collect();
    let labels: Vec<u32> = (0..60).map(|i| label(i) as u32).collect();
    let digest = workbench::data::digest_of(&pixels, &labels, SHAPE);
    let hub = hub(vec![]);
    let right = folder(&digest);
    assert!(fetch(&right, &hub).ends_with("exit code 0"));
    let other = "a".repeat(64);
    let wrong = folder(&other);
    let said = fetch(&wrong, &hub);
    assert!(said.contains(&digest) && said.contains(&other) && said.ends_with("exit code 1"), "{said}");
    assert_nothing_is_there(&wrong, &hub);
}

#[test]
fn ctrl_c_ends_a_slow_download_and_the_rest_comes_later() {
    let (folder, hub) = (folder(""), hub(vec![Mishap::Slow(Duration::from_millis(400))]));
    let child = command(&folder, &hub, &["data", "fetch", "./spots.yaml"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while !hub.log().iter().any(|l| l.contains(&format!(" 0-{}", usize::MAX))) {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(600));
    let asked = Instant::now();
    // SAFETY: a signal to our own child.
    unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
    let said = folder.shown(&child.wait_with_output().unwrap());
    assert!(asked.elapsed() < Duration::from_secs(2) && said.ends_with("exit code 130"), "{said}");
    assert_nothing_is_there(&folder, &hub);
    assert!(fetch(&folder, &hub).ends_with("exit code 0"));
    assert_is_right(&folder, &hub);
}

#[test]
fn two_processes_at_once() {
    let slow = Mishap::Slow(Duration::from_millis(100));
    let (folder, hub) = (folder(""), hub(vec![slow.clone(), slow]));
    let start = || {
        command(&folder, &hub, &["data", "fetch", "./spots.yaml"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
    };
    let both = [start().unwrap(), start().unwrap()];
    for child in both {
        let said = folder.shown(&child.wait_with_output().unwrap());
        assert!(said.ends_with("exit code 0"), "{said}");
    }
    assert_is_right(&folder, &hub);
}

#[test]
fn a_damaged_cache_is_told_and_mended() {
    let (folder, hub) = (folder(""), hub(vec![]));
    fetch(&folder, &hub);
    let decoded = folder.path().join("cache/workbench/decoded");
    let train = std::fs::read_dir(&decoded).unwrap().flatten().map(|e| e.path());
    let train = train.into_iter().find(|p| p.display().to_string().contains("spots-train")).unwrap();
    let mut bytes = std::fs::read(&train).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&train, bytes).unwrap();
    let seen = look(&folder, &hub);
    assert!(
        seen.contains("is damaged: a checksum of its content is wrong") && seen.contains("workbench data fetch"),
        "{seen}"
    );
    assert!(fetch(&folder, &hub).ends_with("exit code 0"));
    assert_is_right(&folder, &hub);
}
