//! `residual([layers])`: x + F(x), the branch's output of the input's shape.

use super::entry::{Argument, Entry, Takes, read};
use super::spec::{LayerSpec, Meeting};
use super::tree::{Named, Tree, listed, numbered};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Residual {
    pub layers: Vec<LayerSpec>,
}

pub const ENTRY: Entry = Entry {
    name: Residual::NAME,
    arguments: &[Argument { name: "layers", takes: Takes::Layers }],
    options: &[],
    make: |given| LayerSpec::of(Residual { layers: given.layers("layers") }),
    read: read::<Residual>,
};

impl Tree for Residual {
    const NAME: &'static str = "residual";
    const MEETING: Meeting = Meeting::Sum;

    fn lists(&self) -> Vec<Named> {
        vec![vec![], numbered("", &self.layers)]
    }

    fn written(&self) -> String {
        listed(&self.layers)
    }

    fn shape(&self, input: &[usize], behind: &[Vec<usize>]) -> std::result::Result<Vec<usize>, String> {
        if self.layers.is_empty() {
            return Err("its branch has no layers".into());
        }
        match behind.iter().find(|shape| *shape != input) {
            None => Ok(input.to_vec()),
            Some(other) => Err(format!("its branch makes {other:?} of {input:?}, which cannot be added to the input")),
        }
    }
}
