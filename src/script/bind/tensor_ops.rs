//! Methods of tensors: element by element, reductions, shapes, types, autograd.

use super::args;
use super::host::host;
use crate::compute::autograd::backward as backward_of;
use crate::compute::checked;
use crate::compute::device;
use crate::compute::precision::products_in;
use crate::compute::variables;
use crate::script::language::{Res, candle, fail};
use crate::script::values::{Gradients, Model, Tensor, int};
use candle_core::{D, DType, Tensor as Candle, Var};
use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, FLOAT, INT, NativeCallContext};
use std::rc::Rc;

pub fn register(engine: &mut Engine) {
    engine.register_global_module(rhai::exported_module!(ops).into());
    for (name, f) in MATHS {
        let f = *f;
        engine.register_fn(*name, move |t: Tensor| -> Res<Tensor> {
            float(&t.0).and_then(|t| f(&t)).map(Tensor).map_err(candle)
        });
    }
    for (name, f) in VIEWS {
        let f = *f;
        engine.register_fn(*name, move |t: Tensor| -> Res<Tensor> { f(&t.0).map(Tensor).map_err(candle) });
    }
    engine.register_fn("pow", |t: Tensor, e: FLOAT| power(&t, e));
    engine.register_fn("pow", |t: Tensor, e: INT| power(&t, e as f64));
    engine.register_fn("**", |t: Tensor, e: FLOAT| power(&t, e));
    engine.register_fn("**", |t: Tensor, e: INT| power(&t, e as f64));
    for (name, f) in BINARY {
        let f = *f;
        engine.register_fn(*name, move |a: Tensor, b: Tensor| -> Res<Tensor> {
            f(&a.0, &b.0).map(Tensor).map_err(candle)
        });
        let scalar = move |a: Tensor, b: f64| -> Res<Tensor> {
            let run = || f(&a.0, &Candle::full(b, (), a.0.device())?.to_dtype(a.0.dtype())?);
            run().map(Tensor).map_err(candle)
        };
        engine.register_fn(*name, scalar);
        engine.register_fn(*name, move |a: Tensor, b: INT| scalar(a, b as f64));
    }
    for (name, all, along) in REDUCE {
        let (name, all, along) = (*name, *all, *along);
        engine.register_fn(name, move |t: Tensor| -> Res<Tensor> { all(&t.0).map(Tensor).map_err(candle) });
        engine.register_fn(name, move |t: Tensor, axis: INT| -> Res<Tensor> {
            let axis = args::axis(name, &t, axis)?;
            along(&t.0, axis).map(Tensor).map_err(candle)
        });
    }
}

type Unary = fn(&Candle) -> candle_core::Result<Candle>;
type Binary = fn(&Candle, &Candle) -> candle_core::Result<Candle>;
type Along = fn(&Candle, usize) -> candle_core::Result<Candle>;

/// Every element to a power; of a negative number a whole power only.
fn power(t: &Tensor, exponent: f64) -> Res<Tensor> {
    float(&t.0).and_then(|t| t.powf(exponent)).map(Tensor).map_err(candle)
}

/// Element by element; whole numbers are taken as f32.
const MATHS: &[(&str, Unary)] = &[
    ("abs", Candle::abs),
    ("sqr", Candle::sqr),
    ("sqrt", Candle::sqrt),
    ("exp", Candle::exp),
    ("log", Candle::log),
    ("relu", Candle::relu),
    ("tanh", Candle::tanh),
    ("sigmoid", candle_nn::ops::sigmoid),
    ("sin", Candle::sin),
    ("cos", Candle::cos),
    ("floor", Candle::floor),
    ("ceil", Candle::ceil),
    ("round", Candle::round),
    ("sign", Candle::sign),
    ("recip", Candle::recip),
];

/// The same values, seen differently.
const VIEWS: &[(&str, Unary)] = &[
    ("detach", |t| Ok(t.detach())),
    ("contiguous", Candle::contiguous),
    ("t", Candle::t),
    ("flatten", Candle::flatten_all),
];

/// Element by element, shapes broadcast, a number on the right allowed. Comparisons give masks of u8.
const BINARY: &[(&str, Binary)] = &[
    ("eq", Candle::broadcast_eq),
    ("ne", Candle::broadcast_ne),
    ("maximum", Candle::broadcast_maximum),
    ("minimum", Candle::broadcast_minimum),
];

/// Over all elements, or along one axis, which disappears.
const REDUCE: &[(&str, Unary, Along)] = &[
    ("sum", |t| whole(t)?.sum_all(), |t, a| whole(t)?.sum(a)),
    ("mean", |t| float(t)?.mean_all(), |t, a| float(t)?.mean(a)),
    ("max", Candle::max_all, |t, a| t.max(a)),
    ("min", Candle::min_all, |t, a| t.min(a)),
    ("norm", |t| float(t)?.sqr()?.sum_all()?.sqrt(), |t, a| float(t)?.sqr()?.sum(a)?.sqrt()),
    ("argmax", |t| t.flatten_all()?.argmax(0), |t, a| t.argmax(a)),
    ("argmin", |t| t.flatten_all()?.argmin(0), |t, a| t.argmin(a)),
];

