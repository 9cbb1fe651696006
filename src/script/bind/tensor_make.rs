//! New tensors: from arrays, constants, ranges, several joined.

use super::args;
use super::host::host;
use crate::script::language::{Res, candle, fail};
use crate::script::values::Tensor;
use candle_core::{DType, Device, Tensor as Candle};
use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, FLOAT, INT, NativeCallContext};

pub fn register(engine: &mut Engine) {
    engine.register_global_module(rhai::exported_module!(make).into());
}

/// Values of a nested array, depth first, and its shape; all rows of one depth must be equally long.
fn flatten(op: &str, values: &Array, depth: usize, shape: &mut Vec<usize>, out: &mut Vec<f64>) -> Res<()> {
    if shape.len() == depth {
        shape.push(values.len());
    } else if shape[depth] != values.len() {
        let want = shape[depth];
        return Err(fail(format!("{op}: rows differ in length, {want} and {} at depth {depth}", values.len())));
    }
    for value in values {
        match value.as_array_ref() {
            Ok(row) => flatten(op, &row, depth + 1, shape, out)?,
            Err(_) if depth + 1 < shape.len() => {
                return Err(fail(format!("{op}: numbers and arrays are mixed at depth {depth}")));
            }
            Err(_) => out.push(args::number(op, value)?),
        }
    }
    Ok(())
}

fn made(context: &NativeCallContext, values: Vec<f64>, shape: Vec<usize>, dtype: DType) -> Res<Tensor> {
    let build = || Candle::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)?.to_device(&host(context).device);
    build().map(Tensor).map_err(candle)
}

fn full_of(context: &NativeCallContext, op: &str, value: f64, dims: &Array, dtype: DType) -> Res<Tensor> {
    let dims = args::new_shape(op, dims)?;
    let build = || Candle::full(value, dims, &host(context).device)?.to_dtype(dtype);
    build().map(Tensor).map_err(candle)
}

#[export_module]
mod make {
    #[rhai_fn(return_raw)]
    pub fn tensor(context: NativeCallContext, values: Array) -> Res<Tensor> {
        let (mut shape, mut out) = (vec![], vec![]);
        flatten("tensor", &values, 0, &mut shape, &mut out)?;
        let dtype = host(&context).dtype;
        made(&context, out, shape, dtype)
    }
    #[rhai_fn(name = "tensor", return_raw)]
    pub fn tensor_dtype(context: NativeCallContext, values: Array, dtype: &str) -> Res<Tensor> {
        let (mut shape, mut out) = (vec![], vec![]);
        flatten("tensor", &values, 0, &mut shape, &mut out)?;
        made(&context, out, shape, args::dtype("tensor", dtype)?)
    }
    #[rhai_fn(name = "tensor", return_raw)]
    pub fn tensor_number(context: NativeCallContext, value: FLOAT) -> Res<Tensor> {
        let dtype = host(&context).dtype;
        made(&context, vec![value], vec![], dtype)
    }
    #[rhai_fn(name = "tensor", return_raw)]
    pub fn tensor_int(context: NativeCallContext, value: INT) -> Res<Tensor> {
        let dtype = host(&context).dtype;
        made(&context, vec![value as f64], vec![], dtype)
    }
    #[rhai_fn(return_raw)]
    pub fn zeros(context: NativeCallContext, shape: Array) -> Res<Tensor> {
        let dtype = host(&context).dtype;
        full_of(&context, "zeros", 0.0, &shape, dtype)
    }
    #[rhai_fn(name = "zeros", return_raw)]
    pub fn zeros_dtype(context: NativeCallContext, shape: Array, dtype: &str) -> Res<Tensor> {
        full_of(&context, "zeros", 0.0, &shape, args::dtype("zeros", dtype)?)
    }
    #[rhai_fn(return_raw)]
    pub fn ones(context: NativeCallContext, shape: Array) -> Res<Tensor> {
        let dtype = host(&context).dtype;
        full_of(&context, "ones", 1.0, &shape, dtype)
    }
    #[rhai_fn(name = "ones", return_raw)]
    pub fn ones_dtype(context: NativeCallContext, shape: Array, dtype: &str) -> Res<Tensor> {
        full_of(&context, "ones", 1.0, &shape, args::dtype("ones", dtype)?)
    }
    #[rhai_fn(return_raw)]
    pub fn full(context: NativeCallContext, shape: Array, value: Dynamic) -> Res<Tensor> {
        let dtype = host(&context).dtype;
        full_of(&context, "full", args::number("full", &value)?, &shape, dtype)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn zeros_like(t: &mut Tensor) -> Res<Tensor> {
        t.0.zeros_like().map(Tensor).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn ones_like(t: &mut Tensor) -> Res<Tensor> {
        t.0.ones_like().map(Tensor).map_err(candle)
    }
    #[rhai_fn(return_raw)]
    pub fn arange(context: NativeCallContext, n: INT) -> Res<Tensor> {
        let n = args::count("arange", "the length", n)?;
        args::room("arange", &[n])?;
        let dtype = host(&context).dtype;
        made(&context, (0..n).map(|i| i as f64).collect(), vec![n], dtype)
    }
    #[rhai_fn(return_raw)]
    pub fn eye(context: NativeCallContext, n: INT) -> Res<Tensor> {
        let n = args::count("eye", "the size", n)?;
        args::room("eye", &[n, n])?;
        let host = host(&context);
        Candle::eye(n, host.dtype, &host.device).map(Tensor).map_err(candle)
    }
    #[rhai_fn(return_raw)]
    pub fn cat(tensors: Array, axis: INT) -> Res<Tensor> {
        let list = args::tensors("cat", tensors)?;
        let first = list.first().cloned().ok_or_else(|| fail("cat: the array of tensors is empty"))?;
        let axis = args::axis("cat", &Tensor(first), axis)?;
        Candle::cat(&list, axis).map(Tensor).map_err(candle)
    }
    #[rhai_fn(return_raw)]
    pub fn stack(tensors: Array, axis: INT) -> Res<Tensor> {
        let list = args::tensors("stack", tensors)?;
        let axis = args::count("stack", "the axis", axis)?;
        Candle::stack(&list, axis).map(Tensor).map_err(candle)
    }
    #[rhai_fn(name = "select", return_raw)]
    pub fn where_mask(mask: Tensor, a: Tensor, b: Tensor) -> Res<Tensor> {
        let build = || {
            let shape = mask.0.shape().broadcast_shape_binary_op(a.0.shape(), "select")?;
            let shape = shape.broadcast_shape_binary_op(b.0.shape(), "select")?;
            let wide = |t: &Candle| t.broadcast_as(&shape)?.contiguous();
            wide(&mask.0)?.where_cond(&wide(&a.0)?, &wide(&b.0)?)
        };
        build().map(Tensor).map_err(candle)
    }
}
