//! `groupsort(size)`: each group of `size` channels that follow each other, sorted upward (Anil et al. 2019). A group of 2 holds the
//! numbers of MaxMin in another order: there it is channel i and channel i + C/2, the larger one first.

use super::activation::{Activation, Boxes, Clipping, Facts, Lines};
use super::entry::{Argument, Entry, Takes, read, settings};
use super::graph::{Attribute, Graph};
use super::spec::{Kind, LayerSpec, Own, Parameter, Place, Role};
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::rc::Rc;

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupSort {
    pub size: usize,
}

pub const ENTRY: Entry = Entry {
    name: "groupsort",
    arguments: &[Argument { name: "size", takes: Takes::Positive("the size of a group") }],
    options: &[],
    make: |given| LayerSpec::of(GroupSort { size: given.count("size", 2) }),
    read: read::<GroupSort>,
};

impl Kind for GroupSort {
    fn name(&self) -> &str {
        ENTRY.name
    }

    fn describe(&self) -> String {
        format!("groupsort({})", self.size)
    }

    fn own(&self) -> Vec<Own> {
        vec![]
    }

    fn settings(&self) -> Map<String, Value> {
        settings(self)
    }

    fn output_shape(&self, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
        match self.size > 0 && input[0].is_multiple_of(self.size) {
            true => Ok(input.to_vec()),
            false => Err(format!("it sorts groups of {} channels and cannot split {} into them", self.size, input[0])),
        }
    }

    fn parameters(&self, _: &[usize]) -> Vec<Parameter> {
        vec![]
    }

    fn export(&self, place: &Place, graph: &mut Graph, x: String) -> Result<String> {
        // Groups become an axis of their own, which is sorted whole.
        let grouped = [&[place.input[0] / self.size, self.size], &place.input[1..]].concat();
        let (apart, whole) = (graph.shape("apart", &grouped), graph.shape("whole", place.input));
        let size = graph.sizes("size", &[self.size]);
        let groups = graph.apply("Reshape", &[&x, &apart], &[]);
        let attributes = [("axis", Attribute::Int(2)), ("largest", Attribute::Int(0)), ("sorted", Attribute::Int(1))];
        let sorted = graph.parts("TopK", &[&groups, &size], &attributes, 2).swap_remove(0);
        Ok(graph.apply("Reshape", &[&sorted, &whole], &[]))
    }

    fn build(&self, _: &Place) -> Result<Role> {
        Ok(Role::Activation(Rc::new(*self)))
    }
}

impl GroupSort {
    /// `[B, C, ...]` as `[B, C / size, places, size]`.
    fn grouped(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, channels) = (x.dim(0)?, x.dim(1)?);
        x.reshape((batch, channels / self.size, self.size, ()))?.transpose(2, 3)?.contiguous()
    }

    fn ungrouped(&self, x: &Tensor, like: &Tensor) -> Result<Tensor> {
        x.transpose(2, 3)?.reshape(like.dims())
    }
}

impl Activation for GroupSort {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let groups = self.grouped(x)?;
        // A NaN has no place in an order: it makes its whole group one.
        let values = groups.detach();
        let order = values.eq(&values)?.where_cond(&values, &values.zeros_like()?)?.arg_sort_last_dim(true)?;
        let broken = (values.sum_keepdim(3)? * 0.0)?;
        self.ungrouped(&groups.gather(&order, 3)?.broadcast_add(&broken)?, x)
    }

    fn lines(&self) -> Option<&dyn Lines> {
        None
    }

    fn frozen(&self) -> Rc<dyn Activation> {
        Rc::new(*self)
    }

    /// The n-th smallest moves by at most the most that any of its group does.
    fn spread(&self, each: &Tensor) -> Result<Tensor> {
        let groups = self.grouped(each)?;
        let most = groups.max_keepdim(3)?.broadcast_as(groups.shape())?.contiguous()?;
        self.ungrouped(&most, each)
    }

    fn facts(&self) -> Facts {
        Facts { lipschitz: 1.0, roundings: Some(0), thresholds: vec![], cancels: false, fused: None }
    }

    fn boxes(&self) -> Option<&dyn Boxes> {
        None
    }

    fn clipping(&self) -> Option<&dyn Clipping> {
        None
    }
}
