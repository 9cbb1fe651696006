//! Where the files of a data set are, and from files to splits: the first place that holds them, archives, the hub, what has been
//! decoded before.

pub mod archive;
pub mod decoded;
pub mod fetch;
pub mod hub;
mod hub_problem;
pub mod loader;
pub mod locate;
pub mod measure;
mod places;
pub mod recognise;
mod sketch;
pub mod store;
