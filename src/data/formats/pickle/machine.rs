//! The machine that a pickle is a programme for: a stack, marks in it, and what was made before, by numbers.

use super::values::{Function, Pickle, Value};
use std::collections::HashMap;

/// Values are limited so that a small file cannot fill the memory.
const VALUES: usize = 1 << 21;

type Res<T> = Result<T, String>;

struct Machine<'a> {
    bytes: &'a [u8],
    values: Vec<Value<'a>>,
    stack: Vec<usize>,
    marks: Vec<usize>,
    memo: HashMap<u32, usize>,
}

/// Read `bytes`; the place of the outermost value.
pub fn read(bytes: &[u8]) -> Res<(Pickle<'_>, usize)> {
    let mut machine = Machine { bytes, values: vec![], stack: vec![], marks: vec![], memo: HashMap::new() };
    loop {
        let code = machine.take(1)?[0];
        if code == b'.' {
            let root = machine.pop()?;
            return match machine.bytes.is_empty() {
                true => Ok((Pickle { values: machine.values }, root)),
                false => Err(format!("{} bytes follow its end", machine.bytes.len())),
            };
        }
        machine.step(code)?;
    }
}

impl<'a> Machine<'a> {
    fn step(&mut self, code: u8) -> Res<()> {
        match code {
            0x80 => match self.take(1)?[0] {
                2..=5 => {}
                other => return Err(format!("it is of protocol {other}; expected 2 to 5")),
            },
            0x95 => drop(self.take(8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'N' => self.push(Value::None)?,
            0x88 => self.push(Value::Bool(true))?,
            0x89 => self.push(Value::Bool(false))?,
            b'K' => self.integer(1)?,
            b'M' => self.integer(2)?,
            b'J' => {
                let b = self.take(4)?;
                self.push(Value::Int(i32::from_le_bytes([b[0], b[1], b[2], b[3]]).into()))?;
            }
            0x8a => {
                let n = self.length(1)?;
                let b = self.take(n)?;
                if n > 8 {
                    return Err("a number is beyond 64 bits".into());
                }
                let negative = b.last().is_some_and(|b| *b >= 0x80);
                let fill = if negative { 0xff } else { 0 };
                let mut wide = [fill; 8];
                wide[..n].copy_from_slice(b);
                self.push(Value::Int(i64::from_le_bytes(wide)))?;
            }
            b'U' | b'C' => self.string(1)?,
            b'T' | b'B' => self.string(4)?,
            0x8e | 0x96 => self.string(8)?,
            0x8c => self.text(1)?,
            b'X' => self.text(4)?,
            0x8d => self.text(8)?,
            b'}' => self.push(Value::Dict(vec![]))?,
            b']' => self.push(Value::List(vec![]))?,
            b')' => self.push(Value::Tuple(vec![]))?,
            b't' => {
                let items = self.marked()?;
                self.push(Value::Tuple(items))?;
            }
            0x85..=0x87 => {
                let mut items = (0..code - 0x84).map(|_| self.pop()).collect::<Res<Vec<_>>>()?;
                items.reverse();
                self.push(Value::Tuple(items))?;
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.marked()?;
                self.append(items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.insert(&[key, value])?;
            }
            b'u' => {
                let items = self.marked()?;
                self.insert(&items)?;
            }
            b'q' => self.remember(1)?,
            b'r' => self.remember(4)?,
            0x94 => {
                let next = self.memo.len() as u32;
                let top = self.top()?;
                self.memo.insert(next, top);
            }
            b'h' => self.recall(1)?,
            b'j' => self.recall(4)?,
            b'0' => drop(self.pop()?),
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.function(module, name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (&self.values[module], &self.values[name]) {
                    (Value::Text(module), Value::Text(name)) => self.function(module, name)?,
                    _ => return Err("a function has no name".into()),
                }
            }
            b'R' => self.call()?,
            b'b' => self.build()?,
            other => return Err(format!("it holds 0x{other:02x}, which no batch of images does")),
        }
        Ok(())
    }

    fn take(&mut self, n: usize) -> Res<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(n).ok_or("cut off")?;
        self.bytes = rest;
        Ok(taken)
    }

    fn line(&mut self) -> Res<&'a str> {
        let end = self.bytes.iter().take(256).position(|b| *b == b'\n').ok_or("a name without end")?;
        let line = self.take(end + 1)?;
        std::str::from_utf8(&line[..end]).map_err(|_| "a name is no text".into())
    }

    /// A number of `width` bytes.
    fn length(&mut self, width: usize) -> Res<usize> {
        let mut wide = [0; 8];
        wide[..width].copy_from_slice(self.take(width)?);
        usize::try_from(u64::from_le_bytes(wide)).map_err(|_| "cut off".into())
    }

    fn push(&mut self, value: Value<'a>) -> Res<()> {
        if self.values.len() >= VALUES {
            return Err(format!("it holds more than {VALUES} values"));
        }
        self.stack.push(self.values.len());
        self.values.push(value);
        Ok(())
    }

    fn integer(&mut self, width: usize) -> Res<()> {
        let value = self.length(width)? as i64;
        self.push(Value::Int(value))
    }

    fn string(&mut self, width: usize) -> Res<()> {
        let n = self.length(width)?;
        let bytes = self.take(n)?;
        self.push(Value::Bytes(bytes))
    }

    fn text(&mut self, width: usize) -> Res<()> {
        let n = self.length(width)?;
        let text = std::str::from_utf8(self.take(n)?).map_err(|_| "a text is no UTF-8")?;
        self.push(Value::Text(text))
    }

    /// What lies below the last mark is not to be had.
    fn top(&self) -> Res<usize> {
        let above = self.stack.len() > self.marks.last().copied().unwrap_or(0);
        self.stack.last().copied().filter(|_| above).ok_or("it takes a value where there is none".into())
    }

    fn pop(&mut self) -> Res<usize> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// All above the last mark.
    fn marked(&mut self) -> Res<Vec<usize>> {
        let from = self.marks.pop().filter(|from| *from <= self.stack.len()).ok_or("a mark is missing")?;
        Ok(self.stack.split_off(from))
    }

    fn append(&mut self, items: Vec<usize>) -> Res<()> {
        let top = self.top()?;
        match &mut self.values[top] {
            Value::List(list) if list.len() + items.len() <= VALUES => list.extend(items),
            _ => return Err("something is appended to what is no list, or one too long".into()),
        }
        Ok(())
    }

    fn insert(&mut self, items: &[usize]) -> Res<()> {
        let top = self.top()?;
        match &mut self.values[top] {
            Value::Dict(pairs) if items.len().is_multiple_of(2) && pairs.len() <= VALUES => {
                pairs.extend(items.chunks(2).map(|pair| (pair[0], pair[1])));
            }
            _ => return Err("something is set in what is no dictionary".into()),
        }
        Ok(())
    }

    fn remember(&mut self, width: usize) -> Res<()> {
        let at = self.length(width)? as u32;
        let top = self.top()?;
        self.memo.insert(at, top);
        Ok(())
    }

    fn recall(&mut self, width: usize) -> Res<()> {
        let at = self.length(width)? as u32;
        let place = *self.memo.get(&at).ok_or("it recalls what it has not kept")?;
        // References are cheap, but a file may hold very many.
        if self.stack.len() > VALUES {
            return Err(format!("it holds more than {VALUES} values"));
        }
        self.stack.push(place);
        Ok(())
    }

    fn function(&mut self, module: &str, name: &str) -> Res<()> {
        let function = match (module, name) {
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Function::Reconstruct,
            ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Function::FromBuffer,
            ("numpy", "ndarray") => Function::Array,
            ("numpy", "dtype") => Function::Type,
            ("_codecs", "encode") => Function::Encode,
            _ => {
                let name = format!("{module}.{name}").escape_debug().to_string();
                return Err(format!("it asks for {name} to be called; nothing in a data file is run"));
            }
        };
        self.push(Value::Function(function))
    }

    fn tuple(&self, place: usize) -> &[usize] {
        match &self.values[place] {
            Value::Tuple(items) => items,
            _ => &[],
        }
    }

    fn bytes_at(&self, place: usize) -> &[u8] {
        match &self.values[place] {
            Value::Bytes(bytes) => bytes,
            Value::Text(text) => text.as_bytes(),
            Value::Owned(bytes) => bytes,
            _ => &[],
        }
    }

    fn shape(&self, place: usize) -> Res<Vec<usize>> {
        let side = |place: &usize| match self.values[*place] {
            Value::Int(n) => usize::try_from(n).map_err(|_| "an array's side is below 0".to_string()),
            _ => Err("an array's shape is none".into()),
        };
        self.tuple(place).iter().map(side).collect()
    }

    /// An array of bytes in C order, in the four values that say so.
    fn array(&self, [data, kind, shape, fortran]: [usize; 4]) -> Res<Value<'a>> {
        match &self.values[kind] {
            Value::Type(kind) if kind == "u1" => {}
            Value::Type(kind) => {
                return Err(format!("its array is of type {}; expected u1, bytes", kind.escape_debug()));
            }
            _ => return Err("its array has no type".into()),
        }
        let in_fortran = match &self.values[fortran] {
            Value::Bool(fortran) => *fortran,
            Value::Int(fortran) => *fortran != 0,
            _ => self.bytes_at(fortran) != b"C",
        };
        if in_fortran {
            return Err("its array is in Fortran order; write it with numpy.ascontiguousarray".into());
        }
        let shape = self.shape(shape)?;
        let expected = shape.iter().try_fold(1_usize, |n, d| n.checked_mul(*d));
        let found = self.bytes_at(data).len();
        if expected != Some(found) {
            return Err(format!("its array of the shape {shape:?} has {found} bytes"));
        }
        Ok(Value::Array(Some((shape, data))))
    }

