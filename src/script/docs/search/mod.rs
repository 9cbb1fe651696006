//! The search of `workbench doc WORDS`, of `?words` at the prompt and of the HTML pages.
//!
//! Everything that can be found is a [`Passage`]. The [`Index`] says, for each word and each pair of words, how much it counts
//! for which passage: more in a name than in an example, more if the word is rare. A search adds that up. The HTML pages
//! carry the same index, so they find the same.

mod field;
mod index;
mod passages;
mod script;
mod words;

pub use index::{Answer, Index};
pub use passages::{More, Passage};
