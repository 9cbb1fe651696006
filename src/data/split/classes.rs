//! Classes that have no image, for messages.

use super::in_memory::Split;

/// Which of the first `classes` classes have no image.
pub fn missing_classes(split: &Split, classes: usize) -> Vec<usize> {
    let counts = split.class_counts();
    counts.iter().take(classes).enumerate().filter(|(_, n)| **n == 0).map(|(class, _)| class).collect()
}

/// The first few of `classes`: there may be very many.
pub fn list(classes: &[impl ToString]) -> String {
    const SHOWN: usize = 10;
    let mut text = classes.iter().take(SHOWN).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if classes.len() > SHOWN {
        text += &format!(" and {} more", classes.len() - SHOWN);
    }
    text
}
