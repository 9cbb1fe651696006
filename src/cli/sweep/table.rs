//! What a sweep has come to, in the terminal.

use crate::base::output;
use crate::repl::terminal;
use crate::run::archive::outcome::{Outcome, Spread, spreads};
use crate::run::names::{number, per_cent};
use crate::run::sweep::Sweep;
use crate::show::table;

/// The table of means and spreads.
pub fn tell(sweep: &Sweep, outcomes: &[Outcome]) {
    let found = spreads(outcomes);
    if found.is_empty() {
        return;
    }
    let varying = sweep.varying();
    let keys = varying.iter().map(|at| sweep.settings[*at].0.clone()).collect();
    let head = [vec!["result".to_string()], keys, ["mean", "spread", "seeds"].map(String::from).to_vec()].concat();
    let row = |one: &Spread| {
        let text = |x: f64| if one.is_share { per_cent(x, 2) } else { number(x) };
        let values = varying.iter().map(|at| one.set[*at].1.clone()).collect();
        let numbers = [text(one.mean), one.spread.map_or("-".into(), text), one.seeds.to_string()];
        [vec![one.result.clone()], values, numbers.to_vec()].concat()
    };
    let is_zero = |result: &str| found.iter().filter(|one| one.result == result).all(|one| one.mean == 0.0);
    let (zero, shown): (Vec<&Spread>, Vec<&Spread>) = found.iter().partition(|one| is_zero(&one.result));
    output::line("");
    table(&head, &shown.into_iter().map(row).collect::<Vec<_>>(), terminal::screen())
        .iter()
        .for_each(|line| output::line(line));
    let note = if zero.is_empty() { "" } else { "; results that are 0 everywhere are in summary.csv only" };
    output::line(&format!("spread: standard deviation over the seeds{note}"));
}
