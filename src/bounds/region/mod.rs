//! What is known of the activations at one layer when the input moves in an l2 ball: a ball and a box.
//!
//! ```text
//! ball   ||z - center|| <= radius          center: the clean activations
//! box    lower <= z <= upper               element by element
//! ```
//!
//! `parts` says what a region holds, `around` makes the first one; `affine` (by one operation where there is one: `at_once`),
//! `activation` and `meeting` say what a layer, or branches, make of it.
//!
//! The center is the very tensor of the clean activations: one forward pass makes both. A radius of NaN lets nothing certify that
//! still uses the ball.

mod activation;
mod affine;
mod around;
mod at_once;
mod meeting;
mod parts;

pub use meeting::meet;
pub use parts::Region;
