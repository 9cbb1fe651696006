//! Operators on tensors: `+ - * / @ < <= > >=`, a number on either side, shapes broadcast.
//!
//! With a number, and under a minus sign, whole-numbered tensors (masks, labels) are taken as f32: `1 - mask` is a mask.

use super::args;
use super::host::host;
use super::tensor_ops::float;
use crate::compute::autograd;
use crate::compute::precision::products_in;
use crate::script::language::{Res, candle, fail};
use crate::script::values::Tensor;
use candle_core::Tensor as Candle;
use rhai::{Engine, FLOAT, INT, NativeCallContext};

/// Register all operators.
pub fn register(engine: &mut Engine) {
    both(engine, "+", autograd::add, |t, x| autograd::scaled(t, 1.0, x), |x, t| autograd::scaled(t, 1.0, x));
    both(engine, "-", autograd::sub, |t, x| autograd::scaled(t, 1.0, -x), |x, t| autograd::scaled(t, -1.0, x));
    both(engine, "*", autograd::mul, |t, x| autograd::scaled(t, x, 0.0), |x, t| autograd::scaled(t, x, 0.0));
    both(engine, "/", Candle::broadcast_div, |t, x| t / x, |x, t| t.recip()? * x);
    both(engine, "<", Candle::broadcast_lt, |t, x| t.lt(x), |x, t| t.gt(x));
    both(engine, "<=", Candle::broadcast_le, |t, x| t.le(x), |x, t| t.ge(x));
    both(engine, ">", Candle::broadcast_gt, |t, x| t.gt(x), |x, t| t.lt(x));
    both(engine, ">=", Candle::broadcast_ge, |t, x| t.ge(x), |x, t| t.le(x));
    engine
        .register_fn("-", |t: Tensor| -> Res<Tensor> { float(&t.0).and_then(|t| t.neg()).map(Tensor).map_err(candle) });
    engine.register_fn("@", |context: NativeCallContext, a: Tensor, b: Tensor| -> Res<Tensor> {
        if let (Some(&rows), Some(&columns)) = (a.0.dims().iter().rev().nth(1), b.0.dims().last()) {
            args::room("`@`", &[rows, columns])?;
        }
        products_in(host(&context).precision.get());
        a.0.broadcast_matmul(&b.0).map(Tensor).map_err(candle)
    });
    for op in ["==", "!="] {
        engine.register_fn(op, move |_: Tensor, _: Tensor| ambiguous(op));
        engine.register_fn(op, move |_: Tensor, _: FLOAT| ambiguous(op));
        engine.register_fn(op, move |_: Tensor, _: INT| ambiguous(op));
        engine.register_fn(op, move |_: FLOAT, _: Tensor| ambiguous(op));
        engine.register_fn(op, move |_: INT, _: Tensor| ambiguous(op));
    }
}

/// Rhai would answer `false` without looking at the values.
fn ambiguous(op: &'static str) -> Res<bool> {
    Err(fail(format!(
        "`{op}` on a tensor is ambiguous; use a.eq(b) for a mask, a.all_close(b, tolerance) for one answer, or a.item() \
         for the number in a tensor of one element"
    )))
}

type Result = candle_core::Result<Candle>;

/// One operator for tensor and tensor, tensor and number, number and tensor, the number a float or an int.
fn both(
    engine: &mut Engine,
    name: &'static str,
    tensors: fn(&Candle, &Candle) -> Result,
    right: fn(&Candle, f64) -> Result,
    left: fn(f64, &Candle) -> Result,
) {
    let done = |r: Result| r.map(Tensor).map_err(candle);
    engine.register_fn(name, move |a: Tensor, b: Tensor| -> Res<Tensor> {
        if a.0.dtype() != b.0.dtype() {
            return Err(fail(format!(
                "`{name}`: the left tensor is {:?}, the right one {:?}; convert one with to_dtype",
                a.0.dtype(),
                b.0.dtype()
            )));
        }
        // Only what grows beyond both can surprise.
        if let Ok(shape) = a.0.shape().broadcast_shape_binary_op(b.0.shape(), "broadcast")
            && shape.elem_count() > a.0.elem_count().max(b.0.elem_count())
        {
            args::room(&format!("`{name}`"), shape.dims())?;
        }
        done(tensors(&a.0, &b.0))
    });
    engine
        .register_fn(name, move |a: Tensor, b: FLOAT| -> Res<Tensor> { done(float(&a.0).and_then(|a| right(&a, b))) });
    engine.register_fn(name, move |a: Tensor, b: INT| -> Res<Tensor> {
        done(float(&a.0).and_then(|a| right(&a, b as f64)))
    });
    engine.register_fn(name, move |a: FLOAT, b: Tensor| -> Res<Tensor> { done(float(&b.0).and_then(|b| left(a, &b))) });
    engine.register_fn(name, move |a: INT, b: Tensor| -> Res<Tensor> {
        done(float(&b.0).and_then(|b| left(a as f64, &b)))
    });
}
