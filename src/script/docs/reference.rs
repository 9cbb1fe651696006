//! The host's pages, embedded. To add one, put the file into `docs/reference/` and a line here.

/// Name and text of every page.
pub const PAGES: &[(&str, &str)] = &[
    ("bounds", include_str!("../../../docs/reference/bounds.d.rhai")),
    ("certificates", include_str!("../../../docs/reference/certificates.d.rhai")),
    ("data", include_str!("../../../docs/reference/data.d.rhai")),
    ("drawings", include_str!("../../../docs/reference/drawings.d.rhai")),
    ("language", include_str!("../../../docs/reference/language.d.rhai")),
    ("networks", include_str!("../../../docs/reference/networks.d.rhai")),
    ("runs", include_str!("../../../docs/reference/runs.d.rhai")),
    ("tensor_operations", include_str!("../../../docs/reference/tensor_operations.d.rhai")),
    ("tensors", include_str!("../../../docs/reference/tensors.d.rhai")),
    ("training", include_str!("../../../docs/reference/training.d.rhai")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_every_file_of_the_folder() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .expect("docs/reference/ exists")
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".d.rhai").map(str::to_string))
            .collect();
        files.sort();
        let table: Vec<&str> = PAGES.iter().map(|(name, _)| *name).collect();
        assert_eq!(
            table, files,
            "src/script/docs/reference.rs lists the files of docs/reference/ in alphabetical order"
        );
    }
}
