//! Values as text: `print` shows them as the prompt does, a sentence (`` `loss ${loss}` ``) has them in one line.

use super::host::host;
use crate::script::explain::caught;
use crate::script::language::Res;
use crate::script::present;
use crate::script::values::{Model, Region, SpectralNorm, Tensor};
use rhai::{Array, Dynamic, Engine, Map, NativeCallContext};

/// The most that a value takes of a line.
const LINE: usize = 200;

pub fn register(engine: &mut Engine) {
    for name in ["print", "debug"] {
        engine.register_fn(name, |c: NativeCallContext, x: Tensor| shown(&c, Dynamic::from(x)));
        engine.register_fn(name, |c: NativeCallContext, x: Model| shown(&c, Dynamic::from(x)));
        engine.register_fn(name, |c: NativeCallContext, x: Region| shown(&c, Dynamic::from(x)));
        engine.register_fn(name, |c: NativeCallContext, x: SpectralNorm| shown(&c, Dynamic::from(x)));
        engine.register_fn(name, |c: NativeCallContext, x: Map| shown(&c, Dynamic::from(x)));
        engine.register_fn(name, |c: NativeCallContext, x: Array| shown(&c, Dynamic::from(x)));
    }
    for name in ["to_string", "to_debug"] {
        engine.register_fn(name, |x: &mut Tensor| present::one_line(&x.0));
        engine.register_fn(name, |c: NativeCallContext, x: &mut Map| line(&c, &Dynamic::from(x.clone())));
        engine.register_fn(name, |c: NativeCallContext, x: &mut Array| line(&c, &Dynamic::from(x.clone())));
    }
}

/// As the prompt shows it. Plain values stay as they are written: a drawing has not every number.
fn shown(context: &NativeCallContext, value: Dynamic) -> Res<String> {
    if is_plain(&value) {
        return Ok(line(context, &value));
    }
    if let Some(sentence) = sentence(context, &value) {
        return Ok(sentence);
    }
    present::shown(&value, host(context).screen.get(), &|value| text(context, value))
}

/// In one line, as a script would write it, with the host's values in short.
fn line(context: &NativeCallContext, value: &Dynamic) -> String {
    if let Some(sentence) = sentence(context, value) {
        return sentence;
    }
    let written = text(context, value);
    if is_plain(value) || written.chars().count() <= LINE && !written.contains('\n') {
        return written;
    }
    present::brief(value, LINE, &|value| text(context, value))
}

/// Numbers, texts and what is made of them.
fn is_plain(value: &Dynamic) -> bool {
    if let Ok(items) = value.as_array_ref() {
        return items.iter().all(|item| !item.is_map() && is_plain(item));
    }
    if let Ok(entries) = value.as_map_ref() {
        let single = |value: &Dynamic| !value.is_array() && !value.is_map() && is_plain(value);
        return entries.values().all(single) && !entries.contains_key("error");
    }
    value.is_unit() || value.is_bool() || value.is_int() || value.is_float() || value.is_string() || value.is_char()
}

/// An error of the language's own that was caught.
fn sentence(context: &NativeCallContext, value: &Dynamic) -> Option<String> {
    let map = value.as_map_ref().ok()?;
    caught::sentence(&map, context.engine(), &host(context).loader)
}

/// As Rhai writes it.
fn text(context: &NativeCallContext, value: &Dynamic) -> String {
    if let Ok(items) = value.as_array_ref() {
        let items: Vec<String> = items.iter().map(|item| text(context, item)).collect();
        return format!("[{}]", items.join(", "));
    }
    if let Ok(entries) = value.as_map_ref() {
        let entries: Vec<String> =
            entries.iter().map(|(key, value)| format!("{:?}: {}", key.as_str(), text(context, value))).collect();
        return format!("#{{{}}}", entries.join(", "));
    }
    let told = context.call_native_fn_raw("to_debug", true, &mut [&mut value.clone()]);
    told.map_or_else(|_| value.to_string(), |text| text.to_string())
}
