//! The documentation: one set of pages that `?name`, `workbench doc`, its search, the HTML reference, completion and
//! the check read.
//!
//! Host functions are described in `docs/reference/*.d.rhai`, beside nothing else; functions of the stdlib, and of anybody's
//! modules, by the comments above them. Both have the same form (see [`parse`]), and [`audit`] says what is missing.

pub mod answer;
pub mod audit;
pub mod definitions;
mod find;
pub mod guide;
pub mod html;
pub mod page;
mod parse;
mod reference;
pub mod search;
pub mod sentence;
pub mod terminal;

pub use find::Found;
pub use page::{Entry, Form, Kind, Page};
pub use parse::parse;

use super::shipped::shipped;
use super::stdlib::{Modules, stdlib};

/// All pages that come with the program.
#[derive(Clone, Debug)]
pub struct Docs {
    /// Host pages first, then the modules of the stdlib.
    pub pages: Vec<Page>,
}

impl Docs {
    /// The host's pages and the stdlib's.
    pub fn new() -> Self {
        Self::with(stdlib())
    }

    /// The host's pages and those of `modules`.
    pub fn with(modules: Modules) -> Self {
        let host = reference::PAGES.iter().map(|(name, text)| parse(name, text));
        let modules = modules.iter().map(|(name, text)| parse(&format!("std/{name}"), text));
        Self { pages: host.chain(modules).collect() }
    }

    /// The index of all that can be found in these pages, the guide and the scripts that come with the program.
    pub fn index(&self) -> search::Index {
        search::Index::new(self, shipped())
    }

    /// The pages of the host.
    pub fn host(&self) -> impl Iterator<Item = &Page> {
        self.pages.iter().filter(|page| !page.is_module())
    }

    /// Every entry of the host.
    pub fn host_entries(&self) -> impl Iterator<Item = &Entry> {
        self.host().flat_map(|page| &page.entries)
    }

    /// The page of this name.
    pub fn page(&self, name: &str) -> Option<&Page> {
        self.pages.iter().find(|page| page.name == name)
    }
}

impl Default for Docs {
    fn default() -> Self {
        Self::new()
    }
}
