//! What has been found out about a tensor's values, so that they are not read back from a GPU again
//!
//! Labels are checked against the number of classes wherever they are used, images against [0, 1]; each check would be a
//! wait for the device. Tensors do not change and their identities are not used twice, so the answer for one holds for good;
//! the last few dozen are kept, on each thread. Of batches of a data set it is known where they are made (`data/split/batches`).

use candle_core::{Tensor, TensorId};
use std::cell::RefCell;
use std::collections::VecDeque;

/// As many answers as a training step needs, several times over.
const KEPT: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fact {
    /// Whole numbers from 0 to this.
    Labels(i64),
    /// All values lie in [0, 1].
    Images,
    /// All values are finite and at least 0.
    Radii,
}

thread_local! {
    static FACTS: RefCell<VecDeque<(TensorId, Fact)>> = const { RefCell::new(VecDeque::new()) };
}

fn note(tensor: &Tensor, fact: Fact) {
    FACTS.with_borrow_mut(|facts| {
        if facts.len() == KEPT {
            facts.pop_front();
        }
        facts.push_back((tensor.id(), fact));
    });
}

fn find<T>(tensor: &Tensor, wanted: impl Fn(Fact) -> Option<T>) -> Option<T> {
    // A variable's values are set anew under the same identity.
    if tensor.is_variable() {
        return None;
    }
    let id = tensor.id();
    FACTS.with_borrow(|facts| facts.iter().filter(|(of, _)| *of == id).find_map(|(_, fact)| wanted(*fact)))
}

/// `y` holds whole numbers from 0 to `largest`.
pub fn note_labels(y: &Tensor, largest: i64) {
    note(y, Fact::Labels(largest));
}

/// All values of `x` lie in [0, 1].
pub fn note_images(x: &Tensor) {
    note(x, Fact::Images);
}

/// All values of `t` are finite and at least 0.
pub fn note_radii(t: &Tensor) {
    note(t, Fact::Radii);
}

/// Is `t` known to hold finite numbers of at least 0?
pub fn are_radii(t: &Tensor) -> bool {
    find(t, |fact| (fact == Fact::Radii).then_some(())).is_some()
}

/// The largest label of `y`, if it is known to hold labels.
pub fn largest_label(y: &Tensor) -> Option<i64> {
    find(y, |fact| match fact {
        Fact::Labels(largest) => Some(largest),
        Fact::Images | Fact::Radii => None,
    })
}

/// Is `x` known to lie in [0, 1]?
pub fn is_image(x: &Tensor) -> bool {
    find(x, |fact| (fact == Fact::Images).then_some(())).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Result, Var};

    #[test]
    fn an_answer_holds_for_its_tensor_alone_and_not_for_ever() -> Result<()> {
        let y = Tensor::new(&[0u32, 3], &Device::Cpu)?;
        note_labels(&y, 3);
        assert_eq!((largest_label(&y), largest_label(&y.clone()), is_image(&y)), (Some(3), Some(3), false));
        assert_eq!(largest_label(&y.copy()?), None);
        (0..KEPT).for_each(|_| note_images(&y.copy().expect("a copy")));
        assert_eq!(largest_label(&y), None, "made room for newer ones");
        let x = Var::from_tensor(&y)?;
        note_images(&x);
        assert!(!is_image(&x), "a variable can change");
        Ok(())
    }
}
