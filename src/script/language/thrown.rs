//! What a closure of a script throws, on its way through native code: candle's error carries a number, the error itself waits here.

use rhai::{EvalAltResult, Position};
use std::cell::{Cell, RefCell};

const MARK: &str = "thrown by a script, number ";

thread_local! {
    static THROWN: RefCell<Option<(u64, Box<EvalAltResult>)>> = const { RefCell::new(None) };
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// candle's error that carries what a closure threw.
pub fn carried(error: Box<EvalAltResult>) -> candle_core::Error {
    let number = COUNT.get() + 1;
    COUNT.set(number);
    THROWN.set(Some((number, error)));
    candle_core::Error::Msg(format!("{MARK}{number}"))
}

/// What a closure threw, if `message` is of an error that carries it.
pub fn thrown(message: &str) -> Option<Box<EvalAltResult>> {
    let (_, number) = message.rsplit_once(MARK)?;
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    let number: u64 = digits.parse().ok()?;
    let (kept, mut error) = THROWN.take()?;
    if kept != number {
        return None;
    }
    // Without a position of its own it gets that of the native call that led here.
    error.set_position(Position::NONE);
    Some(error)
}
