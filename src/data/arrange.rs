//! From the images as they were read to the data set that was asked for: zeros around all of them, the first few of
//! each class, validation images set apart, augmentation of what is left to train on; in this order. So validation
//! images are never augmented, and never test images: they come out of what `train_limit` and `per_class` have left.

use super::error::{Error, Result};
use super::share::Share;
use super::split::classes::{list, missing_classes};
use super::split::pad;
use super::{Dataset, Options};

/// Set apart to test on where there are no test images.
pub(super) const TEST: Share = Share::Fraction(0.2);

impl Options {
    /// Refuse what images of `shape`, those of the data set `name`, cannot have; before any file is read.
    pub(super) fn check(&self, name: &str, shape: [usize; 3]) -> Result<()> {
        let of = format!("data set `{name}`");
        self.augmentation.check(&of, pad::grown(&of, shape, self.pad)?)
    }

    /// Refuse what only a folder of pictures can be asked for, of the data set `name`, which a manifest describes.
    pub(super) fn check_pictures(&self, name: &str) -> Result<()> {
        if self.size.is_none() && self.pictures == Default::default() {
            return Ok(());
        }
        Err(Error::Store {
            dataset: name.into(),
            message: "size, fit, channels, background, depth and exif are for folders of pictures; what a manifest describes says them \
                itself: `shape`, and `pictures: { fit: ..., channels: ... }`"
                .into(),
        })
    }

    /// Refuse to make test images for the data set `name`, which has some.
    pub(super) fn check_no_test(&self, name: &str) -> Result<()> {
        match self.test {
            Some(given) => Err(Error::HasTest { dataset: name.into(), given }),
            None => Ok(()),
        }
    }
}

impl Dataset {
    /// With all of `options` that do not depend on where the images come from.
    pub(super) fn arranged(mut self, options: &Options) -> Result<Self> {
        self.train = self.train.with_pad(options.pad)?;
        self.test = self.test.with_pad(options.pad)?;
        self.validation = self.validation.map(|split| split.with_pad(options.pad)).transpose()?;
        self.shape = self.train.sample_shape();
        if self.lacks_train.is_some() {
            return Ok(self);
        }
        if let Some(n) = options.per_class {
            self.train = self.train.per_class(n)?;
        }
        if let Some(share) = options.validation {
            let before = missing_classes(&self.train, self.classes);
            let (train, validation) = self.train.set_apart("validation", share)?;
            for (split, others) in [(&train, "fewer"), (&validation, "more")] {
                let mut missing = missing_classes(split, self.classes);
                missing.retain(|class| !before.contains(class));
                if !missing.is_empty() {
                    self.warnings.push(format!(
                        "the {} images hold none of class {}; take {others} validation images to have them all",
                        split.name(),
                        list(&missing)
                    ));
                }
            }
            (self.train, self.validation) = (train, Some(validation));
        }
        self.train = self.train.with_augmentation(options.augmentation)?;
        Ok(self)
    }

    /// The images to train on; an error if they are not there.
    pub fn training(&self) -> Result<&super::Split> {
        match &self.lacks_train {
            None => Ok(&self.train),
            Some(why) => Err(Error::NoTraining { dataset: self.name.clone(), why: why.clone() }),
        }
    }

    /// The validation images; an error if none were asked for.
    pub fn validation(&self) -> Result<&super::Split> {
        self.validation.as_ref().ok_or_else(|| Error::NoValidation { dataset: self.name.clone() })
    }
}

/// How many of the `available` images of `split` are wanted; a limit of 0 or above that number is an error.
pub(super) fn wanted(dataset: &str, split: &'static str, limit: Option<usize>, available: usize) -> Result<usize> {
    match limit {
        Some(limit) if limit == 0 || limit > available => {
            Err(Error::Limit { dataset: dataset.into(), split, limit, available })
        }
        other => Ok(other.unwrap_or(available)),
    }
}

/// What is told of test images that were set apart.
pub(super) fn apart(of: &str, count: usize, all: usize, seed: u64) -> String {
    format!(
        "{of} has no test images: {count} of its {all} are set apart to test on, drawn with seed {seed}; `test` says how many"
    )
}
