//! Where scripts come from: the modules of `std` are embedded, everything else is a file, found relative to the file
//! that imports it. A folder of the user's that is called `std` is a folder like others: what the program has is the
//! program's, and no file is shown by a name that begins as those of modules do. A run that is repeated brings its own
//! std: the loader of such a session knows no module of the program's. The loader reads and parses each file once,
//! keeps every source for error excerpts and run folders, and refuses function names that clash ([`super::names`]). It
//! never runs anything.
//!
//! Imports reach the folder of the main script and what lies below it: a script from somebody else has no business
//! elsewhere.

use super::error::{Res, fail};
use super::names::{Clash, Names};
use super::origin::{STD, is_std};
use super::refused;
use crate::base::suggest;
use crate::base::text::{plain, utf8};
use crate::run::Arithmetic;
use crate::script::stdlib::Modules;
use rhai::{AST, Dynamic, Engine, EvalAltResult, Position, Scope};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

/// The name that a file is shown by.
fn shown_as(path: &Path) -> String {
    let shown = path.display().to_string();
    if is_std(&shown) { format!("./{shown}") } else { shown }
}

/// The names a script is compiled against: the host's constants and, at the prompt, the variables so far.
fn known_names(constants: &Scope<'static>, variables: &Scope<'static>) -> Scope<'static> {
    let mut known = constants.clone();
    for (name, ..) in variables.iter_raw() {
        known.push(name.to_string(), ());
    }
    known
}

/// The longest source file; anything larger is no script.
const MAX_SOURCE: u64 = 4 << 20;

/// Brings a file that is not there to this path, if it is to be had. Says whether it has.
pub type Fetch = Rc<dyn Fn(&Path) -> Result<bool, String>>;

/// Reads, parses and remembers scripts. Files are known by a name to show: the path as given, or `std/x`.
pub struct Loader {
    std: Modules,
    fetch: RefCell<Option<Fetch>>,
    arithmetic: Cell<Arithmetic>,
    reading: Cell<u64>,
    state: RefCell<State>,
}

/// What the loader remembers; a copy of it brings an earlier moment back.
#[derive(Clone, Default)]
pub struct State {
    /// The folders that imports may reach: the current one, or those of the scripts.
    roots: Vec<PathBuf>,
    constants: Scope<'static>,
    /// The sources, byte for byte.
    texts: BTreeMap<String, Rc<str>>,
    parsed: BTreeMap<String, Rc<AST>>,
    /// The same file by two paths is one file: its first name counts.
    shown: BTreeMap<PathBuf, String>,
    names: Option<Names>,
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

    /// Make `path` the main script: its folder is the one that imports reach. Returns the name to show.
    pub fn open_script(&self, path: &Path) -> Result<String, String> {
        self.state.borrow_mut().roots.clear();
        self.open_also(path)
    }

    /// Let imports reach the folder of one more script.
    pub fn open_also(&self, path: &Path) -> Result<String, String> {
        let shown = shown_as(path);
        let real = path.canonicalize().map_err(|e| format!("cannot read the script {shown}: {e}"))?;
        if !real.is_file() {
            return Err(format!("cannot read the script {shown}: it is not a file"));
        }
        let mut state = self.state.borrow_mut();
        state.roots.push(real.parent().map(Path::to_path_buf).unwrap_or_default());
        Ok(state.shown.entry(real).or_insert(shown).clone())
    }

