//! A data set in memory.

use super::manifest::Normalisation;
use super::split::Split;

/// A data set in memory.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Dataset {
    /// The manifest's short name.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// Channels, height and width of an image in batches.
    pub shape: Vec<usize>,
    /// Labels are `0..classes`.
    pub classes: usize,
    /// What the classes are called, in the order of their labels; empty where that is not known.
    pub class_names: Vec<String>,
    /// Under which terms the data may be used.
    pub licence: String,
    /// What to cite.
    pub citation: String,
    /// Where it was read from: a folder, or that it is built in.
    pub source: String,
    /// What a careful reader should know, such as classes that a limit has left without images.
    pub warnings: Vec<String>,
    /// Mean and standard deviation of each channel over the training images, where the manifest names them.
    pub normalisation: Option<Normalisation>,
    /// Images to train on; none where they are not there, see `lacks_train`.
    pub train: Split,
    /// Why there are no images to train on, where there are none.
    pub lacks_train: Option<String>,
    /// Images for validation: those that the publisher has set apart, or, if [`crate::data::Options::validation`] asks for some,
    /// a part of those to train on.
    pub validation: Option<Split>,
    /// Images to test on.
    pub test: Split,
}
