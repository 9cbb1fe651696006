//! Function signatures and type names as error messages show them: `conv2d(out: int, kernel: int, options: map)`.

use rhai::Engine;
use std::collections::BTreeSet;

/// A native function: what it is called and what it takes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Native {
    /// Its name; a getter's begins with `get$`.
    pub name: String,
    /// How many arguments it takes, the one before the dot included.
    pub arity: usize,
    /// Type of the first argument, in short.
    pub first: String,
    /// The signature to show.
    pub shown: String,
    /// The static module it lives in, empty for the global ones.
    pub namespace: String,
}

/// Every native function, Rhai's own included, sorted.
pub fn natives(engine: &Engine) -> Vec<Native> {
    let collected = engine.collect_fn_metadata(
        None,
        |info| {
            let m = info.metadata;
            let parameters: Vec<(String, String)> = m
                .params_info
                .iter()
                .map(|p| p.split_once(':').unwrap_or(("_", p)))
                .map(|(name, kind)| (name.trim().to_string(), short_type(engine.map_type_name(bare(kind)))))
                .collect();
            let parameters = if parameters.len() == m.num_params {
                parameters
            } else {
                vec![("_".into(), "any".into()); m.num_params]
            };
            let shown: Vec<String> = parameters
                .iter()
                .map(|(name, kind)| if name == "_" { kind.clone() } else { format!("{name}: {kind}") })
                .collect();
            Some(Native {
                name: m.name.to_string(),
                arity: m.num_params,
                first: parameters.first().map_or(String::new(), |p| p.1.clone()),
                shown: format!("{}({})", m.name, shown.join(", ")),
                namespace: info.namespace.to_string(),
            })
        },
        true,
    );
    collected.into_iter().collect::<BTreeSet<_>>().into_iter().collect()
}

/// The type without `&mut`, `&` and what Rust wraps around it.
fn bare(kind: &str) -> &str {
    kind.trim().trim_start_matches('&').trim_start_matches("mut ").trim()
}

/// The name of a type as a script's author knows it.
pub fn short_type(kind: &str) -> String {
    let kind = kind.trim();
    match kind {
        "i64" | "INT" => "int",
        "f64" | "FLOAT" => "float",
        "&str" | "str" | "ImmutableString" | "String" | "&str | ImmutableString | String" => "string",
        "Array" => "array",
        "Map" => "map",
        "Blob" => "blob",
        "Fn" | "FnPtr" => "closure",
        "Dynamic" => "any",
        "()" => "()",
        _ if kind.contains("Range") => "range",
        // What the host shares, `Rc<Run>`, is what it holds.
        _ => match kind.rsplit("::").next().unwrap_or(kind).trim_start_matches("Rc<").trim_end_matches([' ', '>']) {
            "Dynamic" => "any",
            kind => kind,
        },
    }
    .to_string()
}

/// A value of a type, for messages: `an int`, `a closure`, `()`.
pub fn a_value_of(kind: &str) -> String {
    match short_type(kind) {
        kind if kind == "()" => kind,
        kind if kind == "any" => "a value".into(),
        kind if kind.starts_with(['a', 'e', 'i', 'o', 'u', 'A', 'E', 'I', 'O', 'U']) => format!("an {kind}"),
        kind => format!("a {kind}"),
    }
}

/// `text` with types of the program by their own names, without where they are defined.
pub fn short_paths(text: &str) -> String {
    let Some(start) = text.find("workbench::") else { return text.to_string() };
    let path = |c: char| c.is_alphanumeric() || "_:".contains(c);
    let end = text[start..].find(|c| !path(c)).map_or(text.len(), |length| start + length);
    format!("{}{}{}", &text[..start], short_type(&text[start..end]), short_paths(&text[end..]))
}

/// `name (T, U)` as Rhai reports an unknown function: module path, name, short argument types.
pub fn split_call(call: &str) -> (&str, &str, Vec<String>) {
    let (path, arguments) = call.split_once(" (").unwrap_or((call, ")"));
    let (module, name) = path.rsplit_once("::").unwrap_or(("", path));
    let arguments = arguments.strip_suffix(')').unwrap_or(arguments);
    let kinds = arguments.split(", ").filter(|a| !a.is_empty()).map(short_type).collect();
    (module, name, kinds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_types_in_short() {
        assert_eq!(
            split_call("lip::foo (Tensor, i64, &str | ImmutableString | String, Fn)"),
            ("lip", "foo", vec!["Tensor".into(), "int".into(), "string".into(), "closure".into()])
        );
        assert_eq!(split_call("x ()"), ("", "x", vec![]));
    }

    #[test]
    fn natives_show_their_parameters() {
        let all = natives(&Engine::new());
        let shown: Vec<&str> = all.iter().filter(|n| n.name == "pad").map(|n| n.shown.as_str()).collect();
        assert!(shown.contains(&"pad(array: array, len: int, item: any)"), "{shown:?}");
    }
}
