//! Who knows the script's objects.

use super::checkpoint_file::Piece;
use crate::compute::collective::Group;
use safetensors::SafeTensors;
use serde_json::Value;

/// Networks, optimisers and stores of vectors by the order in which the script makes them.
pub trait Holder {
    /// How many the script has made.
    fn made(&self) -> u64;
    /// Generators and counters.
    fn counters(&self) -> Value;
    fn set_counters(&self, counters: &Value) -> Result<(), String>;
    /// What there is of the first `made` objects, and their tensors; the stores of vectors only if asked for.
    fn pieces(&self, made: u64, vectors: bool) -> Result<(Value, Vec<Piece>), String>;
    fn restore(&self, objects: &Value, tensors: &SafeTensors) -> Result<(), String>;
    /// What one shard of this process has in the stores of vectors among the first `made` objects.
    fn pieces_of_shard(&self, made: u64, shard: usize) -> Result<Vec<Piece>, String>;
    /// Put back what shard `place.0` of `place.1` had, as far as it is this process's now.
    fn restore_shard(&self, objects: &Value, place: (usize, usize), tensors: &SafeTensors) -> Result<(), String>;
    /// All processes have the parameters of process 0.
    fn share(&self, group: &Group) -> Result<(), String>;
    /// Parameters that no gradient moves become their means over the processes.
    fn settle(&self, group: &Group) -> Result<(), String>;
    /// What all parameters are, in short.
    fn fingerprint(&self) -> String;
}
