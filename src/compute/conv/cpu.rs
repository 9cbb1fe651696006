//! The CPU form of the convolutions: direct kernels where the processor and the shape allow (`direct`), matrix
//! products otherwise (`matrix`).

use super::Geometry;
use super::matrix;
use crate::compute::element::Element;

/// `w x` for a batch of images, plus `bias` per output channel where there is one.
pub fn forward<T: Element>(g: &Geometry, x: &[T], w: &[T], bias: Option<&[T]>) -> Vec<T> {
    #[cfg(target_arch = "x86_64")]
    if let (Some(x), Some(w), true) = (T::as_f32(x), T::as_f32(w), super::direct::fits(g)) {
        let y = crate::compute::conv::direct::batch::forward(g, x, w, bias.and_then(T::as_f32));
        if let Some(y) = T::from_f32(y) {
            return y;
        }
    }
    matrix::forward(g, x, w, bias)
}

/// `w^T y` for a batch of images.
pub fn input<T: Element>(g: &Geometry, y: &[T], w: &[T]) -> Vec<T> {
    #[cfg(target_arch = "x86_64")]
    if let (Some(y), Some(w), true) = (T::as_f32(y), T::as_f32(w), super::direct::fits(g))
        && let Some(x) = T::from_f32(crate::compute::conv::direct::batch::input(g, y, w))
    {
        return x;
    }
    matrix::input(g, y, w)
}

/// The kernel's gradient `sum_b scale_b (x_b, y_b)`; without `scales` all are 1.
pub fn weight<T: Element>(g: &Geometry, x: &[T], y: &[T], scales: Option<&[T]>) -> Vec<T> {
    #[cfg(target_arch = "x86_64")]
    if let (Some(x), Some(y), true) = (T::as_f32(x), T::as_f32(y), super::direct::fits(g)) {
        let w = crate::compute::conv::direct::batch::weight(g, x, y, scales.and_then(T::as_f32));
        if let Some(w) = T::from_f32(w) {
            return w;
        }
    }
    matrix::weight(g, x, y, scales)
}
