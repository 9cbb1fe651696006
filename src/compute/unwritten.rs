//! Results that are written once: memory for them is not cleared first.
//!
//! Clearing what is overwritten anyway costs as much memory traffic as the element-wise operations themselves.

use std::mem::MaybeUninit;

/// Room for `n` numbers that nobody has written yet.
pub fn unwritten<T: Copy>(n: usize) -> Vec<MaybeUninit<T>> {
    let mut room = Vec::with_capacity(n);
    // SAFETY: `MaybeUninit` needs no initialisation, and the capacity is there.
    unsafe { room.set_len(n) };
    room
}

/// The numbers, once they are all there.
///
/// # Safety
/// Every element has been written.
pub unsafe fn written<T: Copy>(room: Vec<MaybeUninit<T>>) -> Vec<T> {
    let mut room = std::mem::ManuallyDrop::new(room);
    // SAFETY: the same allocation, length and capacity; `MaybeUninit<T>` has T's layout.
    unsafe { Vec::from_raw_parts(room.as_mut_ptr().cast(), room.len(), room.capacity()) }
}

/// Writes `value(i)` everywhere; the same memory, now with numbers in it.
pub fn fill<T: Copy>(room: &mut [MaybeUninit<T>], value: impl Fn(usize) -> T) -> &mut [T] {
    room.iter_mut().enumerate().for_each(|(i, x)| {
        x.write(value(i));
    });
    // SAFETY: every element has just been written.
    unsafe { std::slice::from_raw_parts_mut(room.as_mut_ptr().cast(), room.len()) }
}
