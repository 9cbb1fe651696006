//! Gradients on their way to the operation that made their tensor: of the whole, and of rows of it along the first axis.

use candle_core::{Result, Shape, Tensor};
use std::ops::Range;

/// A gradient of a whole value.
#[derive(Debug)]
pub struct Arriving {
    pub tensor: Tensor,
    /// Nobody else holds its memory, so that it may be overwritten.
    pub alone: bool,
}

/// All that has come for one value, at least one gradient.
#[derive(Debug, Default)]
pub struct Arrived {
    whole: Option<Arriving>,
    rows: Vec<(Range<usize>, Tensor)>,
}

impl Arrived {
    pub(super) fn add(&mut self, rows: Option<Range<usize>>, tensor: Tensor, alone: bool) -> Result<()> {
        match rows {
            None => {
                self.whole = Some(match self.whole.take() {
                    Some(sum) => {
                        let sum = (sum.tensor.reshape(tensor.shape())? + tensor)?;
                        Arriving { tensor: sum, alone: true }
                    }
                    None => Arriving { tensor, alone },
                });
            }
            Some(rows) => match self.rows.iter_mut().find(|(own, _)| *own == rows) {
                Some((_, sum)) => *sum = (sum.reshape(tensor.shape())? + tensor)?,
                None => self.rows.push((rows, tensor)),
            },
        }
        Ok(())
    }

    /// Those of some runs of rows, where each has come, and nothing may have come for others or for the whole.
    pub fn split<const N: usize>(self, wanted: [Range<usize>; N]) -> Result<[Option<Tensor>; N]> {
        if self.whole.is_some() || self.rows.iter().any(|(rows, _)| !wanted.contains(rows)) {
            let rows: Vec<_> = self.rows.iter().map(|(rows, _)| rows).collect();
            candle_core::bail!("gradients of rows {rows:?} have come, those of {wanted:?} were wanted");
        }
        Ok(wanted.map(|wanted| self.rows.iter().find(|(rows, _)| *rows == wanted).map(|(_, g)| g.clone())))
    }

    /// The gradient of the value, of this shape.
    pub fn whole(self, shape: &Shape) -> Result<Arriving> {
        let mut sum =
            self.whole.map(|g| Ok::<_, candle_core::Error>(Arriving { tensor: g.tensor.reshape(shape)?, ..g }));
        for tensor in runs(self.rows, shape)? {
            sum = Some(match sum.transpose()? {
                Some(sum) => Ok(Arriving { tensor: (sum.tensor + tensor)?, alone: true }),
                // Of a single part the tensor may be the part itself.
                None => Ok(Arriving { tensor, alone: false }),
            });
        }
        sum.unwrap_or_else(|| candle_core::bail!("no gradient has arrived"))
    }
}

/// Gradients of rows as gradients of the whole: as few tensors as take all, with zeros where nothing has come.
fn runs(mut rows: Vec<(Range<usize>, Tensor)>, shape: &Shape) -> Result<Vec<Tensor>> {
    rows.sort_by_key(|(rows, _)| rows.start);
    let mut all = vec![];
    while let Some((_, like)) = rows.first() {
        let (dtype, device) = (like.dtype(), like.device().clone());
        let own = |count: usize| [&[count], &shape.dims()[1..]].concat();
        let zeros = |count: usize| Tensor::zeros(own(count), dtype, &device);
        let (mut parts, mut at, mut left) = (vec![], 0, vec![]);
        for (range, g) in rows {
            if range.start < at {
                left.push((range, g));
                continue;
            }
            if range.start > at {
                parts.push(zeros(range.start - at)?);
            }
            parts.push(g.reshape(own(range.len()))?);
            at = range.end;
        }
        if at < shape.dims()[0] {
            parts.push(zeros(shape.dims()[0] - at)?);
        }
        all.push(if parts.len() == 1 { parts.remove(0) } else { Tensor::cat(&parts, 0)? });
        rows = left;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn values(t: &Tensor) -> Vec<f64> {
        t.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn rows_and_the_whole_add_up() -> Result<()> {
        let t = |v: &[f64]| Tensor::new(v, &Device::Cpu).unwrap();
        let shape = Shape::from(4);
        let parts = || {
            let mut some = Arrived::default();
            some.add(Some(2..4), t(&[1.0, 2.0]), true)?;
            some.add(Some(0..1), t(&[5.0]), true)?;
            Ok::<_, candle_core::Error>(some)
        };
        let [none, last, first] = parts()?.split([1..2, 2..4, 0..1])?;
        assert!(none.is_none() && values(&last.unwrap()) == [1.0, 2.0] && values(&first.unwrap()) == [5.0]);
        assert!(parts()?.split([2..4, 1..2]).is_err(), "nothing is lost");
        let mut some = parts()?;
        some.add(Some(1..3), t(&[10.0, 20.0]), true)?;
        some.add(Some(0..1), t(&[0.5]), true)?;
        some.add(None, t(&[100.0; 4]), true)?;
        assert_eq!(values(&some.whole(&shape)?.tensor), [105.5, 110.0, 121.0, 102.0]);
        Ok(())
    }
}
