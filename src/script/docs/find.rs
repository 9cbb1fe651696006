//! What a name means: a function, a method, a property, a type, a module, a page.

use super::Docs;
use super::guide::{self, Chapter};
use super::page::{Choice, Entry, Form, Page};
use crate::base::suggest;

/// What was found under a name.
#[derive(Clone, Debug)]
pub enum Found<'a> {
    /// Functions of that name.
    Entries(Vec<&'a Entry>),
    /// A module or a page.
    Page(&'a Page),
    /// A type, with what its values can do.
    Type(String, Vec<&'a Entry>),
    /// A chapter of the guide.
    Chapter(Chapter),
    /// The guide, with all its chapters.
    Guide,
}

impl Docs {
    /// What `name` means: `conv2d`, `Tensor.reshape`, `Tensor`, `lip::bounds`, `std/local_lip`, `bounds`, `guide/training`.
    /// `path` turns the name before `::` into a page's, where the session knows it.
    pub fn find(&self, name: &str, path: impl Fn(&str) -> Option<String>) -> Option<Found<'_>> {
        if let Some((alias, name)) = name.rsplit_once("::") {
            // A topic of the host may be called as a module is.
            let known = path(alias).and_then(|path| self.page(&path));
            let modules = self.pages.iter().filter(|page| page.is_module() && page.alias() == alias);
            let pages = known.into_iter().chain(modules).chain(self.module(alias));
            let entries = pages
                .map(|page| page.entries.iter().filter(|e| e.names().contains(&name)).collect::<Vec<&Entry>>())
                .find(|entries| !entries.is_empty());
            return entries.map(Found::Entries);
        }
        if let Some((owner, name)) = name.split_once('.').filter(|_| !name.contains('/') && !name.starts_with('.')) {
            let has = |entry: &&Entry| entry.forms.iter().any(|form| form.name == name && form.owner() == owner);
            let entries: Vec<&Entry> = self.host_entries().filter(has).collect();
            return (!entries.is_empty()).then_some(Found::Entries(entries));
        }
        let entries: Vec<&Entry> = self.host_entries().filter(|e| e.names().contains(&name)).collect();
        if !entries.is_empty() {
            return Some(Found::Entries(entries));
        }
        let of_type: Vec<&Entry> =
            self.host_entries().filter(|e| e.forms.iter().any(|form| form.owner() == name)).collect();
        if !of_type.is_empty() {
            return Some(Found::Type(name.to_string(), of_type));
        }
        if let Some(page) = path(name).and_then(|path| self.page(&path)).or_else(|| self.module(name)) {
            return Some(Found::Page(page));
        }
        if let Some(chapter) = guide::chapter(name) {
            return Some(Found::Chapter(chapter));
        }
        if let Some(chapter) = guide::chapter(&format!("guide/{name}")) {
            return Some(Found::Chapter(chapter));
        }
        if name == "guide" {
            return Some(Found::Guide);
        }
        // A function of the stdlib without its module.
        let anywhere = |page: &&Page| page.is_module();
        let entries: Vec<&Entry> = self.pages.iter().filter(anywhere).flat_map(|page| &page.entries).collect();
        let entries: Vec<&Entry> = entries.into_iter().filter(|e| e.names().contains(&name)).collect();
        (!entries.is_empty()).then_some(Found::Entries(entries))
    }

    /// The options of a function called with so many arguments between its parentheses, if it takes any: a host function, or
    /// one of the module at `file`.
    pub fn options(&self, file: Option<&str>, name: &str, arguments: usize, method: bool) -> Option<Vec<&Choice>> {
        let pages: Vec<&Page> = match file {
            Some(file) => self.page(file).into_iter().collect(),
            None => self.host().collect(),
        };
        fn last(form: &Form) -> &str {
            form.parameters.last().map_or("", |(name, _)| name.as_str())
        }
        // `iterations` takes the options of its entry, unless these are those of another form's `options`.
        let of = |entry: &&Entry| {
            let takes = if entry.forms.iter().any(|form| last(form) == "options") { "options" } else { "iterations" };
            let count = arguments + usize::from(method);
            entry.forms.iter().any(|form| form.name == name && form.parameters.len() == count && last(form) == takes)
        };
        let entries = pages.into_iter().flat_map(|page| &page.entries).filter(of);
        let options: Vec<&Choice> = entries.flat_map(|entry| &entry.options).collect();
        (!options.is_empty()).then_some(options)
    }

    /// The page called `name`, a module with or without `std/`, or under its usual alias.
    fn module(&self, name: &str) -> Option<&Page> {
        let name = name.trim_end_matches(".rhai");
        self.page(name).or_else(|| {
            self.pages.iter().find(|p| p.is_module() && (p.alias() == name || p.name == format!("std/{name}")))
        })
    }

    /// `; did you mean ...?` for a name that means nothing.
    pub fn hint(&self, name: &str) -> String {
        let bare = name.rsplit([':', '.', '/']).next().unwrap_or(name);
        let names: Vec<&str> = self.pages.iter().flat_map(|p| &p.entries).flat_map(Entry::names).collect();
        let pages = self.pages.iter().map(|page| page.name.as_str());
        suggest::hint(bare, names.into_iter().chain(pages))
    }
}
