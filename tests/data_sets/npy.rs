//! NumPy arrays as data sets: .npy and .npz, in each order of axes, and what bad ones say.

use crate::common::data::{all, assert_says, gz, labels, load, put};
use crate::common::values;
use std::io::Write;
use std::path::Path;

/// An array as NumPy writes it.
pub fn npy(kind: &str, fortran: bool, shape: &[usize], bytes: &[u8]) -> Vec<u8> {
    let shape: String = shape.iter().map(|n| format!("{n}, ")).collect();
    let order = if fortran { "True" } else { "False" };
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': {order}, 'shape': ({shape}), }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), bytes].concat()
}

pub fn npz(arrays: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(vec![]));
    for (name, bytes) in arrays {
        archive.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

const SHAPE: [usize; 3] = [3, 2, 5];

fn manifest(format: &str, [c, h, w]: [usize; 3], train: &str, test: &str) -> Vec<u8> {
    format!(
        "name: dots\ntitle: Dots\nshape: [{c}, {h}, {w}]\nclasses: 3\nscale: 255\nformat: {format}\nsplits:\n  \
         train: {{ size: 6, {train} }}\n  test: {{ size: 3, {test} }}\nlicence: none\ncitation: none\n"
    )
    .into_bytes()
}

/// Images `from..to`, [n, C, H, W].
fn pixels(from: usize, to: usize) -> Vec<u8> {
    (from * 30..to * 30).map(|i| (i * 13) as u8).collect()
}

/// The same as [n, H, W, C].
fn last(planes: &[u8]) -> Vec<u8> {
    planes.chunks(30).flat_map(|i| (0..10).flat_map(move |at| (0..3).map(move |c| i[c * 10 + at]))).collect()
}

fn wide(labels: &[i64]) -> Vec<u8> {
    labels.iter().flat_map(|l| l.to_le_bytes()).collect()
}

/// A folder of good files.
fn dots(folder: &Path) {
    put(folder, "my.yaml", &manifest("npy", SHAPE, "images: x.npy, labels: y.npy", "images: xt.npy, labels: yt.npy"));
    put(folder, "x.npy", &npy("|u1", false, &[6, 3, 2, 5], &pixels(0, 6)));
    put(folder, "y.npy", &npy("<i8", false, &[6], &wide(&[0, 1, 2, 0, 1, 2])));
    put(folder, "xt.npy", &npy("|u1", false, &[3, 2, 5, 3], &last(&pixels(6, 9))));
    put(folder, "yt.npy.gz", &gz(&npy("|u1", false, &[3], &[2, 1, 0])));
}

#[track_caller]
fn assert_is_right(folder: &Path) {
    let data = load(folder).unwrap();
    for (split, from, to) in [(&data.train, 0, 6), (&data.test, 6, 9)] {
        let expected: Vec<f64> = pixels(from, to).iter().map(|v| f64::from((f64::from(*v) / 255.0) as f32)).collect();
        assert!(values(&split.images(&all(split)).unwrap()) == expected, "{}", split.name());
    }
    assert_eq!((labels(&data.train), labels(&data.test)), (vec![0, 1, 2, 0, 1, 2], vec![2, 1, 0]));
}

#[test]
fn arrays_in_files_and_in_an_archive() {
    let folder = tempfile::tempdir().unwrap();
    dots(folder.path());
    assert_is_right(folder.path());
    let both = manifest("npz", SHAPE, "file: all.npz, images: a, labels: b", "file: all.npz, images: c, labels: d");
    put(folder.path(), "my.yaml", &both);
    let archive = npz(&[
        ("a", npy("|u1", false, &[6, 2, 5, 3], &last(&pixels(0, 6)))),
        ("b", npy("<u2", false, &[6], &[0, 0, 1, 0, 2, 0, 0, 0, 1, 0, 2, 0])),
        ("c", npy("|u1", false, &[3, 3, 2, 5], &pixels(6, 9))),
        ("d", npy("<i8", false, &[3], &wide(&[2, 1, 0]))),
    ]);
    put(folder.path(), "all.npz", &archive);
    assert_is_right(folder.path());
    put(folder.path(), "all.npz", &npz(&[("a", npy("|u1", false, &[6, 3, 2, 5], &pixels(0, 6)))]));
    assert_says(load(folder.path()), &["all.npz, array b", "is not there; the file holds a"]);
    let same = manifest("npz", SHAPE, "file: all.npz, images: a, labels: b", "file: all.npz, images: a, labels: d");
    put(folder.path(), "my.yaml", &same);
    assert_says(load(folder.path()), &["train and test use the same"]);
}

#[test]
fn grey_images_need_no_axis_of_channels() {
    let folder = tempfile::tempdir().unwrap();
    dots(folder.path());
    let grey = manifest("npy", [1, 6, 5], "images: x.npy, labels: y.npy", "images: xt.npy, labels: yt.npy");
    put(folder.path(), "my.yaml", &grey);
    put(folder.path(), "x.npy", &npy("|u1", false, &[6, 6, 5], &pixels(0, 6)));
    put(folder.path(), "xt.npy", &npy("|u1", false, &[3, 6, 5, 1], &pixels(6, 9)));
    assert_is_right(folder.path());
}

#[test]
fn bad_arrays_say_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let bad = |file: &str, bytes: &[u8], says: &[&str]| {
        dots(folder.path());
        put(folder.path(), file, bytes);
        assert_says(load(folder.path()), &[&[file], says].concat());
    };
    let x = |shape: &[usize]| npy("|u1", false, shape, &pixels(0, 6));
    bad("x.npy", b"", &["broken NumPy array"]);
    bad("x.npy", b"no array at all", &["broken NumPy array"]);
    bad("x.npy", &x(&[6, 3, 2, 5])[..200], &["broken NumPy array"]);
    bad("x.npy", &x(&[5, 3, 2, 5]), &["its shape is [5, 3, 2, 5]; expected [6, 3, 2, 5]"]);
    bad("x.npy", &x(&[6, 2, 3, 5]), &["its shape is"]);
    bad("x.npy", &x(&[1 << 40, 3, 2, 5]), &["its shape is [1099511627776, 3, 2, 5]"]);
    bad(
        "x.npy",
        &npy("<c8", false, &[6, 3, 2, 5], &[0; 1440]),
        &["its numbers are", "expected whole or floating-point"],
    );
    bad("x.npy", &npy("<i2", false, &[6, 3, 2, 5], &[1; 360]), &["image 0", "has the value 257", "scale, 255"]);
    bad("y.npy", &npy("<i8", false, &[5], &wide(&[0, 1, 2, 0, 1])), &["its shape is [5]; expected [6]"]);
    bad("x.npy", &[&x(&[6, 3, 2, 5])[..], &[0]].concat(), &["more follows than its header says"]);
    let mut packed = gz(&npy("|u1", false, &[3], &[2, 1, 0]));
    let end = packed.len() - 7;
    packed[end] ^= 1;
    bad("yt.npy.gz", &packed, &["broken NumPy array"]);
    bad("y.npy", &npy("<f8", false, &[6], &[0; 48]), &["expected whole numbers"]);
    bad("y.npy", &npy("<i8", false, &[6], &wide(&[0, 1, 2, 0, -1, 2])), &["label 4 (counted from 0) is -1"]);
    bad("y.npy", &npy("<i8", false, &[6], &wide(&[0, 1, 2, 0, 3, 2])), &["label 4", "is 3", "0..=2"]);
}
