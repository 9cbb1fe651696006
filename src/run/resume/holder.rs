//! Who knows the script's objects.

use super::checkpoint::Piece;
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
}
