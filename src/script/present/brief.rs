//! A value in one line.

use super::tensor;
use crate::script::language::Res;
use crate::script::values::{Layer, Model, Tensor, values};
use crate::show::clipped;
use rhai::Dynamic;

/// A value in one line of at most `width` columns.
pub fn brief(value: &Dynamic, width: usize, text: &dyn Fn(&Dynamic) -> String) -> String {
    if let Some(tensor) = value.clone().try_cast::<Tensor>() {
        return clipped(&tensor::brief(&tensor.0), width);
    }
    if let Some(model) = value.clone().try_cast::<Model>() {
        return clipped(
            &format!("{} layers, {} parameters", model.0.layers().len(), grouped(parameters(&model, ""))),
            width,
        );
    }
    if let Some(layer) = value.clone().try_cast::<Layer>() {
        return clipped(&format!("{} {}", layer.0.path, layer.0.spec.describe()), width);
    }
    if let Ok(string) = value.as_immutable_string_ref()
        && string.contains('\n')
    {
        return clipped(&format!("text of {} lines", string.lines().count()), width);
    }
    if let Ok(array) = value.as_array_ref()
        && array.len() > 8
    {
        let first: Vec<String> = array.iter().take(4).map(|item| brief(item, width, text)).collect();
        return clipped(&format!("[{}, ... {} in all]", first.join(", "), array.len()), width);
    }
    if let Ok(map) = value.as_map_ref() {
        let keys: Vec<&str> = map.keys().map(|key| key.as_str()).collect();
        return clipped(&format!("#{{ {} }}", keys.join(", ")), width);
    }
    clipped(text(value).lines().next().unwrap_or(""), width)
}

/// How many numbers the parameters hold whose names begin with `prefix`.
pub fn parameters(model: &Model, prefix: &str) -> usize {
    model.0.parameters().iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, var)| var.elem_count()).sum()
}

/// `12,345`.
pub fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The mean of a tensor's values.
pub fn mean(tensor: &candle_core::Tensor) -> Res<f64> {
    let all = values(tensor)?;
    Ok(all.iter().sum::<f64>() / all.len().max(1) as f64)
}
