//! The one Rhai engine: its language settings, its limits, and how it stops.

use super::error;
use super::limits::{Limits, memory_message};
use super::loader::Loader;
use super::resolver::Resolver;
use super::signatures::short_type;
use super::{arithmetic, collections, habits, kept};
use crate::base::{interrupt, memory};
use crate::run::Arithmetic;
use rhai::Token;
use rhai::{Dynamic, Engine, EvalContext, FLOAT, INT, OptimizationLevel, Position};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The engine that every script runs on. `register` adds the host's functions and types; modules come through `loader`;
/// `print` and `debug` go to `printer`, which may have a progress display to step around; `between` is called before every
/// operation and may end the script; `watch` is told of every variable that is read.
pub fn build(
    register: impl FnOnce(&mut Engine),
    loader: Rc<Loader>,
    printer: Rc<dyn Fn(&str)>,
    between: impl Fn() -> Result<(), String> + 'static,
    watch: impl Fn(&str, &EvalContext) + 'static,
    limits: &Limits,
) -> Engine {
    let mut engine = Engine::new();
    name_methods_freely(&mut engine);
    engine
        .set_strict_variables(true)
        .set_fail_on_invalid_map_property(true)
        .set_max_expr_depths(128, 128)
        .set_max_call_levels(limits.calls)
        .set_max_string_size(limits.string)
        .set_max_array_size(limits.array)
        .set_max_map_size(limits.map)
        // `check` must see the script as it is written; folding constants saves nothing beside tensor operations, and
        // Rhai would fold by its own arithmetic.
        .set_optimization_level(OptimizationLevel::None)
        // Code made from strings is out of the check's sight.
        .disable_symbol("eval");
    // Matrix product: binds like `*`, tighter than `+`.
    engine.register_custom_operator("@", 170).expect("`@` is free in Rhai");

    // Every operation passes here, so a loop without end hears Ctrl-C, and one that hoards tensors is stopped.
    engine.on_progress(move |_| {
        if interrupt::requested() {
            return Some(Dynamic::from(error::Interrupted));
        }
        if memory::is_beyond(0) {
            return Some(Dynamic::from(error::Stopped(memory_message())));
        }
        between().err().map(|why| Dynamic::from(error::Stopped(why)))
    });

    let debugger = printer.clone();
    engine.on_print(move |text| printer(text));
    engine.on_debug(move |text, source, at| debugger(&debug_line(text, source, at)));

    // Rhai's own `exit` looks like a result, its `sleep` is deaf to Ctrl-C.
    engine.register_fn("exit", || error::Res::<()>::Err(error::exit(0)));
    engine.register_fn("exit", |code: Dynamic| error::Res::<()>::Err(exit(&code)));
    engine.register_fn("sleep", |seconds: INT| sleep(seconds as FLOAT));
    engine.register_fn("sleep", sleep);

    match loader.arithmetic() {
        Arithmetic::Fractions => arithmetic::register(&mut engine),
        // Its scripts know of no `div`, and may define one.
        Arithmetic::Whole => {}
    }
    collections::register(&mut engine);
    habits::register(&mut engine);
    register(&mut engine);
    install_constants(&mut engine, loader.clone(), watch);
    engine.set_module_resolver(Resolver::new(loader));
    engine
}

/// The host's constants (`run`, ...) are seen everywhere: in functions, in closures and in modules, where Rhai itself
/// shows a script nothing of its surroundings. Index 0 means that no local variable of that name is known.
fn install_constants(engine: &mut Engine, loader: Rc<Loader>, watch: impl Fn(&str, &EvalContext) + 'static) {
    #[expect(deprecated, reason = "Rhai marks the hook as unstable; the version is pinned")]
    engine.on_var(move |name, index, context| {
        watch(name, &context);
        kept::at_level(context.call_level());
        let local = index > 0 || context.scope().contains(name);
        Ok(if local { None } else { loader.constant(name) })
    });
}

fn debug_line(text: &str, source: Option<&str>, at: Position) -> String {
    match (source, at.line()) {
        (Some(source), Some(line)) => format!("{source}:{line} | {text}"),
        (None, Some(line)) => format!("line {line} | {text}"),
        _ => text.to_string(),
    }
}

fn exit(code: &Dynamic) -> Box<rhai::EvalAltResult> {
    match code.as_int() {
        Ok(code @ 0..=255) => error::exit(code as i32),
        Ok(code) => error::fail(format!("exit: the code is {code}; it must lie between 0 and 255")),
        Err(kind) => {
            error::fail(format!("exit: the code is of type {}; use a whole number between 0 and 255", short_type(kind)))
        }
    }
}

fn sleep(seconds: FLOAT) -> error::Res<()> {
    let longest = Duration::from_secs(365 * 24 * 3600);
    let end = Instant::now() + Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(longest).min(longest);
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        if interrupt::requested() {
            return Err(error::interrupted());
        }
        std::thread::sleep(left.min(Duration::from_millis(50)));
    }
    Ok(())
}

/// `export` is a word of the language, and what one does with a network: behind a dot it is a name.
fn name_methods_freely(engine: &mut Engine) {
    let behind_dot = std::cell::Cell::new(false);
    #[expect(
        deprecated,
        reason = "not stable yet; the version of Rhai is fixed, and tests/layers/exported.rs uses it"
    )]
    engine.on_parse_token(move |token, _, _| {
        let is_behind = behind_dot.replace(matches!(token, Token::Period | Token::Elvis));
        match token {
            Token::Export if is_behind => Token::Identifier(Box::new("export".into())),
            other => other,
        }
    });
}
