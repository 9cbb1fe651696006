//! `workbench data` on files of one's own: the decoded cache, taking over folders and archives, listing, checking, showing.

use crate::common::data::gz;
use crate::common::program::Folder;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const IMAGES: usize = 6000;

fn manifest(more: &str) -> String {
    format!(
        "name: grains\ntitle: Grains\nshape: [1, 28, 28]\nclasses: 2\nscale: 255\nformat: cifar\nfolder: grains-bin\n\
         splits:\n  train: {{ size: {IMAGES}, files: [one.bin, two.bin]{more} }}\n  test: {{ size: 4, files: [test.bin] }}\n\
         licence: free\ncitation: none\n"
    )
}

fn record(image: usize) -> Vec<u8> {
    let mut record = vec![(image % 2) as u8];
    record.extend((0..784).map(|i| (i * 7 + image * 13) as u8));
    record
}

/// Images `from..to` as records.
fn records(from: usize, to: usize) -> Vec<u8> {
    (from..to).flat_map(record).collect()
}

fn files() -> Vec<(&'static str, Vec<u8>)> {
    let half = IMAGES / 2;
    vec![
        ("grains-bin/one.bin", records(0, half)),
        ("grains-bin/two.bin", records(half, IMAGES)),
        ("grains-bin/test.bin", records(7, 11)),
    ]
}

fn put(folder: &Path, files: &[(&str, Vec<u8>)]) {
    for (name, bytes) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

fn folder(more: &str) -> Folder {
    let script = "let d = dataset(\"./grains.yaml\"); \
                  print(`${d.train.len()} ${d.test.len()} ${d.train.images([5999])[0][0][0][0] * 255.0}`);";
    Folder::new(&[("grains.yaml", &manifest(more)), ("look.rhai", script)])
}

fn command(folder: &Folder, arguments: &[&str]) -> Command {
    let mut command = folder.command(arguments);
    command.env("XDG_CACHE_HOME", folder.path().canonicalize().unwrap().join("cache")).env_remove("WORKBENCH_DATA");
    // Of temporary files nothing is kept; these tests may themselves run among such files.
    command.env("TMPDIR", folder.path().join("no such folder"));
    command.stdin(Stdio::null());
    command
}

fn run(folder: &Folder, arguments: &[&str]) -> String {
    folder.shown(&command(folder, arguments).output().unwrap())
}

fn kept(folder: &Folder) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.path().join("cache/workbench/decoded"));
    let mut all: Vec<PathBuf> = entries.into_iter().flatten().flatten().map(|e| e.path()).collect();
    all.sort();
    all
}

fn seen(image: usize) -> String {
    format!("{IMAGES} 4 {}", record(image)[1])
}

#[test]
fn files_are_decoded_once_and_again_when_they_change() {
    let data = tempfile::tempdir().unwrap();
    put(data.path(), &files());
    let folder = folder("");
    let arguments = ["run", "look.rhai", "--data-dir", data.path().to_str().unwrap()];
    let look = || run(&folder, &arguments);
    assert!(look().contains(&seen(5999)));
    let first = kept(&folder);
    assert_eq!(first.len(), 1, "the training images; four to test on are not worth it: {first:?}");
    assert!(look().contains(&seen(5999)));
    assert_eq!(kept(&folder), first);

    // That it is read shows when the original is broken in a way that its length and time do not tell.
    let two = data.path().join("grains-bin/two.bin");
    let time = std::fs::metadata(&two).unwrap().modified().unwrap();
    let mut bytes = std::fs::read(&two).unwrap();
    bytes[0] = 9;
    std::fs::write(&two, &bytes).unwrap();
    std::fs::File::options().write(true).open(&two).unwrap().set_modified(time).unwrap();
    assert!(look().contains(&seen(5999)), "from the cache");
    let verified = run(&folder, &["data", "verify", "./grains.yaml", "--data-dir", data.path().to_str().unwrap()]);
    assert!(verified.contains("label 0") && verified.ends_with("exit code 1"), "verify looks at the files: {verified}");

    // A damaged cache is made anew.
    std::fs::write(&two, records(IMAGES / 2, IMAGES)).unwrap();
    std::fs::File::options().write(true).open(&two).unwrap().set_modified(time).unwrap();
    let good = std::fs::read(&first[0]).unwrap();
    let mut damaged = good.clone();
    let at = damaged.len() - 900;
    damaged[at] ^= 1;
    std::fs::write(&first[0], &damaged).unwrap();
    assert!(look().contains(&seen(5999)));
    assert_eq!(kept(&folder), first);
    assert!(std::fs::read(&first[0]).unwrap() == good, "the same file as before");

    // Other files: another key, and the old file goes.
    let mut other = records(IMAGES / 2, IMAGES);
    let at = other.len() - 784;
    other[at] = 200;
    std::fs::write(&two, other).unwrap();
    assert!(look().contains(&format!("{IMAGES} 4 200")));
    assert_eq!(kept(&folder).len(), 1, "{:?}", kept(&folder));
}

