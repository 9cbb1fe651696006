//! From a loss to the gradients of the variables behind it, over our nodes and candle's graph in turn
//!
//! ```text
//! of the nodes that wait for their turn, the one that was made last: all who read it were made later, and are done
//! ours       its gradient is handed to its arguments, whole: no tensor of zeros, and an addition only where a second one comes
//! candle's   candle walks from it to the next of ours, or to variables
//! ```

use super::arrived::Arrived;
use super::node::{Argument, Node, Work};
use super::seed::seeded;
use super::walk::{Begun, Gradients, receive, walk};
use candle_core::{Result, Tensor, bail};

/// The gradients of `loss` in all variables that it depends on; of more than one number, those of its sum.
pub fn backward(loss: &Tensor) -> Result<Gradients> {
    let _begun = Begun::new();
    receive(&Argument::of(loss), loss.detach().ones_like()?, false)?;
    while let Some((node, arrived)) = walk(|walk| Ok(walk.next()))? {
        node.hand_on(arrived)?;
    }
    walk(|walk| Ok(std::mem::take(&mut walk.found)))
}

impl Node {
    fn hand_on(&self, arrived: Arrived) -> Result<()> {
        let (name, arguments, backward, owned) = match &self.work {
            Work::Candles(tensor) => {
                let store = seeded(tensor, arrived.whole(tensor.shape())?.tensor)?.backward()?;
                return walk(|walk| walk.found.add_all(&store));
            }
            Work::Ours { name, arguments, backward, owned } => (name, arguments, backward, *owned),
        };
        let wanted: Vec<bool> = arguments.iter().map(Argument::is_wanted).collect();
        let gradients = backward(arrived, &wanted)?;
        for (at, argument) in arguments.iter().enumerate().filter(|(_, argument)| argument.is_wanted()) {
            match gradients.get(at) {
                Some(Some(gradient)) => receive(argument, gradient.detach(), owned)?,
                // Given twice where there are fewer arguments.
                _ if arguments[..at].iter().any(|other| argument.is(other)) => {}
                _ => bail!("{name}: no gradient for argument {at}"),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::arithmetic::{add, mul, reshaped, scaled, sub};
    use super::super::operation::differentiable;
    use super::super::tape::Tracked;
    use super::*;
    use crate::base::random::Generator;
    use candle_core::{DType, Device, Var};

    fn values(t: &Tensor) -> Vec<f64> {
        t.flatten_all().unwrap().to_vec1().unwrap()
    }

    fn close(a: &Tensor, b: &Tensor) -> bool {
        values(a).iter().zip(values(b)).all(|(a, b)| (a - b).abs() <= 1e-10 * b.abs().max(1.0))
    }

    /// Values `[3, 2]` of a random graph over two variables, in which each operation is ours or candle's: `ours` says whether any is.
    fn graph(seed: u64, variables: &[Var], ours: bool) -> Result<Tensor> {
        let random = Generator::new(seed);
        let pick = move |n: usize| (random.unit() * n as f64) as usize;
        let mut known: Vec<Tensor> = variables.iter().map(|v| v.as_tensor().clone()).collect();
        for _ in 0..12 {
            // Late ones more often, so that the graph is deep.
            let from = known.len() - 1 - pick(known.len().min(4));
            let (a, b, own, what) = (known[from].clone(), known[pick(known.len())].clone(), pick(2) == 0, pick(7));
            let next = match (what, own && ours) {
                (0, true) => add(&a, &b)?,
                (0, false) => (&a + &b)?,
                (1, true) => sub(&a, &b)?,
                (1, false) => (&a - &b)?,
                (2, true) => mul(&a, &b)?,
                (2, false) => (&a * &b)?,
                (3, true) => scaled(&a, -0.5, 0.25)?,
                (3, false) => ((&a * -0.5)? + 0.25)?,
                (4, true) => {
                    // A part of what stays outside, and all of it.
                    let tape = Tracked::of(&a);
                    let doubled = (tape.value() * 2.0)?;
                    let tape = tape.then("double", doubled, &b, &b, |g, wanted| {
                        let d = (&g.tensor * 2.0)?;
                        Ok((wanted.then_some(d), Some(g.tensor.zeros_like()?), None))
                    });
                    let row = tape.part(1)?.unsqueeze(0)?;
                    (tape.tensor()? + row.broadcast_as((3, 2))?)?
                }
                (4, false) => {
                    let doubled = (&a * 2.0)?;
                    (&doubled + doubled.get(1)?.unsqueeze(0)?.broadcast_as((3, 2))?)?
                }
                (5, true) => reshaped(&reshaped(&a.tanh()?, &[6])?, &[3, 2])?,
                (5, false) => a.tanh()?,
                _ => (a.broadcast_mul(&b.narrow(0, 0, 1)?)? * 0.5)?,
            };
            known.push(next.tanh()?);
            known.push(next);
        }
        let last = known.len() - 1;
        (&known[last] + &known[last - 5])?.sum_all()
    }

    #[test]
    fn random_graphs_have_candles_gradients() -> Result<()> {
        for seed in 0..300 {
            let random = Generator::new(seed);
            let draw = || random.normal(0.0, 0.7, &[3, 2], DType::F64, &Device::Cpu);
            let variables = [Var::from_tensor(&draw()?)?, Var::from_tensor(&(draw()? * 0.5)?)?];
            let (here, there) = (graph(seed, &variables, true)?, graph(seed, &variables, false)?);
            assert!(close(&here, &there), "graph {seed}");
            let (here, there) = (backward(&here)?, there.backward()?);
            for variable in &variables {
                match (here.get(variable), there.get(variable)) {
                    (Some(a), Some(b)) => assert!(close(a, b), "graph {seed}"),
                    (None, b) => assert!(b.is_none(), "graph {seed}"),
                    (Some(a), None) => assert!(values(a).iter().all(|x| *x == 0.0), "graph {seed}"),
                }
            }
        }
        Ok(())
    }

    /// What a walk has left behind it when an operation failed is not found by the next one; candle's own walk is refused.
    #[test]
    fn a_walk_that_fails_leaves_nothing() -> Result<()> {
        let x = Var::new(&[1.0, 2.0], &Device::Cpu)?;
        let fails = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
        let own = fails.clone();
        let first = scaled(&x, 3.0, 0.0)?;
        let second = differentiable("second", (first.detach() * 1.0)?, [&first; 3], move |g, _| {
            if own.load(std::sync::atomic::Ordering::SeqCst) {
                bail!("not yet");
            }
            Ok((Some(g.clone()), None, None))
        })?;
        let loss = add(&first, &second)?;
        assert!(backward(&loss).unwrap_err().to_string().contains("not yet"));
        fails.store(false, std::sync::atomic::Ordering::SeqCst);
        assert_eq!(values(backward(&loss)?.get(&x).unwrap()), [6.0, 6.0]);
        let refused = loss.sum_all()?.backward().unwrap_err().to_string();
        assert!(refused.contains("workbench's `backward` alone"), "{refused}");
        assert!(backward(&loss.detach())?.get(&x).is_none());
        Ok(())
    }
}
