//! The files inside the program, by folder. To add one, put the file into its folder and a line here; the test names what was forgotten.

/// Names without the ending, and texts.
pub type Files = &'static [(&'static str, &'static str)];

/// The files of a folder of the repository.
macro_rules! embedded {
    ($folder:literal, $ending:literal, [$($name:literal,)*]) => {
        &[$(($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $folder, "/", $name, $ending)))),*]
    };
}

/// The modules `std/...`.
pub const STDLIB: Files = embedded!(
    "stdlib",
    ".rhai",
    [
        "attacks",
        "by_class",
        "cascade",
        "cascade_records",
        "cascade_stages",
        "cascade_walk",
        "certify",
        "certify_norms",
        "certify_walk",
        "evaluate",
        "evaluate_counts",
        "evaluate_look",
        "evaluate_procedures",
        "falsify",
        "local_lip",
        "local_lip_blocks",
        "local_lip_global",
        "local_lip_notes",
        "losses",
        "methods",
        "networks",
        "probe",
        "relax",
        "relax_gradients",
        "relax_projected",
        "relax_walk",
        "schedule",
        "smoothing",
        "train",
        "verify",
        "verify_bounds",
        "verify_splits",
    ]
);

/// The scripts that come with the program.
pub const SCRIPTS: Files = embedded!(
    "scripts",
    ".rhai",
    [
        "certify",
        "cifar10_4c3f",
        "cifar10_6c2f",
        "cifar10_cayley",
        "cifar10_liresnet",
        "demo",
        "evaluate",
        "figure2_bounds",
        "figure3_varying",
        "figure4_iterations",
        "layers_compared",
        "mnist_4c3f",
        "probe_bounds",
        "quickstart",
        "recheck",
        "residual_digits",
        "smoothing",
        "table1_vectors",
        "table2_digits",
        "tiny_imagenet_7c1f",
        "tiny_imagenet_8c2f",
        "verify",
    ]
);

/// The chapters of the guide, in order.
pub const GUIDE: Files = embedded!(
    "docs/guide",
    ".md",
    [
        "01_quickstart",
        "02_install",
        "03_prompt",
        "04_networks",
        "05_training",
        "06_own_layer",
        "07_own_bound",
        "08_scripts",
        "09_probing",
        "10_certificates",
        "11_recipes",
        "12_data",
        "13_elsewhere",
        "14_runs",
        "15_sharing",
        "16_speed",
        "17_gpu",
        "18_clusters",
        "19_processes",
        "20_frontier",
        "21_relaxations",
        "22_how_do_i",
        "23_from_pytorch",
        "24_compared",
    ]
);

/// The pages about functions of the host.
pub const REFERENCE: Files = embedded!(
    "docs/reference",
    ".d.rhai",
    [
        "bounds",
        "certificates",
        "data",
        "drawings",
        "language",
        "networks",
        "relaxations",
        "runs",
        "tensor_operations",
        "tensors",
        "training",
    ]
);

/// The manifests of data sets that are known by name.
pub const MANIFESTS: Files =
    embedded!("datasets", ".yaml", ["digits", "mnist", "fashion_mnist", "cifar10", "cifar100", "tiny_imagenet",]);

/// Files of the data sets that are in the program themselves: the data set, the file, what it holds.
pub const DATA: &[(&str, &str, &[u8])] =
    &[("digits", "digits.csv.gz", include_bytes!("../../datasets/digits/digits.csv.gz"))];

/// Trained networks by name: weights files as `run.save` writes them.
pub const NETWORKS: &[(&str, &[u8])] = &[("digits", include_bytes!("../../pretrained/digits.safetensors"))];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_holds_every_file_of_its_folder() {
        for (folder, ending, table, sorted) in [
            ("stdlib", ".rhai", STDLIB, true),
            ("scripts", ".rhai", SCRIPTS, true),
            ("docs/guide", ".md", GUIDE, true),
            ("docs/reference", ".d.rhai", REFERENCE, true),
            ("datasets", ".yaml", MANIFESTS, false),
        ] {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
            let mut files: Vec<String> = std::fs::read_dir(path)
                .expect("a folder of the repository")
                .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(ending).map(str::to_string))
                .collect();
            files.sort();
            let mut names: Vec<&str> = table.iter().map(|(name, _)| *name).collect();
            if !sorted {
                names.sort_unstable();
            }
            assert_eq!(names, files, "src/base/embedded.rs lists the files of {folder}/ in alphabetical order");
        }
    }
}
