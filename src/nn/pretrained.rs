//! Trained networks inside the program, by name: the small ones of the folder `pretrained/`, which says how each was trained
//!
//! A name is that of a network and never that of a file: a file called `digits` is `./digits`.

use crate::base::embedded::NETWORKS;

/// The names of the networks inside the program.
pub fn names() -> Vec<&'static str> {
    NETWORKS.iter().map(|(name, _)| *name).collect()
}

/// The weights file of the network called `name`.
pub fn find(name: &str) -> Option<&'static [u8]> {
    NETWORKS.iter().find(|(own, _)| *own == name).map(|(_, bytes)| *bytes)
}

/// What to add to the error about a file that is not there, where its name could be meant for one of these.
pub fn hint(name: &str) -> Option<String> {
    let bare = !name.is_empty() && !name.contains(['/', '\\', '.', ':']);
    bare.then(|| format!("networks inside the program: {}; others are files, name.safetensors", names().join(", ")))
}
