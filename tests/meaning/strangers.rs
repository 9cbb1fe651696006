//! What a pack or a stored run recorded grants nothing; and a folder of the user's called `std` is one like others.

use crate::common::program::Folder;

/// A stranger's pack, whose recorded settings name files of ours.
fn pack() -> Folder {
    let text = "let c = settings(#{ file: \"\", data: \"digits\", out: \"\" });
let d = dataset(c.data, #{ train_limit: 10, test_limit: 10 });
if c.file != \"\" { let t = load_npy(c.file); print(`secret ${t.to_array()}`); }
if c.out != \"\" { save_npy(ones([1]), c.out); }
run.result(#{ a: 1 });";
    let folder = Folder::new(&[("theirs/main.rhai", text), ("ours/x", "")]);
    let secret = candle_core::Tensor::full(42f32, 1, &candle_core::Device::Cpu).unwrap();
    secret.write_npy(folder.path().join("secret.npy")).unwrap();
    let made = folder.run(&["run", "theirs/main.rhai", "--into", "theirs/r", "--set", "file=secret.npy"]);
    assert!(made.contains("secret [42") && made.ends_with("exit code 0"), "what is named now is granted: {made}");
    assert!(folder.run(&["pack", "theirs/r", "--into", "theirs.workbench"]).ends_with("exit code 0"));
    folder
}

#[test]
fn recorded_settings_grant_no_file() {
    let folder = pack();
    for arguments in [
        &["run", "theirs.workbench"][..],
        &["replay", "theirs.workbench"],
        &["replay", "theirs/r"],
        &["run", "theirs.workbench", "--set", "data=digits"],
    ] {
        let output = folder.run(arguments);
        assert!(!output.contains("secret [42") && output.ends_with("exit code 1"), "{arguments:?}: {output}");
        assert!(output.contains("recorded") && output.contains("--allow-read secret.npy"), "{arguments:?}: {output}");
    }
    // What is given now is.
    for arguments in [
        &["run", "theirs.workbench", "--set", "file=secret.npy"][..],
        &["run", "theirs.workbench", "--allow-read", "secret.npy"],
        &["replay", "theirs.workbench", "--allow-read", "secret.npy"],
        &["replay", "theirs/r", "--allow-read", "secret.npy"],
    ] {
        let output = folder.run(arguments);
        assert!(output.contains("secret [42") && output.ends_with("exit code 0"), "{arguments:?}: {output}");
    }
}

/// An address that was recorded is not fetched; nothing listens there, so a try would say otherwise.
#[test]
fn recorded_settings_grant_no_address() {
    let text = "let c = settings(#{ model: \"\" }); if c.model != \"\" { load_model(c.model); } run.result(#{ a: 1 });";
    let folder = Folder::new(&[("main.rhai", text)]);
    assert!(folder.run(&["run", "main.rhai", "--into", "r"]).ends_with("exit code 0"));
    let path = folder.path().join("r/run.json");
    let record = std::fs::read_to_string(&path).unwrap();
    // As if it had been run with an address.
    let address = "hf://evil/collects/x.safetensors";
    let record = record.replace("\"overrides\": []", &format!("\"overrides\": [[\"model\", \"{address}\"]]"));
    assert!(record.contains("evil"), "{record}");
    std::fs::write(&path, record).unwrap();
    for arguments in [&["replay", "r"][..], &["run", "r.workbench"]] {
        folder.run(&["pack", "r", "--into", "r.workbench"]);
        let output = folder.run(arguments);
        assert!(output.ends_with("exit code 1") && output.contains("--allow-fetch"), "{arguments:?}: {output}");
    }
}

/// A sweep that goes on reads its settings from its folder, which somebody else may have made.
#[test]
fn a_sweep_that_goes_on_grants_only_what_is_given_now() {
    let text = "let c = settings(#{ file: \"\", k: 1 });
if c.file != \"\" { let t = load_npy(c.file); print(`secret ${t.to_array()}`); }
run.result(#{ a: c.k });";
    let folder = Folder::new(&[("theirs/main.rhai", text)]);
    let secret = candle_core::Tensor::full(42f32, 1, &candle_core::Device::Cpu).unwrap();
    secret.write_npy(folder.path().join("secret.npy")).unwrap();
    let set = ["--set", "file=secret.npy", "--set", "k=1,2"];
    let made = folder.run(&[&["sweep", "theirs/main.rhai", "--into", "s"][..], &set].concat());
    assert!(made.contains("2 of 2 points finished"), "{made}");
    let said = || std::fs::read_to_string(folder.path().join("s/point-2.txt")).unwrap();
    for half_done in [false, true] {
        // The point is to be run anew; or it was begun, and its own record has the setting.
        let point = folder.path().join("s/point-2");
        if half_done {
            let record = std::fs::read_to_string(point.join("run.json")).unwrap();
            let record = record.replace("\"status\": \"finished\"", "\"status\": \"interrupted\"");
            std::fs::write(point.join("run.json"), record).unwrap();
        } else {
            std::fs::remove_dir_all(point).unwrap();
        }
        std::fs::remove_file(folder.path().join("s/point-2.txt")).unwrap();
        let output = folder.run(&["sweep", "--resume", "s"]);
        assert!(output.contains("1 of 2 points finished") && !said().contains("secret [42"), "{output}\n{}", said());
        assert!(output.contains("recorded grants nothing") && output.contains("--allow-read secret.npy"), "{output}");
        let output = folder.run(&["sweep", "--resume", "s", "--allow-read", "secret.npy"]);
        assert!(output.contains("2 of 2 points finished") && said().contains("secret [42"), "{output}\n{}", said());
    }
}

/// A folder may have been made by somebody else: links in it lead nowhere, its record names its own script.
#[cfg(unix)]
#[test]
fn a_folder_of_a_run_reaches_nothing_outside_it() {
    use std::os::unix::fs::symlink;
    let text = "for e in run.epochs(2) { run.log(#{ a: e }); } print(\"mine\"); run.result(#{ a: 1 });";
    let folder = Folder::new(&[
        ("a.rhai", text),
        ("other/b.rhai", "print(\"theirs\"); run.result(#{ a: 1 });"),
        ("victim/x", ""),
    ]);
    assert!(folder.run(&["run", "a.rhai", "--into", "r"]).ends_with("exit code 0"));
    let path = |name: &str| folder.path().join(name);
    for link in
        ["plots", "events", "checkpoints", "output.txt", "metrics.jsonl", ".lock", "sub", "source", "report.html"]
    {
        let at = path("r").join(link);
        let kept = path("kept");
        let was = at.exists();
        if was {
            std::fs::rename(&at, &kept).unwrap();
        }
        symlink(if link.contains('.') { path("victim/x") } else { path("victim") }, &at).unwrap();
        for arguments in
            [&["report", "r"][..], &["run", "a.rhai", "--resume", "r"], &["replay", "r"], &["run", "r"], &["pack", "r"]]
        {
            let output = folder.run(arguments);
            assert!(output.contains("is a link that leads out of the run's folder"), "{link}, {arguments:?}: {output}");
            assert!(!output.ends_with("exit code 0"), "{link}, {arguments:?}: {output}");
        }
        std::fs::remove_file(&at).unwrap();
        if was {
            std::fs::rename(&kept, &at).unwrap();
        }
        assert_eq!(std::fs::read_dir(path("victim")).unwrap().count(), 1, "{link}");
        assert_eq!(std::fs::metadata(path("victim/x")).unwrap().len(), 0, "{link}");
    }
    let record = std::fs::read_to_string(path("r/run.json")).unwrap();
    for main in ["../../other/b.rhai", &path("other/b.rhai").display().to_string()] {
        std::fs::write(path("r/run.json"), record.replace("\"main\": \"a.rhai\"", &format!("\"main\": \"{main}\"")))
            .unwrap();
        for command in ["replay", "run"] {
            let output = folder.run(&[command, "r"]);
            assert!(!output.contains("theirs") && !output.ends_with("exit code 0"), "{main}: {output}");
        }
    }
    // Nor does what it says move the cursor.
    std::fs::write(path("r/run.json"), record.replace("\"a\": 1", "\"\\u001b[31mred\": 1")).unwrap();
    let output = folder.run(&["compare", "r", "r"]);
    assert!(output.contains("red") && !output.contains('\u{1b}'), "{output:?}");
}

/// A data set too: that of the run is found again because what it holds is checked; one that the settings merely name is not.
#[test]
fn a_data_set_that_a_pack_names_is_not_read_either() {
    let text = "let c = settings(#{ data: \"digits\" }); print(dataset(c.data)); run.result(#{ a: 1 });";
    let folder = Folder::new(&[("theirs/main.rhai", text)]);
    for (part, i) in [("train", 0_u8), ("test", 1)] {
        for class in ["a", "b"] {
            let path = folder.path().join("private").join(part).join(class);
            std::fs::create_dir_all(&path).unwrap();
            image::GrayImage::from_pixel(4, 4, image::Luma([100 * i + 7])).save(path.join("1.png")).unwrap();
        }
    }
    // A path on the command line counts from the working folder, wherever the script lies.
    let given = folder.run(&["run", "theirs/main.rhai", "--into", "theirs/r", "--set", "data=private/"]);
    assert!(given.contains("2 train") && given.ends_with("exit code 0"), "{given}");
    folder.run(&["pack", "theirs/r", "--into", "p.workbench"]);
    let output = folder.run(&["run", "p.workbench"]);
    assert!(output.ends_with("exit code 1") && output.contains("--allow-read"), "{output}");
    let output = folder.run(&["run", "p.workbench", "--allow-read", "private"]);
    assert!(output.contains("2 train") && output.ends_with("exit code 0"), "{output}");
    let output = folder.run(&["run", "p.workbench", "--set", "data=private/"]);
    assert!(output.contains("2 train") && output.ends_with("exit code 0"), "{output}");
}

#[test]
fn a_folder_called_std_is_a_folder() {
    let folder = Folder::new(&[
        (
            "main.rhai",
            "import \"std/mine\" as mine; import \"std/schedule\" as schedule; print(mine::twice(4)); print(mine::of_std());",
        ),
        ("std/mine.rhai", "import \"other\" as other; fn twice(x) { other::two() * x } fn of_std() { 1 }"),
        ("std/other.rhai", "fn two() { 2 }"),
        ("sub/main.rhai", "import \"../std/mine\" as mine; print(mine::twice(5));"),
    ]);
    assert!(folder.run(&["run", "main.rhai"]).starts_with("8\n1\n"), "{}", folder.run(&["run", "main.rhai"]));
    let sub = folder.run(&["run", "sub/main.rhai"]);
    assert!(sub.starts_with("10\n") || sub.contains("as far as imports reach"), "{sub}");
    // Its files are kept with a run, and the run is repeated from them.
    std::fs::write(folder.path().join("main.rhai"), "import \"std/mine\" as mine; run.result(#{ a: mine::twice(4) });")
        .unwrap();
    assert!(folder.run(&["run", "main.rhai", "--into", "r"]).ends_with("exit code 0"));
    std::fs::remove_dir_all(folder.path().join("std")).unwrap();
    let again = folder.run(&["replay", "r"]);
    assert!(again.contains("results are those of r"), "{again}");
    // A name that is in both is not guessed.
    let folder =
        Folder::new(&[("main.rhai", "import \"std/evaluate\" as e;"), ("std/evaluate.rhai", "fn report(x) { 1 }")]);
    let output = folder.run(&["run", "main.rhai"]);
    assert!(output.contains("one of the program's") && output.contains("./std/evaluate"), "{output}");
    std::fs::write(folder.path().join("main.rhai"), "import \"./std/evaluate\" as e; print(e::report(1));").unwrap();
    assert!(folder.run(&["run", "main.rhai"]).starts_with("1\n"));
}
