//! All pages of the documentation.

use super::page::{Entry, Page};
use super::parse::parse;
use crate::base::embedded::REFERENCE;
use crate::script::stdlib::{Modules, stdlib};

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
        let host = REFERENCE.iter().map(|(name, text)| parse(name, text));
        let modules = modules.iter().map(|(name, text)| parse(&format!("std/{name}"), text));
        Self { pages: host.chain(modules).collect() }
    }

    /// The pages of the host.
    pub fn host(&self) -> impl Iterator<Item = &Page> {
        self.pages.iter().filter(|page| !page.is_module())
    }

    /// Every entry of the host.
    pub fn host_entries(&self) -> impl Iterator<Item = &Entry> {
        self.host().flat_map(|page| &page.entries)
    }

    /// Is the page a part of a module, whose name it begins with: `std/cascade_walk` of `std/cascade`?
    pub fn is_part(&self, page: &Page) -> bool {
        let begins = |own: &Page| page.name.strip_prefix(own.name.as_str()).is_some_and(|rest| rest.starts_with('_'));
        self.pages.iter().any(|own| own.is_module() && begins(own))
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
