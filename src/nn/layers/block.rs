//! `block([layers])`: a group of layers with a name of its own. Affine throughout it is one affine layer, the product of its maps; with an
//! activation inside it stands in the network as its layers.

use super::entry::{Argument, Entry, Takes, read};
use super::spec::{LayerSpec, Meeting};
use super::tree::{Named, Tree, listed, numbered};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    pub layers: Vec<LayerSpec>,
}

pub const ENTRY: Entry = Entry {
    name: Block::NAME,
    arguments: &[Argument { name: "layers", takes: Takes::Layers }],
    options: &[],
    make: |given| LayerSpec::of(Block { layers: given.layers("layers") }),
    read: read::<Block>,
};

impl Tree for Block {
    const NAME: &'static str = "block";
    const MEETING: Meeting = Meeting::Sum;

    fn lists(&self) -> Vec<Named> {
        vec![numbered("", &self.layers)]
    }

    fn written(&self) -> String {
        listed(&self.layers)
    }

    fn shape(&self, _: &[usize], behind: &[Vec<usize>]) -> std::result::Result<Vec<usize>, String> {
        if self.layers.is_empty() { Err("it has no layers".into()) } else { Ok(behind[0].clone()) }
    }
}
