//! Weights: a network saved, loaded, taken from what others have saved.

use super::args;
use super::host::host;
use super::model::{made, trainable};
use crate::compute::labels::class_labels;
use crate::data::Error;
use crate::data::source::hub::HubFile;
use crate::nn::vnnlib::{self, Ball};
use crate::nn::weights::{Choice, Folding, Rounded, Whose};
use crate::nn::{self, onnx, pretrained};
use crate::script::language::error::{Res, candle, fail, interrupted};
use crate::script::language::options::Options;
use crate::script::language::signatures::a_value_of;
use crate::script::values::{Model, Tensor};
use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, Map, NativeCallContext};
use std::path::{Path, PathBuf};

pub fn register(engine: &mut Engine) {
    engine.register_global_module(rhai::exported_module!(weights_in_and_out).into());
}

/// A path that may be read as it is, an address on the hub as the file that it leads to.
pub(super) fn weights_file(context: &NativeCallContext, op: &str, path: &str) -> Res<PathBuf> {
    let host = host(context);
    if !HubFile::is_address(path) {
        return host.access.read(op, path).map_err(fail);
    }
    host.access.fetch(op, path).map_err(fail)?;
    let file = HubFile::parse(path).map_err(|e| fail(format!("{op}: {e}")))?;
    file.fetch().map_err(|e| match e {
        Error::Interrupted => interrupted(),
        e => fail(format!("{op}: {e}")),
    })
}

/// The network of a file, or of a name inside the program, in the file's number type or in that of the option `dtype`.
fn loaded(context: &NativeCallContext, path: &str, options: Map) -> Res<Model> {
    let host = host(context);
    let mut options = Options::new("load_model", options);
    let dtype = options.string("dtype")?.map(|name| args::dtype("load_model", &name)).transpose()?;
    options.finish()?;
    dtype.map_or(Ok(()), |dtype| trainable("load_model", dtype))?;
    let (model, rounded) = match pretrained::find(path) {
        Some(bytes) => nn::model_of(Path::new(path), bytes, dtype, &host.device),
        None => nn::load_model(&weights_file(context, "load_model", path)?, dtype, &host.device),
    }
    .map_err(|e| match pretrained::hint(path).filter(|_| !Path::new(path).exists()) {
        Some(hint) => fail(format!("load_model: no network `{path}`; {hint}")),
        None => candle(e),
    })?;
    say_rounded(context, rounded);
    Ok(made(&host, model))
}

/// That the network is another one than the file's is not left unsaid.
fn say_rounded(context: &NativeCallContext, rounded: Option<Rounded>) {
    if let Some(rounded) = rounded {
        host(context).run.note(&format!("note: load: {rounded}"));
    }
}

/// What a script knows of a file.
fn choice(options: Map) -> Res<Choice> {
    let mut options = Options::new("load", options);
    let take = options.string("take")?;
    let by_order = options.choice("by", "name", &["name", "order"])? == "order";
    let names =
        options.optional::<Map>("names", "a map from a tensor, a module or a pattern to a layer")?.unwrap_or_default();
    let names =
        names.into_iter().map(|(key, whose)| Ok((key.to_string(), whose_is(&key, whose)?))).collect::<Res<Vec<_>>>()?;
    let has_eps = options.is_given("eps");
    let eps = options.float("eps", 1e-5)?;
    let fold = options.dynamic("fold");
    options.finish()?;
    let fold = match fold {
        None => None,
        Some(value) if value.is_bool() => value.as_bool().unwrap_or_default().then_some(vec![]),
        Some(value) => {
            let kind = a_value_of(value.type_name());
            let into = value.try_cast::<Map>();
            let into = into.ok_or_else(|| {
                fail(format!("load: option `fold` is true, or a map from a normalisation to its layer, got {kind}"))
            })?;
            Some(texts(into, |key, kind| {
                format!("load: option `fold`: `{key}` is folded into a module by its name, got {kind}")
            })?)
        }
    };
    if fold.is_none() && has_eps {
        return Err(fail("load: option `eps` is that of folded normalisations; it goes with `fold`"));
    }
    if !(eps > 0.0 && eps.is_finite()) {
        return Err(fail(format!("load: option `eps` is {eps}, it must be above 0")));
    }
    if by_order && !names.is_empty() {
        return Err(fail("load: options `names` and `by` are two ways to say which tensor is whose; give one"));
    }
    Ok(Choice { take, names, by_order, fold: fold.map(|into| Folding { eps, into }) })
}

/// A map of texts; `wrong` says it of what is none.
fn texts(map: Map, wrong: impl Fn(&str, &str) -> String) -> Res<Vec<(String, String)>> {
    let text = |(key, value): (rhai::Identifier, Dynamic)| {
        let kind = a_value_of(value.type_name());
        let value = value.into_string().map_err(|_| fail(wrong(&key, &kind)))?;
        Ok((key.to_string(), value))
    };
    map.into_iter().map(text).collect()
}

/// A layer by its number or path, a parameter by its name, or nobody.
fn whose_is(key: &str, whose: Dynamic) -> Res<Whose> {
    let kind = a_value_of(whose.type_name());
    if whose.is_unit() {
        return Ok(Whose::Nobody);
    }
    if let Ok(layer) = whose.as_int() {
        return Ok(Whose::Of(args::count("load", &format!("names: layer of `{key}`"), layer)?.to_string()));
    }
    whose.into_string().map(Whose::Of).map_err(|_| {
        fail(format!(
            "load: names: `{key}` is {kind}; give the number of a layer, its path (\"2.0\"), a parameter (\"0.weight\"), or () to leave it out"
        ))
    })
}

