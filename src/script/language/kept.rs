//! A closure of a script that native code keeps and calls later: what a layer of a script's own is made of
//!
//! Kept are the pointer, its captured values, and the functions and imports that were in force where it was handed over: so it
//! means the same in later inputs of the prompt, in bounds and attacks of native code, and after `:reload`. Captured values are cells that
//! a closure shares with the script, and handles of things that change in place; from here on they are its own ([`Freeze`]), or what
//! changes later would change a layer that has been certified.
//!
//! What a closure throws passes through native code as a number in candle's error, and is put back, with its place and its stack,
//! where that error becomes the script's ([`super::thrown`]).

use super::error::{Res, fail};
use super::thrown;
use rhai::{Array, Dynamic, Engine, FnPtr, GlobalRuntimeState, Map, NativeCallContext, Position};
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

/// Closures of layers that call layers with closures, and so on: this deep and no deeper.
const DEEPEST: usize = 12;

thread_local! {
    /// The engines of the sessions that evaluate something on this thread, the innermost last; weak, for an engine's tag leads to
    /// the session, which may lead to the layers.
    static ENGINES: RefCell<Vec<Weak<Engine>>> = const { RefCell::new(vec![]) };
    /// How deep the script's own calls are nested now, and calls of closures from native code.
    static LEVEL: Cell<usize> = const { Cell::new(0) };
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Closures are called on this engine until the guard goes.
#[must_use]
pub struct Here;

/// An evaluation begins.
pub fn here(engine: &Rc<Engine>) -> Here {
    ENGINES.with_borrow_mut(|engines| engines.push(Rc::downgrade(engine)));
    Here
}

impl Drop for Here {
    fn drop(&mut self) {
        ENGINES.with_borrow_mut(|engines| drop(engines.pop()));
    }
}

/// The level of calls at which the script reads a variable: a native function that is called next stands no deeper.
pub fn at_level(level: usize) {
    LEVEL.set(level);
}

/// One closure, with all that it needs to run later.
#[derive(Clone)]
pub struct Kept {
    pointer: FnPtr,
    global: GlobalRuntimeState,
    /// For messages: "activation leaky: `forward`".
    what: String,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(&self.what)
    }
}

/// Makes of a captured value of the host's own types one that nobody else changes, or says why it cannot be kept.
pub type Freeze = fn(Dynamic) -> Result<Dynamic, String>;

impl Kept {
    fn new(context: &NativeCallContext, pointer: FnPtr, what: String, freeze: Freeze) -> Result<Self, String> {
        let pointer = frozen(pointer.into(), freeze)?.cast::<FnPtr>();
        let mut global = context.global_runtime_state().clone();
        // The engine's tag leads to the session: put in again for each call.
        global.tag = Dynamic::UNIT;
        Ok(Self { pointer, global, what })
    }

    /// The values that it has captured.
    pub fn captured(&self) -> &[Dynamic] {
        self.pointer.curry()
    }

    /// Call it, from a native function of a script that runs now.
    pub fn call(&self, arguments: Vec<Dynamic>) -> candle_core::Result<Dynamic> {
        let engine = ENGINES.with_borrow(|engines| engines.last().and_then(Weak::upgrade));
        let Some(engine) = engine else { candle_core::bail!("{}: no script runs on this thread", self.what) };
        if DEPTH.get() >= DEEPEST {
            candle_core::bail!("{}: layers call each other {DEEPEST} deep; does one lead to itself?", self.what);
        }
        let mut global = self.global.clone();
        global.tag = engine.default_tag().clone();
        let _inside = Inside::new();
        global.level = LEVEL.get() + 1;
        let context = NativeCallContext::new_with_all_fields(&engine, &self.what, None, &global, Position::NONE);
        self.pointer.call_raw(&context, None, arguments).map_err(thrown::carried)
    }

    /// For messages.
    pub fn what(&self) -> &str {
        &self.what
    }
}

/// A closure runs; the levels are those of before when it goes, by a panic too.
struct Inside(usize);

impl Inside {
    fn new() -> Self {
        DEPTH.set(DEPTH.get() + 1);
        Self(LEVEL.get())
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
        LEVEL.set(self.0);
    }
}

/// Does the closure take this many arguments beside what it has captured, as far as that is known? Of natives nothing is.
fn arities(context: &NativeCallContext, pointer: &FnPtr) -> Vec<usize> {
    let state = context.global_runtime_state();
    let modules = state.lib.iter().map(|module| &**module).chain(state.iter_imports().map(|(_, module)| module));
    let mut found = vec![];
    for module in modules {
        let named = module.iter_script_fn_info().filter(|(_, _, name, ..)| *name == pointer.fn_name());
        found.extend(named.map(|(.., count, _)| count.saturating_sub(pointer.curry().len())));
    }
    found
}

/// A value as it is now, sharing nothing with variables of the script.
fn frozen(value: Dynamic, freeze: Freeze) -> Result<Dynamic, String> {
    let value = value.flatten();
    if value.is_fnptr() {
        let mut pointer = value.cast::<FnPtr>();
        for captured in pointer.iter_curry_mut() {
            *captured = frozen(std::mem::take(captured), freeze)?;
        }
        return Ok(pointer.into());
    }
    if value.is_array() {
        let items = value.cast::<Array>().into_iter().map(|item| frozen(item, freeze));
        return Ok(items.collect::<Result<Array, String>>()?.into());
    }
    if value.is_map() {
        let items = value.cast::<Map>().into_iter().map(|(key, item)| Ok((key, frozen(item, freeze)?)));
        return Ok(items.collect::<Result<Map, String>>()?.into());
    }
    freeze(value)
}

/// The closure under `key` of a definition `of`, which takes `wanted` arguments.
pub fn closure(
    context: &NativeCallContext,
    of: &str,
    key: &str,
    value: Dynamic,
    wanted: usize,
    freeze: Freeze,
) -> Res<Kept> {
    let kind = super::signatures::a_value_of(value.type_name());
    let Some(pointer) = value.try_cast::<FnPtr>() else {
        return Err(fail(format!("{of}: `{key}` is {kind}, a closure is wanted")));
    };
    let found = arities(context, &pointer);
    if let Some(other) = found.first().filter(|_| !found.contains(&wanted)) {
        let arguments = |n: usize| if n == 1 { "1 argument".to_string() } else { format!("{n} arguments") };
        return Err(fail(format!("{of}: the closure `{key}` takes {}, {wanted} are wanted", arguments(*other))));
    }
    let what = format!("{of}: `{key}`");
    Kept::new(context, pointer, what.clone(), freeze).map_err(|why| fail(format!("{what} {why}")))
}
