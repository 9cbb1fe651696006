//! What scripts can call: one thin file per topic, which converts arguments and results and does no arithmetic. What it
//! calls can be called from Rust.
//!
//! What each function does is said in `docs/reference/*.d.rhai` alone, from where `?name`, `workbench doc` and editors have
//! it; `tests/documentation.rs` tells which entry is missing.

mod args;
mod bounds;
mod checkpointed;
mod data;
mod execution;
mod host;
mod json;
mod layer_kinds;
mod layers;
mod loading;
mod losses;
mod model;
mod objects;
mod operators;
mod optimizers;
mod own;
mod pictures;
mod precision;
mod printing;
mod processes;
mod random;
mod ranks;
mod records;
mod relax;
mod run;
mod show;
mod smoothing;
mod step_graph;
mod tensor_files;
mod tensor_index;
mod tensor_make;
mod tensor_ops;
mod upper;
mod vectors;
mod weights;

pub use checkpointed::watch;
pub use host::{Host, HostConfig};

use crate::script::language::signatures::natives;
use crate::script::values;
use rhai::Engine;
use std::rc::Rc;

/// The names of the host's types.
pub fn type_names(engine: &Engine) -> Vec<String> {
    let named = |name: &str| name.starts_with(char::is_uppercase).then(|| name.to_string());
    let mut names: Vec<String> =
        natives(engine).iter().filter(|n| n.name == "to_debug").filter_map(|n| named(&n.first)).collect();
    names.extend(["Epochs".into(), "Batches".into()]);
    names
}

/// Register every type and function; `host` becomes the engine's tag, where natives find it.
pub fn register(engine: &mut Engine, host: &Rc<Host>) {
    engine.set_default_tag(rhai::Dynamic::from(host.clone()));
    values::register(engine);
    operators::register(engine);
    tensor_make::register(engine);
    tensor_ops::register(engine);
    tensor_index::register(engine);
    tensor_files::register(engine);
    precision::register(engine);
    ranks::register(engine);
    random::register(engine);
    layer_kinds::register(engine);
    layers::register(engine);
    own::register(engine);
    model::register(engine);
    weights::register(engine);
    bounds::register(engine);
    upper::register(engine);
    relax::register(engine);
    smoothing::register(engine);
    execution::register(engine);
    vectors::register(engine);
    losses::register(engine);
    optimizers::register(engine);
    step_graph::register(engine);
    data::register(engine);
    run::register(engine);
    records::register(engine);
    show::register(engine);
    printing::register(engine);
}
