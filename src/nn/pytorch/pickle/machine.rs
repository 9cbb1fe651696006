//! What a program works on: its bytes, the values it has made, a stack of their positions with marks in it, and those it keeps by number.

use crate::nn::pytorch::value::{Id, Outcome, Value};
use std::collections::HashMap;

/// What a value that is kept outside of the program stands for.
pub type Kept<'a> = &'a dyn Fn(&[Value], Id) -> Outcome<Value>;

pub(super) struct Machine<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) kept: Kept<'a>,
    pub(super) at: usize,
    pub(super) values: Vec<Value>,
    pub(super) stack: Vec<Id>,
    /// Heights of the stack at which marks lie; nothing below the last one can be taken.
    pub(super) marks: Vec<usize>,
    pub(super) memo: HashMap<u32, Id>,
    /// None and floats, False, True: each is one value, however often a program asks for it.
    pub(super) plain: [Option<Id>; 3],
}

impl<'a> Machine<'a> {
    pub(super) fn recall(&mut self, slot: u32) -> Outcome<()> {
        let id = *self.memo.get(&slot).ok_or_else(|| format!("it recalls value {slot}, which was never kept"))?;
        self.stack.push(id);
        Ok(())
    }

    pub(super) fn push(&mut self, value: Value) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    pub(super) fn plain(&mut self, place: usize, value: Value) {
        match self.plain[place] {
            Some(id) => self.stack.push(id),
            None => {
                self.plain[place] = Some(self.values.len());
                self.push(value);
            }
        }
    }

    pub(super) fn top(&self) -> Outcome<Id> {
        let above = self.stack.len() > self.marks.last().copied().unwrap_or(0);
        self.stack.last().copied().filter(|_| above).ok_or_else(|| "it takes a value where there is none".into())
    }

    pub(super) fn pop(&mut self) -> Outcome<Id> {
        let id = self.top()?;
        self.stack.pop();
        Ok(id)
    }

    pub(super) fn pop_to_mark(&mut self) -> Outcome<Vec<Id>> {
        let mark = self.marks.pop().ok_or("it goes back to a mark where there is none")?;
        Ok(self.stack.split_off(mark))
    }

    pub(super) fn take(&mut self, length: usize) -> Outcome<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..length).ok_or_else(|| format!("it ends {} bytes too early", length - rest.len()))?;
        self.at += length;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Outcome<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn byte(&mut self) -> Outcome<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn line(&mut self) -> Outcome<String> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|b| *b == b'\n').ok_or("a name in it does not end")?;
        let line = String::from_utf8_lossy(&rest[..length]).into_owned();
        self.at += length + 1;
        Ok(line)
    }
}
