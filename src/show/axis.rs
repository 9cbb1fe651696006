//! The axes of a plot: how far they reach, where their numbers stand.

use super::distribution;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::coord::types::RangedCoordf64;
use std::ops::Range;

/// More numbers than these are not written at values of one's own.
const NUMBERS: usize = 8;

/// An axis that may say where its numbers stand.
pub struct Axis {
    range: RangedCoordf64,
    numbers: Option<Vec<f64>>,
}

impl Axis {
    /// An axis with its numbers where plotters puts them.
    pub fn new(range: Range<f64>) -> Self {
        Self { range: range.into(), numbers: None }
    }

    /// An axis of logarithms to the base 10, with at most `most` numbers where one would write them.
    pub fn of_logarithms(range: Range<f64>, most: usize) -> Self {
        let numbers = of_logarithms(&range, most);
        Self { range: range.into(), numbers }
    }

    /// With a number at each of `values`, if these are few and stand apart.
    pub fn with_numbers_at(mut self, mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        values.dedup();
        let range = self.range.range();
        let apart = values.windows(2).all(|pair| pair[1] - pair[0] > 0.09 * (range.end - range.start));
        if values.len() <= NUMBERS && apart {
            self.numbers = Some(values);
        }
        self
    }
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        self.range.map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        match &self.numbers {
            None => self.range.key_points(hint),
            // No lines between those that have numbers.
            Some(_) if hint.weight().allow_light_points() => vec![],
            Some(numbers) => numbers.clone(),
        }
    }

    fn range(&self) -> Range<f64> {
        self.range.range()
    }
}

/// Where a logarithmic axis has its numbers: at all multiples of powers of ten, or at 1, 2 and 5 times these, or at the powers
/// alone, as far as there are at most `most`. None if there are more, or not two.
fn of_logarithms(range: &Range<f64>, most: usize) -> Option<Vec<f64>> {
    let powers = range.start.floor() as i32..=range.end.floor() as i32;
    let points = |multiples: &[f64]| -> Vec<f64> {
        let points = powers.clone().flat_map(|power| multiples.iter().map(move |m| f64::from(power) + m.log10()));
        points.filter(|point| range.contains(point)).take(most + 1).collect()
    };
    let lists: [&[f64]; 3] = [&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0], &[1.0, 2.0, 5.0], &[1.0]];
    lists.into_iter().map(points).find(|points| points.len() <= most).filter(|points| points.len() > 1)
}

/// The range of one coordinate with some air; never empty.
pub fn span(values: impl Iterator<Item = f64>, air: f64) -> Range<f64> {
    let Some(all) = distribution::summary(&values.collect::<Vec<_>>()) else { return 0.0..1.0 };
    let width = all.high - all.low;
    if width > 0.0 {
        return all.low - air * width..all.high + air * width;
    }
    // A learning rate of 1e-4 that stays the same is not to lie on the line of 0.
    let around = if all.low == 0.0 { 0.5 } else { 0.1 * all.low.abs() };
    all.low - around..all.high + around
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_stays_the_same_lies_in_the_middle() {
        for value in [1e-4, 0.0, -3.0, 1e9] {
            let range = span([value, value].into_iter(), 0.04);
            assert!(((range.start + range.end) / 2.0 - value).abs() <= 1e-12 * value.abs(), "{range:?}");
            assert!(range.end - range.start <= value.abs().max(1.0), "{range:?}");
        }
    }

    #[test]
    fn logarithmic_axes_have_numbers_that_one_would_write() {
        let numbers = |low: f64, high: f64, most| {
            let points = of_logarithms(&(low.log10()..high.log10()), most)?;
            Some(points.iter().map(|point| 10f64.powf(*point).round()).collect::<Vec<_>>())
        };
        assert_eq!(numbers(2.5, 13.0, 10), Some(vec![3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]));
        assert_eq!(numbers(2.5, 13.0, 6), Some(vec![5.0, 10.0]));
        assert_eq!(numbers(9.0, 1100.0, 6), Some(vec![10.0, 100.0, 1000.0]));
        assert_eq!([numbers(1.1, 1.2, 6), numbers(1.0, 1e300, 10)], [None, None]);
    }

    #[test]
    fn numbers_stand_at_the_values_unless_they_would_touch() {
        let numbers = |values: &[f64]| Axis::new(0.0..1.0).with_numbers_at(values.to_vec()).numbers;
        assert_eq!(numbers(&[0.5, 0.1, 0.5]), Some(vec![0.1, 0.5]));
        assert_eq!(numbers(&[0.1, 0.15]), None);
    }
}
