//! Values drawn: histograms, curves and images in text, plots in files.

use super::args;
use super::host::host;
use crate::base::files;
use crate::script::language::options::Options;
use crate::script::language::signatures::a_value_of;
use crate::script::language::{Res, fail};
use crate::script::values::Tensor;
use crate::script::values::values;
use crate::show::picture::{Picture, pictures, png};
use crate::show::plot::{Drawing, Format, Plot};
use crate::show::{Screen, Series, curve, distribution};
use rhai::plugin::*;
use rhai::{Dynamic, Engine, FLOAT, Map, NativeCallContext};
use std::path::Path;

/// Rows of a curve in text.
const ROWS: usize = 12;
/// Bins of a histogram in text.
const BINS: usize = 12;

pub fn register(engine: &mut Engine) {
    engine.register_global_module(rhai::exported_module!(drawings).into());
}

/// Numbers from a tensor or an array.
fn numbers(op: &str, value: &Dynamic) -> Res<Vec<FLOAT>> {
    if let Some(tensor) = value.clone().try_cast::<Tensor>() {
        return values(&tensor.0);
    }
    match value.as_array_ref() {
        Ok(array) => args::numbers(op, &array),
        Err(kind) => Err(fail(format!("{op}: an array of numbers or a tensor is wanted, got {}", a_value_of(kind)))),
    }
}

/// One line for each key of a map, or one line; `x` counts from 0 where it is not given.
fn series(op: &str, x: Option<&Dynamic>, y: &Dynamic) -> Res<Vec<Series>> {
    let x = x.map(|x| numbers(op, x)).transpose()?;
    let one = |name: &str, y: &Dynamic| -> Res<Series> {
        let y = numbers(op, y)?;
        let x = x.clone().unwrap_or_else(|| (0..y.len()).map(|i| i as FLOAT).collect());
        if x.len() != y.len() {
            let named = if name.is_empty() { String::new() } else { format!(" of `{name}`") };
            return Err(fail(format!("{op}: {} values of x, {} of y{named}; there must be as many", x.len(), y.len())));
        }
        Ok(Series { name: name.into(), points: x.into_iter().zip(y).collect() })
    };
    match y.as_map_ref() {
        Ok(map) => map.iter().map(|(name, y)| one(name, y)).collect(),
        Err(_) => Ok(vec![one("", y)?]),
    }
}

fn drawn(context: &NativeCallContext, file: &str, x: Option<&Dynamic>, y: &Dynamic, options: Map) -> Res<String> {
    let mut options = Options::new("plot", options);
    let text = |options: &mut Options, key: &'static str| options.string(key).map(Option::unwrap_or_default);
    let plot = Plot {
        title: text(&mut options, "title")?,
        x_label: text(&mut options, "x_label")?,
        y_label: text(&mut options, "y_label")?,
        log_x: false,
        log_y: options.bool("log_y", false)?,
        whole: false,
        drawing: match options.choice("kind", "line", &["line", "points", "histogram"])? {
            "points" => Drawing::Points,
            "histogram" => Drawing::Histogram,
            _ => Drawing::Line,
        },
        size: (options.usize("width", 800, 160..=4000)? as u32, options.usize("height", 500, 120..=4000)? as u32),
        names_below: false,
        series: series("plot", x, y)?,
    };
    options.finish()?;
    let format =
        Format::of(file).ok_or_else(|| fail(format!("plot: \"{file}\" says no format; end it in .svg or .png")))?;
    let bytes = plot.render(format).map_err(|e| fail(format!("plot: {e}")))?;
    kept("plot", context, file, &bytes)
}

/// A drawing as a file in the run's folder, for its page too; its path.
fn kept(op: &str, context: &NativeCallContext, file: &str, bytes: &[u8]) -> Res<String> {
    let path = host(context).run.file(file).map_err(fail)?;
    files::replace(Path::new(&path), bytes).map_err(|e| fail(format!("{op}: cannot write {}: {e}", path.display())))?;
    host(context).run.add_drawing(file).map_err(fail)?;
    Ok(path.display().to_string())
}

/// The images of a tensor, no more than 64.
fn images(tensor: &Tensor) -> Res<Vec<Picture>> {
    crate::script::values::images(&tensor.0, 64)?.ok_or_else(|| {
        let shape = tensor.0.dims();
        fail(format!("picture: images are [H, W], [C, H, W] or [B, C, H, W] with 1 or 3 channels, got {shape:?}"))
    })
}

fn screen(context: &NativeCallContext) -> Screen {
    host(context).screen.get()
}

#[export_module]
mod drawings {
    #[rhai_fn(return_raw)]
    pub fn histogram(context: NativeCallContext, values: Dynamic) -> Res<String> {
        let values = numbers("histogram", &values)?;
        Ok(distribution::histogram(&values, BINS, screen(&context)).join("\n"))
    }
    #[rhai_fn(name = "curve", return_raw)]
    pub fn curve_y(context: NativeCallContext, y: Dynamic) -> Res<String> {
        Ok(curve(&series("curve", None, &y)?, ROWS, screen(&context)).join("\n"))
    }
    #[rhai_fn(name = "curve", return_raw)]
    pub fn curve_xy(context: NativeCallContext, x: Dynamic, y: Dynamic) -> Res<String> {
        Ok(curve(&series("curve", Some(&x), &y)?, ROWS, screen(&context)).join("\n"))
    }
    #[rhai_fn(return_raw)]
    pub fn picture(context: NativeCallContext, images: Tensor) -> Res<String> {
        Ok(pictures(&super::images(&images)?, screen(&context)).join("\n"))
    }
    #[rhai_fn(name = "picture", return_raw)]
    pub fn picture_file(context: NativeCallContext, file: &str, images: Tensor) -> Res<String> {
        if Format::of(file) != Some(Format::Png) {
            return Err(fail(format!("picture: \"{file}\" is no PNG by its name; end it in .png")));
        }
        let bytes = png(&super::images(&images)?).map_err(|e| fail(format!("picture: {e}")))?;
        kept("picture", &context, file, &bytes)
    }
    #[rhai_fn(name = "plot", return_raw)]
    pub fn plot_y(context: NativeCallContext, file: &str, y: Dynamic) -> Res<String> {
        drawn(&context, file, None, &y, Map::new())
    }
    #[rhai_fn(name = "plot", return_raw)]
    pub fn plot_xy(context: NativeCallContext, file: &str, x: Dynamic, y: Dynamic) -> Res<String> {
        drawn(&context, file, Some(&x), &y, Map::new())
    }
    #[rhai_fn(name = "plot", return_raw)]
    pub fn plot_options(context: NativeCallContext, file: &str, x: Dynamic, y: Dynamic, options: Map) -> Res<String> {
        let x = Some(&x).filter(|x| !x.is_unit());
        drawn(&context, file, x, &y, options)
    }
}
