//! Linear relaxations: lines of activations, linear bounds and their way back through layers.

use super::args;
use super::args::all_of;
use crate::bounds::relax::{self, Over, Rows};
use crate::nn::layers::{Choice, Relaxation, Slope};
use crate::script::language::options::Options;
use crate::script::language::signatures::a_value_of;
use crate::script::language::{Res, candle, fail};
use crate::script::values::{Layer, LinearBound, Region, Tensor};
use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, INT, Map};

pub fn register(engine: &mut Engine) {
    engine.register_global_module(rhai::exported_module!(relaxed).into());
}

/// The slope of one side, by its name or as a share.
fn slope(options: &mut Options, key: &'static str) -> Res<Slope> {
    if let Some(share) = options.dynamic(key) {
        if let Some(Tensor(share)) = share.clone().try_cast::<Tensor>() {
            return Ok(Slope::Share(share));
        }
        let kind = a_value_of(share.type_name());
        return match share.into_string().as_deref() {
            Ok("adaptive") => Ok(Slope::Adaptive),
            Ok("same") => Ok(Slope::Same),
            Ok("zero") => Ok(Slope::Zero),
            Ok("one") => Ok(Slope::One),
            Ok(other) => Err(fail(format!(
                "lines: option `{key}` is \"{other}\"; choices: adaptive, same, zero, one, or a tensor of shares from 0 to 1"
            ))),
            Err(_) => Err(fail(format!(
                "lines: option `{key}` is {kind}; adaptive, same, zero, one or a tensor of shares from 0 to 1 is wanted"
            ))),
        };
    }
    Ok(Slope::Adaptive)
}

fn found(activation: &Layer, region: &Region, options: Map) -> Res<Map> {
    let mut options = Options::new("lines", options);
    let choice = Choice { lower: slope(&mut options, "lower")?, upper: slope(&mut options, "upper")? };
    options.finish()?;
    let found = relax::lines(&activation.0, &region.0, &choice).map_err(candle)?;
    let mut all = vec![
        ("lower_slope", found.lower_slope),
        ("lower_offset", found.lower_offset),
        ("upper_slope", found.upper_slope),
        ("upper_offset", found.upper_offset),
    ];
    if let Some([low, high]) = found.partners {
        all.extend([("lower_partner", low), ("upper_partner", high)]);
    }
    Ok(all.into_iter().map(|(key, t)| (key.into(), Dynamic::from(Tensor(t)))).collect())
}

/// Lines as `lines` gives them, or a script.
fn relaxation(lines: &Map) -> Res<Relaxation> {
    let part = |key: &str| lines.get(key).and_then(|t| t.clone().try_cast::<Tensor>()).map(|t| t.0);
    let wanted = |key: &str| part(key).ok_or_else(|| fail(format!("before: the lines hold no tensor `{key}`")));
    let partners = match (part("lower_partner"), part("upper_partner")) {
        (Some(low), Some(high)) => Some([low, high]),
        (None, None) => None,
        _ => return Err(fail("before: the lines hold one of `lower_partner` and `upper_partner`; give both, or none")),
    };
    Ok(Relaxation {
        lower_slope: wanted("lower_slope")?,
        lower_offset: wanted("lower_offset")?,
        upper_slope: wanted("upper_slope")?,
        upper_offset: wanted("upper_offset")?,
        partners,
    })
}

fn over(op: &str, name: &str) -> Res<Over> {
    match name {
        "ball" => Ok(Over::Ball),
        "box" => Ok(Over::Box),
        "both" => Ok(Over::Both),
        _ => Err(fail(format!("{op}: over \"{name}\"; known: ball, box, both"))),
    }
}

fn of_first(layers: Array, ball: &Region, rows: Rows) -> Res<Region> {
    let all: Vec<_> = all_of("first_box", "a network's layer, as `net.layers` has them", layers)?
        .into_iter()
        .map(|layer: Layer| layer.0)
        .collect();
    relax::first_box(&all, &ball.0, rows).map(Region).map_err(candle)
}

