//! One training on several processes, by the MPI that is installed (Debian's openmpi-bin). Without one the tests are skipped with a
//! reason, unless WORKBENCH_REQUIRE_MPI says that there has to be one.

#[path = "common/program.rs"]
#[expect(dead_code, reason = "other tests use more of it")]
mod program;

#[path = "processes/launched.rs"]
mod launched;

#[path = "processes/bits.rs"]
mod bits;

#[path = "processes/ends.rs"]
mod ends;

#[path = "processes/resumed.rs"]
mod resumed;

#[path = "processes/shared.rs"]
mod shared;
