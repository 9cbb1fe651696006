//! Data sets where others keep them, and as others write them: torchvision's folders, Python's version of CIFAR, data sets of which
//! the training images are not there.

use crate::common::data::{all, assert_says, gz, labels, load, load_with, put};
use crate::common::program::Folder;
use crate::common::values;
use std::io::Write;
use std::path::Path;
use tempfile::TempDir;
use workbench::data::{Dataset, Options, Split};

/// The pixels of a split as bytes.
fn bytes(split: &Split) -> Vec<u8> {
    values(&split.images(&all(split)).unwrap()).iter().map(|v| (v * 255.0).round() as u8).collect()
}

// ---- IDX ----

const IDX: &str = "\
name: fashion_toy
shape: [1, 2, 3]
classes: 2
format: idx
splits:
  train: { images: train-images-idx3-ubyte, labels: train-labels-idx1-ubyte }
  test: { images: t10k-images-idx3-ubyte, labels: t10k-labels-idx1-ubyte }
";

fn idx(dims: &[u32], body: &[u8]) -> Vec<u8> {
    let dims_bytes = dims.iter().flat_map(|d| d.to_be_bytes());
    [0, 0, 8, dims.len() as u8].into_iter().chain(dims_bytes).chain(body.iter().copied()).collect()
}

/// A manifest in a folder, and the four files in another, below `place`, with `mark` before `idx`.
fn torchvision(place: &str, mark: &str, packed: bool) -> (TempDir, TempDir) {
    let (own, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    put(own.path(), "my.yaml", IDX.as_bytes());
    for (part, n) in [("train", 4_u8), ("t10k", 2)] {
        let images = idx(&[n.into(), 2, 3], &(0..6 * n).collect::<Vec<_>>());
        let labels = idx(&[n.into()], &(0..n).map(|i| i % 2).collect::<Vec<_>>());
        for (file, bytes) in [("images", images), ("labels", labels)] {
            let kind = if file == "images" { 3 } else { 1 };
            let name = format!("{place}/{part}-{file}{mark}idx{kind}-ubyte");
            let (name, bytes) = if packed { (format!("{name}.gz"), gz(&bytes)) } else { (name, bytes) };
            put(data.path(), &name, &bytes);
        }
    }
    (own, data)
}

fn below(own: &TempDir, data: &TempDir) -> workbench::data::Result<Dataset> {
    load_with(own.path(), &Options { data_dir: Some(data.path().into()), ..Options::default() })
}

#[test]
fn idx_files_lie_where_torchvision_puts_them() {
    let places = ["FashionToy/raw", "FashionToy", "fashion_toy/raw", "fashion-toy/raw", "."];
    for (place, mark, packed) in places.into_iter().flat_map(|p| [(p, "-", true), (p, "-", false), (p, ".", false)]) {
        let (own, data) = torchvision(place, mark, packed);
        let found = below(&own, &data).unwrap_or_else(|e| panic!("{place}: {e}"));
        assert_eq!((bytes(&found.train), labels(&found.test)), ((0..24).collect(), vec![0, 1]), "{place}");
        assert!(place == "." || found.source.ends_with(place), "{}", found.source);
    }
    let (own, data) = torchvision("FashionToy/raw", "-", false);
    let inside = Options { data_dir: Some(data.path().join("FashionToy")), ..Options::default() };
    assert_eq!(load_with(own.path(), &inside).unwrap().train.len(), 4);
    let (own, data) = torchvision("Other/raw", "-", false);
    assert_says(below(&own, &data), &["found nowhere", "--data-dir"]);
}

#[test]
fn what_is_to_be_tested_on_needs_no_training_images() {
    let (own, data) = torchvision("FashionToy/raw", "-", false);
    let raw = data.path().join("FashionToy/raw");
    std::fs::remove_file(raw.join("train-images-idx3-ubyte")).unwrap();
    assert_says(below(&own, &data), &["holds t10k-images", "neither train-images-idx3-ubyte nor"]);
    std::fs::remove_file(raw.join("train-labels-idx1-ubyte")).unwrap();
    let found = below(&own, &data).unwrap();
    assert_eq!((found.train.len(), bytes(&found.test)), (0, (0..12).collect()));
    assert_says(found.training(), &["`fashion_toy`", "train-images-idx3-ubyte is not there", "put their files beside"]);
    assert!(found.warnings[0].contains("without training images"), "{:?}", found.warnings);
    std::fs::remove_file(raw.join("t10k-labels-idx1-ubyte")).unwrap();
    assert_says(below(&own, &data), &["t10k-labels-idx1-ubyte"]);

    let text = IDX.replace("  train: { images: train-images-idx3-ubyte, labels: train-labels-idx1-ubyte }\n", "");
    let (own, data) = torchvision("FashionToy/raw", "-", false);
    put(own.path(), "my.yaml", text.as_bytes());
    assert_says(below(&own, &data).unwrap().training(), &["its manifest names none"]);
    let script = "let data = dataset(\"./my.yaml\");\nprint(data.test.len());\nprint(`${data}`.split(\", from\")[0]);\ndata.train;";
    let folder = Folder::new(&[("main.rhai", script), ("my.yaml", &text)]);
    for (name, body) in
        [("t10k-images-idx3-ubyte", idx(&[2, 2, 3], &[7; 12])), ("t10k-labels-idx1-ubyte", idx(&[2], &[1, 0]))]
    {
        put(folder.path(), name, &body);
    }
    let shown = folder.run(&["run", "main.rhai"]);
    assert!(
        shown.contains("2 classes, no train, 2 test") && shown.contains("error: data set `fashion_toy`"),
        "{shown}"
    );
}

#[test]
fn stored_images_may_be_turned_and_labels_begin_anywhere() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "x", &idx(&[2, 3, 2], &[1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16]));
    put(dir.path(), "y", &idx(&[2], &[2, 1]));
    let text = "name: turned\nshape: [1, 2, 3]\nclasses: 2\nformat: idx\ntransposed: true\nfirst_label: 1\nclass_names: [a, b]\n\
        splits: { test: { images: x, labels: y } }\n";
    put(dir.path(), "my.yaml", text.as_bytes());
    let data = load(dir.path()).unwrap();
    assert_eq!(bytes(&data.test), [1, 3, 5, 2, 4, 6, 11, 13, 15, 12, 14, 16]);
    assert_eq!((labels(&data.test), data.class_names), (vec![1, 0], vec!["a".to_string(), "b".into()]));
    put(dir.path(), "y", &idx(&[2], &[2, 0]));
    assert_says(load(dir.path()), &["label 1 (counted from 0) is 0", "expected 1..=2", "first_label"]);
}

