//! What `catch (e)` gives for an error of the language's own: Rhai makes a map of it. As text it is the sentence that an uncaught one
//! gets.

use super::wording::describe;
use crate::script::language::loader::Loader;
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
    let words = ["\nin call to function", " in call to function", "\nin closure call", "\nin module"];
    let end = words.iter().filter_map(|words| message.find(words)).min().unwrap_or(message.len());
    let leaf = message[..end].trim();
    // Rhai ends a nested error with its file and its place.
    let leaf = leaf.rfind(" (line ").map_or(leaf, |place| leaf[..place].trim_end());
    let leaf = leaf.rfind(" @ '").filter(|_| leaf.ends_with('\'')).map_or(leaf, |file| leaf[..file].trim_end());
    let leaf = leaf.strip_prefix("Runtime error: ").unwrap_or(leaf);
    let of = |start: &str| leaf.strip_prefix(start).map(str::to_string);
    type Of = fn(String, Position) -> E;
    let starts: [(&str, Of); 7] = [
        ("Function not found: ", E::ErrorFunctionNotFound),
        ("Variable not found: ", E::ErrorVariableNotFound),
        ("Property not found: ", E::ErrorPropertyNotFound),
        ("Invalid index: ", |text, at| E::ErrorIndexNotFound(text.into(), at)),
        ("Module not found: ", E::ErrorModuleNotFound),
        ("Indexer unavailable: ", E::ErrorIndexingType),
        ("Cannot modify constant ", E::ErrorAssignmentToConstant),
    ];
    for (start, error) in starts {
        if let Some(rest) = of(start) {
            return error(rest, at);
        }
    }
    for (start, error) in [
        ("Data type incorrect", E::ErrorMismatchDataType as fn(String, String, Position) -> E),
        ("Output type incorrect", E::ErrorMismatchOutputType),
    ] {
        if let Some((wanted, found)) = of(start).and_then(|rest| types(&rest)) {
            return error(wanted, found, at);
        }
    }
    if let Some((index, length)) = of("Array index ").and_then(|rest| bounds(&rest)) {
        return E::ErrorArrayBounds(length, index, at);
    }
    if let Some((index, length)) = of("String index ").and_then(|rest| bounds(&rest)) {
        return E::ErrorStringBounds(length, index, at);
    }
    if let Some(what) = leaf.strip_suffix(" too large") {
        return E::ErrorDataTooLarge(what.to_string(), at);
    }
    match leaf {
        "For loop expects iterable type" => E::ErrorFor(at),
        "'this' not bound" => E::ErrorUnboundThis(at),
        "Stack overflow" => E::ErrorStackOverflow(at),
        _ if leaf.starts_with("Unknown property ") || leaf.starts_with("No writable property ") => {
            E::ErrorDotExpr(leaf.to_string(), at)
        }
        _ => E::ErrorRuntime(Dynamic::from(leaf.to_string()), at),
    }
}

/// Wanted and found type, of `, expecting bool`, `: i64` or `: i64 (expecting bool)`.
fn types(text: &str) -> Option<(String, String)> {
    if let Some(wanted) = text.strip_prefix(", expecting ") {
        return Some((wanted.to_string(), String::new()));
    }
    let found = text.strip_prefix(": ")?;
    let parts = found.strip_suffix(')').and_then(|found| found.split_once(" (expecting "));
    Some(parts.map_or((String::new(), found.to_string()), |(found, wanted)| (wanted.to_string(), found.to_string())))
}

/// Index and length, of `3 out of bounds: only 2 elements in array`.
fn bounds(text: &str) -> Option<(i64, usize)> {
    let (index, rest) = text.split_once(" out of bounds: ")?;
    let length = rest.strip_prefix("only ").and_then(|rest| rest.split(' ').next()?.parse().ok());
    Some((index.parse().ok()?, length.unwrap_or(0)))
}
