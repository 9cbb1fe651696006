//! What a manifest's types alone do not say: keys that its format needs, sizes that fit in memory, splits that share
//! nothing. Messages name the key.

use super::{Format, HubSource, Manifest, PlainName, SplitFiles, Splits};

/// The most values of one split, one byte each; splits are held in memory, and a manifest may come from somebody else.
/// It also keeps indices within u32.
pub(in crate::data) const SPLIT_BYTES: usize = u32::MAX as usize;
/// As many classes as anything here is made for.
pub(in crate::data) const CLASSES: usize = 1 << 16;
/// The most bytes before an image in a record.
const LABEL_BYTES: usize = 16;

type Check = std::result::Result<(), String>;

/// Does `manifest` describe a data set?
pub(in crate::data) fn check(manifest: &Manifest) -> Check {
    if manifest.classes.get() > CLASSES {
        return Err(format!("classes: {} classes; expected at most {CLASSES}", manifest.classes));
    }
    for (name, split) in manifest.splits() {
        check_memory(manifest, name, split)?;
        check_keys(manifest, name, split)?;
    }
    let format = manifest.format;
    needs(format, "class_list", manifest.class_list.is_some(), format == Format::Folders)?;
    if matches!(format, Format::Folders | Format::Parquet) {
        check_scale(manifest, &format!("format `{}`", format.name()))?;
    }
    needs(format, "columns", manifest.columns.is_some(), format == Format::Parquet)?;
    needs(
        format,
        "label_bytes",
        manifest.label_bytes.is_some(),
        manifest.label_bytes.is_some() && format == Format::Cifar,
    )?;
    if let Some(n) = &manifest.normalisation {
        let channels = manifest.shape()[0];
        if n.mean.len() != channels || n.std.len() != channels {
            let (mean, std) = (n.mean.len(), n.std.len());
            return Err(format!(
                "normalisation: {mean} means and {std} deviations; expected {channels}, one for each channel"
            ));
        }
        if let Some(std) = n.std.iter().find(|s| !(**s > 0.0 && s.is_finite())) {
            return Err(format!("normalisation.std: {std}; expected numbers above 0"));
        }
    }
    if let Some(hub) = &manifest.hub {
        check_hub(manifest, hub)?;
    }
    if manifest.label_bytes.is_some_and(|n| n.get() > LABEL_BYTES) {
        return Err(format!("label_bytes: more than {LABEL_BYTES}"));
    }
    let [train, test] = manifest.sizes();
    let mut known = manifest.files(train, test);
    known.extend(manifest.splits().into_iter().filter_map(|(_, s)| s.annotations.as_ref().map(PlainName::as_str)));
    known.extend(manifest.hub.iter().flat_map(|hub| hub.train.iter().chain(&hub.test)).map(String::as_str));
    if let Some(other) = manifest.checksums.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("checksums: {other} is none of the data set's files, which are {}", known.join(", ")));
    }
    check_overlap(manifest)
}

fn check_hub(manifest: &Manifest, hub: &HubSource) -> Check {
    let plain = |part: &str| !part.is_empty() && PlainName::allows(part);
    if hub.repository.split('/').count() != 2 || !hub.repository.split('/').all(plain) {
        return Err(format!("hub.repository: `{}`; expected OWNER/NAME", hub.repository));
    }
    if !plain(&hub.revision) {
        return Err(format!("hub.revision: `{}`; expected a branch, a tag or a commit", hub.revision));
    }
    for (name, files) in [("train", &hub.train), ("test", &hub.test)] {
        if let Some(file) = files.iter().find(|f| !f.split('/').all(plain)) {
            return Err(format!("hub.{name}: `{file}`; expected a path inside the repository"));
        }
        if files.is_empty() {
            return Err(format!("hub.{name}: no file; expected at least one"));
        }
    }
    match hub.train.iter().find(|f| hub.test.contains(f)) {
        Some(both) => Err(format!("hub: train and test use the same file {both}")),
        None => check_scale(manifest, "hub"),
    }
}

