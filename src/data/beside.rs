//! A data set beside a data set: training images of a second one, such as generated ones, that come with those of the first in shuffled
//! batches, so many for each. Tests, validation, parts of a split and batches in file order have images of the first alone.

use super::arrange::wanted;
use super::error::{Error, Result};
use super::{Dataset, Options, Split};

/// More for each image is a slip.
const MOST: f64 = 100.0;

/// Can `ratio` images of a second data set come to each of a first?
pub fn check_ratio(ratio: f64) -> Result<()> {
    // Also refuses NaN.
    if ratio > 0.0 && ratio <= MOST {
        return Ok(());
    }
    fail(format!(
        "beside_ratio is {ratio}: give how many images of the second data set come to each of the first, above 0 and at most {MOST}, such \
         as 3.0"
    ))
}

fn fail<T>(message: String) -> Result<T> {
    Err(Error::Beside { message })
}

impl Dataset {
    /// The data set called or at the path `name`, whose first `limit` training images, or all, are to stand beside one that was loaded
    /// with `options`. It has no others.
    pub fn load_beside(name: &str, options: &Options, limit: Option<usize>) -> Result<Self> {
        let mut found = Self::load(name, &options.beside(limit)).map_err(|e| match e {
            Error::Limit { dataset, limit, available, .. } => {
                Error::Limit { dataset, split: "beside", limit, available }
            }
            other => other,
        })?;
        found.warnings.iter_mut().for_each(|warning| *warning = warning.replace("train_limit", "beside_limit"));
        Ok(found)
    }

    /// With the first `limit` training images of `other`, or all, beside its own: in shuffled batches `ratio` of them come to each of
    /// its own. What becomes of images of the first in batches becomes of these too.
    pub fn with_beside(mut self, other: &Self, ratio: f64, limit: Option<usize>) -> Result<Self> {
        check_ratio(ratio)?;
        self.training()?;
        let (name, others) = (&self.name, &other.name);
        let second = other.training()?;
        let [own, second_shape] = [&self.train, second].map(Split::sample_shape);
        if own != second_shape {
            return fail(format!(
                "beside: data set `{others}` has images of {second_shape:?}, data set `{name}` of {own:?} (channels, height, width); both \
                 must be alike: give its manifest that shape, or load a folder of pictures with `size` and give that data set"
            ));
        }
        if self.classes != other.classes {
            return fail(format!(
                "beside: data set `{others}` has {} classes, data set `{name}` {}; labels of both must mean the same: give a data set of \
                 the same classes, or say `classes: {}` where that is what its labels are",
                other.classes, self.classes, self.classes
            ));
        }
        if second.beside().is_some() {
            return fail(format!("beside: data set `{others}` has one beside it itself; load it without `beside`"));
        }
        self.compare_names(other)?;
        let second = second.take(wanted(others, "beside", limit, second.len())?);
        let places = self.train.len() + second.len();
        if u32::try_from(places).is_err() {
            return fail(format!("beside: {places} images; expected at most {}: give beside_limit", u32::MAX));
        }
        self.train = self.train.and_beside(second, ratio);
        Ok(self)
    }

    /// Refuse classes that are the same in another order; note those that are called otherwise.
    fn compare_names(&mut self, other: &Self) -> Result<()> {
        let (own, others) = (&self.class_names, &other.class_names);
        let Some(class) = (0..own.len().min(others.len())).find(|class| own[*class] != others[*class]) else {
            return Ok(());
        };
        let difference = format!(
            "class {class} is `{}` in data set `{}`, `{}` in `{}`",
            own[class], self.name, others[class], other.name
        );
        let sorted = |names: &[String]| {
            let mut names = names.to_vec();
            names.sort_unstable();
            names
        };
        if sorted(own) == sorted(others) {
            return fail(format!(
                "beside: {difference}: their classes are in another order; number those of the second as the first's are"
            ));
        }
        self.warnings.push(format!("{difference}, which stands beside it: labels are taken to mean the same"));
        Ok(())
    }
}