fn replaced(region: &Region, places: &Tensor, ends: [&Tensor; 2], options: Map) -> Res<Region> {
    let mut options = Options::new("tightened", options);
    let replaced = options.bool("replaced", false)?;
    options.finish()?;
    relax::tightened(&region.0, &places.0, ends.map(|t| &t.0), replaced).map(Region).map_err(candle)
}

#[export_module]
mod relaxed {
    #[rhai_fn(return_raw)]
    pub fn lines(activation: Layer, region: Region) -> Res<Map> {
        found(&activation, &region, Map::new())
    }
    #[rhai_fn(name = "lines", return_raw)]
    pub fn lines_options(activation: Layer, region: Region, options: Map) -> Res<Map> {
        found(&activation, &region, options)
    }
    #[rhai_fn(return_raw)]
    pub fn uncertain(activation: Layer, region: Region) -> Res<Tensor> {
        relax::uncertain(&activation.0, &region.0).map(Tensor).map_err(candle)
    }
    #[rhai_fn(return_raw)]
    pub fn first_box(layers: Array, ball: Region) -> Res<Region> {
        of_first(layers, &ball, Rows::Exact)
    }
    #[rhai_fn(name = "first_box", return_raw)]
    pub fn first_box_rows(layers: Array, ball: Region, rows: &str) -> Res<Region> {
        match rows {
            "exact" => of_first(layers, &ball, Rows::Exact),
            "kernel" => of_first(layers, &ball, Rows::Kernel),
            _ => Err(fail(format!("first_box: rows \"{rows}\"; known: exact, kernel"))),
        }
    }
    #[rhai_fn(return_raw)]
    pub fn linear_bound(coefficients: Tensor) -> Res<LinearBound> {
        relax::LinearBound::new(&coefficients.0, None).map(LinearBound).map_err(candle)
    }
    #[rhai_fn(name = "linear_bound", return_raw)]
    pub fn linear_bound_constants(coefficients: Tensor, constants: Tensor) -> Res<LinearBound> {
        relax::LinearBound::new(&coefficients.0, Some(&constants.0)).map(LinearBound).map_err(candle)
    }
    #[rhai_fn(get = "coefficients", pure, return_raw)]
    pub fn coefficients(bound: &mut LinearBound) -> Res<Tensor> {
        Ok(Tensor(bound.0.parts().map_err(candle)?.0))
    }
    #[rhai_fn(get = "constants", pure, return_raw)]
    pub fn constants(bound: &mut LinearBound) -> Res<Tensor> {
        Ok(Tensor(bound.0.parts().map_err(candle)?.1))
    }
    #[rhai_fn(pure, return_raw)]
    pub fn before(bound: &mut LinearBound, layer: Layer) -> Res<LinearBound> {
        bound.0.before(&layer.0, None).map(LinearBound).map_err(candle)
    }
    #[rhai_fn(name = "before", pure, return_raw)]
    pub fn before_region(bound: &mut LinearBound, layer: Layer, region: Region) -> Res<LinearBound> {
        bound.0.before(&layer.0, Some(&region.0)).map(LinearBound).map_err(candle)
    }
    #[rhai_fn(name = "before", pure, return_raw)]
    pub fn before_lines(bound: &mut LinearBound, layer: Layer, region: Region, lines: Map) -> Res<LinearBound> {
        bound.0.before_activation(&layer.0, &region.0, &relaxation(&lines)?).map(LinearBound).map_err(candle)
    }
    #[rhai_fn(name = "apart", pure, return_raw)]
    pub fn apart_bound(bound: &mut LinearBound, block: Layer) -> Res<Array> {
        let each = bound.0.apart(&block.0).map_err(candle)?;
        Ok(each.into_iter().map(|part| Dynamic::from(LinearBound(part))).collect())
    }
    #[rhai_fn(pure, return_raw)]
    pub fn plus(bound: &mut LinearBound, other: LinearBound) -> Res<LinearBound> {
        bound.0.plus(&other.0).map(LinearBound).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn held(bound: &mut LinearBound, region: Region, least: Tensor, most: Tensor) -> Res<LinearBound> {
        bound.0.held(&region.0, &least.0, &most.0).map(LinearBound).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn samples(region: &mut Region, places: Tensor) -> Res<Region> {
        let places = places.0.to_dtype(candle_core::DType::U32).map_err(candle)?;
        region.0.samples(&places).map(Region).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn with_box(region: &mut Region, lower: Tensor, upper: Tensor) -> Res<Region> {
        region.0.with_box(&lower.0, &upper.0).map(Region).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn concretise(bound: &mut LinearBound, region: Region) -> Res<Tensor> {
        bound.0.concretise(&region.0, Over::Ball).map(Tensor).map_err(candle)
    }
    #[rhai_fn(name = "concretise", pure, return_raw)]
    pub fn concretise_over(bound: &mut LinearBound, region: Region, of: &str) -> Res<Tensor> {
        bound.0.concretise(&region.0, over("concretise", of)?).map(Tensor).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn adjoint_absolute(layer: &mut Layer, h: Tensor) -> Res<Tensor> {
        relax::adjoint_absolute(&layer.0, &h.0).map(Tensor).map_err(candle)
    }
    #[rhai_fn(return_raw)]
    pub fn specification(y: Tensor, classes: INT) -> Res<Tensor> {
        let classes = args::count("specification", "the number of classes", classes)?;
        let y = &y.0;
        relax::specification(y, classes, candle_core::DType::F32, y.device()).map(Tensor).map_err(candle)
    }
    #[rhai_fn(return_raw)]
    pub fn with_label(values: Tensor, y: Tensor) -> Res<Tensor> {
        relax::with_label(&values.0, &y.0).map(Tensor).map_err(candle)
    }
    #[rhai_fn(return_raw)]
    pub fn unit_rows(places: Tensor, shape: Array, sign: Dynamic, dtype: &str) -> Res<Tensor> {
        let shape = args::shape("unit_rows", &shape)?;
        args::room("unit_rows", &[places.0.dims(), &shape].concat())?;
        let sign = args::number("unit_rows", &sign)?;
        let dtype = args::dtype("unit_rows", dtype)?;
        relax::unit_rows(&places.0, &shape, sign, dtype).map(Tensor).map_err(candle)
    }
    #[rhai_fn(return_raw)]
    pub fn mask_places(mask: Tensor) -> Res<Tensor> {
        relax::mask_places(&mask.0).map(Tensor).map_err(candle)
    }
    #[rhai_fn(return_raw)]
    pub fn place_tiles(mask: Tensor, rows: INT) -> Res<Array> {
        let rows = args::count("place_tiles", "the number of neurons", rows)?;
        let tiles = relax::place_tiles(&mask.0, rows).map_err(candle)?;
        Ok(tiles.into_iter().map(|places| Dynamic::from(Tensor(places))).collect())
    }
    #[rhai_fn(return_raw)]
    pub fn neuron_bounds(places: Tensor, shape: Array, dtype: &str) -> Res<LinearBound> {
        let shape = args::shape("neuron_bounds", &shape)?;
        let dtype = args::dtype("neuron_bounds", dtype)?;
        relax::neuron_bounds(&places.0, &shape, dtype).map(LinearBound).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn tightened(region: &mut Region, places: Tensor, lower: Tensor, upper: Tensor) -> Res<Region> {
        replaced(region, &places, [&lower, &upper], Map::new())
    }
    #[rhai_fn(name = "tightened", pure, return_raw)]
    pub fn tightened_options(
        region: &mut Region,
        places: Tensor,
        lower: Tensor,
        upper: Tensor,
        options: Map,
    ) -> Res<Region> {
        replaced(region, &places, [&lower, &upper], options)
    }
}
