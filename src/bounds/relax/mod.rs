//! Linear relaxations: a linear function below each of some quantities of a layer, walked back layer by layer, and its least value
//!
//! ```text
//! q(h_i) >= <a, h_i> + k                for all inputs of a region
//! affine      h_i = W h + b             a <- W^T a                              k <- k + <a, b>
//! activation  h_i = f(h), lines on box  a <- ls a where a > 0, us a elsewhere   k <- k + <a, their offsets>
//! branches    h_i = sum of them         each branch by itself from a, then a and k added up
//! ```
//!
//! CROWN and CROWN-IBP (Zhang et al. 2018, 2020), CAP and Fast-Lin (Wong & Kolter 2018, Weng et al. 2018). The walks are Rhai:
//! `stdlib/relax_walk.rhai`.

mod first;
mod interval;
mod linear;
mod lines;
mod over;
mod part;
mod rounding;
mod rows;

pub use first::{Rows, first_box};
pub use interval::adjoint_absolute;
pub use linear::LinearBound;
pub use lines::{lines, uncertain};
pub use over::Over;
pub use rows::{mask_places, neuron_bounds, place_tiles, specification, tightened, unit_rows, with_label};
