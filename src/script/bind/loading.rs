//! From the options of a script to a loaded data set.

use super::args;
use super::host::{Host, host};
use super::pictures::looks;
use crate::base::error::message;
use crate::base::files::quoted_path;
use crate::data::{self, Augmentation, RandAugment, Share};
use crate::run::Data;
use crate::script::language::error::{Res, candle, fail, interrupted};
use crate::script::language::options::Options;
use crate::script::language::signatures::{a_value_of, short_type};
use crate::script::values::{Dataset, Tensor};
use candle_core::{DType, Device};
use rhai::{Dynamic, INT, Map, NativeCallContext};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// A part of the images, if one is wanted: an int is a number of them, a float a share. 0 stands for none, so that a
/// setting can switch it off.
fn share(options: &mut Options, function: &str, key: &'static str) -> Res<Option<Share>> {
    let Some(value) = options.dynamic(key) else { return Ok(None) };
    if let Ok(part) = value.as_float() {
        return Ok(Some(Share::Fraction(part)).filter(|_| part != 0.0));
    }
    let wrong = |kind| fail(format!("{function}: option `{key}` is of type {}, expected a number", short_type(kind)));
    let count = args::count(function, &format!("option `{key}`"), value.as_int().map_err(wrong)?)?;
    Ok(Some(Share::Count(count)).filter(|_| count > 0))
}

/// The options that all data sets have; images are of `dtype` unless they say otherwise.
fn common(host: &Host, function: &'static str, options: &mut Options, dtype: DType) -> Res<data::Options> {
    Ok(data::Options {
        data_dir: host.data_dir.clone(),
        train_limit: limit(options, "train_limit")?,
        test_limit: limit(options, "test_limit")?,
        dtype: match options.string("dtype")? {
            Some(name) => args::dtype(function, &name)?,
            None => dtype,
        },
        device: host.device.clone(),
        seed: host.seed,
        augmentation: Augmentation {
            crop: options.usize("crop", 0, ..)?,
            flip: options.bool("flip", false)?,
            cutout: options.usize("cutout", 0, ..)?,
            rotation: options.float("rotation", 0.0)?,
            random: RandAugment {
                operations: options.usize("rand_augment", 0, ..=100)?,
                strength: options.float("rand_strength", 9.0)?,
            },
        },
        pad: options.usize("pad", 0, ..)?,
        per_class: limit(options, "per_class")?,
        validation: share(options, function, "validation")?,
        ..data::Options::default()
    })
}

/// A second data set whose images are to stand beside the training images: its name, or itself, and how much of it.
struct Beside {
    what: Dynamic,
    ratio: f64,
    limit: Option<usize>,
}

/// What is to stand beside, if something is. "" stands for nothing, so that a setting can switch it off.
fn asked_beside(options: &mut Options, function: &str) -> Res<Option<Beside>> {
    let what = options.dynamic("beside");
    for key in ["beside_ratio", "beside_limit"] {
        if options.is_given(key) && what.is_none() {
            return Err(fail(format!("{function}: option `{key}` needs `beside`, the data set that is meant")));
        }
    }
    let ratio = options.any_float("beside_ratio", 3.0)?;
    let limit = limit(options, "beside_limit")?;
    let Some(what) = what else { return Ok(None) };
    if what.is_string() && what.to_string().is_empty() {
        return Ok(None);
    }
    if !what.is_string() && !what.is::<Dataset>() {
        return Err(fail(format!(
            "{function}: option `beside` is of type {}, expected the name or path of a data set, or a data set",
            short_type(what.type_name())
        )));
    }
    data::check_ratio(ratio).map_err(|e| fail(format!("{function}: {e}")))?;
    Ok(Some(Beside { what, ratio, limit }))
}

