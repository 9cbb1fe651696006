//! How a text becomes a program: read, refused where it reads in two ways, parsed, its function names admitted
//! ([`crate::script::language::names`]).

use super::state::Loader;
use crate::base::text::{plain, utf8};
use crate::run::Arithmetic;
use crate::script::language::error::{Res, fail};
use crate::script::language::names::{Clash, Names};
use crate::script::language::origin::{STD, is_std};
use crate::script::language::refused;
use rhai::{AST, Engine, EvalAltResult, Position, Scope};
use std::path::Path;
use std::rc::Rc;

/// The longest source file; anything larger is no script.
const MAX_SOURCE: u64 = 4 << 20;

impl Loader {
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
}

/// The names a script is compiled against: the host's constants and, at the prompt, the variables so far.
fn known_names(constants: &Scope<'static>, variables: &Scope<'static>) -> Scope<'static> {
    let mut known = constants.clone();
    for (name, ..) in variables.iter_raw() {
        known.push(name.to_string(), ());
    }
    known
}

/// The first clash as an error at its place.
fn first(clashes: &[Clash]) -> Box<EvalAltResult> {
    let Some(clash) = clashes.first() else { return fail("a function name clashes") };
    let place = u16::try_from(clash.line).ok().zip(u16::try_from(clash.column).ok());
    let place = place.map_or(Position::NONE, |(line, column)| Position::new(line, column));
    Box::new(EvalAltResult::ErrorRuntime(clash.message.clone().into(), place))
}
