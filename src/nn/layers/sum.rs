//! `sum([branches])`: what its branches, each a layer or a list of layers on the same input, come to added up. `[]` is the identity.

use super::entry::{Argument, Branch, Entry, Takes, read};
use super::spec::{LayerSpec, Meeting};
use super::tree::{Named, Tree, lists, written};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sum {
    pub branches: Vec<Branch>,
}

pub const ENTRY: Entry = Entry {
    name: Sum::NAME,
    arguments: &[Argument { name: "branches", takes: Takes::Branches }],
    options: &[],
    make: |given| LayerSpec::of(Sum { branches: given.branches("branches") }),
    read: read::<Sum>,
};

impl Tree for Sum {
    const NAME: &'static str = "sum";
    const MEETING: Meeting = Meeting::Sum;

    fn lists(&self) -> Vec<Named> {
        lists(&self.branches)
    }

    fn written(&self) -> String {
        written(&self.branches)
    }

    fn shape(&self, _: &[usize], behind: &[Vec<usize>]) -> std::result::Result<Vec<usize>, String> {
        match behind.iter().find(|other| **other != behind[0]) {
            None => Ok(behind[0].clone()),
            Some(other) => Err(format!("its branches make {:?} and {other:?}, which cannot be added", behind[0])),
        }
    }
}
