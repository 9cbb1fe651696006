//! A value in full.

use super::brief::{brief, grouped, parameters};
use super::{bounds, tables, tensor};
use crate::script::language::Res;
use crate::script::language::signatures::short_type;
use crate::script::values::{Model, Region, SpectralNorm, Tensor};
use crate::show::{Screen, Series, curve, short, table};
use rhai::Dynamic;

/// Arrays of at least so many numbers are drawn.
const LONG: usize = 24;

/// A value in full, in several lines if need be. `text` is how Rhai prints values of other types.
pub fn shown(value: &Dynamic, screen: Screen, text: &dyn Fn(&Dynamic) -> String) -> Res<String> {
    if let Some(tensor) = value.clone().try_cast::<Tensor>() {
        return tensor::shown(&tensor.0, screen);
    }
    if let Some(model) = value.clone().try_cast::<Model>() {
        return Ok(self::model(&model, screen));
    }
    if let Some(region) = value.clone().try_cast::<Region>() {
        return bounds::region(&region, screen);
    }
    if let Some(norm) = value.clone().try_cast::<SpectralNorm>() {
        return bounds::norm(&norm);
    }
    if let Ok(string) = value.as_immutable_string_ref() {
        // Tables and drawings are text of several lines: as they are.
        return Ok(if string.contains('\n') { string.to_string() } else { format!("{:?}", string.as_str()) });
    }
    if let Ok(map) = value.as_map_ref() {
        if let Some(found) = bounds::walked(&map, screen)? {
            return Ok(found);
        }
        return Ok(tables::columns(&map, screen).unwrap_or_else(|| tables::map(&map, screen, text)));
    }
    if let Ok(array) = value.as_array_ref() {
        if let Some(found) = tables::rows(&array, screen) {
            return Ok(found);
        }
        let numbers: Option<Vec<f64>> = array.iter().map(tables::number).collect();
        if let Some(numbers) = numbers.filter(|numbers| numbers.len() >= LONG) {
            return Ok(long(&numbers, screen));
        }
        let lines: Vec<String> = array.iter().map(|value| brief(value, screen.width, text)).collect();
        let one = format!("[{}]", lines.join(", "));
        if one.chars().count() <= screen.width || array.iter().all(|value| tables::number(value).is_some()) {
            return Ok(one);
        }
        return Ok(lines.iter().enumerate().map(|(i, line)| format!("{i:>4}  {line}")).collect::<Vec<_>>().join("\n"));
    }
    Ok(text(value))
}

/// The name of a value's type as a script's author knows it.
pub fn kind(value: &Dynamic, engine: &rhai::Engine) -> String {
    short_type(engine.map_type_name(value.type_name()))
}

/// Many numbers: what they are like, and the curve that they make.
fn long(numbers: &[f64], screen: Screen) -> String {
    let head = match crate::show::distribution::summary(numbers) {
        Some(all) => format!("{} to {}, mean {}", short(all.low), short(all.high), short(all.mean)),
        None => "none finite".into(),
    };
    let points = numbers.iter().enumerate().map(|(i, y)| (i as f64, *y)).collect();
    let mut lines = vec![format!("{} numbers, {head}", numbers.len())];
    lines.extend(curve(&[Series { name: String::new(), points }], 8, screen));
    lines.join("\n")
}

/// A network: what it takes, and a row for each layer with shapes and the number of parameters.
fn model(model: &Model, screen: Screen) -> String {
    let net = &model.0;
    let frozen = if net.is_frozen() { ", frozen" } else { "" };
    let mut lines = vec![format!(
        "{} over {:?}, {} parameters, {}{frozen}",
        screen.bold("Model"),
        net.input(),
        grouped(parameters(model, "")),
        net.dtype().as_str(),
    )];
    let head = ["layer", "input", "output", "parameters"].map(String::from);
    let rows: Vec<Vec<String>> = net
        .all_layers()
        .into_iter()
        .map(|layer| {
            let count = net.count_of(layer);
            vec![
                format!("{:>2} {}", layer.path, layer.spec.describe()),
                format!("{:?}", layer.input),
                format!("{:?}", layer.output),
                if count > 0 { grouped(count) } else { String::new() },
            ]
        })
        .collect();
    lines.extend(table::table(&head, &rows, screen));
    lines.join("\n")
}