/// Pictures hold bytes from 0 to 255, of one or three channels.
fn check_scale(manifest: &Manifest, who: &str) -> Check {
    if manifest.scale.get() != u8::MAX {
        return Err(format!("scale: {}; {who} needs 255, the range of its pictures", manifest.scale));
    }
    if !matches!(manifest.shape()[0], 1 | 3) {
        let channels = manifest.shape()[0];
        return Err(format!("shape: {channels} channels; {who} needs 1 (grey) or 3 (red, green, blue)"));
    }
    Ok(())
}

fn check_memory(manifest: &Manifest, name: &str, split: &SplitFiles) -> Check {
    let pixels = manifest.shape().iter().try_fold(1_usize, |n, &d| n.checked_mul(d));
    let bytes = pixels.and_then(|p| p.checked_mul(split.first_row.unwrap_or(0).checked_add(split.size.get())?));
    if bytes.is_none_or(|b| b > SPLIT_BYTES) {
        return Err(format!(
            "splits.{name}: {} images of {:?} values; expected at most {SPLIT_BYTES} values, which are held in memory",
            split.size,
            manifest.shape()
        ));
    }
    Ok(())
}

/// Are the keys of the format there, and no others?
fn check_keys(manifest: &Manifest, name: &str, split: &SplitFiles) -> Check {
    let format = manifest.format;
    let needs = |key: &str, given: bool, wanted: bool| needs(format, &format!("splits.{name}.{key}"), given, wanted);
    // A key that may be left out is wanted where it is given.
    let may = |key: &str, given: bool, allowed: bool| needs(key, given, given && allowed);
    let arrays = matches!(format, Format::Idx | Format::Npy | Format::Npz);
    needs("images", split.images.is_some(), arrays)?;
    needs("labels", split.labels.is_some(), arrays)?;
    needs("file", split.file.is_some(), matches!(format, Format::Csv | Format::Npz))?;
    may("first_row", split.first_row.is_some(), format == Format::Csv)?;
    needs("files", split.files.is_some(), matches!(format, Format::Cifar | Format::Parquet))?;
    needs("folder", split.folder.is_some(), format == Format::Folders)?;
    may("subfolder", split.subfolder.is_some(), format == Format::Folders)?;
    may("annotations", split.annotations.is_some(), format == Format::Folders)?;
    if split.images.is_some() && split.images == split.labels {
        return Err(format!("splits.{name}: images and labels are the same file"));
    }
    let files = split.files.as_deref().unwrap_or_default();
    let uneven = format == Format::Cifar && !files.is_empty() && !split.size.get().is_multiple_of(files.len());
    if split.files.is_some() && (files.is_empty() || uneven) {
        return Err(format!(
            "splits.{name}: {} images in {} files; expected as many images in every file",
            split.size,
            files.len()
        ));
    }
    match files.iter().enumerate().find(|(i, file)| files[..*i].contains(file)) {
        Some((_, twice)) => Err(format!("splits.{name}.files: {} stands there twice", twice.as_str())),
        None => Ok(()),
    }
}

fn needs(format: Format, key: &str, given: bool, wanted: bool) -> Check {
    match (given, wanted) {
        (false, true) => Err(format!("{key}: missing; format `{}` needs it", format.name())),
        (true, false) => Err(format!("{key}: not used by format `{}`", format.name())),
        _ => Ok(()),
    }
}

/// Training on test images must not happen by a slip in a manifest.
fn check_overlap(manifest: &Manifest) -> Check {
    let Splits { train, test } = &manifest.splits;
    if train.images.is_some() && train.images == test.images && train.file == test.file {
        return Err("splits: train and test use the same file of images".into());
    }
    let span = |s: &SplitFiles| (s.first_row.unwrap_or(0), s.first_row.unwrap_or(0) + s.size.get());
    let ((a, b), (c, d)) = (span(train), span(test));
    if train.images.is_none() && train.file.is_some() && train.file == test.file && a < d && c < b {
        return Err(format!("splits: train (rows {a}..{b}) and test (rows {c}..{d}) of the same file overlap"));
    }
    let files = |s: &SplitFiles| s.files.clone().unwrap_or_default();
    if let Some(both) = files(train).iter().find(|f| files(test).contains(f)) {
        return Err(format!("splits: train and test use the same file {}", both.as_str()));
    }
    if train.folder.is_some() && train.folder == test.folder {
        return Err("splits: train and test use the same folder of images".into());
    }
    Ok(())
}