    /// The file that `import "path"` in `importer` means, as a name to show.
    pub fn locate(&self, importer: Option<&str>, path: &str) -> Result<String, String> {
        let from_std = importer.is_some_and(is_std);
        if let Some(name) = path.strip_prefix("./").filter(|_| from_std) {
            return self.locate_std(name.trim_end_matches(".rhai"), path);
        }
        if let Some(name) = path.strip_prefix("std/").map(|name| name.trim_end_matches(".rhai")) {
            let own = self.beside(importer, path);
            return match (self.std.iter().any(|(known, _)| *known == name), own.is_file() && !from_std) {
                (true, true) => Err(format!(
                    "module \"{path}\" is one of the program's, and there is a file {} too; write \"./{path}\" for the file, or \
                     rename its folder",
                    own.display()
                )),
                (false, true) => self.locate_file(importer, path),
                (_, false) => self.locate_std(name, path),
            };
        }
        if from_std {
            return Err(format!("module \"{path}\" not found: a module of std imports only other modules of std"));
        }
        self.locate_file(importer, path)
    }

    /// Where the file `path` lies beside its importer.
    fn beside(&self, importer: Option<&str>, path: &str) -> PathBuf {
        let file = if path.ends_with(".rhai") { path.to_string() } else { format!("{path}.rhai") };
        let folder = importer.map(Path::new).and_then(Path::parent).unwrap_or(Path::new(""));
        tidy(&folder.join(file))
    }

    /// The file that `path` means, if imports reach it.
    fn locate_file(&self, importer: Option<&str>, path: &str) -> Result<String, String> {
        let place = self.beside(importer, path);
        if let Some(fetch) = self.fetch.borrow().as_ref().filter(|_| !place.exists()) {
            fetch(&place)?;
        }
        let Ok(real) = place.canonicalize() else {
            let bare = self.std.iter().any(|(name, _)| *name == path);
            let hint = if bare {
                format!("; did you mean \"std/{path}\"?")
            } else {
                let names: Vec<String> = self.std.iter().map(|(name, _)| format!("std/{name}")).collect();
                suggest::hint(path, names.iter().map(String::as_str)).replace('`', "\"")
            };
            return Err(format!("module \"{path}\" not found: there is no file {}{hint}", place.display()));
        };
        let mut state = self.state.borrow_mut();
        let roots: Vec<PathBuf> =
            state.roots.iter().map(|root| root.canonicalize().unwrap_or_else(|_| root.clone())).collect();
        if !roots.iter().any(|root| real.starts_with(root)) {
            let root = roots.first().cloned().unwrap_or_default();
            return Err(format!(
                "module \"{path}\" lies outside the script's own folder ({}), which is as far as imports reach; copy it \
                 there",
                root.display()
            ));
        }
        Ok(state.shown.entry(real).or_insert_with(|| shown_as(&place)).clone())
    }

    fn locate_std(&self, name: &str, path: &str) -> Result<String, String> {
        if self.std.iter().any(|(known, _)| *known == name) {
            return Ok(format!("std/{name}"));
        }
        let names = || self.std.iter().map(|(known, _)| *known);
        let known = names().map(|n| format!("\"std/{n}\"")).collect::<Vec<_>>().join(", ");
        Err(match suggest::nearest(name, names()) {
            Some(near) => {
                format!("module \"{path}\" not found; did you mean \"std/{near}\"? The modules of std are {known}")
            }
            None => format!("module \"{path}\" not found; the modules of std are {known}"),
        })
    }

    /// Read, parse and admit the file `shown`. The error carries the position in that file.
    pub fn parse(&self, engine: &Engine, shown: &str) -> Res<Rc<AST>> {
        let ast = self.compile(engine, shown)?;
        self.admit(engine, &ast, shown).map_err(|clashes| first(&clashes))?;
        Ok(ast)
    }

    /// Read and parse the file `shown`, or fetch it from the cache.
    pub fn compile(&self, engine: &Engine, shown: &str) -> Res<Rc<AST>> {
        if let Some(ast) = self.ast(shown) {
            return Ok(ast);
        }
        let text = self.read(shown).map_err(fail)?;
        self.state.borrow_mut().texts.insert(shown.to_string(), text.clone());
        let mut ast = self.compiled(engine, &self.constants(), &text)?;
        ast.set_source(shown);
        let ast = Rc::new(ast);
        self.state.borrow_mut().parsed.insert(shown.to_string(), ast.clone());
        Ok(ast)
    }

