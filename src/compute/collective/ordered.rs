//! Sums in an order that no library chooses: a balanced tree, neighbours first, then pairs of neighbours
//!
//! ```text
//! ((g0 + g1) + (g2 + g3)) + ((g4 + g5) + g6)
//! ```
//!
//! Whoever has which of the terms, one process all of them or seven one each: where each has a power of two of neighbours, the bits are
//! the same.

use super::mpi::Number;

/// In which order numbers of several processes are added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sum {
    /// A balanced tree, the same for every library, size and placing.
    #[default]
    Ordered,
    /// What the library takes for fastest.
    Fast,
}

/// Adds `rows` rows of `n` numbers into the first.
pub fn tree<T: Number>(values: &mut [T], n: usize, rows: usize) {
    let mut step = 1;
    while step < rows {
        for at in (0..rows - step).step_by(2 * step) {
            let (left, right) = values.split_at_mut((at + step) * n);
            left[at * n..at * n + n].iter_mut().zip(&right[..n]).for_each(|(a, b)| *a += *b);
        }
        step *= 2;
    }
}

/// The same of terms that come one after another: sums of 1, 2, 4, ... of them wait for their neighbours.
#[derive(Debug)]
pub struct Counter<T> {
    waiting: Vec<(u32, T)>,
}

impl<T> Default for Counter<T> {
    fn default() -> Self {
        Self { waiting: vec![] }
    }
}

impl<T> Counter<T> {
    /// Another term.
    pub fn add<E>(&mut self, term: T, mut sum: impl FnMut(T, T) -> Result<T, E>) -> Result<(), E> {
        let (mut height, mut term) = (0, term);
        while let Some((_, left)) = self.waiting.pop_if(|(waiting, _)| *waiting == height) {
            (height, term) = (height + 1, sum(left, term)?);
        }
        self.waiting.push((height, term));
        Ok(())
    }

    /// All of them; nothing if there was none. The next term begins anew.
    pub fn take<E>(&mut self, mut sum: impl FnMut(T, T) -> Result<T, E>) -> Result<Option<T>, E> {
        let Some((_, mut all)) = self.waiting.pop() else { return Ok(None) };
        while let Some((_, left)) = self.waiting.pop() {
            all = sum(left, all)?;
        }
        Ok(Some(all))
    }

    /// Is nothing waiting?
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order of adding, in brackets.
    fn brackets(n: usize) -> String {
        let mut counter = Counter::default();
        let sum = |a: String, b: String| Ok::<_, ()>(format!("({a}{b})"));
        (0..n).for_each(|i| counter.add(i.to_string(), sum).expect("a sum"));
        let all = counter.take(sum).expect("a sum").expect("a term");
        assert!(counter.is_empty());
        all
    }

    #[test]
    fn terms_that_come_one_by_one_are_added_as_the_tree_adds_rows() {
        assert_eq!(brackets(1), "0");
        assert_eq!(brackets(4), "((01)(23))");
        assert_eq!(brackets(7), "(((01)(23))((45)6))");
        // Numbers of very different sizes, so that every order of adding has its own last bits.
        let terms: Vec<f32> = (0..40).map(|i| (i as f32 * 0.7).sin() * 10_f32.powi(i % 7 - 3)).collect();
        for rows in 1..=40 {
            let (mut counter, mut values) = (Counter::default(), terms.clone());
            let sum = |a: f32, b: f32| Ok::<_, ()>(a + b);
            terms[..rows].iter().for_each(|x| counter.add(*x, sum).expect("a sum"));
            tree(&mut values, 1, rows);
            assert_eq!(counter.take(sum).expect("a sum").map(f32::to_bits), Some(values[0].to_bits()), "{rows} rows");
        }
    }

    #[test]
    fn who_has_powers_of_two_of_neighbours_comes_to_the_same_bits() {
        let terms: Vec<f64> = (0..16).map(|i| (f64::from(i) * 1.3).cos() * 10_f64.powi(i % 9 - 4)).collect();
        let mut all = terms.clone();
        tree(&mut all, 1, 16);
        for each in [1, 2, 4, 8] {
            let mut parts: Vec<f64> = terms
                .chunks(each)
                .map(|own| {
                    let mut own = own.to_vec();
                    tree(&mut own, 1, each);
                    own[0]
                })
                .collect();
            let rows = parts.len();
            tree(&mut parts, 1, rows);
            assert_eq!(parts[0].to_bits(), all[0].to_bits(), "{each} each");
        }
    }
}
