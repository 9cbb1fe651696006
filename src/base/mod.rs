//! What is not about networks or their arithmetic: files that appear whole, memory, threads, Ctrl-C, printed lines, the
//! seeded generator, text that people hand in, suggestions for misspelt names, files inside the program.

pub mod embedded;
pub mod error;
pub mod files;
pub mod fingerprint;
pub mod hex;
pub mod interrupt;
pub mod memory;
pub mod output;
pub mod random;
pub mod suggest;
pub mod text;
pub mod threads;
