//! A program from its first byte to its last.

use super::machine::{Kept, Machine};
use crate::nn::pytorch::value::{Id, Outcome, Storage, Value};
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
