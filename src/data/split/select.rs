//! Parts of a split by class: the first few images of each, or a part that is set apart with the classes in the same
//! proportions as the whole, drawn from the seed.
//!
//! Of c_k of the N images, round(n c_k / N) are among the n that are set apart, where the largest remainders are rounded
//! up so that the sum is n.

use super::in_memory::Split;
use crate::base::random::Generator;
use crate::data::error::{Error, Result};
use crate::data::share::Share;

impl Share {
    /// How many of the `available` images of `from` that is; some must be wanted and some left. `option` is what asks.
    pub(in crate::data) fn of(self, option: &'static str, from: &str, available: usize) -> Result<usize> {
        let taken = match self {
            Self::Count(n) => Some(n),
            Self::Fraction(part) => (part > 0.0 && part < 1.0).then(|| (part * available as f64).round() as usize),
        };
        match taken {
            Some(n) if n > 0 && n < available => Ok(n),
            _ => Err(Error::Share { option, given: self, from: from.into(), available }),
        }
    }
}

impl Split {
    /// The first `n` images of each class, in the order of the split. A class that has fewer is an error, and so is 0.
    pub fn per_class(&self, n: usize) -> Result<Self> {
        let counts = self.class_counts();
        // Of the class with the fewest, so that what the message allows is right for all.
        let (class, found) = counts.into_iter().enumerate().min_by_key(|(_, count)| *count).unwrap_or_default();
        if n == 0 || found < n {
            return Err(Error::PerClass { split: self.name().into(), given: n, class, found });
        }
        let mut taken = vec![0; self.classes()];
        let labels = self.label_list();
        let wanted = |label: &u32| {
            let count = &mut taken[*label as usize];
            *count += 1;
            *count <= n
        };
        let chosen: Vec<u32> = labels.iter().map(wanted).zip(0..).filter(|(w, _)| *w).map(|(_, i)| i).collect();
        Ok(self.select(&chosen))
    }

    /// Two splits: the rest in its former order, and a part called `name`, without augmentation, that holds as large a share
    /// of each class. Which images these are depends on the split's seed.
    pub fn set_apart(&self, name: &'static str, share: Share) -> Result<(Self, Self)> {
        let count = share.of(name, &format!("split `{}`", self.name()), self.len())?;
        let (rest, apart) = set_apart(&self.label_list(), self.classes(), count, self.seed(), name);
        let apart = self.select(&apart).named(name).with_augmentation(Default::default())?;
        Ok((self.select(&rest), apart))
    }
}

/// The places of those that stay and of the `count` that are set apart for the use called `name`, both in order.
pub fn set_apart(labels: &[u32], classes: usize, count: usize, seed: u64, name: &str) -> (Vec<u32>, Vec<u32>) {
    let mut members = vec![Vec::new(); classes];
    for (i, label) in labels.iter().enumerate() {
        members[*label as usize].push(i as u32);
    }
    let sizes: Vec<usize> = members.iter().map(Vec::len).collect();
    let random = Generator::new(seed).fork(&format!("{name} images"));
    let mut apart = vec![false; labels.len()];
    for (class, quota) in quotas(&sizes, count).into_iter().enumerate() {
        // An order of its own for each class: what one gives does not depend on the others, and more are those and more.
        let order = random.fork(&format!("class {class}")).permutation(sizes[class]);
        order.iter().take(quota).for_each(|&at| apart[members[class][at as usize] as usize] = true);
    }
    (0..labels.len() as u32).partition(|&i| !apart[i as usize])
}

/// How many of each class, given their sizes, make `count` in all.
fn quotas(sizes: &[usize], count: usize) -> Vec<usize> {
    let total = sizes.iter().sum::<usize>().max(1);
    let share = |size: &usize| (*size as u128 * count as u128 / total as u128) as usize;
    let remainder = |size: usize| size as u128 * count as u128 % total as u128;
    let mut quotas: Vec<usize> = sizes.iter().map(share).collect();
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    // The sort keeps the order of the classes where remainders are equal.
    order.sort_by_key(|&class| std::cmp::Reverse(remainder(sizes[class])));
    let missing = count - quotas.iter().sum::<usize>();
    order.into_iter().take(missing).for_each(|class| quotas[class] += 1);
    quotas
}

#[cfg(test)]
mod tests {
    use super::quotas;

    #[test]
    fn quotas_are_proportional_and_add_up() {
        assert_eq!(quotas(&[50, 30, 20], 10), [5, 3, 2]);
        assert_eq!(quotas(&[10, 10, 10], 5), [2, 2, 1], "equal remainders go to the first classes");
        assert_eq!(quotas(&[7, 2, 1], 4), [3, 1, 0], "2.8, 0.8, 0.4");
        assert_eq!(quotas(&[0, 3], 2), [0, 2]);
        for count in 0..=40 {
            let found = quotas(&[3, 17, 1, 9, 10], count);
            assert_eq!(found.iter().sum::<usize>(), count);
            assert!(found.iter().zip([3, 17, 1, 9, 10]).all(|(n, size)| *n <= size), "{found:?} of {count}");
        }
    }
}
