//! A folder of pictures as a data set, without a manifest: a folder for each class, in `train`, `test` and `val` (in any case), or
//! directly, in which case a part of each class is set apart to test on. Labels count the names of the classes in
//! alphabetical order. The first picture says what size and how many channels all have, unless options do.

use super::arrange::{TEST, apart, wanted};
use super::error::{Error, Result};
use super::file_error::FileError;
use super::formats::folders::{Labelled, decode, in_turn, picture_names};
use super::formats::picture;
use super::manifest::check::{CLASSES, SPLIT_BYTES};
use super::manifest::{Fit, is_path};
use super::split::classes::{list, missing_classes};
use super::split::set_apart;
use super::split::{Split, check_dtype};
use super::{Dataset, Options};
use crate::base::interrupt;
use std::path::{Path, PathBuf};

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
    validation: Vec<Labelled>,
    lacks_train: Option<String>,
    notes: Vec<String>,
}

/// The data set in the folder at the path `name`.
pub(super) fn load(name: &str, options: &Options) -> Result<Dataset> {
    let root = Path::new(name);
    check_dtype(options.dtype)?;
    // `.` has a name too.
    let full = root.canonicalize().unwrap_or_else(|_| root.into());
    let title = full.file_name().map_or(name.into(), |n| n.to_string_lossy().into_owned());
    let found = if options.training_only { to_train(root, &title)? } else { find(root, &title, options)? };
    let Found { classes, mut train, mut test, validation, lacks_train, notes: mut warnings } = found;
    if lacks_train.is_none() {
        train.truncate(wanted(&title, "train", options.train_limit, train.len())?);
    }
    test.truncate(wanted(&title, "test", options.test_limit, test.len())?);

    let (first, _) = train.first().unwrap_or_else(|| &test[0]);
    let mut look = options.pictures.clone();
    let [channels, height, width] = picture::shape(first, &look)?;
    let shape = options.size.map_or([channels, height, width], |[height, width]| [channels, height, width]);
    if options.size.is_some() {
        look.fit = look.fit.or(Some(Fit::Crop));
    } else if look.fit.is_some() {
        return Err(content(root, "`fit` says how pictures are brought to a size; say which: `size: [32, 32]`".into()));
    }
    look.check(channels).map_err(|why| content(root, why))?;
    options.check(&title, shape)?;
    let read = |name, pictures: &[Labelled]| -> Result<Split> {
        room(root, name, pictures.len(), shape)?;
        let raw = decode(shape, pictures, |path, image| picture::read_like(first, path, shape, &look, image))?;
        Ok(Split::from_bytes(name, shape, classes.len(), (raw.0.into(), raw.1), u8::MAX, options.made()))
    };
    let test = read("test", &test)?;
    let train = if lacks_train.is_some() { Split::none("train", &test) } else { read("train", &train)? };
    let validation = if validation.is_empty() { None } else { Some(read("validation", &validation)?) };
    let changes = look.describe();
    if !changes.is_empty() {
        warnings.push(format!("pictures are changed where they are not as they should be: {changes}"));
    }
    for split in [Some(&train), Some(&test), validation.as_ref()].into_iter().flatten().filter(|s| !s.is_empty()) {
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
        class_names: classes,
        licence: "not stated".into(),
        citation: "not stated".into(),
        normalisation: None,
        source: root.display().to_string(),
        warnings,
        train,
        lacks_train,
        validation,
        test,
    };
    data.arranged(options)
}

/// What a folder of images for one use may be called, in any case.
const NAMES: [(&str, &[&str]); 3] =
    [("train", &["train"]), ("test", &["test"]), ("val", &["val", "valid", "validation"])];

/// The folders of `root` for the uses above, where there are any.
fn uses(root: &Path) -> Result<[Option<PathBuf>; 3]> {
    let io = |source| FileError::Io { file: root.display().to_string(), source };
    let mut found = [const { None::<PathBuf> }; 3];
    for entry in std::fs::read_dir(root).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_ascii_lowercase();
        let Some(place) = NAMES.iter().position(|(_, names)| names.contains(&name.as_str())) else { continue };
        if !path.is_dir() {
            continue;
        }
        if let Some(other) = &found[place] {
            let message = format!("{} lies beside it; which of the two is meant? Remove one", other.display());
            return Err(content(&path, message));
        }
        found[place] = Some(path);
    }
    Ok(found)
}

