//! What the prompt does with a session: evaluate an input and keep what it defines, load scripts, read changed files
//! again, tell which names there are. Nothing is lost: what fails, be it an input, the reloading of a wrong file or a
//! loop that was interrupted, leaves variables, functions and modules as they were.

use super::core::Session;
use super::source::LAST;
use super::transcript::Typed;
use crate::script::bind::type_names;
use crate::script::docs::{Page, parse};
use crate::script::explain::report::{Failure, Report};
use crate::script::language::guard::guarded;
use crate::script::language::kept;
use crate::script::language::lexical;
use crate::script::language::origin::PROMPT;
use crate::script::language::origin::is_std;
use crate::script::language::signatures::{Native, natives};
use crate::script::language::{Res, fail};
use crate::script::present;
use crate::script::stdlib::stdlib;
use rhai::{AST, ASTFlags, Dynamic, Expr, Ident, Module, Position, Scope, Stmt};
use std::path::Path;
use std::rc::Rc;

impl Session {
    /// Evaluate one input of the prompt; what it defines stays. Returns the value as it is shown, if it has one.
    pub fn eval(&mut self, input: &str) -> Result<Option<String>, Failure> {
        let result = guarded(|| {
            let shown = self.eval_input(input)?;
            self.host.run.leave_loop().map_err(fail)?;
            Ok(shown)
        });
        self.host.finish();
        self.host.run.keep_left_loop();
        result.map_err(|error| self.failure(&error, PROMPT))
    }

    /// The value of one input, which is not shown.
    pub fn value_of(&mut self, input: &str) -> Result<Dynamic, Failure> {
        let result = guarded(|| self.evaluate(input));
        self.host.finish();
        result.map_err(|error| self.failure(&error, PROMPT))
    }

    fn eval_input(&mut self, input: &str) -> Res<Option<String>> {
        let value = self.evaluate(input)?;
        let hidden = value.is_unit() || lexical::last(input) == Some(";");
        if let Some(typed) = self.typed.last_mut() {
            typed.shown = !hidden;
        }
        if hidden { Ok(None) } else { self.shown(&value).map(Some) }
    }

    fn evaluate(&mut self, input: &str) -> Res<Dynamic> {
        let mut input = lexical::replaced(input, "_", LAST);
        // Rhai lets a comment end with the text. Here the next input would become a part of it.
        while lexical::ends_in_block_comment(&input) {
            input += " */";
        }
        let (start, before) = (self.transcript.len(), self.transcript.matches('\n').count());
        self.transcript += input.trim_end();
        self.transcript.push('\n');
        let padded = format!("{}{input}", "\n".repeat(before));
        let parsed = self.loader.parse_input(&self.engine, PROMPT, &self.transcript, &padded, &self.scope);
        let ast = parsed.inspect_err(|_| {
            // Its open string must not swallow what is typed next; the lines still count.
            let lines = self.transcript.split_off(start).matches('\n').count();
            self.transcript += &"\n".repeat(lines);
        })?;
        let typed = Typed::of(&ast, input.trim());
        let value = self.run_in_scope(&ast)?;
        self.typed.push(typed);
        if !value.is_unit() {
            self.scope.set_or_push(LAST, value.clone());
        }
        Ok(value)
    }

    /// The constants of earlier inputs as statements: functions see as `global::NAME` only what the input at hand declares.
    fn constant_statements(&self) -> Vec<Stmt> {
        let constants = self.variables().into_iter().filter(|(.., constant)| *constant);
        let statement = |(name, value, _): (String, Dynamic, bool)| {
            let name = Ident { name: name.into(), pos: Position::NONE };
            let value = Expr::DynamicConstant(value.into(), Position::NONE);
            Stmt::Var((name, value, None).into(), ASTFlags::CONSTANT, Position::NONE)
        };
        constants.map(statement).collect()
    }

