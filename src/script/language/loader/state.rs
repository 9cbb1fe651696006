//! What the loader remembers of the scripts it has read, and what it tells of them.

use crate::base::text::plain;
use crate::run::Arithmetic;
use crate::script::language::names::Names;
use crate::script::language::origin::STD;
use crate::script::stdlib::Modules;
use rhai::{AST, Dynamic, Scope};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Brings a file that is not there to this path, if it is to be had. Says whether it has.
pub type Fetch = Rc<dyn Fn(&Path) -> Result<bool, String>>;

/// Reads, parses and remembers scripts. Files are known by a name to show: the path as given, or `std/x`.
pub struct Loader {
    pub(super) std: Modules,
    pub(super) fetch: RefCell<Option<Fetch>>,
    arithmetic: Cell<Arithmetic>,
    reading: Cell<u64>,
    pub(super) state: RefCell<State>,
}

/// What the loader remembers; a copy of it brings an earlier moment back.
#[derive(Clone, Default)]
pub struct State {
    /// The folders that imports may reach: the current one, or those of the scripts.
    pub(super) roots: Vec<PathBuf>,
    constants: Scope<'static>,
    /// The sources, byte for byte.
    pub(super) texts: BTreeMap<String, Rc<str>>,
    pub(super) parsed: BTreeMap<String, Rc<AST>>,
    /// The same file by two paths is one file: its first name counts.
    pub(super) shown: BTreeMap<PathBuf, String>,
    pub(super) names: Option<Names>,
}

impl Loader {
    /// A loader with the embedded modules `std` (name without `std/`, source). Imports reach the current folder until a
    /// script is opened.
    pub fn new(std: Modules) -> Rc<Self> {
        Self::fetching(std, None)
    }

    /// The same; modules that are not there come through `fetch`.
    pub fn fetching(std: Modules, fetch: Option<Fetch>) -> Rc<Self> {
        let root = std::env::current_dir().unwrap_or_default();
        Rc::new(Self {
            std,
            fetch: RefCell::new(fetch),
            arithmetic: Cell::new(Arithmetic::Fractions),
            reading: Cell::new(0),
            state: RefCell::new(State { roots: vec![root], ..State::default() }),
        })
    }

    /// Modules that were made so far are made anew when they are imported next.
    pub fn forget_modules(&self) {
        self.reading.set(self.reading.get() + 1);
    }

    /// How often they were forgotten.
    pub fn reading(&self) -> u64 {
        self.reading.get()
    }

    /// Which arithmetic the scripts are written for; before an engine is built.
    pub fn set_arithmetic(&self, arithmetic: Arithmetic) {
        self.arithmetic.set(arithmetic);
    }

    /// Which arithmetic the scripts are written for.
    pub fn arithmetic(&self) -> Arithmetic {
        self.arithmetic.get()
    }

    /// From now on nothing is fetched: a script that runs could tell somebody what it has read by what it asks for.
    pub fn stop_fetching(&self) {
        self.fetch.replace(None);
    }

    /// The constants that every script sees, such as `run`.
    pub fn set_constants(&self, constants: Scope<'static>) {
        self.state.borrow_mut().constants = constants;
    }

    /// A clone of the scope of constants.
    pub fn constants(&self) -> Scope<'static> {
        self.state.borrow().constants.clone()
    }

    /// One of the host's constants.
    pub fn constant(&self, name: &str) -> Option<Dynamic> {
        self.state.borrow().constants.get(name).cloned()
    }

    /// All that is remembered.
    pub fn snapshot(&self) -> State {
        self.state.borrow().clone()
    }

    /// Back to what was remembered.
    pub fn restore(&self, state: State) {
        self.state.replace(state);
    }

    /// The file that defines the function `name`, if one that was loaded does.
    pub fn home_of(&self, name: &str) -> Option<String> {
        self.state.borrow().names.as_ref()?.home_of(name)
    }

    /// The embedded modules: name without `std/`.
    pub fn std_names(&self) -> Vec<&'static str> {
        self.std.iter().map(|(name, _)| *name).collect()
    }

    /// The modules of std, with their sources.
    pub fn modules(&self) -> Modules {
        self.std
    }

    /// The main script and all that it has imported so far, under the paths that a run's folder gives them: `source/` and
    /// below it the paths from the script's own folder, `stdlib/` for the modules of std. Byte for byte, so that their checksums
    /// are those of the files.
    pub fn closure(&self) -> Vec<(String, String)> {
        let state = self.state.borrow();
        let root = state.roots.first().cloned().unwrap_or_default();
        let root = root.canonicalize().unwrap_or(root);
        let own = state.shown.iter().filter_map(|(real, shown)| {
            let text = state.texts.get(shown)?;
            let path = real.strip_prefix(&root).ok()?.to_str()?.replace('\\', "/");
            Some((format!("source/{path}"), text.to_string()))
        });
        let std = state
            .texts
            .iter()
            .filter_map(|(shown, text)| Some((format!("stdlib/{}.rhai", shown.strip_prefix(STD)?), text.to_string())));
        own.chain(std).collect()
    }

    /// The folders that scripts reach: those of the scripts that were opened, and at the prompt the working folder.
    pub fn roots(&self) -> Vec<PathBuf> {
        self.state.borrow().roots.clone()
    }

    /// Was any file loaded? The modules of std are none.
    pub fn holds_files(&self) -> bool {
        !self.state.borrow().shown.is_empty()
    }

    /// The source of `shown`, if it was loaded.
    pub fn text(&self, shown: &str) -> Option<Rc<str>> {
        self.state.borrow().texts.get(shown).map(unmarked)
    }

    /// The parsed form of `shown`, if it was loaded.
    pub fn ast(&self, shown: &str) -> Option<Rc<AST>> {
        self.state.borrow().parsed.get(shown).cloned()
    }

    /// Every source loaded so far, by the name shown, in alphabetical order.
    pub fn sources(&self) -> Vec<(String, Rc<str>)> {
        self.state.borrow().texts.iter().map(|(name, text)| (name.clone(), unmarked(text))).collect()
    }
}

/// A text as lines and columns count in it: without a byte order mark.
fn unmarked(text: &Rc<str>) -> Rc<str> {
    let plain = plain(text);
    if plain.len() == text.len() { text.clone() } else { plain.into() }
}
