//! What the name of a number says: its group, whether its values are shares, which of two values is better.
//!
//! A script names its numbers as it likes: `certified`, `validation/acc`, `val/certified 0.1`, `certified@36/255`, `test_loss`.
//! Whoever shows numbers to a person asks here, so that a share is in per cent everywhere. Files keep plain numbers.

/// Words that say that a number is a share, of whatever.
const SHARES: &str = "share fraction proportion";

/// Words for a share of images, unless a word beside them names another quantity.
const ACCURACIES: &str = "accuracy acc clean pgd apgd fgsm autoattack robust verified certified vra";

/// Words of other quantities: `loss/clean`, `certified radius` and `pgd_seconds` are no shares.
const QUANTITIES: &str = "\
    loss losses entropy ce kl mse nll objective penalty bound bounds lipschitz margin margins norm norms logit \
    logits gradient gradients grad weight weights lr kappa lambda temperature time seconds ms memory bytes count \
    number images samples size distance variance rank volume";

/// What an accuracy may be at, with a number beside it: `certified eps 0.1`, `pgd 20 steps`. Alone it is a quantity.
const AT: &str = "eps epsilon radius step steps iterations";

/// What is better when it is lower.
const LOW: &str = "\
    loss losses entropy ce kl mse nll objective penalty error errors bound bounds lipschitz norm norms time seconds \
    ms memory bytes gap unconverged";

/// What a script chooses: no value of it is better than another.
const CHOSEN: &str = "lr learning eps epsilon kappa lambda epoch step temperature";

/// Which of two values is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    Higher,
    Lower,
    Neither,
}

/// What stands before the first `/`. The one in `certified@36/255` is a fraction's.
pub fn group(name: &str) -> Option<&str> {
    let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    let parts = |at: usize| !(digit(name[..at].chars().next_back()) && digit(name[at + 1..].chars().next()));
    name.match_indices('/').map(|(at, _)| at).find(|at| *at > 0 && parts(*at)).map(|at| &name[..at])
}

/// Are `values`, which are called `name`, shares from 0 to 1? A script may also log per cent: 93.1 is no share.
pub fn is_share(name: &str, values: &[f64]) -> bool {
    // A mean of f32 numbers may lie a little above 1.
    says_share(name) && values.iter().all(|x| (0.0..1.00001).contains(x))
}

/// The share as a person reads it.
pub fn per_cent(share: f64, digits: usize) -> String {
    format!("{:.digits$} %", 100.0 * share)
}

/// A value that is compared with others by eye.
pub fn compared(name: &str, value: f64) -> String {
    if is_share(name, &[value]) { per_cent(value, 2) } else { number(value) }
}

/// A number to compare by eye.
pub fn number(value: f64) -> String {
    let text = format!("{value:.6}");
    match value.abs() {
        x if x != 0.0 && !(1e-4..1e7).contains(&x) => format!("{value:.4e}"),
        _ => text.trim_end_matches('0').trim_end_matches('.').to_string(),
    }
}

/// Is it a share of images? A share of neurons is another thing.
pub fn is_accuracy(name: &str) -> bool {
    says_share(name) && (any(name, ACCURACIES) || any(name, "rate"))
}

/// Is it a loss?
pub fn is_loss(name: &str) -> bool {
    any(name, "loss losses")
}

/// Is it what a bound proves, which rests on how the bound was computed?
pub fn is_certified(name: &str) -> bool {
    says_share(name) && any(name, "certified verified vra")
}

/// Is it what the network does without an attack?
pub fn is_clean(name: &str) -> bool {
    let plain = says_share(name) && any(name, "clean accuracy acc");
    plain && !is_certified(name) && !any(name, "pgd apgd fgsm autoattack robust error")
}

/// Which values of this name are better. Where the name does not say, higher ones.
pub fn better(name: &str) -> Better {
    match () {
        () if any(name, LOW) => Better::Lower,
        () if any(name, "varying") => Better::Neither,
        () if says_share(name) => Better::Higher,
        () if any(name, CHOSEN) => Better::Neither,
        () => Better::Higher,
    }
}

/// Which of `values` are the best of this name. None where all are the same, or where no value is better than another.
pub fn best(name: &str, values: &[Option<f64>]) -> Vec<bool> {
    let there = values.iter().flatten().copied().filter(|x| x.is_finite());
    let (low, high) = there.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    let wanted = match better(name) {
        _ if low >= high => None,
        Better::Higher => Some(high),
        Better::Lower => Some(low),
        Better::Neither => None,
    };
    values.iter().map(|value| value.is_some() && *value == wanted).collect()
}

/// Is one of `list` among the words of the name?
fn any(name: &str, list: &str) -> bool {
    words(name).iter().any(|word| list.split(' ').any(|one| one == word))
}

