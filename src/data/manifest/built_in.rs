//! The data sets that are known by name: their manifests are inside the program, and the files of the smallest too.

use crate::data::error::{Error, Result};

/// A manifest inside the program, with the files that come with it.
pub(in crate::data) struct BuiltIn {
    name: &'static str,
    /// The manifest's text.
    pub yaml: &'static str,
    /// Names and contents.
    pub files: &'static [(&'static str, &'static [u8])],
}

const BUILT_IN: &[BuiltIn] = &[
    BuiltIn {
        name: "digits",
        yaml: include_str!("../../../datasets/digits.yaml"),
        files: &[("digits.csv.gz", include_bytes!("../../../datasets/digits/digits.csv.gz"))],
    },
    BuiltIn { name: "mnist", yaml: include_str!("../../../datasets/mnist.yaml"), files: &[] },
    BuiltIn { name: "fashion_mnist", yaml: include_str!("../../../datasets/fashion_mnist.yaml"), files: &[] },
    BuiltIn { name: "cifar10", yaml: include_str!("../../../datasets/cifar10.yaml"), files: &[] },
    BuiltIn { name: "cifar100", yaml: include_str!("../../../datasets/cifar100.yaml"), files: &[] },
    BuiltIn { name: "tiny_imagenet", yaml: include_str!("../../../datasets/tiny_imagenet.yaml"), files: &[] },
];

/// The names of the data sets that are known without a path.
pub fn names() -> Vec<&'static str> {
    BUILT_IN.iter().map(|b| b.name).collect()
}

/// The data set called `name`.
pub(in crate::data) fn find(name: &str) -> Result<&'static BuiltIn> {
    BUILT_IN.iter().find(|b| b.name == name).ok_or_else(|| {
        let lower = name.to_lowercase();
        let nearest = names()
            .into_iter()
            .map(|known| (strsim::damerau_levenshtein(&lower, known), known))
            .min()
            // Farther than this is another word, not a slip.
            .filter(|(distance, known)| *distance <= known.len() / 2)
            .map(|(_, known)| known.to_owned());
        let known = names().iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
        Error::UnknownDataset { name: name.into(), nearest, known }
    })
}