/// `first` with what was asked for beside it, which the run knows too.
fn with_beside(
    host: &Host,
    function: &str,
    first: data::Dataset,
    beside: Option<Beside>,
    wanted: &data::Options,
) -> Res<Dataset> {
    let Some(Beside { what, ratio, limit }) = beside else { return Ok(Dataset(Rc::new(first))) };
    let told = first.warnings.len();
    let found = match what.clone().try_cast::<Dataset>() {
        Some(second) => first.with_beside(&second.0, ratio, limit),
        None => {
            let name = what.to_string();
            let read = |name: &str, options: &data::Options| data::Dataset::load_beside(name, options, limit);
            let (second, place) = found(host, function, &name, wanted, read)?;
            noted(host, &second, Some(&name), place)?;
            first.with_beside(&second, ratio, None)
        }
    };
    let found = found.map_err(|e| fail(format!("{function}: {e}")))?;
    tell(host, &found.warnings[told..]);
    Ok(Dataset(Rc::new(found)))
}

/// A number of images, if some are wanted. 0 stands for "all", so that a setting can switch the limit off.
fn limit(options: &mut Options, key: &'static str) -> Res<Option<usize>> {
    Ok(Some(options.usize(key, 0, ..)?).filter(|n| *n > 0))
}

/// The data set called `name`, or at the path `name`; its warnings are printed.
pub fn load(context: &NativeCallContext, name: &str, options: Map) -> Res<Dataset> {
    let host = host(context);
    let mut options = Options::new("dataset", options);
    let mut wanted = common(&host, "dataset", &mut options, host.dtype)?;
    wanted.test = share(&mut options, "dataset", "test")?;
    (wanted.size, wanted.pictures) = looks(&mut options)?;
    let beside = asked_beside(&mut options, "dataset")?;
    options.finish()?;
    let (first, place) = found(&host, "dataset", name, &wanted, data::Dataset::load)?;
    noted(&host, &first, Some(name), place)?;
    with_beside(&host, "dataset", first, beside, &wanted)
}

/// What `read` makes of the data set called `name`, or at the path `name`; and that place.
fn found(
    host: &Host,
    function: &str,
    name: &str,
    wanted: &data::Options,
    read: impl Fn(&str, &data::Options) -> data::Result<data::Dataset>,
) -> Res<(data::Dataset, Option<PathBuf>)> {
    let place = if data::is_path(name) { Some(place(host, name)?) } else { None };
    let path = place.as_deref().and_then(|p| p.to_str()).unwrap_or(name);
    let found = match read(path, wanted) {
        // Where the run found it that is repeated here; a path has been looked for there already.
        Err(data::Error::NotFound { .. }) if place.is_none() => match before(host, name)? {
            Some(folder) => read(name, &data::Options { data_dir: Some(folder), ..wanted.clone() }),
            None => read(path, wanted),
        },
        found => found,
    };
    let found = found.map_err(|e| match e {
        data::Error::Interrupted => interrupted(),
        e => fail(format!("{function}: {e}")),
    })?;
    Ok((found, place))
}

/// The file or folder that the script's path `name` leads to. One on the command line counts from the working folder, one in
/// the script from the script's own folder; a script that was kept or packed left its data where they were.
fn place(host: &Host, name: &str) -> Res<PathBuf> {
    let given = Path::new(name);
    let named_here = host.access.is_named(name) && given.exists();
    let own = host.script_folder.as_ref().map_or(PathBuf::from(name), |folder| folder.join(name));
    let path = if named_here || !own.exists() && given.exists() && host.access.may_read(given) {
        given.to_path_buf()
    } else {
        own
    };
    if !path.exists() {
        if let Some(found) = before(host, name)? {
            return Ok(found);
        }
        // A run that is repeated elsewhere may have its data in the folder for data.
        if let Some(was) = host.run.data_places(name).0.first() {
            let moved = host.data_dir.as_ref().and_then(|folder| Some(folder.join(given.file_name()?)));
            if let Some(moved) = moved.filter(|moved| moved.exists()) {
                return Ok(moved);
            }
            return Err(fail(format!(
                "dataset: the run found {name} at {}, where it is no longer; name the folder that holds it now by --data-dir FOLDER",
                was.display()
            )));
        }
    }
    host.access.read_data("dataset", &path.display().to_string()).map_err(fail)
}

