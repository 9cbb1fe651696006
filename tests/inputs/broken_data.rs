//! Broken data sets through the program: one clear message each, with its place, and a non-zero exit code. Snapshots in
//! `tests/inputs/snapshots`.

use super::common::data::{cifar, pictures, put};
use super::common::program::Folder;
use std::path::Path;
use std::process::Stdio;

/// Run `script` in a folder where `write` has put a data set and `break_it` has damaged it; compare what comes out.
fn refused(name: &str, script: &str, write: impl Fn(&Path), break_it: impl Fn(&Path)) {
    let folder = Folder::new(&[("main.rhai", script)]);
    write(folder.path());
    break_it(folder.path());
    let mut command = folder.command(&["run", "main.rhai"]);
    // No other place than the folder, so that messages which list places are the same everywhere.
    command.env("HOME", "/nowhere").env_remove("XDG_CACHE_HOME").env_remove("WORKBENCH_DATA");
    let shown = folder.shown(&command.stdin(Stdio::null()).output().unwrap());
    assert!(!shown.ends_with("exit code 0"), "{name} went through:\n{shown}");
    insta::assert_snapshot!(name, shown);
}

const SCRIPT: &str = "let data = dataset(\"my.yaml\");\nprint(data);";
const LIMITED: &str = "let data = dataset(\"my.yaml\", #{ train_limit: 4, test_limit: 1 });\nprint(data);";

#[test]
fn cifar_files() {
    let records = cifar::records;
    let broken = |name: &str, script: &str, file: &str, bytes: &[u8]| {
        refused(name, script, cifar::write, |folder| put(folder, file, bytes));
    };
    broken("cifar_cut_off", SCRIPT, "two.bin", &records(3..6)[..30]);
    broken("cifar_excerpt", SCRIPT, "three.bin", &records(0..1));
    broken("cifar_too_long", LIMITED, "one.bin", &records(0..4));
    broken("cifar_label_out_of_range", SCRIPT, "one.bin", &[&[7][..], &records(0..3)[1..]].concat());
    refused("cifar_missing", SCRIPT, cifar::write, |folder| std::fs::remove_file(folder.join("two.bin")).unwrap());
}

#[test]
fn pictures_in_folders() {
    let broken = |name: &str, file: &str, bytes: &[u8]| {
        refused(name, SCRIPT, pictures::write, |folder| put(folder, file, bytes));
    };
    let whole = pictures::jpeg(40, 5, 4);
    broken("picture_cut_off", pictures::TRAIN[4].0, &whole[..whole.len() / 2]);
    broken("picture_of_another_format", pictures::TRAIN[4].0, b"<html>not found</html>");
    broken("picture_of_wrong_size", pictures::TRAIN[4].0, &pictures::jpeg(40, 6, 4));
    broken("annotation_of_unknown_class", "val/list.txt", b"v_1.JPEG\tcat\nv_2.JPEG\tdog\n");
    broken("annotation_of_missing_picture", "val/list.txt", b"v_1.JPEG\tcat\nv_7.JPEG\tape\n");
    broken("classes_too_few", "classes.txt", b"ape\nbee\n");
    refused("class_folder_empty", SCRIPT, pictures::write, |folder| {
        let images = folder.join("train/bee/images");
        std::fs::remove_dir_all(&images).unwrap();
        std::fs::create_dir(&images).unwrap();
    });
    refused("class_list_missing", SCRIPT, pictures::write, |folder| {
        std::fs::remove_file(folder.join("classes.txt")).unwrap();
    });
}

#[test]
fn augmentation() {
    let asked = |name: &str, options: &str| {
        let script = format!("let data = dataset(\"digits\", #{{ {options} }});");
        refused(name, &script, |_| {}, |_| {});
    };
    asked("crop_negative", "crop: -1");
    asked("crop_greater_than_the_image", "crop: 9");
    asked("flip_that_is_a_number", "flip: 0.5");
    asked("misspelt_augmentation", "crops: 4");
    let script = "let data = dataset(\"digits\", #{ flip: true });\nfor b in data.train.batches(9, #{ augment: 1 }) {}";
    refused("augment_that_is_no_bool", script, |_| {}, |_| {});
}
