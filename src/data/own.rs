//! A folder of pictures as a data set, without a manifest: a folder for each class, in `train` and `test` (or `val`), or
//! directly, in which case a part of each class is set apart to test on. Labels count the names of the classes in
//! alphabetical order. The first picture says what size and how many channels all have.

use super::arrange::wanted;
use super::error::{Error, Result};
use super::file_error::FileError;
use super::formats::folders::{Labelled, decode, in_turn, picture_names};
use super::formats::picture;
use super::manifest::check::{CLASSES, SPLIT_BYTES};
use super::manifest::is_path;
use super::share::Share;
use super::split::classes::{list, missing_classes};
use super::split::set_apart;
use super::split::{Split, check_dtype};
use super::{Dataset, Options};
use crate::base::interrupt;
use std::path::{Path, PathBuf};

/// Set apart to test on where there are no test images.
const TEST: Share = Share::Fraction(0.2);

/// Is `name`, as given to `Dataset::load`, the path of a folder?
pub(super) fn is_folder(name: &str) -> bool {
    is_path(name) && !name.ends_with(".yaml") && !name.ends_with(".yml") && Path::new(name).is_dir()
}

/// The pictures of a folder, none of which has been read.
struct Found {
    /// In the order of the labels.
    classes: Vec<String>,
    train: Vec<Labelled>,
    test: Vec<Labelled>,
    notes: Vec<String>,
}

/// The data set in the folder at the path `name`.
pub(super) fn load(name: &str, options: &Options) -> Result<Dataset> {
    let root = Path::new(name);
    check_dtype(options.dtype)?;
    // `.` has a name too.
    let full = root.canonicalize().unwrap_or_else(|_| root.into());
    let title = full.file_name().map_or(name.into(), |n| n.to_string_lossy().into_owned());
    let Found { classes, mut train, mut test, notes: mut warnings } = find(root, &title, options)?;
    train.truncate(wanted(&title, "train", options.train_limit, train.len())?);
    test.truncate(wanted(&title, "test", options.test_limit, test.len())?);

    let (first, _) = &train[0];
    let shape = picture::shape(first)?;
    options.check(&title, shape)?;
    let read = |name, pictures: &[Labelled]| -> Result<Split> {
        room(root, name, pictures.len(), shape)?;
        let raw = decode(shape, pictures, |path, image| picture::read_like(first, path, shape, image))?;
        Ok(Split::from_bytes(name, shape, classes.len(), (raw.0.into(), raw.1), u8::MAX, options.made()))
    };
    let (train, test) = (read("train", &train)?, read("test", &test)?);
    for split in [&train, &test] {
        let missing = missing_classes(split, classes.len()).into_iter().map(|class| &classes[class]);
        let missing: Vec<_> = missing.map(|class| format!("`{class}`")).collect();
        if !missing.is_empty() {
            warnings.push(format!("the {} images hold none of {}", split.name(), list(&missing)));
        }
    }
    let data = Dataset {
        title: format!("pictures in {title}"),
        name: title,
        shape: shape.to_vec(),
        classes: classes.len(),
        licence: "not stated".into(),
        citation: "not stated".into(),
        normalisation: None,
        source: root.display().to_string(),
        warnings,
        train,
        validation: None,
        test,
    };
    data.arranged(options)
}

/// Which pictures are to train and which to test on.
fn find(root: &Path, name: &str, options: &Options) -> Result<Found> {
    let has = |folder: &str| root.join(folder).is_dir();
    if !has("train") {
        return divided(root, options);
    }
    let test = match (has("test"), has("val")) {
        (true, _) => root.join("test"),
        (false, true) => root.join("val"),
        (false, false) => {
            let message = "holds a folder `train` but neither `test` nor `val`; put the test images there, or give the \
                path of `train` itself, of which a part is then set apart to test on";
            return Err(content(root, message.into()));
        }
    };
    options.check_no_test(name)?;
    let train = root.join("train");
    let classes = classes(&train)?;
    for class in self::classes(&test)? {
        if classes.binary_search(&class).is_err() {
            let message = format!("is a class that {} does not have; remove it, or put images there", train.display());
            return Err(content(&test.join(class), message));
        }
    }
    let both = has("test") && has("val");
    let notes = both.then(|| format!("{} is not used: there is `test` beside it", root.join("val").display()));
    let pictures = |folder: &Path, may_lack: bool| pictures(folder, &classes, may_lack);
    let (train, test) = (pictures(&train, false)?, pictures(&test, true)?);
    Ok(Found { train, test, notes: notes.into_iter().collect(), classes })
}

