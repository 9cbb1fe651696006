//! A run's processes with what each of them has of the data.

use super::group::Group;
use super::strata::Strata;
use std::rc::Rc;

/// This process among those of a run; alone by default, with everything.
#[derive(Clone, Debug, Default)]
pub struct Ranks {
    pub group: Rc<Group>,
    pub strata: Strata,
}

impl Ranks {
    /// Is a batch of the epoch's pass in parts, on several processes or one after another?
    pub fn deals(&self) -> bool {
        !self.group.is_alone() || self.strata.by_shard && self.strata.shards > 1
    }

    /// `process 2 of 4: `, where there are others.
    pub fn prefix(&self) -> String {
        let (rank, world) = (self.group.rank(), self.group.world());
        if self.group.is_alone() { String::new() } else { format!("process {rank} of {world}: ") }
    }
}
