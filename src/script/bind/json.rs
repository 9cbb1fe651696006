//! A script's values as JSON and back, for what is kept beyond the script: the same type and, for numbers, the same value
//! to the last bit. JSON has no infinity and no NaN; those are written as `{"float": "inf"}`.

use crate::script::language::signatures::short_type;
use crate::script::language::{Res, fail};
use rhai::{Array, Dynamic, FLOAT, INT, Map};
use serde_json::{Value, json};

/// The key of a float that JSON lacks.
const FLOAT: &str = "float";

/// A value as JSON; `op` is named if it cannot be.
pub fn json(op: &str, value: &Dynamic) -> Res<Value> {
    if let Some(x) = value.clone().try_cast::<FLOAT>() {
        return Ok(if x.is_finite() { json!(x) } else { json!({ FLOAT: x.to_string() }) });
    }
    if let Some(n) = value.clone().try_cast::<INT>() {
        return Ok(json!(n));
    }
    if let Some(flag) = value.clone().try_cast::<bool>() {
        return Ok(json!(flag));
    }
    if value.is_unit() {
        return Ok(Value::Null);
    }
    if value.is_string() {
        return Ok(json!(value.to_string()));
    }
    if let Some(items) = value.clone().try_cast::<Array>() {
        return items.iter().map(|item| json(op, item)).collect::<Res<Vec<_>>>().map(Value::Array);
    }
    if let Some(map) = value.clone().try_cast::<Map>() {
        let entries = map.iter().map(|(key, value)| Ok((key.to_string(), json(op, value)?)));
        return entries.collect::<Res<serde_json::Map<_, _>>>().map(Value::Object);
    }
    Err(fail(format!(
        "{op}: one {} cannot be kept; numbers, strings, bools, and arrays and maps of these can. Tensors of one number: \
         value.item()",
        short_type(value.type_name())
    )))
}

/// The value that [`json()`] was given.
pub fn dynamic(value: &Value) -> Res<Dynamic> {
    Ok(match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(flag) => (*flag).into(),
        Value::String(text) => text.clone().into(),
        Value::Number(number) => match number.as_i64() {
            Some(n) => n.into(),
            None => number.as_f64().unwrap_or(FLOAT::NAN).into(),
        },
        Value::Array(items) => items.iter().map(dynamic).collect::<Res<Array>>()?.into(),
        Value::Object(entries) => match entries.get(FLOAT).filter(|_| entries.len() == 1).and_then(Value::as_str) {
            Some(text) => text.parse::<FLOAT>().map_err(|e| fail(format!("run.kept: {e}")))?.into(),
            None => {
                let entries = entries.iter().map(|(key, value)| Ok((key.as_str().into(), dynamic(value)?)));
                entries.collect::<Res<Map>>()?.into()
            }
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_as_they_were() {
        let source = "#{ a: 1, b: 1.0, c: [0.1, -0.0, 1e300, 1.0 / 3.0], d: \"x\", e: (), f: true, g: #{ h: [] } }";
        let value = rhai::Engine::new().eval::<Dynamic>(source).unwrap();
        let text = serde_json::to_string(&json("run.keep", &value).unwrap()).unwrap();
        let back = dynamic(&serde_json::from_str(&text).unwrap()).unwrap();
        assert_eq!(format!("{value:?}"), format!("{back:?}"));
        for x in [FLOAT::INFINITY, FLOAT::NEG_INFINITY, FLOAT::NAN] {
            let back = dynamic(&json("run.keep", &x.into()).unwrap()).unwrap().as_float().unwrap();
            assert_eq!(x.to_string(), back.to_string());
        }
    }
}