/// Pictures of which a part is set apart to test on.
fn divided(root: &Path, options: &Options) -> Result<Found> {
    let classes = classes(root)?;
    let all = pictures(root, &classes, false)?;
    let labels: Vec<u32> = all.iter().map(|(_, label)| *label).collect();
    let count = options.test.unwrap_or(TEST).of("test", &root.display().to_string(), all.len())?;
    let (train, test) = set_apart(&labels, classes.len(), count, options.seed, "test");
    let note = options.test.is_none().then(|| {
        format!(
            "{} has no test images: {count} of its {} are set apart to test on, drawn with seed {}; `test` says how many",
            root.display(),
            all.len(),
            options.seed
        )
    });
    let at = |places: Vec<u32>| places.into_iter().map(|i| all[i as usize].clone()).collect();
    Ok(Found { train: at(train), test: at(test), notes: note.into_iter().collect(), classes })
}

/// The classes in `folder`: the names of the folders in it, in order.
fn classes(folder: &Path) -> Result<Vec<String>> {
    let io = |source| FileError::Io { file: folder.display().to_string(), source };
    let mut classes = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let name = path.file_name().unwrap_or_default();
        // Hidden folders are some program's own.
        if !path.is_dir() || name.to_string_lossy().starts_with('.') {
            continue;
        }
        let Some(name) = name.to_str() else {
            return Err(content(&path, "the name of this class is not UTF-8 text; rename the folder".into()));
        };
        classes.push(name.to_owned());
    }
    if classes.is_empty() {
        let message = "holds no folder of a class; expected JPEG or PNG pictures in CLASS/, or in train/CLASS/ and \
            test/CLASS/ (or val/CLASS/)";
        return Err(content(folder, message.into()));
    }
    if classes.len() > CLASSES {
        return Err(content(folder, format!("holds {} folders; expected at most {CLASSES} classes", classes.len())));
    }
    classes.sort_unstable();
    Ok(classes)
}

/// The pictures of `classes` in `folder`, the first of every class, then the second. A class may lack its folder there if
/// that is said, but none may be empty.
fn pictures(folder: &Path, classes: &[String], may_lack: bool) -> Result<Vec<Labelled>> {
    let of_class = |class: &String| -> Result<(PathBuf, Vec<String>)> {
        if interrupt::requested() {
            return Err(Error::Interrupted);
        }
        let folder = folder.join(class);
        if may_lack && !folder.exists() {
            return Ok((folder, vec![]));
        }
        let names = picture_names(&folder)?;
        if names.is_empty() {
            return Err(content(&folder, "holds no JPEG or PNG file; add pictures, or remove the folder".into()));
        }
        Ok((folder, names))
    };
    Ok(in_turn(&classes.iter().map(of_class).collect::<Result<Vec<_>>>()?))
}

/// Do so many pictures fit in memory?
fn room(root: &Path, split: &str, count: usize, shape: [usize; 3]) -> Result<()> {
    let values = shape.iter().try_fold(count, |n, side| n.checked_mul(*side));
    if values.is_some_and(|n| n <= SPLIT_BYTES) {
        return Ok(());
    }
    let message = format!(
        "{count} {split} pictures of {shape:?} values; expected at most {SPLIT_BYTES} values, which are held in memory: \
         give {split}_limit, or make them smaller"
    );
    Err(content(root, message))
}

fn content(path: &Path, message: String) -> Error {
    FileError::Content { file: path.display().to_string(), message }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_that_do_not_fit_in_memory_are_refused() {
        assert!(room(Path::new("my"), "train", 1 << 12, [1, 1 << 10, (1 << 10) - 1]).is_ok());
        let says = |count, shape| room(Path::new("my"), "train", count, shape).unwrap_err().to_string();
        insta::assert_snapshot!(says(1 << 12, [1, 1 << 10, 1 << 10]), @"my: 4096 train pictures of [1, 1024, 1024] values; expected at most 4294967295 values, which are held in memory: give train_limit, or make them smaller");
        assert!(says(usize::MAX, [3, 2, 2]).contains("expected at most"), "also where the product overflows");
    }
}
