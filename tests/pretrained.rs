//! The networks of `pretrained/`: they are what their notes say, small, and the one inside the program needs no file.

mod common;

use common::program::{Folder, data};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Bytes of all networks together: they travel with every clone.
const MOST: u64 = 20 << 20;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("pretrained")
}

/// What each NAME.json says.
fn notes() -> Vec<Value> {
    let files = std::fs::read_dir(folder()).expect("the folder").map(|entry| entry.expect("an entry").path());
    let notes = files.filter(|path| path.extension().is_some_and(|e| e == "json"));
    notes.map(|path| serde_json::from_slice(&std::fs::read(path).expect("a note")).expect("JSON")).collect()
}

fn text<'a>(note: &'a Value, key: &str) -> &'a str {
    note[key].as_str().unwrap_or_else(|| panic!("a note without `{key}`: {note}"))
}

#[test]
fn each_network_is_the_one_of_its_note_and_page() {
    let (notes, page) = (notes(), std::fs::read_to_string(folder().join("README.md")).expect("the page"));
    // A crate's package has the first alone.
    assert!(notes.iter().any(|note| text(note, "file") == "digits.safetensors"));
    let networks = std::fs::read_dir(folder()).expect("the folder").map(|entry| entry.expect("an entry").path());
    let networks: Vec<_> = networks.filter(|path| path.extension().is_some_and(|e| e == "safetensors")).collect();
    assert_eq!(networks.len(), notes.len(), "a note for each: {networks:?}");
    let size: u64 = networks.iter().map(|path| path.metadata().expect("a file").len()).sum();
    assert!(size <= MOST, "{size} bytes");
    for note in &notes {
        let file = folder().join(text(note, "file")).display().to_string();
        let script = "let cfg = settings(#{ model: \"\" });\nlet net = load_model(cfg.model);\nprint(`${net.digest} ${net.dtype}`);";
        let shown = Folder::new(&[("main.rhai", script)]).run(&["run", "main.rhai", "--set", &format!("model={file}")]);
        assert!(shown.contains(&format!("{} {}", text(note, "digest"), text(note, "dtype"))), "{file}: {shown}");
        assert!(
            page.contains(&format!("`{}`", text(note, "file"))) && page.contains(&text(note, "digest")[..12]),
            "{file}"
        );
        assert!(page.contains(text(note, "command")), "{file}: how it was trained");
        let rows = note["evaluations"].as_array().expect("evaluations");
        assert!(!rows.is_empty(), "{file} has not been evaluated");
        for row in rows {
            let count = |key: &str| row[key].as_u64().unwrap_or_else(|| panic!("{file}: {key}"));
            assert!(count("certified") <= count("pgd") && count("pgd") <= count("clean"), "{file}: {row}");
            let share = 100.0 * count("certified") as f64 / count("images") as f64;
            assert!(page.contains(&format!("| {share:.1} | {} |", text(row, "certified by"))), "{file}: {row}");
        }
    }
}

/// From the program alone, in a folder without files; its table comes out again, up to images at a margin of nearly nothing.
#[test]
fn digits_is_inside_the_program_and_as_good_as_its_note_says() {
    let note = notes().into_iter().find(|note| text(note, "file") == "digits.safetensors").expect("digits");
    let script = "import \"std/evaluate\" as evaluate;\n\
        let net = load_model(\"digits\");\nlet test = dataset(\"digits\").test;\n\
        let found = evaluate::accuracies(net, test, 0.5, #{ steps: 0 });\n\
        print(`${net.digest} ${found.images} ${found.clean * found.images} ${found.certified * found.images}`);\n\
        try { load_model(\"./digits\") } catch (e) { print(`./digits is a file: ${e}`); }\n\
        load_model(\"digit\");";
    let shown = Folder::new(&[("main.rhai", script)]).run(&["run", "main.rhai"]);
    let line = shown.lines().find(|line| line.starts_with(text(&note, "digest"))).unwrap_or_else(|| panic!("{shown}"));
    let found: Vec<f64> = line.split(' ').skip(1).map(|number| number.parse().expect("a number")).collect();
    let rows = note["evaluations"].as_array().expect("evaluations");
    let exact = rows.iter().find(|row| row["eps"] == 0.5 && row["certified by"] == "exact").expect("a row at 0.5");
    for (found, key) in found.iter().zip(["images", "clean", "certified"]) {
        assert!((found - exact[key].as_f64().expect("a count")).abs() <= 1.5, "{key}: {line}, {exact}");
    }
    assert!(shown.contains("./digits is a file: load: ./digits: No such file"), "{shown}");
    assert!(shown.contains("load_model: no network `digit`; networks inside the program: digits"), "{shown}");
}

/// The one of full size classifies as its note says.
#[test]
fn a_network_of_full_size_classifies_as_its_note_says() {
    let Some(data) = data("mnist").map(|path| path.display().to_string()) else { return };
    for note in notes().iter().filter(|note| text(note, "data") == "mnist") {
        let script = "let cfg = settings(#{ model: \"\" });\nlet net = load_model(cfg.model);\n\
            let test = dataset(\"mnist\", #{ train_limit: 16, test_limit: 500 }).test;\nlet right = 0.0;\n\
            for batch in test.batches(100, #{ shuffle: false }) { right += correct(net.forward(batch.x), batch.y).to_dtype(\"f32\").sum().item(); }\n\
            print(`right: ${right}`);";
        let file = folder().join(text(note, "file")).display().to_string();
        let shown = Folder::new(&[("main.rhai", script)]).run(&[
            "run",
            "main.rhai",
            "--data-dir",
            &data,
            "--set",
            &format!("model={file}"),
        ]);
        let right: f64 =
            shown.lines().find_map(|l| l.strip_prefix("right: ")).unwrap_or_else(|| panic!("{shown}")).parse().unwrap();
        let row = &note["evaluations"][0];
        let share = row["clean"].as_f64().expect("a count") / row["images"].as_f64().expect("a count");
        assert!((right / 500.0 - share).abs() < 0.03, "{file}: {right} of 500, {share} of all");
    }
}
