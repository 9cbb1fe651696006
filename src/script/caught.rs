//! What `catch (e)` gives for an error of the language's own: Rhai makes a map of it. As text it is the sentence that an uncaught one
//! gets.

use super::loader::Loader;
use super::wording::describe;
use rhai::{Dynamic, Engine, EvalAltResult as E, Map, Position};

/// The sentence for `map`, if it is such an error.
pub fn sentence(map: &Map, engine: &Engine, loader: &Loader) -> Option<String> {
    let text = |key: &str| map.get(key).and_then(|value| value.clone().into_string().ok());
    let number = |key: &str| map.get(key).and_then(|value| value.as_int().ok());
    let (message, kind) = (text("message")?, text("error").filter(|kind| kind.starts_with("Error"))?);
    let file = text("source").unwrap_or_default();
    let at = Position::NONE;
    let error = match kind.as_str() {
        "ErrorFunctionNotFound" => E::ErrorFunctionNotFound(text("function")?, at),
        "ErrorVariableNotFound" => E::ErrorVariableNotFound(text("variable")?, at),
        "ErrorPropertyNotFound" => E::ErrorPropertyNotFound(text("variable")?, at),
        "ErrorAssignmentToConstant" => E::ErrorAssignmentToConstant(text("variable")?, at),
        "ErrorDotExpr" => E::ErrorDotExpr(text("property")?, at),
        "ErrorIndexingType" => E::ErrorIndexingType(text("type")?, at),
        "ErrorDataTooLarge" => E::ErrorDataTooLarge(text("type")?, at),
        "ErrorMismatchDataType" => E::ErrorMismatchDataType(text("requested")?, text("actual")?, at),
        "ErrorMismatchOutputType" => E::ErrorMismatchOutputType(text("requested")?, text("actual")?, at),
        "ErrorArrayBounds" => E::ErrorArrayBounds(usize::try_from(number("length")?).ok()?, number("index")?, at),
        "ErrorStringBounds" => E::ErrorStringBounds(usize::try_from(number("length")?).ok()?, number("index")?, at),
        "ErrorModuleNotFound" => E::ErrorModuleNotFound(text("module")?, at),
        "ErrorFor" => E::ErrorFor(at),
        "ErrorUnboundThis" => E::ErrorUnboundThis(at),
        "ErrorStackOverflow" => E::ErrorStackOverflow(at),
        // Of an error inside a function the map has the words alone.
        _ => inner(&message, at),
    };
    Some(describe(&error, &file, engine, loader).0)
}

fn inner(message: &str, at: Position) -> E {
    let words = ["\nin call to function", " in call to function", "\nin module"];
    let end = words.iter().filter_map(|words| message.find(words)).min().unwrap_or(message.len());
    let leaf = message[..end].trim();
    // Rhai ends a nested error with its place.
    let leaf = leaf.rfind(" (line ").map_or(leaf, |place| leaf[..place].trim_end());
    let of = |start: &str| leaf.strip_prefix(start).map(str::to_string);
    if let Some(call) = of("Function not found: ") {
        return E::ErrorFunctionNotFound(call, at);
    }
    if let Some(name) = of("Variable not found: ") {
        return E::ErrorVariableNotFound(name, at);
    }
    if let Some(name) = of("Property not found: ") {
        return E::ErrorPropertyNotFound(name, at);
    }
    if leaf.starts_with("Unknown property ") {
        return E::ErrorDotExpr(leaf.to_string(), at);
    }
    if leaf == "For loop expects iterable type" {
        return E::ErrorFor(at);
    }
    E::ErrorRuntime(Dynamic::from(leaf.to_string()), at)
}
