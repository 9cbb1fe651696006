//! What people write who come from another language, and how it is written here: a sentence each, in place of "not found".

use super::error::{Res, fail};
use rhai::{Dynamic, Engine, FLOAT, INT, Map, Module};
use std::any::TypeId;

/// The sentence for a call of `name` with so many arguments, which does not exist.
pub fn instead(name: &str, arguments: usize) -> Option<&'static str> {
    Some(match (name, arguments) {
        ("range", 1) => "a range has two ends: `0..n`, or range(0, n)",
        ("print", 2..) => "`print` takes one text: print(`${a} ${b}`)",
        ("enumerate", _) => "`for (x, i) in list` counts along",
        ("str", 1) => "a value becomes text in back-quotes: `${x}`",
        ("int", 1) => "x.to_int() cuts off, x.round().to_int() rounds",
        ("float", 1) => "x.to_float() makes a float of a whole number",
        ("format", _) => "text is put together in back-quotes: `eps ${eps}`; fixed(x, 3) has three digits",
        ("dict", _) => "a map is written #{ key: value }",
        ("list", _) => "an array is written [a, b], and a range is gone over by `for i in 0..n`",
        _ => return None,
    })
}

/// The sentence for a name of PyTorch's or Python's that nothing here has, a function's, a method's, a property's or a variable's.
pub fn elsewhere(name: &str) -> Option<&'static str> {
    Some(match name {
        "train" => "a network has no modes; `net.frozen()` is it for evaluation, and `data.train` has no brackets",
        "eval" => "a network has no modes; `net.frozen()` is it for evaluation",
        "zero_grad" => "no gradients are kept: `optimizer.step(loss)` takes those of this loss alone",
        "backward" => "`optimizer.step(loss)` goes back and steps; `gradients` gives the gradients themselves",
        "requires_grad" | "requires_grad_" | "no_grad" => {
            "an optimiser trains the parameters that it is given: adam([...])"
        }
        "state_dict" => "`net.save(file)` saves; `net.parameters` are the tensors by name",
        "load_state_dict" => "`net.load(file, options)` takes state_dicts of PyTorch too",
        "view" => "`x.reshape(shape)`",
        "numpy" | "tolist" => "`x.to_array()`",
        "size" => "`x.shape` is the array of sizes",
        "lr_scheduler" | "scheduler" => {
            "the rate of a step is its argument: `optimizer.step(loss, schedule::cosine_rate(...))`"
        }
        "DataLoader" | "dataloader" => "`for batch in data.train.batches(64)`",
        "Sequential" => "`sequential(shape, [...])`",
        "Linear" => "`linear(outputs)`: inputs are known from the shape before",
        "Conv2d" => "`conv2d(channels, kernel, #{ stride: 1, padding: 0 })`",
        "True" => "`true`",
        "False" => "`false`",
        "None" | "null" | "nil" => "nothing is written ()",
        "and" => "`&&`",
        "or" => "`||`",
        "not" => "`!x`",
        "lambda" => "a closure is written |x| x + 1",
        "self" => "`this` is what a method is called on",
        "torch" | "np" | "nn" => {
            "functions are called by their own names: `zeros([2, 3])`, `linear(10)`; `guide/from_pytorch` has pairs"
        }
        _ => return None,
    })
}

/// The sentence for a call of what is a variable.
pub fn called_variable(name: &str) -> String {
    format!("`{name}` is a variable: if it holds a network, write {name}.forward(x); if a closure, {name}.call(x)")
}

/// For `for x in` a map.
pub const NO_MAP: &str =
    "`for` goes over no map; go over its keys or values: `for key in map.keys()`, `for x in map.values()`";

/// For `for x in` a number.
pub const NO_NUMBER: &str = "`for` goes over no number; a range of whole numbers is written `0..n`: `for i in 0..n`";

/// `for x in` what has no elements: the error says what there is to go over.
pub fn register(engine: &mut Engine) {
    let mut module = Module::new();
    let mut refuse = |kind: TypeId, message: &'static str| {
        module.set_iter_result(kind, move |_: Dynamic| {
            Box::new(std::iter::once(Err(fail(message)))) as Box<dyn Iterator<Item = Res<Dynamic>>>
        });
    };
    refuse(TypeId::of::<Map>(), NO_MAP);
    refuse(TypeId::of::<INT>(), NO_NUMBER);
    refuse(TypeId::of::<FLOAT>(), NO_NUMBER);
    engine.register_global_module(module.into());
}