fn load_with(context: &NativeCallContext, model: &Model, path: &str, choice: &Choice) -> Res<()> {
    let found = model.0.load_as(&weights_file(context, "load", path)?, choice).map_err(candle)?;
    for line in &found.said {
        host(context).run.note(&format!("note: load: {line}"));
    }
    say_rounded(context, found.rounded);
    Ok(())
}

/// The network in another program's format, by the ending of the path.
fn exported(context: &NativeCallContext, model: &Model, path: &str, options: Map) -> Res<()> {
    let host = host(context);
    let path = host.access.write("export", path).map_err(fail)?;
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
    let mut options = Options::new("export", options);
    match ending.as_str() {
        "onnx" => {
            let dtype = args::dtype("export", options.choice("dtype", "f32", &["f32", "f64"])?)?;
            options.finish()?;
            onnx::export(&model.0, &path, dtype).map_err(candle)
        }
        "pth" | "pt" => {
            let names = options
                .optional::<Map>("names", "a map from a layer or a parameter to its name in the file")?
                .unwrap_or_default();
            options.finish()?;
            let names = texts(names, |own, kind| format!("export: names: `{own}` is called by a text, got {kind}"))?;
            model.0.export_state_dict(&path, &names).map_err(candle)
        }
        _ => Err(fail(format!(
            "export: {} ends in none of .onnx (the network), .pth or .pt (its weights for PyTorch); model.save(path) writes safetensors",
            path.display()
        ))),
    }
}

/// A property for each image; the paths that were written.
fn properties(
    context: &NativeCallContext,
    model: &Model,
    path: &str,
    x: &Tensor,
    y: &Tensor,
    eps: &Dynamic,
    options: Map,
) -> Res<Array> {
    let (host, eps) = (host(context), args::number("export_vnnlib", eps)?);
    let mut options = Options::new("export_vnnlib", options);
    let ball = if options.choice("norm", "l2", &["l2", "linf"])? == "l2" { Ball::L2 } else { Ball::Linf };
    let images = options.bool("images", false)?;
    options.finish()?;
    if x.0.rank() == 0 || x.0.dims()[1..] != *model.0.input() {
        return Err(fail(format!(
            "export_vnnlib: the network wants a batch of {:?}, got a tensor of shape {:?}",
            model.0.input(),
            x.0.dims()
        )));
    }
    let (count, classes) = (x.0.dims()[0], model.0.output().iter().product());
    let labels = class_labels("export_vnnlib", &y.0, count, "the network has", classes);
    let labels = labels.and_then(|y| y.to_vec1::<u32>()).map_err(candle)?;
    let mut written = vec![];
    for (i, label) in labels.into_iter().enumerate() {
        // Several images are numbered.
        let named = Path::new(path);
        let (stem, ending) = (named.file_stem().unwrap_or_default().to_string_lossy(), named.extension());
        let ending = ending.map_or(String::new(), |ending| format!(".{}", ending.to_string_lossy()));
        let own = match count {
            1 => path.to_string(),
            _ => named.with_file_name(format!("{stem}-{i}{ending}")).display().to_string(),
        };
        let place = host.access.write("export_vnnlib", &own).map_err(fail)?;
        let image = x.0.get(i).map_err(candle)?;
        vnnlib::write(&place, &image, label as usize, classes, eps, ball, images).map_err(candle)?;
        written.push(Dynamic::from(own));
    }
    Ok(written)
}

#[export_module]
mod weights_in_and_out {
    #[rhai_fn(return_raw)]
    pub fn load_model(context: NativeCallContext, path: &str) -> Res<Model> {
        loaded(&context, path, Map::new())
    }
    #[rhai_fn(name = "load_model", return_raw)]
    pub fn load_model_options(context: NativeCallContext, path: &str, options: Map) -> Res<Model> {
        loaded(&context, path, options)
    }
    #[rhai_fn(return_raw)]
    pub fn save(context: NativeCallContext, model: Model, path: &str) -> Res<()> {
        let path = host(&context).access.write("save", path).map_err(fail)?;
        model.0.save(&path).map_err(candle)
    }
    #[rhai_fn(return_raw)]
    pub fn load(context: NativeCallContext, model: Model, path: &str) -> Res<()> {
        load_with(&context, &model, path, &Choice::default())
    }
    #[rhai_fn(name = "load", return_raw)]
    pub fn load_options(context: NativeCallContext, model: Model, path: &str, options: Map) -> Res<()> {
        load_with(&context, &model, path, &choice(options)?)
    }
    #[rhai_fn(return_raw)]
    pub fn export(context: NativeCallContext, model: Model, path: &str) -> Res<()> {
        exported(&context, &model, path, Map::new())
    }
    #[rhai_fn(name = "export", return_raw)]
    pub fn export_options(context: NativeCallContext, model: Model, path: &str, options: Map) -> Res<()> {
        exported(&context, &model, path, options)
    }
    #[rhai_fn(return_raw)]
    pub fn export_vnnlib(
        context: NativeCallContext,
        model: Model,
        path: &str,
        x: Tensor,
        y: Tensor,
        eps: Dynamic,
    ) -> Res<Array> {
        properties(&context, &model, path, &x, &y, &eps, Map::new())
    }
    #[rhai_fn(name = "export_vnnlib", return_raw)]
    pub fn export_vnnlib_options(
        context: NativeCallContext,
        model: Model,
        path: &str,
        x: Tensor,
        y: Tensor,
        eps: Dynamic,
        options: Map,
    ) -> Res<Array> {
        properties(&context, &model, path, &x, &y, &eps, options)
    }
}