fn says_share(name: &str) -> bool {
    let words = words(name);
    let is = |list: &str, word: &str| list.split(' ').any(|one| one == word);
    let beside_number = |i: usize| {
        let number = |word: Option<&String>| word.is_some_and(|word| word.starts_with(|c: char| c.is_ascii_digit()));
        number(words.get(i + 1)) || i > 0 && number(words.get(i - 1))
    };
    // The shares of neurons that vary, by layer.
    if group(name) == Some("varying") || any(name, SHARES) {
        return true;
    }
    let other = words.iter().enumerate().any(|(i, word)| is(QUANTITIES, word) || is(AT, word) && !beside_number(i));
    let rate = words.windows(2).any(|pair| ["error", "success"].contains(&pair[0].as_str()) && pair[1] == "rate");
    !other && (rate || words.iter().any(|word| is(ACCURACIES, word)))
}

/// The words of a name in lower case, without what a result is of: `certified (robust, eps 0.1)` is one word. `valAcc` is two,
/// and the number at the end of `acc5` is none of it.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in name.split(" (").next().unwrap_or(name).chars() {
        if !c.is_alphanumeric() || before.is_lowercase() && c.is_uppercase() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c.is_alphanumeric()) {
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    let plain = |word: &String| match word.trim_end_matches(|c: char| c.is_ascii_digit()) {
        "" => word.clone(),
        letters => letters.into(),
    };
    words.iter().filter(|word| !word.is_empty()).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_known_by_their_names() {
        let shares = [
            "clean",
            "pgd",
            "certified",
            "accuracy",
            "acc",
            "validation/clean",
            "validation/acc",
            "val/certified 0.1",
            "certified@36/255",
            "validation/clean accuracy",
            "pgd 0.1",
            "pgd20",
            "PGD-20 accuracy",
            "val_acc",
            "valAcc",
            "test accuracy",
            "acc@1",
            "acc5",
            "certified eps=0.1",
            "certified at radius 0.5",
            "pgd 20 steps",
            "robust accuracy",
            "varying/all",
            "varying/layer 3",
            "certified (robust, eps 0.1)",
            "clean (loss of a net)",
            "share of images",
            "clean error",
            "error rate",
            "VRA",
        ];
        let others = [
            "loss",
            "loss/clean",
            "clean loss",
            "clean_loss",
            "loss (certified)",
            "lr",
            "lr (clean)",
            "my_metric",
            "bound/local",
            "bound/certified",
            "eps",
            "kappa",
            "certified radius",
            "margin/clean",
            "clean margin",
            "pgd steps",
            "pgd_seconds",
            "time/certified",
            "certified images",
            "unconverged",
            "accelerate",
            "learning rate",
            "grad_norm/clean",
            "",
        ];
        for name in shares {
            assert!(is_share(name, &[0.0, 0.5, 1.0]), "{name}");
            assert!(!is_share(name, &[0.5, 93.1]), "{name} in per cent already");
        }
        for name in others {
            assert!(!is_share(name, &[0.5]), "{name}");
        }
        assert!(is_share("clean", &[1.0_f32.next_up().into()]) && !is_share("clean", &[f64::NAN]));
    }

    #[test]
    fn values_are_short_and_shares_in_per_cent() {
        let shown = |name, value| compared(name, value);
        assert_eq!([shown("val/certified 0.1", 0.87834), shown("loss", 0.5)], ["87.83 %", "0.5"]);
        assert_eq!([0.0, 0.5, 1e-7, 123456.75, -3.0].map(number), ["0", "0.5", "1.0000e-7", "123456.75", "-3"]);
    }

    #[test]
    fn a_fraction_makes_no_group() {
        let groups = ["val/certified 0.1", "certified@36/255", "eval/certified@36/255", "lr", "/x", "a/1"].map(group);
        assert_eq!(groups, [Some("val"), None, Some("eval"), None, None, Some("a")]);
    }

    #[test]
    fn what_is_better_hangs_on_the_name() {
        let of = |names: &[&str]| names.iter().map(|name| better(name)).collect::<Vec<_>>();
        assert_eq!(of(&["certified (eps 0.1)", "val/acc", "certified eps 0.1", "score"]), [Better::Higher; 4]);
        assert_eq!(of(&["loss", "test_loss (a)", "clean error", "bound/local", "unconverged (x)"]), [Better::Lower; 5]);
        assert_eq!(of(&["lr (net)", "eps", "varying/all"]), [Better::Neither; 3]);
        assert_eq!(
            best("loss", &[Some(2.0), None, Some(1.0), Some(1.0), Some(f64::NAN)]),
            [false, false, true, true, false]
        );
        assert_eq!(best("clean", &[Some(0.5), Some(0.25)]), [true, false]);
        assert_eq!([best("clean", &[Some(0.5); 2]), best("lr", &[Some(1.0), Some(2.0)])], [[false; 2]; 2]);
    }

    #[test]
    fn clean_and_certified_are_told_apart() {
        assert!(
            is_clean("validation/acc")
                && is_clean("clean (x)")
                && !is_clean("pgd accuracy")
                && !is_clean("certified acc")
        );
        assert!(is_certified("val/certified 0.1") && !is_certified("certified radius") && !is_certified("clean"));
    }
}
