//! Names of sources that are no files: modules of the program, the prompt.

/// How the names of the program's own modules begin.
pub const STD: &str = "std/";

/// Is what is shown by this name one of the program's own modules? No file is shown by such a name.
pub fn is_std(shown: &str) -> bool {
    shown.starts_with(STD)
}

/// The name under which the prompt's input appears in error messages.
pub const PROMPT: &str = "prompt";
