//! What a pickle of weights is made of: plain values, texts, tuples, lists, dictionaries, and PyTorch's storages and tensors.

use super::stored::{Element, Storage, Stored};

/// Why a program was refused.
pub type Outcome<T> = Result<T, String>;

/// Position of a value in the list of all values.
pub type Id = usize;

/// What a program makes.
#[derive(Debug)]
pub enum Value {
    /// None, a float, an integer beyond 64 bits: nothing that describes a tensor.
    Plain,
    Truth(bool),
    Integer(i64),
    Text(String),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    /// Keys and values in the order in which they were set.
    Dict(Vec<(Id, Id)>),
    Name(Known),
    Storage(Box<Storage>),
    Tensor(Box<Stored>),
}

impl Value {
    /// The kind of the value, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Plain => "a plain value",
            Value::Truth(_) => "a truth value",
            Value::Integer(_) => "an integer",
            Value::Text(_) => "a text",
            Value::Tuple(_) => "a tuple",
            Value::List(_) => "a list",
            Value::Dict(_) => "a dictionary",
            Value::Name(_) => "the name of a function",
            Value::Storage(_) => "a storage",
            Value::Tensor(_) => "a tensor",
        }
    }
}

/// The names that a program may use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Known {
    OrderedDict,
    Size,
    RebuildTensor,
    RebuildParameter,
    Storage(Element),
}

impl Known {
    /// The name as a program writes it, in two lines.
    pub fn find(module: &str, name: &str) -> Option<Self> {
        match (module, name) {
            ("collections", "OrderedDict") => Some(Known::OrderedDict),
            ("torch", "Size") => Some(Known::Size),
            ("torch._utils", "_rebuild_tensor_v2") => Some(Known::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Some(Known::RebuildParameter),
            ("torch", name) => Element::of_storage(name).map(Known::Storage),
            _ => None,
        }
    }
}