// ---- Python's version of CIFAR ----

const CIFAR: &str = "\
name: toy
shape: [3, 2, 2]
classes: 2
format: cifar
folder: toy-batches-bin
splits:
  train: { size: 6, files: [one.bin, two.bin] }
  test: { size: 2, files: [three.bin] }
";

/// A dictionary of `data` [n, 12] and `labels`, as Python 2 pickles it, or, by `latin`, as Python 3 does in the same protocol.
fn batch(first: u8, n: u8, key: &str, latin: bool) -> Vec<u8> {
    let text = |s: &[u8]| [&[b'U', s.len() as u8][..], s].concat();
    let data: Vec<u8> = (0..12 * n).map(|v| v.wrapping_add(first).wrapping_mul(if latin { 7 } else { 1 })).collect();
    let raw = if latin {
        let wide: String = data.iter().map(|b| char::from(*b)).collect();
        let length = (wide.len() as u32).to_le_bytes();
        let name = [&b"X\x06\0\0\0latin1"[..]].concat();
        [b"c_codecs\nencode\nX", &length[..], wide.as_bytes(), &name, b"\x86R"].concat()
    } else {
        [b"T", &u32::from(n * 12).to_le_bytes()[..], &data].concat()
    };
    let array = [
        b"cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01",
        &[b'K', n, b'K', 12, 0x86][..],
        b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89",
        &raw,
        b"tb",
    ]
    .concat();
    let list: Vec<u8> = (0..n).flat_map(|i| [b'K', i % 2]).collect();
    [b"\x80\x02}(", &text(b"data")[..], &array, &text(key.as_bytes()), b"](", &list, b"eu."].concat()
}

fn python(dir: &Path, key: &str, latin: bool) {
    put(dir, "my.yaml", CIFAR.as_bytes());
    for (file, first, n) in [("one", 0, 3), ("two", 36, 3), ("three", 0, 2)] {
        put(dir, &format!("toy-batches-py/{file}"), &batch(first, n, key, latin));
    }
}

