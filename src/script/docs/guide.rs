//! The guide's chapters, embedded. To add one, put the file into `docs/guide/` and a line here.

/// Name and Markdown of every chapter, in order.
pub const CHAPTERS: &[(&str, &str)] = &[
    ("1_quickstart", include_str!("../../../docs/guide/1_quickstart.md")),
    ("2_prompt", include_str!("../../../docs/guide/2_prompt.md")),
    ("3_networks", include_str!("../../../docs/guide/3_networks.md")),
    ("4_training", include_str!("../../../docs/guide/4_training.md")),
    ("5_probing", include_str!("../../../docs/guide/5_probing.md")),
    ("6_own_bound", include_str!("../../../docs/guide/6_own_bound.md")),
    ("7_scripts", include_str!("../../../docs/guide/7_scripts.md")),
    ("8_certificates", include_str!("../../../docs/guide/8_certificates.md")),
    ("9_sharing", include_str!("../../../docs/guide/9_sharing.md")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_every_file_of_the_folder() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .expect("docs/guide/ exists")
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".md").map(str::to_string))
            .collect();
        files.sort();
        let table: Vec<&str> = CHAPTERS.iter().map(|(name, _)| *name).collect();
        assert_eq!(table, files, "src/script/docs/guide.rs lists the files of docs/guide/ in order");
    }
}
