//! Names that are short for a script of the program with some settings: `cifar10_6c2f_maxmin` is `cifar10_6c2f` with another activation.
//!
//! The settings count as if the command line had given them; what it does give wins. So a run is recorded as what it is, the script and
//! its settings, and is resumed, packed and repeated as every other run. To add one, put it into the list.

use std::path::Path;

/// A script of the program with some settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preset {
    pub name: &'static str,
    pub script: &'static str,
    pub settings: &'static [(&'static str, &'static str)],
}

const PRESETS: &[Preset] = &[
    Preset { name: "cifar10_6c2f_maxmin", script: "cifar10_6c2f", settings: &[("activation", "auto_maxmin")] },
    // CAP as Wong et al. (2018) trained it; on CIFAR-10 their radii are of images divided by 0.225.
    Preset {
        name: "mnist_4c3f_cap",
        script: "mnist_4c3f",
        settings: &[
            ("method", "cap"),
            ("epochs", "60"),
            ("batch", "50"),
            ("warmup", "0"),
            ("ramp", "20"),
            ("halve_every", "10"),
            ("eps_first", "0.01"),
            ("eps_train", "1.58"),
        ],
    },
    Preset { name: "cifar10_4c3f_cap", script: "cifar10_4c3f", settings: CIFAR10_CAP },
    Preset { name: "cifar10_6c2f_cap", script: "cifar10_6c2f", settings: CIFAR10_CAP },
    // Xiao et al. (2019) trained 10,000 steps of 64 images on MNIST; for l2 and CIFAR-10 nothing is published.
    Preset {
        name: "cifar10_4c3f_relu_stability",
        script: "cifar10_4c3f",
        settings: &[
            ("method", "relu_stability"),
            ("epochs", "40"),
            ("batch", "64"),
            ("warmup", "0"),
            ("ramp", "20"),
            ("lr", "1e-4"),
        ],
    },
    Preset {
        name: "tiny_imagenet_8c2f_maxmin",
        script: "tiny_imagenet_8c2f",
        settings: &[("activation", "auto_maxmin"), ("iterations", "3"), ("lr", "1e-4")],
    },
];

const CIFAR10_CAP: &[(&str, &str)] = &[
    ("method", "cap"),
    ("epochs", "60"),
    ("batch", "50"),
    ("warmup", "0"),
    ("ramp", "20"),
    ("halve_every", "10"),
    ("eps_first", "0.000225"),
    ("eps_train", "0.14118"),
    ("optimizer", "sgd"),
    ("lr", "0.05"),
];

/// All of them.
pub fn presets() -> &'static [Preset] {
    PRESETS
}

/// The preset that `given` names, as on a command line. What is a file is a file.
pub fn find(given: &Path) -> Option<Preset> {
    let name = plain(given).filter(|_| !given.exists())?;
    PRESETS.iter().find(|preset| preset.name == name).copied()
}

/// What the name of a script comes to without the folder `scripts/` and the ending.
pub fn plain(given: &Path) -> Option<&str> {
    let text = given.to_str()?;
    let text = text.strip_prefix("scripts/").unwrap_or(text);
    Some(text.strip_suffix(".rhai").unwrap_or(text))
}

impl Preset {
    /// Key and value of each setting.
    pub fn settings(&self) -> Vec<(String, String)> {
        self.settings.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    /// The settings in words of a command line, each behind a space.
    pub fn flags(&self) -> String {
        self.settings.iter().map(|(key, value)| format!(" --set {key}={value}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_with_and_without_folder_and_ending() {
        for name in ["cifar10_6c2f_maxmin", "cifar10_6c2f_maxmin.rhai", "scripts/cifar10_6c2f_maxmin.rhai"] {
            assert_eq!(find(Path::new(name)).map(|preset| preset.script), Some("cifar10_6c2f"), "{name}");
        }
        assert_eq!(find(Path::new("cifar10_6c2f")), None);
        let found = find(Path::new("tiny_imagenet_8c2f_maxmin")).unwrap();
        assert_eq!(found.flags(), " --set activation=auto_maxmin --set iterations=3 --set lr=1e-4");
    }
}