    fn call(&mut self) -> Res<()> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Value::Function(function) = self.values[function] else {
            return Err("it calls what is no function; nothing in a data file is run".into());
        };
        let arguments = self.tuple(arguments).to_vec();
        let made = match (function, &arguments[..]) {
            (Function::Reconstruct, [_, _, _]) => Value::Array(None),
            (Function::FromBuffer, [data, kind, shape, order]) => self.array([*data, *kind, *shape, *order])?,
            (Function::Type, [kind, ..]) => Value::Type(String::from_utf8_lossy(self.bytes_at(*kind)).into_owned()),
            (Function::Encode, [text, _]) => match &self.values[*text] {
                // Each character stands for the byte of its number.
                Value::Text(text) => Value::Owned(
                    text.chars()
                        .map(|c| u8::try_from(u32::from(c)).map_err(|_| "a text stands for no bytes".to_string()))
                        .collect::<Res<Vec<u8>>>()?,
                ),
                _ => return Err("what is encoded is no text".into()),
            },
            _ => return Err(format!("it calls {function:?} as no batch of images does")),
        };
        self.push(made)
    }

    fn build(&mut self) -> Res<()> {
        let (state, of) = (self.pop()?, self.top()?);
        match &self.values[of] {
            // Byte order and the like: bytes have none.
            Value::Type(_) => Ok(()),
            Value::Array(None) => {
                let [_, shape, kind, fortran, data] = *self.tuple(state) else {
                    return Err("an array's state is none".into());
                };
                self.values[of] = self.array([data, kind, shape, fortran])?;
                Ok(())
            }
            _ => Err("it sets the state of what has none".into()),
        }
    }
}