    /// Run statements over the prompt's variables and keep their functions and imports.
    fn run_in_scope(&mut self, ast: &AST) -> Res<Dynamic> {
        let mut all = AST::new(self.constant_statements(), Module::new()).merge(&self.library).merge(ast);
        all.set_source(PROMPT);
        // The functions stay even when a statement fails; imports only when they worked.
        let functions = all.clone_functions_only();
        let result = {
            let _here = kept::here(&self.engine);
            self.engine.eval_ast_with_scope::<Dynamic>(&mut self.scope, &all)
        };
        // The constants stand in it once more.
        self.scope = self.scope.clone_visible();
        let imports: Vec<Stmt> = match &result {
            Ok(_) => all.statements().iter().filter(|s| matches!(s, Stmt::Import(..))).cloned().collect(),
            Err(_) => self.library.statements().to_vec(),
        };
        self.library = AST::new(latest(imports), Module::new()).merge(&functions);
        result
    }

    /// A value as the prompt shows it.
    pub fn shown(&self, value: &Dynamic) -> Res<String> {
        present::shown(value, self.screen(), &|value| self.text(value))
    }

    /// A value in one line.
    pub fn brief(&self, value: &Dynamic, width: usize) -> String {
        present::brief(value, width, &|value| self.text(value))
    }

    /// The name of a value's type.
    pub fn kind(&self, value: &Dynamic) -> String {
        present::kind(value, &self.engine)
    }

    /// A value as Rhai prints it for debugging: strings in quotes.
    fn text(&self, value: &Dynamic) -> String {
        let mut scope = Scope::new();
        scope.push_dynamic("value", value.clone());
        let ast = self.engine.compile_with_scope(&scope, "to_debug(value)");
        let text = ast.map_err(Into::into).and_then(|ast| self.engine.eval_ast_with_scope::<Dynamic>(&mut scope, &ast));
        text.map_or_else(|_: Box<rhai::EvalAltResult>| value.to_string(), |text| text.to_string())
    }

    /// Run the script at `path` here: its variables, functions and imports stay.
    pub fn load_file(&mut self, path: &Path) -> Result<(), Failure> {
        let main = self.loader.open_also(path).map_err(Failure::bare)?;
        let result = guarded(|| {
            let ast = self.loader.parse(&self.engine, &main)?;
            let ast = self.placed(&ast, &main)?;
            self.run_in_scope(&ast)
        });
        self.host.finish();
        if let Err(error) = result {
            return Err(self.failure(&error, &main));
        }
        let text = self.loader.text(&main).unwrap_or_default();
        self.typed.push(Typed::script(&text));
        if !self.scripts.contains(&main) {
            self.scripts.push(main);
        }
        Ok(())
    }

    /// The statements of the file `main` with imports that are found from the prompt too.
    fn placed(&self, ast: &AST, main: &str) -> Res<AST> {
        let mut statements = ast.statements().to_vec();
        for statement in &mut statements {
            if let Stmt::Import(import, at) = statement
                && let Some(path) = import.0.get_literal_value(None).and_then(|path| path.into_string().ok())
            {
                let found = self.loader.locate(Some(main), &path).map_err(fail)?;
                **import = (Expr::StringConstant(found.into(), *at), import.1.clone());
            }
        }
        Ok(AST::new(statements, Module::new()).merge(&ast.clone_functions_only()))
    }

    /// Read changed modules and the functions of changed scripts again; variables keep their values. When a file is wrong,
    /// everything stays as it was. Returns the files that had changed.
    pub fn reload(&mut self) -> Result<Vec<String>, Failure> {
        let before = self.loader.snapshot();
        let changed = match self.loader.refresh(&self.engine) {
            Ok(changed) => changed,
            Err((file, error)) => {
                let mut failure = self.failure(&error, &file);
                note(&mut failure, "everything is as it was before");
                self.loader.restore(before);
                return Err(failure);
            }
        };
        let library = self.library.clone();
        self.loader.forget_modules();
        let result = guarded(|| {
            for script in self.scripts.clone() {
                if let Some(ast) = self.loader.ast(&script).filter(|_| changed.contains(&script)) {
                    let functions = self.placed(&ast, &script)?.clone_functions_only();
                    self.library = self.library.merge(&functions);
                }
            }
            // The imports, which evaluate the changed modules.
            self.run_in_scope(&AST::empty())
        });
        if let Err(error) = result {
            let mut failure = self.failure(&error, PROMPT);
            note(&mut failure, "everything is as it was before");
            self.loader.restore(before);
            self.library = library;
            self.loader.forget_modules();
            return Err(failure);
        }
        Ok(changed)
    }

