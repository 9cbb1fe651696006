//! `parallel([branches])`: what its branches, each a layer or a list of layers on the same input, make of it, one behind the other along the
//! channels of an image or the features of a vector. `[]` is the identity.

use super::entry::{Argument, Branch, Entry, Takes, read};
use super::spec::{LayerSpec, Meeting};
use super::tree::{Named, Tree, lists, written};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parallel {
    pub branches: Vec<Branch>,
}

pub const ENTRY: Entry = Entry {
    name: Parallel::NAME,
    arguments: &[Argument { name: "branches", takes: Takes::Branches }],
    options: &[],
    make: |given| LayerSpec::of(Parallel { branches: given.branches("branches") }),
    read: read::<Parallel>,
};

impl Tree for Parallel {
    const NAME: &'static str = "parallel";
    const MEETING: Meeting = Meeting::Concatenation;

    fn lists(&self) -> Vec<Named> {
        lists(&self.branches)
    }

    fn written(&self) -> String {
        written(&self.branches)
    }

    fn shape(&self, _: &[usize], behind: &[Vec<usize>]) -> std::result::Result<Vec<usize>, String> {
        let mut whole = behind[0].clone();
        for other in &behind[1..] {
            if other[1..] != whole[1..] {
                return Err(format!(
                    "its branches make {:?} and {other:?}, which differ in more than channels",
                    behind[0]
                ));
            }
            whole[0] += other[0];
        }
        Ok(whole)
    }
}
