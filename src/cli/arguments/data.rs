//! `workbench data`.

use clap::Subcommand;
use std::path::PathBuf;

/// What `workbench data` does. NAME is that of a data set, or the path of a manifest of your own.
#[derive(Debug, Subcommand)]
pub enum Data {
    /// All data sets that are known: where they are, how large, under which licence.
    List,
    /// All that is known about one.
    Info {
        /// The data set.
        name: String,
    },
    /// Download data sets from the Hugging Face hub, check them, and keep them decoded.
    ///
    /// HF_HOME, HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE are respected. A download that was cut off goes on where it stopped.
    Fetch {
        /// The data sets.
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Check every image, every label and all checksums of a data set, where it is.
    Verify {
        /// The data set.
        name: String,
    },
    /// Print the folder or the files that a data set is read from, and nothing else.
    Path {
        /// The data set.
        name: String,
    },
    /// Take over a data set from a folder of its original files or from an archive (.tar, .tar.gz, .zip), and keep it decoded.
    ///
    /// Without NAME it says what it recognises there: a data set that is known by name is taken over as that; of other files it
    /// says what they are and how a manifest describes them.
    Import {
        /// The data set, if it is to be this one, and the folder or archive.
        #[arg(required = true, num_args = 1..=2, value_names = ["NAME", "PATH"])]
        what: Vec<PathBuf>,
    },
    /// Show some images of each class, in the terminal and as a PNG file.
    Show {
        /// The data set.
        name: String,
        /// `train`, `test` or `validation`.
        #[arg(long, default_value = "train", value_parser = ["train", "test", "validation"])]
        split: String,
        /// Images of each class.
        #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64), value_name = "N")]
        columns: u16,
        /// The PNG file [default: NAME.png].
        #[arg(long, value_name = "FILE")]
        png: Option<PathBuf>,
    },
}
