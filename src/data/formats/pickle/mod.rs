//! Python's pickles as far as CIFAR's batches need them: dictionaries, lists, tuples, whole numbers, texts, bytes, and NumPy's
//! arrays of bytes, in protocols 2 to 5. Nothing is executed: a pickle names functions to be called, and those few that are
//! known here stand for what they would have made; any other is refused by its name.

mod machine;
mod values;

pub use machine::read;
pub use values::Value;
