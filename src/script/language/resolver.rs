//! `import`: turns what the loader parsed into modules, once each, and reports a circle with all its stations.

use super::error::{Res, fail};
use super::loader::Loader;
use rhai::{Engine, EvalAltResult, FnNamespace, Module, ModuleResolver, Position, Scope, Shared};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

/// The engine's module resolver.
pub struct Resolver {
    loader: Rc<Loader>,
    modules: RefCell<HashMap<String, Shared<Module>>>,
    /// Of which reading of the files these are.
    reading: Cell<u64>,
    loading: RefCell<Vec<String>>,
}

impl Resolver {
    /// A resolver that reads through `loader`.
    pub fn new(loader: Rc<Loader>) -> Self {
        Self { loader, modules: RefCell::default(), reading: Cell::new(0), loading: RefCell::default() }
    }

    fn evaluate(&self, engine: &Engine, shown: &str) -> Res<Module> {
        let ast = self.loader.parse(engine, shown)?;
        let mut module = Module::eval_ast_as_new(Scope::new(), &ast, engine)?;
        expose_closures(&mut module);
        module.build_index();
        Ok(module)
    }
}

impl ModuleResolver for Resolver {
    fn resolve(&self, engine: &Engine, source: Option<&str>, path: &str, at: Position) -> Res<Shared<Module>> {
        let shown = self.loader.locate(source, path).map_err(|message| placed(fail(message), at))?;
        if self.reading.replace(self.loader.reading()) != self.loader.reading() {
            self.modules.borrow_mut().clear();
        }
        if let Some(module) = self.modules.borrow().get(&shown) {
            return Ok(module.clone());
        }
        // The main script is no module, yet it can be part of a circle.
        let mut chain = self.loading.borrow().clone();
        if chain.is_empty() {
            chain.extend(source.map(str::to_string));
        }
        if let Some(start) = chain.iter().position(|station| *station == shown) {
            let chain = chain[start..].join(" -> ");
            let message = format!("import cycle: {chain} -> {shown}; move what both need into a third file");
            return Err(placed(fail(message), at));
        }
        chain.push(shown.clone());
        let before = self.loading.replace(chain);
        let module = self.evaluate(engine, &shown);
        self.loading.replace(before);
        let module: Shared<Module> = module.map_err(|error| wrap(error, &shown, at))?.into();
        self.modules.borrow_mut().insert(shown, module.clone());
        Ok(module)
    }
}

fn placed(mut error: Box<EvalAltResult>, at: Position) -> Box<EvalAltResult> {
    error.set_position(at);
    error
}

/// The end of the whole script passes through; an error in a module names it, so that its excerpt is found.
fn wrap(error: Box<EvalAltResult>, shown: &str, at: Position) -> Box<EvalAltResult> {
    match *error {
        EvalAltResult::ErrorTerminated(..) => placed(error, at),
        _ => Box::new(EvalAltResult::ErrorInModule(shown.to_string(), error, at)),
    }
}

/// Rhai looks up a closure by its name in the environment of the *caller*, so a closure made in an imported module is
/// not found outside it. Moving a module's closures into the global namespace mends that (tests/hosting.rs keeps watch).
#[expect(deprecated, reason = "Rhai marks these as unstable; the version is pinned")]
fn expose_closures(module: &mut Module) {
    let hashes: Vec<u64> = module
        .iter_script_fn_info()
        .filter(|(_, _, name, ..)| name.starts_with("anon$"))
        .map(|(.., definition)| Module::new().set_script_fn(definition.clone()))
        .collect();
    for hash in hashes {
        module.update_fn_namespace(hash, FnNamespace::Global);
    }
}
