//! What a pickle of weights is made of: plain values, texts, tuples, lists, dictionaries, and PyTorch's storages and tensors.

use candle_core::DType;

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
    /// The same before hooks were.
    RebuildOldTensor,
    RebuildParameter,
    Storage(Element),
    /// A kind of tensors, in archives of the oldest versions.
    TensorType,
}

impl Known {
    /// The name as a program writes it, in two lines.
    pub fn find(module: &str, name: &str) -> Option<Self> {
        match (module, name) {
            ("collections", "OrderedDict") => Some(Known::OrderedDict),
            ("torch", "Size") => Some(Known::Size),
            ("torch._utils", "_rebuild_tensor_v2") => Some(Known::RebuildTensor),
            ("torch._utils", "_rebuild_tensor") => Some(Known::RebuildOldTensor),
            ("torch._utils", "_rebuild_parameter") => Some(Known::RebuildParameter),
            ("torch", name) => match name.strip_suffix("Tensor") {
                Some(kind) => Element::of_storage(&format!("{kind}Storage")).map(|_| Known::TensorType),
                None => Element::of_storage(name).map(Known::Storage),
            },
            _ => None,
        }
    }
}

/// The number type of a storage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Element {
    /// As messages call it.
    pub name: &'static str,
    /// Bytes of one number.
    pub size: usize,
    /// Set for the types that parameters can have.
    pub float: Option<DType>,
}

impl Element {
    /// The number type of PyTorch's class `name`.
    pub fn of_storage(name: &str) -> Option<Self> {
        let (name, size, float) = match name {
            "FloatStorage" => ("F32", 4, Some(DType::F32)),
            "DoubleStorage" => ("F64", 8, Some(DType::F64)),
            "HalfStorage" => ("F16", 2, Some(DType::F16)),
            "BFloat16Storage" => ("BF16", 2, Some(DType::BF16)),
            "LongStorage" => ("I64", 8, None),
            "IntStorage" => ("I32", 4, None),
            "ShortStorage" => ("I16", 2, None),
            "CharStorage" => ("I8", 1, None),
            "ByteStorage" => ("U8", 1, None),
            "BoolStorage" => ("BOOL", 1, None),
            _ => return None,
        };
        Some(Self { name, size, float })
    }
}

/// A storage: an entry of the archive and what it holds.
#[derive(Clone, Debug)]
pub struct Storage {
    pub element: Element,
    /// Name of the archive's entry under `data/`; its number in older files.
    pub key: String,
    /// Number of numbers.
    pub len: usize,
    /// In older files a storage may be a part of another: where it begins, and how long it is.
    pub part: Option<(usize, usize)>,
}

/// A tensor: where its numbers lie.
#[derive(Clone, Debug)]
pub struct Stored {
    pub storage: Storage,
    pub dims: Vec<usize>,
    pub strides: Vec<usize>,
    pub offset: usize,
    /// Are the numbers those of the storage with the other sign? PyTorch negates a view when it is read.
    pub negated: bool,
}
