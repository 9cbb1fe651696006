//! What each instruction does, those that a dictionary of tensors takes; any other is an error.

use super::machine::Machine;
use crate::nn::pytorch::value::{Id, Known, Outcome, Stored, Value};

impl Machine<'_> {
    /// One instruction; the result, when it was the last.
    pub(super) fn step(&mut self) -> Outcome<Option<Id>> {
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
}