#[test]
fn pickled_batches_are_read() {
    let dir = tempfile::tempdir().unwrap();
    for (key, latin) in [("labels", false), ("fine_labels", false), ("labels", true)] {
        python(dir.path(), key, latin);
        let data = load(dir.path()).unwrap();
        let expected: Vec<u8> = (0..72_u8).map(|v| v.wrapping_mul(if latin { 7 } else { 1 })).collect();
        assert_eq!((bytes(&data.train), labels(&data.train)), (expected, vec![0, 1, 0, 0, 1, 0]), "{key} {latin}");
    }
    let limited = Options { train_limit: Some(4), test_limit: Some(1), ..Options::default() };
    assert_eq!(load_with(dir.path(), &limited).unwrap().train.len(), 4);

    // Straight from the archive.
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(vec![], flate2::Compression::fast()));
    archive.append_dir_all("toy-batches-py", dir.path().join("toy-batches-py")).unwrap();
    let packed = archive.into_inner().unwrap().finish().unwrap();
    let other = tempfile::tempdir().unwrap();
    put(other.path(), "my.yaml", CIFAR.as_bytes());
    put(other.path(), "toy-python.tar.gz", &packed);
    let data = load(other.path()).unwrap();
    assert_eq!((labels(&data.train), data.source.ends_with("toy-python.tar.gz")), (vec![0, 1, 0, 0, 1, 0], true));
    put(other.path(), "toy-python.tar.gz", &packed[..packed.len() / 2]);
    assert_says(load(other.path()), &["toy-python.tar.gz", "broken archive"]);
}

#[test]
fn bad_pickles_say_what_is_wrong_and_nothing_is_run() {
    let dir = tempfile::tempdir().unwrap();
    let bad = |bytes: &[u8], says: &[&str]| {
        python(dir.path(), "labels", false);
        put(dir.path(), "toy-batches-py/one", bytes);
        assert_says(load(dir.path()), &[&["toy-batches-py/one"], says].concat());
    };
    bad(b"\x80\x02cposix\nsystem\nU\x02ls\x85R.", &["posix.system to be called", "nothing in a data file is run"]);
    bad(b"\x80\x02c__builtin__\neval\nU\x01a\x85R.", &["__builtin__.eval"]);
    bad(b"\x80\x02}.", &["has no `data`"]);
    bad(b"\x80\x02t.", &["no readable batch", "a mark is missing"]);
    bad(b"\x80\x02K\x01(.", &["it takes a value where there is none"]);
    bad(b"\x80\x02K\x01(K\x02\x86.", &["it takes a value where there is none"]);
    bad(b"\x80\x02h\x05.", &["it recalls what it has not kept"]);
    bad(b"\x80\x02T\xff\xff\xff\xff.", &["cut off"]);
    bad(&[b"\x80\x02"[..].to_vec(), b"N0".repeat(1 << 21), b"N.".to_vec()].concat(), &["more than 2097152 values"]);
    bad(&batch(0, 4, "labels", false), &["expected 3 images", "found 4"]);
    bad(&batch(0, 3, "names", false), &["has no labels", "found: data, names"]);
    let good = batch(0, 3, "labels", false);
    for length in 2..good.len() {
        python(dir.path(), "labels", false);
        put(dir.path(), "toy-batches-py/one", &good[..length]);
        assert!(load(dir.path()).is_err(), "{length} of {}", good.len());
    }
}

// ---- import ----

#[test]
fn import_says_what_it_recognises() {
    let folder = Folder::new(&[]);
    python(folder.path(), "labels", false);
    let shown = folder.run(&["data", "import", "./my.yaml", "."]);
    assert!(shown.contains("toy: taken from toy-batches-py/one, toy-batches-py/three, toy-batches-py/two"), "{shown}");
    let says = |put_in: &dyn Fn(&Path), parts: &[&str]| {
        let folder = Folder::new(&[("a/readme.txt", "nothing")]);
        put_in(&folder.path().join("a"));
        let shown = folder.run(&["data", "import", "a"]);
        parts.iter().for_each(|part| assert!(shown.contains(part), "`{part}` is missing in:\n{shown}"));
    };
    says(&|_| {}, &["nothing in it is recognised", "known are IDX", "exit code 1"]);
    let csv = |dir: &Path| put(dir, "t.csv", b"label,a0,a1,a2,a3\n0,1,2,3,4\n");
    says(
        &csv,
        &[
            "t.csv: 5 columns, a header (label, a0, a1, ...)",
            "shape: [1, 2, 2]",
            "train: { file: t.csv }",
            "exit code 0",
        ],
    );
    let part = |dir: &Path| put(dir, "MNIST/raw/t10k-images-idx3-ubyte", &idx(&[2, 2, 3], &[0; 12]));
    says(&part, &["MNIST/raw: a part of MNIST handwritten digits", "train-images-idx3-ubyte is missing"]);
    let pictures = |dir: &Path| {
        for class in ["cat", "dog"] {
            put(dir, &format!("pets/Train/{class}/0.png"), b"not looked into");
        }
    };
    says(&pictures, &["pets: pictures in folders, Train (2 classes): dataset("]);
    let zip = |dir: &Path| {
        let mut archive = zip::ZipWriter::new(std::io::Cursor::new(vec![]));
        archive.start_file("x_train.npy", zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(b"broken").unwrap();
        put(dir, "a.npz", &archive.finish().unwrap().into_inner());
    };
    says(&zip, &["a.npz: arrays"]);
}
