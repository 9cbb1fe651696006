//! `pixel_unshuffle(factor)`: `[C, H, W]` to `[C factor^2, H / factor, W / factor]`; the numbers stay, in the order channel, row, column
//! of the square. It permutes boxes and masks as it does values.

use super::entry::{Argument, Entry, Takes, image, read, settings};
use super::graph::{Attribute, Graph};
use super::reshape::Reshape;
use super::spec::{Kind, LayerSpec, Own, Parameter, Place, Role};
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::rc::Rc;

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PixelUnshuffle {
    pub factor: usize,
}

pub const ENTRY: Entry = Entry {
    name: "pixel_unshuffle",
    arguments: &[Argument { name: "factor", takes: Takes::Positive("the factor") }],
    options: &[],
    make: |given| LayerSpec::of(PixelUnshuffle { factor: given.count("factor", 1) }),
    read: read::<PixelUnshuffle>,
};

impl Kind for PixelUnshuffle {
    fn name(&self) -> &str {
        ENTRY.name
    }

    fn describe(&self) -> String {
        format!("pixel_unshuffle({})", self.factor)
    }

    fn own(&self) -> Vec<Own> {
        vec![]
    }

    fn settings(&self) -> Map<String, Value> {
        settings(self)
    }

    fn output_shape(&self, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
        let ([c, h, w], k) = (image(input)?, self.factor);
        match k > 0 && h.is_multiple_of(k) && w.is_multiple_of(k) {
            true => match k.checked_mul(k).and_then(|square| c.checked_mul(square)) {
                Some(channels) => Ok(vec![channels, h / k, w / k]),
                None => Err(format!("a factor of {k} makes more channels of {c} than can be counted")),
            },
            false => Err(format!("a factor of {k} does not divide its {h}x{w} input")),
        }
    }

    fn parameters(&self, _: &[usize]) -> Vec<Parameter> {
        vec![]
    }

    fn export(&self, place: &Place, graph: &mut Graph, x: String) -> Result<String> {
        Ok(Unshuffle::of(place.input, self.factor).drawn(graph, x))
    }

    fn build(&self, place: &Place) -> Result<Role> {
        Ok(Role::Reshape(Rc::new(Unshuffle::of(place.input, self.factor))))
    }
}

/// Over images of one size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unshuffle {
    factor: usize,
    /// Of the input.
    channels: usize,
    /// Height and width of the output.
    size: (usize, usize),
}

impl Unshuffle {
    /// Over images `[C, H, W]` that the factor divides.
    pub(super) fn of(input: &[usize], factor: usize) -> Self {
        Self { factor, channels: input[0], size: (input[1] / factor, input[2] / factor) }
    }

    /// As operators.
    pub(super) fn drawn(&self, graph: &mut Graph, x: String) -> String {
        let (k, c, (h, w)) = (self.factor, self.channels, self.size);
        let apart = graph.shape("apart", &[c, h, k, w, k]);
        let whole = graph.shape("whole", &[c * k * k, h, w]);
        let apart = graph.apply("Reshape", &[&x, &apart], &[]);
        let moved = graph.apply("Transpose", &[&apart], &[("perm", Attribute::ints(&[0, 1, 3, 5, 2, 4]))]);
        graph.apply("Reshape", &[&moved, &whole], &[])
    }
}

impl Reshape for Unshuffle {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (Self { factor: k, channels: c, size: (h, w) }, batch) = (*self, x.dim(0)?);
        x.reshape(vec![batch, c, h, k, w, k])?.permute(vec![0, 1, 3, 5, 2, 4])?.contiguous()?.reshape((
            batch,
            c * k * k,
            h,
            w,
        ))
    }

    fn inverse(&self, y: &Tensor) -> Result<Tensor> {
        let (Self { factor: k, channels: c, size: (h, w) }, batch) = (*self, y.dim(0)?);
        y.reshape(vec![batch, c, k, k, h, w])?.permute(vec![0, 1, 4, 2, 5, 3])?.contiguous()?.reshape((
            batch,
            c,
            h * k,
            w * k,
        ))
    }

    fn keeps_order(&self) -> bool {
        false
    }
}
