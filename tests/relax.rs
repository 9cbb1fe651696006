//! `std/relax` against the values that two independent programs agree on to 5e-15: bounds, boxes, losses, gradients, training; and against
//! attacks and samples on random nets of every kind that has lines.

mod common;

#[path = "relax/golden.rs"]
mod golden;
#[path = "relax/larger.rs"]
mod larger;
#[path = "relax/random.rs"]
mod random;
#[path = "relax/verifier.rs"]
mod verifier;
