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
    if manifest.splits.train.is_none() && manifest.splits.test.is_none() {
        return Err("splits: neither `train` nor `test`; expected at least one of them".into());
    }
    for (name, split) in manifest.splits() {
        check_memory(manifest, name, split)?;
        check_keys(manifest, name, split)?;
    }
    let format = manifest.format;
    check_looks(manifest)?;
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
    let mut known = manifest.files(&manifest.all());
    known.extend(manifest.splits().into_iter().filter_map(|(_, s)| s.annotations.as_ref().map(PlainName::as_str)));
    known.extend(manifest.hub.iter().flat_map(|hub| hub.train.iter().chain(&hub.test)).map(String::as_str));
    if let Some(other) = manifest.checksums.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("checksums: {other} is none of the data set's files, which are {}", known.join(", ")));
    }
    check_overlap(manifest)
}

fn check_hub(manifest: &Manifest, hub: &HubSource) -> Check {
    let Splits { train, test, validation } = &manifest.splits;
    let is_sized = |split: &Option<SplitFiles>| split.as_ref().is_some_and(|split| split.size.is_some());
    if !is_sized(train) || !is_sized(test) || validation.is_some() {
        return Err("hub: needs `splits.train` and `splits.test`, each with its `size`, and no other".into());
    }
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

/// The keys that say how stored values become images and labels.
fn check_looks(manifest: &Manifest) -> Check {
    let format = manifest.format;
    let may = |key: &str, given: bool, allowed: bool| needs(format, key, given, given && allowed);
    may("header", manifest.header.is_some(), format == Format::Csv)?;
    may("label", manifest.label.is_some(), format == Format::Csv)?;
    let pictures = matches!(format, Format::Folders | Format::Parquet);
    may("pictures", manifest.pictures.is_some(), pictures)?;
    may("transposed", manifest.transposed, !pictures)?;
    may("first_label", manifest.first_label.is_some(), format != Format::Folders)?;
    if let Some(pictures) = &manifest.pictures {
        pictures.check(manifest.shape()[0]).map_err(|why| format!("pictures.{why}"))?;
    }
    let arrays = matches!(format, Format::Npy | Format::Npz);
    if let Some(scale) = manifest.scale.filter(|s| !arrays && s.byte().is_none()) {
        let format = format.name();
        return Err(format!(
            "scale: {}; format `{format}` holds bytes and needs a whole number, 1 to 255",
            scale.get()
        ));
    }
    if let Some(names) = &manifest.class_names {
        let classes = manifest.classes.get();
        if names.len() != classes {
            return Err(format!("class_names: {} names; expected {classes}, one for each class", names.len()));
        }
        if let Some((_, twice)) = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)) {
            return Err(format!("class_names: {twice} stands there twice"));
        }
    }
    if manifest.first_label.is_some_and(|first| first > u32::MAX - CLASSES as u32) {
        return Err("first_label: beyond what labels can be; expected 0, 1 or another small number".into());
    }
    Ok(())
}

/// Pictures hold bytes from 0 to 255, of one or three channels.
fn check_scale(manifest: &Manifest, who: &str) -> Check {
    if manifest.byte_scale() != u8::MAX {
        return Err(format!("scale: {}; {who} needs 255, the range of its pictures", manifest.byte_scale()));
    }
    if !matches!(manifest.shape()[0], 1 | 3) {
        let channels = manifest.shape()[0];
        return Err(format!("shape: {channels} channels; {who} needs 1 (grey) or 3 (red, green, blue)"));
    }
    Ok(())
}

/// Do the images of a split fit in memory?
pub(in crate::data) fn check_memory(manifest: &Manifest, name: &str, split: &SplitFiles) -> Check {
    let pixels = manifest.shape().iter().try_fold(1_usize, |n, &d| n.checked_mul(d));
    let bytes = pixels.and_then(|p| p.checked_mul(split.first_row.unwrap_or(0).checked_add(split.size())?));
    if bytes.is_none_or(|b| b > SPLIT_BYTES) {
        return Err(format!(
            "splits.{name}: {} images of {:?} values; expected at most {SPLIT_BYTES} values, which are held in memory",
            split.size(),
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
    // A .npz file says itself what its arrays are called.
    let named = |given: bool| if format == Format::Npz { given } else { arrays };
    needs("images", split.images.is_some(), named(split.images.is_some()))?;
    needs("labels", split.labels.is_some(), named(split.images.is_some()))?;
    needs("size", split.size.is_some(), split.size.is_some() || matches!(format, Format::Cifar | Format::Folders))?;
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
    let uneven = format == Format::Cifar && !files.is_empty() && !split.size().is_multiple_of(files.len());
    if split.files.is_some() && (files.is_empty() || uneven) {
        return Err(format!(
            "splits.{name}: {} images in {} files; expected as many images in every file",
            split.size(),
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
pub(in crate::data) fn check_overlap(manifest: &Manifest) -> Check {
    let splits = manifest.splits();
    for (i, (b_name, b)) in splits.iter().enumerate() {
        splits[..i].iter().try_for_each(|(a_name, a)| {
            overlap(manifest.format, a, b)
                .map_or(Ok(()), |what| Err(format!("splits: {}", what.replace("{a}", a_name).replace("{b}", b_name))))
        })?;
    }
    Ok(())
}

/// What two splits share.
fn overlap(format: Format, train: &SplitFiles, test: &SplitFiles) -> Option<String> {
    if train.images.is_some() && train.images == test.images && train.file == test.file {
        return Some("{a} and {b} use the same file of images".into());
    }
    // Of a split whose size is not known yet at least its first row.
    let span = |s: &SplitFiles| (s.first_row.unwrap_or(0), s.first_row.unwrap_or(0) + s.size().max(1));
    let ((a, b), (c, d)) = (span(train), span(test));
    if format == Format::Csv && train.file == test.file && a < d && c < b {
        return Some(format!("{{a}} (rows {a}..{b}) and {{b}} (rows {c}..{d}) of the same file overlap"));
    }
    let files = |s: &SplitFiles| s.files.clone().unwrap_or_default();
    if let Some(both) = files(train).iter().find(|f| files(test).contains(f)) {
        return Some(format!("{{a}} and {{b}} use the same file {}", both.as_str()));
    }
    (train.folder.is_some() && train.folder == test.folder).then(|| "{a} and {b} use the same folder of images".into())
}