fn tar_gz(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(vec![]);
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        // The builder refuses paths that leave the folder; whoever means harm has another builder.
        let raw = header.as_old_mut();
        raw.name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        archive.append(&header, &bytes[..]).unwrap();
    }
    gz(&archive.into_inner().unwrap())
}

fn zip(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(vec![]));
    for (name, bytes) in files {
        archive.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

#[test]
fn folders_and_archives_are_taken_over() {
    for kind in ["original", "grains.tar.gz", "grains.zip"] {
        let folder = folder("");
        match kind {
            "original" => put(&folder.path().join(kind), &files()),
            "grains.zip" => std::fs::write(folder.path().join(kind), zip(&files())).unwrap(),
            _ => std::fs::write(folder.path().join(kind), tar_gz(&files())).unwrap(),
        }
        let said = run(&folder, &["data", "import", "./grains.yaml", kind]);
        assert!(said.contains("6000 train images") && said.ends_with("exit code 0"), "{said}");
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().flatten().map(|e| e.file_name()).collect();
        assert_eq!(left.len(), 4, "nothing unpacked stays: {left:?}");
        assert!(run(&folder, &["run", "look.rhai"]).contains(&seen(5999)), "{kind}");
        let info = run(&folder, &["data", "info", "./grains.yaml"]);
        assert!(info.contains(&format!("imported from {kind}")) && info.contains(" decoded, "), "{info}");
        assert_eq!(kept(&folder).len(), 2);
    }
}

#[test]
fn wrong_content_is_not_taken_over() {
    let digest = format!(", digest: {}", "0".repeat(64));
    let folder_of = |more: &str, tail: &str| {
        let text = manifest(more) + tail;
        let folder = Folder::new(&[("grains.yaml", &text)]);
        put(&folder.path().join("original"), &files());
        folder
    };
    let sum = format!("checksums:\n  two.bin: {}\n", "0".repeat(64));
    for (folder, says) in [
        (folder_of(&digest, ""), "are not those that were published"),
        (folder_of("", &sum), "two.bin: its SHA-256 is"),
    ] {
        let said = run(&folder, &["data", "import", "./grains.yaml", "original"]);
        assert!(said.contains(says) && said.ends_with("exit code 1"), "{said}");
        assert!(kept(&folder).is_empty());
    }
    let sum = format!("checksums:\n  three.bin: {}\n", "0".repeat(64));
    let said = run(&folder_of("", &sum), &["data", "info", "./grains.yaml"]);
    assert!(said.contains("three.bin is none of the data set's files, which are one.bin, two.bin, test.bin"), "{said}");
    let folder = folder_of("", "checksums:\n  two.bin: 12\n");
    let said = run(&folder, &["data", "info", "./grains.yaml"]);
    assert!(said.contains("line 14, column 3") && said.contains("no SHA-256"), "{said}");
}

#[test]
fn archives_that_would_write_elsewhere_are_refused() {
    let bad: &[(&str, &str)] = &[
        ("../escaped.bin", "no plain path"),
        ("grains-bin/../../escaped.bin", "no plain path"),
        ("/escaped-from-an-archive.bin", "no plain path"),
        ("grains-bin/one.bin\u{7f}", "no plain path"),
    ];
    for (name, says) in bad {
        for (file, bytes) in [("a.tar.gz", tar_gz(&[(name, vec![1])])), ("a.zip", zip(&[(name, vec![1])]))] {
            let folder = folder("");
            std::fs::write(folder.path().join(file), bytes).unwrap();
            let said = run(&folder, &["data", "import", "./grains.yaml", file]);
            assert!(said.contains(says) && said.ends_with("exit code 1"), "{name}: {said}");
        }
    }
    assert!(!Path::new("/escaped-from-an-archive.bin").exists());
    let mut archive = tar::Builder::new(vec![]);
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    archive.append_link(&mut header, "grains-bin", "/etc").unwrap();
    let folder = folder("");
    std::fs::write(folder.path().join("a.tar"), archive.into_inner().unwrap()).unwrap();
    let said = run(&folder, &["data", "import", "./grains.yaml", "a.tar"]);
    assert!(said.contains("expected files and folders alone"), "{said}");
    // A name of 300 MB, all zeros: it would be read whole.
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_size(300 << 20);
    header.set_cksum();
    let mut bomb = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    bomb.write_all(header.as_bytes()).unwrap();
    (0..20).for_each(|_| bomb.write_all(&vec![0; 1 << 20]).unwrap());
    std::fs::write(folder.path().join("a.tar.gz"), bomb.finish().unwrap()).unwrap();
    let said = run(&folder, &["data", "import", "./grains.yaml", "a.tar.gz"]);
    assert!(said.contains("broken archive (a header without end") && said.ends_with("exit code 1"), "{said}");
    for (bytes, says) in [(&tar_gz(&files())[..5000], "broken archive"), (&b""[..], "broken archive")] {
        std::fs::write(folder.path().join("a.tar.gz"), bytes).unwrap();
        let said = run(&folder, &["data", "import", "./grains.yaml", "a.tar.gz"]);
        assert!(said.contains(says) || said.contains("found nowhere"), "{said}");
        assert!(said.ends_with("exit code 1"), "{said}");
    }
    let said = run(&folder, &["data", "import", "./grains.yaml", "look.rhai"]);
    assert!(said.contains("neither a folder nor an archive"), "{said}");
    let said = run(&folder, &["data", "import", "./grains.yaml", "nothing.zip"]);
    assert!(said.contains("nothing.zip") && said.contains("No such file"), "{said}");
}

#[test]
fn what_is_there_is_listed_and_shown() {
    let folder = folder("");
    let list = run(&folder, &["data", "list"]);
    for name in ["digits", "mnist", "fashion_mnist", "cifar10", "cifar100", "tiny_imagenet"] {
        assert!(list.contains(name), "{list}");
    }
    assert!(list.contains("comes with the program") && list.contains("not here"), "{list}");
    let info = run(&folder, &["data", "info", "cifar10"]);
    for part in ["uoft-cs/cifar10", "50000 images; digest 76f226de", "0.4914", "Krizhevsky", "not here"] {
        assert!(info.contains(part), "{part}: {info}");
    }
    assert!(run(&folder, &["data", "verify", "digits"]).contains("386 images, digest "));
    for (arguments, says) in [
        (&["data", "path", "digits"][..], "comes with the program and has no path"),
        (&["data", "path", "mnist"], "is not on this machine"),
        (&["data", "fetch", "digits"], "there is nothing to fetch"),
        (&["data", "fetch", "./grains.yaml"], "names no place on the hub"),
        (&["data", "info", "cifar1O"], "did you mean `cifar10`?"),
        (&["data", "verify", "mnist"], "workbench data fetch mnist"),
    ] {
        let said = run(&folder, arguments);
        assert!(said.contains(says) && said.ends_with("exit code 1"), "{arguments:?}: {said}");
    }
    let said = run(&folder, &["data", "show", "digits", "--split", "test", "--columns", "5"]);
    assert!(said.contains("10 x 5 images") && said.contains("written to digits.png"), "{said}");
    let sheet = image::open(folder.path().join("digits.png")).unwrap().to_rgb8();
    // 5 images of 8 pixels and 4 lines between, 10 rows of them, enlarged 8 times.
    assert_eq!(sheet.dimensions(), (44 * 8, 89 * 8));
    // The first test image of class 0 begins 0, 0, 5, 13 of 16: row 0 of the file.
    let grey = |x: u32| sheet.get_pixel(x * 8 + 3, 3).0[0];
    assert_eq!([grey(0), grey(1), grey(2), grey(3)], [0, 0, 80, 207]);
}
