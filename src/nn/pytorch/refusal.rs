//! Why a file is none, or none that may be read.

use candle_core::Error;

pub enum Refusal {
    Damaged(String),
    Refused(String),
}

impl Refusal {
    pub fn named(self, source: &str) -> Error {
        match self {
            Self::Damaged(why) => damaged(source, &why),
            Self::Refused(why) => refused(source, &why),
        }
    }
}

pub fn damaged(source: &str, why: &str) -> Error {
    Error::Msg(format!(
        "load: {source} is no readable PyTorch file ({why}); it is cut off, damaged, or of another format"
    ))
}

pub fn refused(source: &str, why: &str) -> Error {
    Error::Msg(format!(
        "load: {source} holds no weights that can be read: {why}; where you trust the file, save the weights alone: \
         torch.save(model.state_dict(), path)"
    ))
}

/// A key of somebody else's choice, fit for a message.
pub fn shown(key: &str) -> String {
    key.chars().take(60).flat_map(char::escape_debug).collect()
}
