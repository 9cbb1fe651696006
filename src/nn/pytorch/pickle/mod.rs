//! Pickle, as far as `torch.save` of weights writes it.
//!
//! A pickle is a program for a small stack machine; Python's own machine runs whatever function a program names. This one
//! runs nothing: it knows the opcodes of protocol 2 that a dictionary of tensors takes, and by name
//!
//! ```text
//! collections.OrderedDict                     an empty dictionary
//! torch.Size                                  a tuple
//! torch.FloatStorage, torch.HalfStorage, ...  the number type of a storage
//! torch._utils._rebuild_tensor_v2             a tensor: storage, offset, shape, strides; before version 0.4 without `_v2`
//! torch._utils._rebuild_parameter             the tensor that it is given
//! ```
//!
//! Every other opcode and name is an error. Values lie in one list and name each other by position, so that copies cost
//! nothing and depth takes no stack; time and memory grow with the length of the program alone.
//!
//! `program` runs one from its first byte to its last, `instructions` say what each does, `machine` what they work on.

mod instructions;
mod machine;
mod program;

pub use machine::Kept;
pub use program::{Pickled, nothing, storage, unpickle, unpickle_next};
