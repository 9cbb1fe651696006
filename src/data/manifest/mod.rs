//! Manifests: what data sets are, which of them the program knows, what is checked of each.

pub mod built_in;
pub mod check;
mod description;
mod find;
mod keys;
mod looks;

pub use description::{Manifest, Wanted};
pub use find::is_path;
pub use keys::{Format, HubSource, Normalisation, PlainName, Sha256, SplitFiles, Splits};
pub use looks::{Fit, Pictures, Scale};