/// Which pictures are to train, which to test on.
fn find(root: &Path, name: &str, options: &Options) -> Result<Found> {
    let [train, test, val] = uses(root)?;
    // A class may be called `test`: what holds pictures itself is none of these folders.
    let holds_classes = |folder: &Option<PathBuf>| folder.as_ref().is_some_and(|f| classes(f).is_ok());
    let (train, test, val) = match (train, test, val) {
        (None, test, val) if !holds_classes(&test) && !holds_classes(&val) => return divided(root, options),
        (Some(train), None, None) => {
            let message = format!(
                "holds a folder `{}` but neither `test` nor `val`; put the test images there, or give the path of `{0}` itself, of \
                 which a part is then set apart to test on",
                train.file_name().unwrap_or_default().to_string_lossy()
            );
            return Err(content(root, message));
        }
        all => all,
    };
    options.check_no_test(name)?;
    // Where there are no others, those for validation are what is tested on.
    let (test, val) = match (test, val) {
        (Some(test), val) => (test, val),
        (None, Some(val)) => (val, None),
        (None, None) => return divided(root, options),
    };
    if let (Some(given), Some(_)) = (options.validation, &val) {
        return Err(Error::HasValidation { dataset: name.into(), given });
    }
    let of = train.as_ref().unwrap_or(&test);
    let classes = classes(of)?;
    for other in [Some(&test), val.as_ref()].into_iter().flatten() {
        for class in self::classes(other)? {
            if classes.binary_search(&class).is_err() {
                let message = format!("is a class that {} does not have; remove it, or put images there", of.display());
                return Err(content(&other.join(class), message));
            }
        }
    }
    let pictures = |folder: &Path, may_lack: bool| pictures(folder, &classes, may_lack);
    let validation = val.map_or(Ok(vec![]), |val| pictures(&val, true))?;
    let (mut notes, mut lacks_train) = (vec![], None);
    let (train, test) = match train {
        Some(train) => (pictures(&train, false)?, pictures(&test, true)?),
        None => {
            notes.push(format!(
                "{} is here without training images, and can be tested on; labels count the classes of {}",
                root.display(),
                test.display()
            ));
            lacks_train = Some(format!("{} does not exist", root.join("train").display()));
            (vec![], pictures(&test, false)?)
        }
    };
    Ok(Found { train, test, validation, lacks_train, notes, classes })
}

/// The pictures to train on alone: those in `train`, or all where there is no such folder.
fn to_train(root: &Path, name: &str) -> Result<Found> {
    let [train, others @ ..] = uses(root)?;
    if train.is_none() && others.into_iter().flatten().any(|folder| classes(&folder).is_ok()) {
        let why = format!("{} does not exist", root.join("train").display());
        return Err(Error::NoTraining { dataset: name.into(), why });
    }
    let folder = train.as_deref().unwrap_or(root);
    let classes = classes(folder)?;
    let train = pictures(folder, &classes, false)?;
    Ok(Found { train, test: vec![], validation: vec![], lacks_train: None, notes: vec![], classes })
}

/// Pictures of which a part is set apart to test on.
fn divided(root: &Path, options: &Options) -> Result<Found> {
    let classes = classes(root)?;
    let all = pictures(root, &classes, false)?;
    let labels: Vec<u32> = all.iter().map(|(_, label)| *label).collect();
    let count = options.test.unwrap_or(TEST).of("test", &root.display().to_string(), all.len())?;
    let (train, test) = set_apart(&labels, classes.len(), count, options.seed, "test");
    let note = options.test.is_none().then(|| apart(&root.display().to_string(), count, all.len(), options.seed));
    let at = |places: Vec<u32>| places.into_iter().map(|i| all[i as usize].clone()).collect();
    let (train, test, notes) = (at(train), at(test), note.into_iter().collect());
    Ok(Found { train, test, validation: vec![], lacks_train: None, notes, classes })
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