    /// `text` compiled, after what reads in two ways has been refused.
    fn compiled(&self, engine: &Engine, known: &Scope, text: &str) -> Res<AST> {
        let text = plain(text);
        match self.arithmetic() {
            Arithmetic::Fractions => refused::check(engine, text)?,
            Arithmetic::Whole => {}
        }
        Ok(engine.compile_with_scope(known, text)?)
    }

    /// Enter the names in `ast`, which is the file `shown`, or say which of them clash.
    pub fn admit(&self, engine: &Engine, ast: &AST, shown: &str) -> Result<(), Vec<Clash>> {
        let text = self.text(shown).unwrap_or_default();
        let mut names = self.state.borrow_mut().names.take().unwrap_or_else(|| Names::new(engine));
        let admitted = names.admit(ast, shown, &text, &|path| self.locate(Some(shown), path).ok());
        self.state.borrow_mut().names = Some(names);
        admitted
    }

    /// Parse one input of the prompt. `text` is all that was typed so far, so that lines count from the first input;
    /// `input` is the last of it, padded to its line.
    pub fn parse_input(
        &self,
        engine: &Engine,
        shown: &str,
        text: &str,
        input: &str,
        scope: &Scope<'static>,
    ) -> Res<AST> {
        self.state.borrow_mut().texts.insert(shown.to_string(), text.into());
        let mut ast = self.compiled(engine, &known_names(&self.constants(), scope), input)?;
        ast.set_source(shown);
        self.admit(engine, &ast, shown).map_err(|clashes| first(&clashes))?;
        Ok(ast)
    }

