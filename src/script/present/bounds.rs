//! What a walk over the layers returned, as a table: for each layer the box's width, the share of its neurons that vary,
//! global and local norm, and what the local ones have come to. Of several images the means.

use super::brief::mean;
use crate::nn::layers::Meeting;
use crate::script::language::{Res, candle};
use crate::script::values::{Layer, NormBound, Region, SpectralNorm, Tensor, values};
use crate::show::{Screen, short, table};
use rhai::{Array, Dynamic, Map};

fn part<T: Clone + 'static>(map: &Map, key: &str) -> Option<T> {
    map.get(key).cloned().and_then(|value| value.try_cast::<T>())
}

/// The table, if `map` is what `lip::bounds`, `lip::ball` or `methods::worst_case` gives.
pub fn walked(map: &Map, screen: Screen) -> Res<Option<String>> {
    let Some(lipschitz) = part::<Tensor>(map, "lipschitz") else { return Ok(None) };
    let notes: Vec<Map> = match map.get("layers").map(Dynamic::as_array_ref) {
        Some(Ok(layers)) => layers.iter().filter_map(|note| note.clone().try_cast::<Map>()).collect(),
        _ => return Ok(None),
    };
    if notes.is_empty() || notes.iter().any(|note| part::<Layer>(note, "layer").is_none()) {
        return Ok(None);
    }
    let images = part::<Tensor>(map, "logits").and_then(|t| t.0.dims().first().copied()).unwrap_or(1);
    let head = ["layer", "box width", "varying %", "global", "local", "kept %", "product"].map(String::from);
    let mut rows = vec![];
    let mut product = 1.0;
    for note in &notes {
        rows.push(row(note, Some(&mut product))?);
        inside(note, &mut rows)?;
    }
    let radius = match part::<Tensor>(map, "radius") {
        Some(radius) => format!(", radius {}", short(mean(&radius.0)?)),
        None => String::new(),
    };
    let many = if images == 1 { "Bounds of 1 image".to_string() } else { format!("Bounds of {images} images, means") };
    let first = format!("{many}; before the last layer Lipschitz {}{radius}", short(mean(&lipschitz.0)?));
    let mut lines: Vec<String> = screen.wrap(&first, 0).iter().map(|line| screen.bold(line)).collect();
    lines.extend(table::table(&head, &rows, screen));
    let rest: Vec<&str> = map.keys().map(|key| key.as_str()).collect();
    lines.extend(screen.wrap(&format!("keys: {}", rest.join(", ")), 0).iter().map(|line| screen.dim(line)));
    Ok(Some(lines.join("\n")))
}

/// A norm of a note: an estimate, a proved bound, or a block's bound, a map with its `sigma` or `lipschitz`.
fn norm_of(note: &Map, key: &str) -> Res<Option<f64>> {
    let estimate = || part::<SpectralNorm>(note, key).map(|norm| norm.0.sigma.clone());
    let proved = || part::<NormBound>(note, key).map(|bound| bound.0.upper.clone());
    let of_block = || {
        let bound = part::<Map>(note, key)?;
        part::<Tensor>(&bound, "sigma").or_else(|| part::<Tensor>(&bound, "lipschitz")).map(|t| t.0)
    };
    estimate().or_else(proved).or_else(of_block).map(|sigma| mean(&sigma)).transpose()
}

/// What the global norms of a block's branches come to.
fn of_branches(note: &Map) -> Res<Option<f64>> {
    let mut each = vec![];
    for list in part::<Array>(note, "parts").unwrap_or_default() {
        let mut product = 1.0;
        for inner in list.into_array().unwrap_or_default().into_iter().filter_map(Dynamic::try_cast::<Map>) {
            let layer = part::<Layer>(&inner, "layer").map(|l| l.0);
            let own = match layer.as_ref().and_then(|l| l.meeting()) {
                Some(_) => of_branches(&inner)?,
                None => norm_of(&inner, "global")?.or_else(|| layer.and_then(|l| l.lipschitz())),
            };
            let Some(own) = own else { return Ok(None) };
            product *= own;
        }
        each.push(product);
    }
    Ok(Some(match part::<Layer>(note, "layer").and_then(|l| l.0.meeting()) {
        Some(Meeting::Concatenation) => each.iter().map(|x| x * x).sum::<f64>().sqrt(),
        Some(Meeting::Sum) | None => each.iter().sum(),
    }))
}

/// The rows of what is in a block; the bound of the whole is the block's.
fn inside(note: &Map, rows: &mut Vec<Vec<String>>) -> Res<()> {
    let parts = part::<Array>(note, "parts").unwrap_or_default();
    let notes = parts.into_iter().flat_map(|list| list.into_array().unwrap_or_default());
    for note in notes.filter_map(Dynamic::try_cast::<Map>) {
        rows.push(row(&note, None)?);
        inside(&note, rows)?;
    }
    Ok(())
}

fn row(note: &Map, product: Option<&mut f64>) -> Res<Vec<String>> {
    let layer = part::<Layer>(note, "layer").map_or(String::new(), |l| format!("{} {}", l.0.path, l.0.spec.describe()));
    let width = match part::<Region>(note, "region") {
        Some(region) => short(mean(&region.0.mean_width().map_err(candle)?)?),
        None => String::new(),
    };
    let varying = match part::<Tensor>(note, "rows") {
        Some(mask) => format!("{:.1}", 100.0 * mean(&mask.0)?),
        None => String::new(),
    };
    let layer_of = part::<Layer>(note, "layer").map(|l| l.0);
    let (global, local) = (norm_of(note, "global")?, norm_of(note, "local")?);
    let global = match (global, layer_of.as_ref().and_then(|l| l.meeting())) {
        (None, Some(_)) => of_branches(note)?,
        (global, _) => global,
    };
    let shown = |x: Option<f64>| x.map_or(String::new(), short);
    let kept = match (global, local) {
        (Some(global), Some(local)) if global > 0.0 => format!("{:.1}", 100.0 * local / global),
        _ => String::new(),
    };
    let own = local.or(global);
    let product = product.map(|product| {
        *product *= own.or_else(|| layer_of.and_then(|l| l.lipschitz())).unwrap_or(1.0);
        *product
    });
    Ok(vec![layer, width, varying, shown(global), shown(local), kept, shown(own.and(product))])
}

/// Ball and box: their sizes.
pub fn region(region: &Region, screen: Screen) -> Res<String> {
    let (radius, width) = (values(&region.0.radius)?, mean(&region.0.mean_width().map_err(candle)?)?);
    let radius = match crate::show::distribution::summary(&radius) {
        None => "given up".to_string(),
        Some(all) if all.low == all.high => short(all.low),
        Some(all) => format!("{} to {}", short(all.low), short(all.high)),
    };
    let text = format!(
        "Region {:?}: ball of radius {radius}, box of mean width {}; center, lower, upper, radius, mean_width",
        region.0.dims(),
        short(width)
    );
    Ok(screen.wrap(&text, 0).join("\n"))
}

/// A power iteration: what it found, and whether it is done.
pub fn norm(norm: &SpectralNorm) -> Res<String> {
    let sigma = values(&norm.0.sigma)?;
    let most = norm.0.iterations.iter().max().copied().unwrap_or(0);
    let shown: Vec<String> = sigma.iter().take(8).map(|x| short(*x)).collect();
    let more = if sigma.len() > 8 { format!(", ... {} in all", sigma.len()) } else { String::new() };
    let end = if norm.0.converged.iter().all(|c| *c) { "converged" } else { "not known to have converged" };
    Ok(format!("spectral norm {}{more}; {most} iterations, {end}", shown.join(", ")))
}
