//! Text as editors on Windows save it, with a byte order mark and `\\r\\n`: scripts and modules do what they do without, and
//! errors count lines and columns the same.

use super::common::program::Folder;

/// As an editor on Windows saves it.
fn windows(text: &str) -> String {
    format!("\u{feff}{}", text.replace('\n', "\r\n"))
}

/// Both forms of a folder's files, on which the same is done.
fn same(files: &[(&str, &str)], what: impl Fn(&Folder) -> String) -> String {
    let plain = what(&Folder::new(files));
    let other: Vec<(&str, String)> = files.iter().map(|(name, text)| (*name, windows(text))).collect();
    let other: Vec<(&str, &str)> = other.iter().map(|(name, text)| (*name, text.as_str())).collect();
    assert_eq!(what(&Folder::new(&other)), plain);
    plain
}

const SCRIPT: &str = "\
import \"helper\" as helper;
let x = 3;
fn f(a) {
  // one more
  a + 1
}
print(f(x));
print(helper::told(`two
lines ${x}`));
print(\"a \\
       b\");
";
const HELPER: &str = "/// What it was told.\nfn told(text) {\n  `<${text}>`\n}\n";

#[test]
fn scripts_and_modules_run_and_are_checked() {
    let files = [("main.rhai", SCRIPT), ("helper.rhai", HELPER)];
    let output = same(&files, |folder| folder.run(&["run", "main.rhai"]));
    assert_eq!(output, "4\n<two\nlines 3>\na b\n\nexit code 0");
    let checked = same(&files, |folder| folder.run(&["check", "main.rhai"]));
    assert!(checked.ends_with("exit code 0"), "{checked}");
}

#[test]
fn errors_count_lines_and_columns_from_behind_the_mark() {
    for text in [
        "relo(1);\n",
        "let x = 1\nlet y = 2;\n",
        "let x = \"a\nlet y = 2;\n",
        "// é\nlet y = `é ${nothing_here}`;\n",
        "fn sqrt(x) { x }\n",
        "import \"helper\" as h;\nh::told(1, 2);\n",
        "let rate = 1;\nprint(raet);\n",
        "let m = #{ rate: 1 };\nprint(m.raet);\n",
        "let a = [1,\n2",
    ] {
        for command in ["run", "check"] {
            let files = [("main.rhai", text), ("helper.rhai", HELPER)];
            let output = same(&files, |folder| folder.run(&[command, "main.rhai"]));
            assert!(output.contains("main.rhai:") || output.ends_with("exit code 0"), "{output}");
            assert!(!output.contains(['\u{feff}', '\r']), "{output:?}");
        }
    }
    let folder = Folder::new(&[("main.rhai", "\u{feff}relo(1);\r\n")]);
    assert!(folder.run(&["run", "main.rhai"]).contains("main.rhai:1:1"));
    let folder = Folder::new(&[("helper.rhai", "\u{feff}fn told(text) {\r\n  text +\r\n}"), ("main.rhai", SCRIPT)]);
    assert!(folder.run(&["run", "main.rhai"]).contains("helper.rhai:3:1"));
    std::fs::write(folder.path().join("utf16.rhai"), b"\xff\xfep\0").unwrap();
    let output = folder.run(&["run", "utf16.rhai"]);
    assert!(output.contains("cannot read utf16.rhai: it is UTF-16 text; save it as UTF-8"), "{output}");
}

#[test]
fn the_prompt_reads_a_file_of_inputs_and_loads_scripts() {
    let inputs = "let x = 2;\nfn g(a) {\n  a + 1\n}\ng(x)\n:load main.rhai\nf(40)\n`${_}\n_`\n";
    let files = [("main.rhai", SCRIPT), ("helper.rhai", HELPER)];
    let output = same(&files, |folder| {
        let told = folder.feed(inputs);
        assert_eq!(folder.feed(&windows(inputs)), told);
        told
    });
    assert_eq!(output, "3\n4\n<two\nlines 3>\na b\n41\n41\n_\n\nexit code 0");
    let folder = Folder::new(&[]);
    assert_eq!(folder.feed("\u{feff}:type 1"), "int\n\nexit code 0");
    assert_eq!(folder.feed("\u{feff}"), "exit code 0");
    assert!(folder.feed("\u{feff}relo(1)").contains("prompt:1:1"));
    // What was saved from here may be written over, also after such an editor has touched it.
    folder.feed("let x = 1;\n:save kept\n");
    let kept = folder.path().join("kept.rhai");
    std::fs::write(&kept, windows(&std::fs::read_to_string(&kept).unwrap())).unwrap();
    assert!(folder.feed("let x = 2;\n:save kept\n").contains("saved as kept.rhai"));
}

#[test]
fn a_copy_has_one_kind_of_line_ends_and_no_mark_inside() {
    let folder = Folder::new(&[("main.rhai", &windows(SCRIPT)), ("helper.rhai", HELPER)]);
    let output = folder.run(&["new", "mine", "--from", "main.rhai"]);
    assert!(output.ends_with("exit code 0"), "{output}");
    let text = std::fs::read_to_string(folder.path().join("mine.rhai")).unwrap();
    assert!(text.starts_with("//! mine: a variant of main.rhai") && text.ends_with(&SCRIPT.replace('\n', "\r\n")));
    assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
    assert!(!text.contains('\u{feff}'));
    assert_eq!(folder.run(&["run", "mine.rhai"]), folder.run(&["run", "main.rhai"]));
    // Its import is seen behind a mark, too.
    let refused = folder.run(&["new", "below/mine", "--from", "main.rhai"]);
    assert!(refused.contains("imports \"helper\" from its own folder"), "{refused}");
}

#[test]
fn a_run_keeps_the_files_bytes_and_is_repeated() {
    let script = windows("import \"helper\" as helper;\nrun.result(#{ told: helper::told(\"a\"), size: 4 });\n");
    let helper = windows(HELPER);
    let folder = Folder::new(&[("main.rhai", &script), ("helper.rhai", &helper)]);
    let good = |arguments: &[&str]| {
        let output = folder.run(arguments);
        assert!(output.ends_with("exit code 0"), "{arguments:?}: {output}");
        output
    };
    good(&["run", "main.rhai", "--into", "first"]);
    for (name, text) in [("main.rhai", &script), ("helper.rhai", &helper)] {
        let kept = std::fs::read(folder.path().join("first/source").join(name)).unwrap();
        assert_eq!(kept, text.as_bytes(), "{name}");
    }
    good(&["pack", "first", "--into", "first.workbench"]);
    for (given, into) in [("first", "second"), ("first.workbench", "third")] {
        let told = good(&["replay", given, "--into", into]);
        assert!(told.contains("all 1 results are those of first"), "{told}");
    }
    good(&["report", "first"]);
    let page = std::fs::read_to_string(folder.path().join("first/report.html")).unwrap();
    assert!(page.contains("<b>import</b>") && !page.contains("changed since the run") && !page.contains('\u{feff}'));
    // The record of a run may be opened and saved by such an editor.
    let record = folder.path().join("first/run.json");
    let text = std::fs::read_to_string(&record).unwrap();
    std::fs::write(&record, windows(&text)).unwrap();
    good(&["replay", "first", "--into", "fourth"]);
    good(&["pack", "first", "--into", "fourth.workbench"]);
    good(&["replay", "fourth.workbench", "--into", "fifth"]);
}
