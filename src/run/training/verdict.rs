//! Did a training learn anything? What its epochs logged as `loss` and as accuracy says when it did not: then the run says so at
//! its end, and its record too.

/// A loss that ends beyond this and above its least has diverged: a cross-entropy of random guesses is the logarithm of the number
/// of classes. Sums of squares may begin there and fall.
const TOO_LARGE: f64 = 1e4;

/// No loss is meant to be as large.
const ABSURD: f64 = 1e12;

/// What a loss that stands still moves by at most, relatively.
const STILL: f64 = 1e-3;

/// What an epoch came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Epoch {
    loss: f64,
    accuracy: Option<f64>,
}

impl Epoch {
    /// Of the means over an epoch, if there is a loss among them.
    pub fn of(values: &[(String, f64)]) -> Option<Self> {
        let value = |name: &str| values.iter().find(|(n, _)| n == name).map(|(_, x)| *x);
        let accuracy = ["clean", "accuracy", "acc", "train_acc", "train/acc", "clean_acc"].into_iter().find_map(value);
        Some(Self { loss: value("loss")?, accuracy })
    }
}

/// What is wrong with a training of these epochs, if something is.
pub fn fault(epochs: &[Epoch], classes: Option<usize>) -> Option<String> {
    let last = epochs.last()?;
    let least = epochs.iter().fold(f64::INFINITY, |least, epoch| least.min(epoch.loss));
    let most = epochs.iter().fold(f64::NEG_INFINITY, |most, epoch| most.max(epoch.loss));
    let advice = "lower the learning rate, lengthen the ramp of epsilon, or clip the gradients: adam(model, #{ clip_norm: 1.0 })";
    let chance = classes.filter(|classes| *classes > 1).map(|classes| (1.5 / classes as f64).min(0.6));
    let by_chance = last.accuracy.zip(chance).is_some_and(|(accuracy, chance)| accuracy <= chance);
    let grew = epochs.len() == 1 || last.loss > 2.0 * least.abs();
    let large = last.loss > TOO_LARGE && (grew || by_chance);
    if last.loss > ABSURD || large || last.loss > 100.0 && last.loss > 1000.0 * least.abs() {
        return Some(format!("the training diverged: its loss ended at {:.3e}; {advice}", last.loss));
    }
    let still = epochs.len() > 1 && most - least <= STILL * most.abs().max(least.abs());
    if still && by_chance {
        return Some(format!(
            "the training learned nothing: over {} epochs its loss stayed at {:.4}, and {:.1} % right is what guessing gives; does \
             the optimiser have the network's parameters, is the learning rate above 0, do gradients reach them?",
            epochs.len(),
            last.loss,
            100.0 * last.accuracy.unwrap_or(0.0)
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(epochs: &[(f64, f64)], classes: usize) -> String {
        let epochs: Vec<Epoch> =
            epochs.iter().map(|(loss, clean)| Epoch { loss: *loss, accuracy: Some(*clean) }).collect();
        fault(&epochs, Some(classes))
            .map_or("nothing".into(), |fault| fault.split(':').next().unwrap_or("").to_string())
    }

    #[test]
    fn what_diverged_or_learned_nothing_is_told_from_what_learned() {
        assert_eq!(found(&[(2.3, 0.1), (3e34, 0.1)], 10), "the training diverged");
        assert_eq!(found(&[(0.5, 0.9), (700.0, 0.2)], 10), "the training diverged");
        let (of_ten, of_two) = (10_f64.ln(), 2_f64.ln());
        assert_eq!(found(&[(of_ten, 0.1), (of_ten, 0.1), (of_ten + 1e-4, 0.11)], 10), "the training learned nothing");
        assert_eq!(found(&[(of_two, 0.5), (of_two, 0.5)], 2), "the training learned nothing");
        assert_eq!(found(&[(2e6, 0.1), (1e6, 0.3), (6e5, 0.4)], 10), "nothing");
        // A long ramp of epsilon raises the loss; a converged network stands still; one epoch says nothing.
        assert_eq!(found(&[(0.1, 0.99), (2.0, 0.7), (2.4, 0.5)], 10), "nothing");
        assert_eq!(found(&[(0.01, 1.0), (0.01, 1.0)], 10), "nothing");
        assert_eq!(found(&[(2.3, 0.1)], 10), "nothing");
        assert_eq!(found(&[(2.3, 0.1), (2.2, 0.14)], 10), "nothing");
        assert_eq!(fault(&[], Some(10)), None);
    }
}