    /// Read every file that was loaded, std left out, and parse anew what has changed since. Returns the names of these.
    /// When one of them is wrong nothing changes but its text, which its error shows.
    pub fn refresh(&self, engine: &Engine) -> Result<Vec<String>, (String, Box<EvalAltResult>)> {
        let files: Vec<String> = self.state.borrow().parsed.keys().filter(|f| !is_std(f)).cloned().collect();
        let mut fresh = vec![];
        for file in files {
            let text = self.read(&file).map_err(|message| (file.clone(), fail(message)))?;
            if self.state.borrow().texts.get(&file) != Some(&text) {
                fresh.push((file, text));
            }
        }
        let before = self.snapshot();
        for (file, text) in &fresh {
            self.state.borrow_mut().texts.insert(file.clone(), text.clone());
            let parsed = self.compiled(engine, &self.constants(), text);
            let admitted = parsed.and_then(|mut ast| {
                ast.set_source(file.as_str());
                if let Some(names) = self.state.borrow_mut().names.as_mut() {
                    names.forget(file);
                }
                self.admit(engine, &ast, file).map_err(|clashes| first(&clashes))?;
                Ok(ast)
            });
            match admitted {
                Ok(ast) => {
                    self.state.borrow_mut().parsed.insert(file.clone(), Rc::new(ast));
                }
                Err(error) => {
                    self.restore(before);
                    self.state.borrow_mut().texts.insert(file.clone(), text.clone());
                    return Err((file.clone(), error));
                }
            }
        }
        Ok(fresh.into_iter().map(|(file, _)| file).collect())
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

    fn read(&self, shown: &str) -> Result<Rc<str>, String> {
        if let Some(name) = shown.strip_prefix(STD)
            && let Some((_, text)) = self.std.iter().find(|(known, _)| *known == name)
        {
            return Ok((*text).into());
        }
        let path = Path::new(shown);
        let meta = path.metadata().map_err(|e| format!("cannot read {shown}: {e}"))?;
        if !meta.is_file() {
            return Err(format!("cannot read {shown}: it is a folder, a device or a pipe, no file"));
        }
        let size = meta.len();
        if size > MAX_SOURCE {
            return Err(format!("cannot read {shown}: it has {size} bytes; a script has at most {MAX_SOURCE}"));
        }
        let bytes = std::fs::read(path).map_err(|e| format!("cannot read {shown}: {e}"))?;
        utf8(bytes).map(Into::into).map_err(|what| format!("cannot read {shown}: it is {what}"))
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

/// The first clash as an error at its place.
fn first(clashes: &[Clash]) -> Box<EvalAltResult> {
    let Some(clash) = clashes.first() else { return fail("a function name clashes") };
    let place = u16::try_from(clash.line).ok().zip(u16::try_from(clash.column).ok());
    let place = place.map_or(Position::NONE, |(line, column)| Position::new(line, column));
    Box::new(EvalAltResult::ErrorRuntime(clash.message.clone().into(), place))
}

/// `a/./b/../c` is `a/c`: what is shown should be what a person would write.
fn tidy(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const STD: &[(&str, &str)] = &[("local_lip", "fn a() { 1 }"), ("evaluate", "fn b() { 1 }")];

    #[test]
    fn std_modules_are_found_and_suggested() {
        let loader = Loader::new(STD);
        assert_eq!(loader.locate(Some("x/main.rhai"), "std/local_lip").unwrap(), "std/local_lip");
        assert_eq!(loader.locate(Some("std/evaluate"), "./local_lip").unwrap(), "std/local_lip");
        insta::assert_snapshot!(loader.locate(None, "std/local_lib").unwrap_err(), @r#"module "std/local_lib" not found; did you mean "std/local_lip"? The modules of std are "std/local_lip", "std/evaluate""#);
        insta::assert_snapshot!(loader.locate(None, "evaluate").unwrap_err(), @r#"module "evaluate" not found: there is no file evaluate.rhai; did you mean "std/evaluate"?"#);
    }

    #[test]
    fn files_are_found_next_to_the_importer_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("own/lib")).unwrap();
        for name in ["own/main.rhai", "own/lib/a.rhai", "own/lib/b.rhai", "secret.rhai"] {
            std::fs::write(at(name), "").unwrap();
        }
        let loader = Loader::new(STD);
        let main = loader.open_script(&at("own/main.rhai")).unwrap();
        let a = loader.locate(Some(&main), "lib/a").unwrap();
        assert!(a.ends_with("own/lib/a.rhai"));
        assert!(loader.locate(Some(&a), "b").unwrap().ends_with("own/lib/b.rhai"));
        assert_eq!(loader.locate(Some(&a), "../lib/./a.rhai").unwrap(), a);
        assert!(loader.locate(Some(&a), "../../secret").unwrap_err().contains("outside the script's own folder"));
        assert!(loader.open_script(&at("own")).is_err());
    }

    #[test]
    fn a_folder_called_std_is_a_folder_like_others() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("own/std")).unwrap();
        for name in ["own/main.rhai", "own/std/mine.rhai", "own/std/more.rhai", "own/std/evaluate.rhai"] {
            std::fs::write(at(name), "").unwrap();
        }
        let loader = Loader::new(STD);
        let main = loader.open_script(&at("own/main.rhai")).unwrap();
        let mine = loader.locate(Some(&main), "std/mine").unwrap();
        assert!(mine.ends_with("own/std/mine.rhai") && !is_std(&mine), "{mine}");
        assert!(loader.locate(Some(&mine), "more").unwrap().ends_with("own/std/more.rhai"));
        assert_eq!(loader.locate(Some(&mine), "std/local_lip").unwrap(), "std/local_lip");
        assert!(loader.locate(Some(&main), "./std/evaluate").unwrap().ends_with("own/std/evaluate.rhai"));
        let both = loader.locate(Some(&main), "std/evaluate").unwrap_err();
        assert!(both.contains("write \"./std/evaluate\" for the file"), "{both}");
        assert_eq!(shown_as(Path::new("std/main.rhai")), "./std/main.rhai");
    }
}
