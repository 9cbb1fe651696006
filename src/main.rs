//! The `workbench` binary; everything is in the library.

fn main() -> std::process::ExitCode {
    workbench::cli::main()
}