    /// What was typed and went well, as a script.
    pub fn script(&self) -> String {
        crate::script::session::transcript::script(&self.typed)
    }

    /// The variables: name, value, whether it is a constant.
    pub fn variables(&self) -> Vec<(String, Dynamic, bool)> {
        let mut found: Vec<(String, Dynamic, bool)> = vec![];
        for (name, constant, value) in self.scope.iter() {
            found.retain(|(known, ..)| known != name);
            found.push((name.to_string(), value, constant));
        }
        found
    }

    /// Functions typed here or loaded from scripts, with their parameters.
    pub fn functions(&self) -> Vec<String> {
        crate::script::explain::wording::signatures(&self.library).into_iter().map(|(_, shown)| shown).collect()
    }

    /// The modules imported here: alias and file.
    pub fn modules(&self) -> Vec<(String, String)> {
        let imports = self.library.statements().iter().filter_map(|statement| match statement {
            Stmt::Import(import, _) => {
                let path = import.0.get_literal_value(None)?.into_string().ok()?;
                Some((import.1.as_str().to_string(), self.loader.locate(Some(PROMPT), &path).ok()?))
            }
            _ => None,
        });
        imports.collect()
    }

    /// The pages of a module imported under `alias` that is not in the stdlib; with an empty `alias` those of what was typed
    /// here and of scripts that were loaded.
    pub fn own_pages(&self, alias: &str) -> Vec<Page> {
        let files: Vec<String> = match alias {
            "" => [PROMPT.to_string()].into_iter().chain(self.scripts.iter().cloned()).collect(),
            alias => self.modules().into_iter().filter(|(known, _)| known == alias).map(|(_, file)| file).collect(),
        };
        let own = files.into_iter().filter(|file| !is_std(file));
        own.filter_map(|file| Some(parse(&file, &self.loader.text(&file)?))).collect()
    }

    /// The source of a loaded file, or of what was typed (under the prompt's name).
    pub fn source(&self, file: &str) -> Option<Rc<str>> {
        self.loader.text(file)
    }

    /// The source of a module of the stdlib.
    pub fn std_source(&self, page: &str) -> Option<&'static str> {
        stdlib().iter().find(|(name, _)| page.strip_prefix("std/") == Some(*name)).map(|(_, text)| *text)
    }

    /// Every native function, the host's and Rhai's.
    pub fn natives(&self) -> Vec<Native> {
        natives(&self.engine)
    }

    /// The data sets that are known by name.
    pub fn data_sets() -> Vec<&'static str> {
        crate::data::names()
    }

    /// The names of the host's types.
    pub fn type_names(&self) -> Vec<String> {
        type_names(&self.engine)
    }

    /// The host's constants.
    pub fn constants(&self) -> Vec<String> {
        self.loader.constants().iter_raw().map(|(name, ..)| name.to_string()).collect()
    }

    /// Where tensors live, and how many threads compute.
    pub fn machine(&self) -> (String, usize) {
        (crate::compute::device::name(&self.host.device), self.host.threads)
    }
}

/// Of several imports under one alias the last.
fn latest(imports: Vec<Stmt>) -> Vec<Stmt> {
    let alias = |statement: &Stmt| match statement {
        Stmt::Import(import, _) => import.1.as_str().to_string(),
        _ => String::new(),
    };
    let names: Vec<String> = imports.iter().map(alias).collect();
    let last = |i: usize| !names[i + 1..].contains(&names[i]);
    imports.into_iter().enumerate().filter(|(i, _)| last(*i)).map(|(_, statement)| statement).collect()
}

fn note(failure: &mut Failure, text: &str) {
    failure.reports.iter_mut().for_each(|report: &mut Report| report.notes.push(text.to_string()));
}