/// Masks have a mean too: the share of ones.
pub fn float(t: &Candle) -> candle_core::Result<Candle> {
    if t.dtype().is_float() { Ok(t.clone()) } else { t.to_dtype(DType::F32) }
}

/// A sum of masks or small integers must not wrap around.
fn whole(t: &Candle) -> candle_core::Result<Candle> {
    if t.dtype().is_float() { Ok(t.clone()) } else { t.to_dtype(DType::I64) }
}

/// Nested arrays of numbers.
fn nested(t: &Candle) -> candle_core::Result<Dynamic> {
    if t.rank() == 0 {
        return Ok(if t.dtype().is_int() {
            Dynamic::from(t.to_dtype(DType::I64)?.to_scalar::<i64>()?)
        } else {
            Dynamic::from(t.to_dtype(DType::F64)?.to_scalar::<f64>()?)
        });
    }
    let rows = (0..t.dim(0)?).map(|i| nested(&t.get(i)?)).collect::<candle_core::Result<Array>>()?;
    Ok(Dynamic::from(rows))
}

fn names(dtype: DType) -> &'static str {
    dtype.as_str()
}

#[export_module]
mod ops {
    #[rhai_fn(get = "shape", pure)]
    pub fn shape(t: &mut Tensor) -> Array {
        t.0.dims().iter().map(|n| Dynamic::from(int(*n))).collect()
    }
    #[rhai_fn(get = "dtype", pure)]
    pub fn dtype(t: &mut Tensor) -> String {
        names(t.0.dtype()).to_string()
    }
    #[rhai_fn(get = "device", pure)]
    pub fn tensor_device(t: &mut Tensor) -> String {
        device::name(t.0.device())
    }
    #[rhai_fn(get = "rank", pure)]
    pub fn rank(t: &mut Tensor) -> INT {
        int(t.0.rank())
    }
    #[rhai_fn(get = "count", pure)]
    pub fn count(t: &mut Tensor) -> INT {
        int(t.0.elem_count())
    }
    #[rhai_fn(name = "len", pure)]
    pub fn len(t: &mut Tensor) -> INT {
        t.0.dims().first().map_or(1, |n| int(*n))
    }
    #[rhai_fn(pure, return_raw)]
    pub fn item(t: &mut Tensor) -> Res<FLOAT> {
        if t.0.elem_count() != 1 {
            return Err(fail(format!("item: one element is wanted, the tensor has shape {:?}", t.0.dims())));
        }
        let read = || Ok(t.0.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?[0]);
        read().map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn to_array(t: &mut Tensor) -> Res<Dynamic> {
        nested(&t.0.detach()).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn reshape(t: &mut Tensor, shape: Array) -> Res<Tensor> {
        let sizes: Vec<INT> = shape.iter().filter_map(|d| d.as_int().ok()).collect();
        let open = sizes.iter().filter(|n| **n == -1).count();
        let known = sizes.iter().filter(|n| **n != -1).try_fold(1, |a: INT, n| a.checked_mul(*n)).unwrap_or(INT::MAX);
        let total = int(t.0.elem_count());
        let wrong =
            || fail(format!("reshape: {total} elements of shape {:?} do not fit the shape {sizes:?}", t.0.dims()));
        if sizes.len() != shape.len() || open > 1 || sizes.iter().any(|n| *n < -1) {
            return Err(wrong());
        }
        if open == 1 && (known == 0 || total % known != 0) || open == 0 && known != total {
            return Err(wrong());
        }
        let dims: Vec<usize> = sizes.iter().map(|n| if *n == -1 { total / known } else { *n } as usize).collect();
        t.0.reshape(dims).map(Tensor).map_err(candle)
    }
    #[rhai_fn(name = "flatten", pure, return_raw)]
    pub fn flatten_from(t: &mut Tensor, axis: INT) -> Res<Tensor> {
        let axis = args::axis("flatten", t, axis)?;
        t.0.flatten_from(axis).map(Tensor).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn transpose(t: &mut Tensor, a: INT, b: INT) -> Res<Tensor> {
        let (a, b) = (args::axis("transpose", t, a)?, args::axis("transpose", t, b)?);
        t.0.transpose(a, b).map(Tensor).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn permute(t: &mut Tensor, axes: Array) -> Res<Tensor> {
        let axes = args::shape("permute", &axes)?;
        t.0.permute(axes).map(Tensor).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn squeeze(t: &mut Tensor, axis: INT) -> Res<Tensor> {
        let axis = args::axis("squeeze", t, axis)?;
        t.0.squeeze(axis).map(Tensor).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn unsqueeze(t: &mut Tensor, axis: INT) -> Res<Tensor> {
        let done = if axis == -1 {
            t.0.unsqueeze(D::Minus1)
        } else {
            t.0.unsqueeze(args::count("unsqueeze", "the axis", axis)?)
        };
        let done = done.map_err(candle)?;
        // What is known of labels is known of them in another shape.
        if let Some(largest) = checked::largest_label(&t.0) {
            checked::note_labels(&done, largest);
        }
        Ok(Tensor(done))
    }
    #[rhai_fn(pure, return_raw)]
    pub fn broadcast_to(t: &mut Tensor, shape: Array) -> Res<Tensor> {
        t.0.broadcast_as(args::new_shape("broadcast_to", &shape)?).map(Tensor).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn cpu(t: &mut Tensor) -> Res<Tensor> {
        t.0.to_device(&candle_core::Device::Cpu).map(Tensor).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn to(t: &mut Tensor, model: Model) -> Res<Tensor> {
        model.0.takes(&t.0).map(Tensor).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn to_dtype(t: &mut Tensor, dtype: &str) -> Res<Tensor> {
        t.0.to_dtype(args::dtype("to_dtype", dtype)?).map(Tensor).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn clamp(t: &mut Tensor, low: Dynamic, high: Dynamic) -> Res<Tensor> {
        let (low, high) = (args::number("clamp", &low)?, args::number("clamp", &high)?);
        t.0.clamp(low, high).map(Tensor).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn median(t: &mut Tensor, axis: INT) -> Res<Tensor> {
        let axis = args::axis("median", t, axis)?;
        crate::compute::median(&t.0, axis).map(Tensor).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn softmax(t: &mut Tensor, axis: INT) -> Res<Tensor> {
        let axis = args::axis("softmax", t, axis)?;
        float(&t.0).and_then(|t| candle_nn::ops::softmax(&t, axis)).map(Tensor).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn log_softmax(t: &mut Tensor, axis: INT) -> Res<Tensor> {
        let axis = args::axis("log_softmax", t, axis)?;
        float(&t.0).and_then(|t| candle_nn::ops::log_softmax(&t, axis)).map(Tensor).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn all_close(t: &mut Tensor, other: Tensor, tolerance: Dynamic) -> Res<bool> {
        let tolerance = args::number("all_close", &tolerance)?;
        let read = || {
            let (a, b) = (t.0.to_dtype(DType::F64)?, other.0.to_dtype(DType::F64)?);
            let gap = a.broadcast_sub(&b)?.abs()?;
            let allowed = (b.abs()?.maximum(1.0)? * tolerance)?;
            gap.broadcast_le(&allowed)?.min_all()?.to_scalar::<u8>()
        };
        Ok(read().map_err(candle)? == 1)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn all_finite(t: &mut Tensor) -> Res<bool> {
        let read = || t.0.to_dtype(DType::F64)?.abs()?.lt(f64::INFINITY)?.min_all()?.to_scalar::<u8>();
        Ok(read().map_err(candle)? == 1)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn parameter(t: &mut Tensor) -> Res<Tensor> {
        Var::from_tensor(&t.0.detach()).map(|v| Tensor(v.as_tensor().clone())).map_err(candle)
    }
    #[rhai_fn(return_raw)]
    pub fn assign(t: Tensor, values: Tensor) -> Res<()> {
        if !t.0.is_variable() {
            return Err(fail("assign: the tensor is no parameter; make it one with tensor.parameter()"));
        }
        if t.0.shape() != values.0.shape() || t.0.dtype() != values.0.dtype() {
            let of = |t: &Tensor| (t.0.dims().to_vec(), t.0.dtype());
            return Err(fail(format!("assign: the parameter is {:?}, the values are {:?}", of(&t), of(&values))));
        }
        let set = || variables::assign(&Var::from_tensor(&t.0)?, &values.0.detach());
        set().map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn backward(context: NativeCallContext, t: &mut Tensor) -> Res<Gradients> {
        if t.0.elem_count() != 1 {
            let shape = t.0.dims();
            return Err(fail(format!(
                "backward: one number is wanted, the tensor has shape {shape:?}; use sum() or mean()"
            )));
        }
        products_in(host(&context).precision.get());
        backward_of(&t.0).map(|g| Gradients(Rc::new(g))).map_err(candle)
    }
    #[rhai_fn(pure)]
    pub fn of(g: &mut Gradients, parameter: Tensor) -> Dynamic {
        g.0.get(&parameter.0).map_or(Dynamic::UNIT, |t| Dynamic::from(Tensor(t.detach())))
    }
}
