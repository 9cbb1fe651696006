//! The data sets that are known by name: their manifests are inside the program, and the files of the smallest too.

use crate::base::embedded::{DATA, MANIFESTS};
use crate::base::suggest;
use crate::data::error::{Error, Result};

/// A manifest inside the program, with the files that come with it.
pub(in crate::data) struct BuiltIn {
    /// The manifest's text.
    pub yaml: &'static str,
    /// Names and contents.
    pub files: Vec<(&'static str, &'static [u8])>,
}

/// The names of the data sets that are known without a path.
pub fn names() -> Vec<&'static str> {
    MANIFESTS.iter().map(|(name, _)| *name).collect()
}

/// The data set called `name`.
pub(in crate::data) fn find(name: &str) -> Result<BuiltIn> {
    let files = || DATA.iter().filter(|(set, ..)| *set == name).map(|(_, file, bytes)| (*file, *bytes)).collect();
    let known = MANIFESTS.iter().find(|(known, _)| *known == name);
    known.map(|(_, yaml)| BuiltIn { yaml, files: files() }).ok_or_else(|| {
        let lower = name.to_lowercase();
        let nearest = names()
            .into_iter()
            .map(|known| (strsim::damerau_levenshtein(&lower, known), known))
            .min()
            // Farther than this is another word, not a slip.
            .filter(|(distance, known)| *distance <= known.len() / 2)
            .map(|(_, known)| known.to_owned());
        let known = suggest::list(names());
        Error::UnknownDataset { name: name.into(), nearest, known }
    })
}