/// Where the data set was when the run began that this one repeats, goes on with or varies, if it is still there. One that
/// is checked to be the same may be read; another one only if this command line allows it.
fn before(host: &Host, name: &str) -> Res<Option<PathBuf>> {
    let (places, checked) = host.run.data_places(name);
    let Some(found) = places.into_iter().find(|place| place.is_file() || place.is_dir()) else { return Ok(None) };
    let found = found.canonicalize().unwrap_or(found);
    if checked || host.access.may_read(&found) {
        host.run.note(&format!("note: dataset: {name} is read from {}, as in the run before", found.display()));
        return Ok(Some(found));
    }
    let flag = if data::is_path(name) { "--allow-read" } else { "--data-dir" };
    Err(fail(format!(
        "dataset: {name} is not here; the run of this script found it at {}, and what is recorded grants nothing; if you mean \
         it, add {flag} {}",
        found.display(),
        quoted_path(&found)
    )))
}

/// Let the run know what a loaded data set holds, and how the script `asked` for it; print its warnings.
fn noted(host: &Host, found: &data::Dataset, asked: Option<&str>, place: Option<PathBuf>) -> Res<()> {
    // What it says about itself is told once it is known to be what the run had.
    host.run.add_data(|| described(found, asked, place)).map_err(fail)?;
    tell(host, &found.warnings);
    host.run.set_classes(found.classes);
    Ok(())
}

fn tell(host: &Host, warnings: &[String]) {
    warnings.iter().for_each(|warning| host.run.print(&format!("note: {warning}")));
}

/// What a run's folder says about a data set.
fn described(found: &data::Dataset, asked: Option<&str>, place: Option<PathBuf>) -> Result<Data, String> {
    let train = Some(&found.train).filter(|_| found.lacks_train.is_none());
    let test = Some(&found.test).filter(|test| !test.is_empty());
    let splits = [train, found.validation.as_ref(), test].into_iter().flatten();
    let sums = splits.map(|split| {
        let sum = split.checksum().map_err(|e| message(&e))?;
        Ok((split.name().to_string(), (split.len(), sum)))
    });
    // Of a data set by name the folder that its files are in, unless it is inside the program.
    let place = place.unwrap_or_else(|| PathBuf::from(&found.source));
    let place = place.canonicalize().ok().map(|place| place.display().to_string());
    Ok(Data {
        name: found.name.clone(),
        source: found.source.clone(),
        asked: asked.map(str::to_string),
        place,
        splits: sums.collect::<Result<_, String>>()?,
    })
}

/// The data set of tensors: images and labels, to train and to test on.
pub fn from_arrays(context: &NativeCallContext, x: [Tensor; 2], y: [Dynamic; 2], options: Map) -> Res<Dataset> {
    let function = "dataset_from";
    let host = host(context);
    let mut options = Options::new(function, options);
    let name = options.string("name")?.unwrap_or("arrays".into());
    let classes = Some(options.usize("classes", 0, ..)?).filter(|n| *n > 0);
    let wanted = common(&host, function, &mut options, x[0].0.dtype())?;
    let beside = asked_beside(&mut options, function)?;
    options.finish()?;
    let labels = |split: &str, y: Dynamic| -> Res<Vec<u32>> {
        data::labels(split, &integers(y)?).map_err(|e| fail(format!("{function}: {e}")))
    };
    let ([train_x, test_x], [train_y, test_y]) = (x, y);
    let (train_y, test_y) = (labels("train", train_y)?, labels("test", test_y)?);
    let found = data::Dataset::from_arrays(&name, (&train_x.0, &train_y), (&test_x.0, &test_y), classes, &wanted);
    let first = found.map_err(|e| fail(format!("{function}: {e}")))?;
    noted(&host, &first, None, None)?;
    with_beside(&host, function, first, beside, &wanted)
}

/// A tensor as it is, an array of ints as one.
fn integers(labels: Dynamic) -> Res<candle_core::Tensor> {
    let wrong = |kind| fail(format!("dataset_from: labels are a tensor or an array of ints, got {}", a_value_of(kind)));
    let kind = labels.type_name();
    if let Some(tensor) = labels.clone().try_cast::<Tensor>() {
        return Ok(tensor.0);
    }
    let Ok(array) = labels.into_array() else { return Err(wrong(kind)) };
    let array = array.iter().map(|label| label.as_int().map_err(wrong)).collect::<Res<Vec<INT>>>()?;
    candle_core::Tensor::new(array, &Device::Cpu).map_err(candle)
}
