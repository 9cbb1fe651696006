//! `tools/rows`, which trains the rows of the paper's Table 2 a slot of a GPU at a time, and `tools/cifar10_parcels.py`: their own tests
//! (`tools/rows/tests.py`), by the built program. Skipped where there is no python3.

use std::path::Path;
use std::process::Command;

#[test]
fn rows_of_the_paper() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let new_enough = Command::new("python3").args(["-c", "import sys; sys.exit(sys.version_info < (3, 8))"]).status();
    if !new_enough.is_ok_and(|status| status.success()) {
        println!("skipped: needs python3, 3.8 or newer");
        return;
    }
    let mut tests = Command::new("python3");
    let told = tests.arg(root.join("tools/rows/tests.py")).arg(env!("CARGO_BIN_EXE_workbench")).output().unwrap();
    let said = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success(), "{}\n{said}", String::from_utf8_lossy(&told.stdout));
    // How many were skipped, and why the others ran.
    println!("{}", said.lines().rev().take(3).collect::<Vec<_>>().join(" "));
}
