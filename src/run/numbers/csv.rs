//! Results as CSV (RFC 4180), for plots made elsewhere: a head, then one row per line.

use crate::base::files::replace;
use std::path::Path;

/// Write `rows` under `head` to the file at `path`, all or nothing. Every row must be as long as the head.
pub fn csv(path: &Path, head: &[String], rows: &[Vec<String>]) -> Result<(), String> {
    if let Some((i, row)) = rows.iter().enumerate().find(|(_, r)| r.len() != head.len()) {
        return Err(format!("run.csv: row {i} has {} cells, the head has {}", row.len(), head.len()));
    }
    let failed = |why: &dyn std::fmt::Display| format!("run.csv: {}: {why}", path.display());
    let mut writer = csv::Writer::from_writer(vec![]);
    for row in std::iter::once(head).chain(rows.iter().map(Vec::as_slice)) {
        writer.write_record(row).map_err(|e| failed(&e))?;
    }
    let bytes = writer.into_inner().map_err(|e| failed(&e))?;
    replace(path, &bytes).map_err(|e| failed(&e))
}

#[cfg(test)]
mod tests {
    #[test]
    fn cells_with_commas_are_quoted() {
        let s = |cells: &[&str]| cells.iter().map(|c| c.to_string()).collect::<Vec<_>>();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("x.csv");
        super::csv(&path, &s(&["layer", "share"]), &[s(&["conv2d(8, 3)", "0.5"])]).expect("written");
        assert_eq!(std::fs::read_to_string(&path).expect("read"), "layer,share\n\"conv2d(8, 3)\",0.5\n");
        assert!(super::csv(&path, &s(&["a"]), &[s(&["1", "2"])]).is_err());
        assert!(path.exists(), "a refused write leaves the old file");
    }
}
