//! What a pickle made, as far as it is known here.

/// A value; others are named by their place in [`Pickle`].
#[derive(Debug, Clone)]
pub enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    /// Bytes, or the text of Python 2.
    Bytes(&'a [u8]),
    Text(&'a str),
    /// Bytes that were written as text.
    Owned(Vec<u8>),
    List(Vec<usize>),
    Tuple(Vec<usize>),
    Dict(Vec<(usize, usize)>),
    Function(Function),
    /// The type of an array's numbers.
    Type(String),
    /// The values of an array, once they are known, and its shape.
    Array(Option<(Vec<usize>, usize)>),
}

/// What may be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    Reconstruct,
    FromBuffer,
    Array,
    Type,
    Encode,
}

/// All values of a pickle.
pub struct Pickle<'a> {
    pub(super) values: Vec<Value<'a>>,
}

impl<'a> Pickle<'a> {
    /// The value at a place.
    pub fn at(&self, place: usize) -> &Value<'a> {
        &self.values[place]
    }

    /// The bytes of a value that has some.
    pub fn bytes(&self, place: usize) -> Option<&[u8]> {
        match &self.values[place] {
            Value::Bytes(bytes) => Some(bytes),
            Value::Text(text) => Some(text.as_bytes()),
            Value::Owned(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The value that the dictionary at `place` has under `key`.
    pub fn get(&self, place: usize, key: &str) -> Option<usize> {
        let Value::Dict(pairs) = self.at(place) else { return None };
        pairs.iter().rev().find(|(k, _)| self.bytes(*k) == Some(key.as_bytes())).map(|(_, value)| *value)
    }

    /// The keys of the dictionary at `place` that are texts.
    pub fn keys(&self, place: usize) -> Vec<String> {
        let Value::Dict(pairs) = self.at(place) else { return vec![] };
        pairs.iter().filter_map(|(k, _)| Some(String::from_utf8_lossy(self.bytes(*k)?).into_owned())).collect()
    }
}
