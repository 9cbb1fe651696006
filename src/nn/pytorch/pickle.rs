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

use super::value::{Id, Known, Outcome, Value};
use super::value::{Storage, Stored};
use std::collections::HashMap;

/// All values of a program, and the one that it leaves.
#[derive(Debug)]
pub struct Pickled {
    pub values: Vec<Value>,
    pub root: Id,
}

/// Run the program in `bytes`.
pub fn unpickle(bytes: &[u8]) -> Outcome<Pickled> {
    unpickle_next(&mut &*bytes, &storage)
}

/// A value that is kept outside: a storage.
pub fn storage(values: &[Value], id: Id) -> Outcome<Value> {
    Storage::new(values, id).map(|storage| Value::Storage(Box::new(storage)))
}

/// Nothing is kept outside.
pub fn nothing(_: &[Value], _: Id) -> Outcome<Value> {
    Err("it keeps a value elsewhere, where there is none".into())
}

/// What a value that is kept outside of the program stands for.
pub type Kept<'a> = &'a dyn Fn(&[Value], Id) -> Outcome<Value>;

/// Run the program at the beginning of `bytes`, which end behind it.
pub fn unpickle_next(bytes: &mut &[u8], kept: Kept) -> Outcome<Pickled> {
    let mut machine = Machine {
        bytes,
        kept,
        at: 0,
        values: vec![],
        stack: vec![],
        marks: vec![],
        memo: HashMap::new(),
        plain: [None; 3],
    };
    loop {
        let at = machine.at;
        match machine.step() {
            Ok(None) => {}
            Ok(Some(root)) => {
                let (values, at) = (machine.values, machine.at);
                *bytes = &bytes[at..];
                return Ok(Pickled { values, root });
            }
            Err(why) => return Err(format!("{why}, at byte {at} of its pickle")),
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    kept: Kept<'a>,
    at: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack at which marks lie; nothing below the last one can be taken.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    /// None and floats, False, True: each is one value, however often a program asks for it.
    plain: [Option<Id>; 3],
}

impl<'a> Machine<'a> {
    /// One instruction; the result, when it was the last.
    fn step(&mut self) -> Outcome<Option<Id>> {
        match self.byte()? {
            0x80 => match self.byte()? {
                2 => {}
                other => return Err(format!("it is written in protocol {other}, PyTorch's own is 2")),
            },
            b'.' => return self.pop().map(Some),
            b'N' => self.plain(0, Value::Plain),
            0x88 => self.plain(2, Value::Truth(true)),
            0x89 => self.plain(1, Value::Truth(false)),
            b'G' => {
                self.take(8)?;
                self.plain(0, Value::Plain);
            }
            b'K' => {
                let n = self.byte()?;
                self.push(Value::Integer(n.into()));
            }
            b'M' => {
                let n = u16::from_le_bytes(self.array()?);
                self.push(Value::Integer(n.into()));
            }
            b'J' => {
                let n = i32::from_le_bytes(self.array()?);
                self.push(Value::Integer(n.into()));
            }
            0x8a => self.long()?,
            b'X' => {
                let length = u32::from_le_bytes(self.array()?) as usize;
                let text = std::str::from_utf8(self.take(length)?).map_err(|_| "a text in it is no UTF-8")?.to_string();
                self.push(Value::Text(text));
            }
            // Texts of Python 2, in bytes.
            b'U' => {
                let length = self.byte()?.into();
                self.bytes_as_text(length)?;
            }
            b'T' => {
                let length = u32::from_le_bytes(self.array()?) as usize;
                self.bytes_as_text(length)?;
            }
            b'(' => self.marks.push(self.stack.len()),
            b')' => self.push(Value::Tuple(vec![])),
            b't' => {
                let items = self.pop_to_mark()?;
                self.push(Value::Tuple(items));
            }
            op @ 0x85..=0x87 => {
                let mut items = (0x85..=op).map(|_| self.pop()).collect::<Outcome<Vec<_>>>()?;
                items.reverse();
                self.push(Value::Tuple(items));
            }
            b']' => self.push(Value::List(vec![])),
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.append(items)?;
            }
            b'}' => self.push(Value::Dict(vec![])),
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(&[key, value])?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set(&items)?;
            }
            b'q' => {
                let slot = self.byte()?;
                self.memo.insert(slot.into(), self.top()?);
            }
            b'r' => {
                let slot = u32::from_le_bytes(self.array()?);
                self.memo.insert(slot, self.top()?);
            }
            b'h' => {
                let slot = self.byte()?;
                self.recall(slot.into())?;
            }
            b'j' => {
                let slot = u32::from_le_bytes(self.array()?);
                self.recall(slot)?;
            }
            b'c' => self.name()?,
            b'Q' => {
                let id = self.pop()?;
                let value = (self.kept)(&self.values, id)?;
                self.push(value);
            }
            b'R' => self.reduce()?,
            b'b' => {
                // The attributes of a dictionary, such as its `_metadata`: nothing that weights need.
                self.pop()?;
                let kind = self.values[self.top()?].kind();
                if kind != "a dictionary" {
                    return Err(format!("it gives attributes to {kind}"));
                }
            }
            op => return Err(format!("it holds the instruction {op:#04x}, which no dictionary of tensors takes")),
        }
        Ok(None)
    }

    fn bytes_as_text(&mut self, length: usize) -> Outcome<()> {
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| "a text in it is no UTF-8")?.to_string();
        self.push(Value::Text(text));
        Ok(())
    }

    /// A function's name: two lines of text.
    fn name(&mut self) -> Outcome<()> {
        let (module, name) = (self.line()?, self.line()?);
        let known = Known::find(&module, &name).ok_or_else(|| {
            let full: String = format!("{module}.{name}").chars().take(80).flat_map(char::escape_default).collect();
            format!("it asks for `{full}`, which no dictionary of tensors takes; nothing of it was run")
        })?;
        self.push(Value::Name(known));
        Ok(())
    }

    /// Apply a function to a tuple of arguments.
    fn reduce(&mut self) -> Outcome<()> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Value::Name(function) = self.values[function] else {
            return Err(format!("it calls {}", self.values[function].kind()));
        };
        let Value::Tuple(arguments) = &self.values[arguments] else {
            return Err(format!("it calls a function with {}", self.values[arguments].kind()));
        };
        match (function, arguments.as_slice()) {
            (Known::OrderedDict, []) => self.push(Value::Dict(vec![])),
            (Known::Size, [sizes]) if matches!(self.values[*sizes], Value::Tuple(_)) => self.stack.push(*sizes),
            (Known::RebuildParameter, [tensor, ..]) if matches!(self.values[*tensor], Value::Tensor(_)) => {
                self.stack.push(*tensor);
            }
            (Known::RebuildOldTensor, [storage, offset, dims, strides]) => {
                let tensor = Stored::new(&self.values, *storage, *offset, *dims, *strides)?;
                self.push(Value::Tensor(Box::new(tensor)));
            }
            // Behind the strides: does it take a gradient, hooks, and since PyTorch 2.1 what a view does to its numbers.
            (Known::RebuildTensor, [storage, offset, dims, strides, _, _, view @ ..]) if view.len() <= 1 => {
                let mut tensor = Stored::new(&self.values, *storage, *offset, *dims, *strides)?;
                if let Some(view) = view.first() {
                    tensor.viewed(&self.values, *view)?;
                }
                self.push(Value::Tensor(Box::new(tensor)));
            }
            _ => return Err("it calls a function with arguments that do not fit".into()),
        }
        Ok(())
    }

    /// An integer of up to 255 bytes, the lowest first; those beyond 64 bits, such as a seed, are kept as plain values.
    fn long(&mut self) -> Outcome<()> {
        let length = self.byte()?.into();
        let bytes = self.take(length)?;
        if bytes.len() > 8 {
            self.plain(0, Value::Plain);
        } else {
            let fill = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
            let mut wide = [fill; 8];
            wide[..bytes.len()].copy_from_slice(bytes);
            self.push(Value::Integer(i64::from_le_bytes(wide)));
        }
        Ok(())
    }

    fn append(&mut self, items: Vec<Id>) -> Outcome<()> {
        let top = self.top()?;
        match &mut self.values[top] {
            Value::List(list) => list.extend(items),
            other => return Err(format!("it appends to {}", other.kind())),
        }
        Ok(())
    }

    fn set(&mut self, items: &[Id]) -> Outcome<()> {
        let top = self.top()?;
        match &mut self.values[top] {
            Value::Dict(entries) if items.len().is_multiple_of(2) => {
                entries.extend(items.chunks(2).map(|pair| (pair[0], pair[1])));
            }
            Value::Dict(_) => return Err("it sets a key without a value".into()),
            other => return Err(format!("it sets entries of {}", other.kind())),
        }
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Outcome<()> {
        let id = *self.memo.get(&slot).ok_or_else(|| format!("it recalls value {slot}, which was never kept"))?;
        self.stack.push(id);
        Ok(())
    }

    fn push(&mut self, value: Value) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    fn plain(&mut self, place: usize, value: Value) {
        match self.plain[place] {
            Some(id) => self.stack.push(id),
            None => {
                self.plain[place] = Some(self.values.len());
                self.push(value);
            }
        }
    }

    fn top(&self) -> Outcome<Id> {
        let above = self.stack.len() > self.marks.last().copied().unwrap_or(0);
        self.stack.last().copied().filter(|_| above).ok_or_else(|| "it takes a value where there is none".into())
    }

    fn pop(&mut self) -> Outcome<Id> {
        let id = self.top()?;
        self.stack.pop();
        Ok(id)
    }

    fn pop_to_mark(&mut self) -> Outcome<Vec<Id>> {
        let mark = self.marks.pop().ok_or("it goes back to a mark where there is none")?;
        Ok(self.stack.split_off(mark))
    }

    fn take(&mut self, length: usize) -> Outcome<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..length).ok_or_else(|| format!("it ends {} bytes too early", length - rest.len()))?;
        self.at += length;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Outcome<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn byte(&mut self) -> Outcome<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn line(&mut self) -> Outcome<String> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|b| *b == b'\n').ok_or("a name in it does not end")?;
        let line = String::from_utf8_lossy(&rest[..length]).into_owned();
        self.at += length + 1;
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program of protocol 2.
    fn run(program: &[&[u8]]) -> Outcome<Pickled> {
        unpickle(&[b"\x80\x02".to_vec(), program.concat()].concat())
    }

    #[test]
    fn depth_and_repetition_take_no_stack_and_no_memory() {
        let deep = [b")".to_vec(), vec![0x85; 1_000_000], b".".to_vec()].concat();
        assert_eq!(run(&[&deep]).unwrap().values.len(), 1_000_001);
        // Sixty times a pair of the last value: 2^60 leaves, if each were copied.
        let pairs = b"q\x00h\x00\x86".repeat(60);
        assert_eq!(run(&[b")", &pairs, b"."]).unwrap().values.len(), 61);
        // A list that holds itself.
        assert!(run(&[b"]q\x00h\x00a."]).is_ok());
    }

    /// The program of a tensor of one number whose view is described by `view`.
    fn viewed(view: &[u8]) -> Vec<u8> {
        let storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000NK\x01tQ";
        let parts = [b"ctorch._utils\n_rebuild_tensor_v2\n(", storage.as_slice(), b"K\x00))\x89N", view, b"tR."];
        parts.concat()
    }

    #[test]
    fn a_negated_view_is_read_with_the_other_sign() {
        for (view, expected) in [
            (b"".as_slice(), 1.5f32),
            (b"N", 1.5),
            (b"}", 1.5),
            (b"}X\x03\x00\x00\x00neg\x88s", -1.5),
            (b"}X\x03\x00\x00\x00neg\x89s", 1.5),
            (b"}X\x04\x00\x00\x00conj\x89s", 1.5),
        ] {
            let Pickled { values, root } = run(&[&viewed(view)]).expect("a tensor");
            let Value::Tensor(tensor) = &values[root] else { panic!("{}", values[root].kind()) };
            assert_eq!(tensor.gather(&1.5f32.to_le_bytes()), Ok(expected.to_le_bytes().to_vec()));
        }
    }

    #[test]
    fn programs_that_are_none_end_in_an_error() {
        for (program, reason) in [
            (b"".as_slice(), "ends 1 bytes too early"),
            (b"X\xff\xff\xff\xff.", "ends 4294967294 bytes too early"),
            (b".", "takes a value where there is none"),
            (b"N(0.", "instruction 0x30"),
            (b"N(q\x00.", "takes a value where there is none"),
            (b"Nt.", "a mark where there is none"),
            (b"h\x07.", "recalls value 7, which was never kept"),
            (b"}Na.", "appends to a dictionary"),
            (b"}(Nu.", "a key without a value"),
            (b")(NNu.", "sets entries of a tuple"),
            (b"NN}b.", "gives attributes to a plain value"),
            (b"N)R.", "calls a plain value"),
            (b"ccollections\nOrderedDict\nNR.", "calls a function with a plain value"),
            (b"ctorch\nSize\n)R.", "arguments that do not fit"),
            (b"cos\nsystem\nX\x01\x00\x00\x00a\x85R.", "asks for `os.system`"),
            (b"cbuiltins\nev", "a name in it does not end"),
            (b"NQ.", "names a storage by a plain value"),
            (b"\x80\x04.", "protocol 4"),
            (&viewed(b"}X\x04\x00\x00\x00conj\x88s"), "a view with the property `conj`"),
            (&viewed(b"}X\x06\x00\x00\x00scaledK\x02s"), "a view with the property `scaled`"),
            (&viewed(b"}K\x02\x88s"), "a property of a tensor by an integer"),
            (&viewed(b")"), "describes a view of a tensor by a tuple"),
            (&viewed(b"NN"), "arguments that do not fit"),
        ] {
            let why = run(&[program]).expect_err(reason);
            assert!(why.contains(reason), "{why}, not {reason}");
        }
    }

    #[test]
    fn long_integers_have_a_sign() {
        let number = |bytes: &[u8]| {
            let Pickled { values, root } = run(&[&[0x8a, bytes.len() as u8], bytes, b"."]).unwrap();
            format!("{:?}", values[root])
        };
        assert_eq!(number(&[]), "Integer(0)");
        assert_eq!(number(&[0xff]), "Integer(-1)");
        assert_eq!(number(&[0xff, 0]), "Integer(255)");
        assert_eq!(number(&i64::MIN.to_le_bytes()), format!("Integer({})", i64::MIN));
        assert_eq!(number(&[1; 9]), "Plain");
    }
}
