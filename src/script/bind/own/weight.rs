//! `conv2d(..., #{ weight: |w| ... })`: a weight as a function of the layer's parameter, by a closure.

use super::definition::{digest_of, freeze, script_identity, tensor};
use crate::nn::layers::Deriving;
use crate::script::language::Res;
use crate::script::language::kept::{Kept, closure};
use crate::script::values::Tensor;
use candle_core::Result;
use rhai::{Dynamic, NativeCallContext};
use std::rc::Rc;

#[derive(Clone, Debug)]
struct OwnWeight {
    made_by: Kept,
    identity: String,
}

/// The function that a script gave for the weight of a layer of the kind `of`.
pub fn define(context: &NativeCallContext, of: &str, value: Dynamic) -> Res<Rc<dyn Deriving>> {
    let made_by = closure(context, of, "weight", value, 1, freeze)?;
    let identity = digest_of(&format!("{of} weight"), &script_identity(context), [&made_by]);
    Ok(Rc::new(OwnWeight { made_by, identity }))
}

impl Deriving for OwnWeight {
    fn derive(&self, parameter: &candle_core::Tensor) -> Result<candle_core::Tensor> {
        tensor(&self.made_by, vec![Dynamic::from(Tensor(parameter.clone()))], parameter.dims())
    }

    fn identity(&self) -> String {
        self.identity.clone()
    }
}
