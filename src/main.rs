//! The `workbench` binary: its allocator, and how it ends; everything else is in the library.

use workbench::base::memory::Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> std::process::ExitCode {
    workbench::cli::main(std::process::exit)
}
