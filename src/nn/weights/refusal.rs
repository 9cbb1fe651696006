//! Why a file does not fit a network: what has no place beside what is left empty, and what to write.

use super::folding::Entry;
use super::names::split;
use super::pairing::{Unpaired, Wanted, is_counter, suggested};
use candle_core::Error;

/// Lines of each side.
const MOST: usize = 8;

/// The error.
pub fn refused(
    source: &str,
    entries: &[Entry],
    wanted: &[Wanted],
    layers: &dyn Fn(&str) -> String,
    why: &Unpaired,
) -> Error {
    let entry = |name: &str| entries.iter().find(|e| e.name == name);
    let fits = |w: &Wanted| entry(&w.name).is_some_and(|e| e.dims == w.dims && e.is_float);
    let other: Vec<_> = wanted
        .iter()
        .filter_map(|w| match entry(&w.name) {
            Some(e) if e.dims != w.dims => {
                Some(format!("`{}` is {:?}, the network wants {:?}", w.name, e.dims, w.dims))
            }
            Some(e) if !e.is_float => Some(format!("`{}` is {}, no float", w.name, e.kind)),
            _ => None,
        })
        .collect();
    let unplaced: Vec<Entry> = entries
        .iter()
        .enumerate()
        .filter(|(i, e)| !is_counter(entries, *i) && !wanted.iter().any(|w| w.name == e.name))
        .map(|(_, e)| e.clone())
        .collect();
    let empty: Vec<Wanted> = wanted.iter().filter(|w| entry(&w.name).is_none()).cloned().collect();
    let mut faults = vec![];
    if let Unpaired::Alike(whose, paths) = why {
        faults.push(format!("layers {whose} of one shape could change places: {}", quoted(paths)));
    }
    let shown = other.len().min(4);
    faults.extend(other[..shown].iter().cloned());
    if other.len() > shown {
        faults.push(format!("{} more of other shapes", other.len() - shown));
    }
    if !unplaced.is_empty() {
        faults.push(format!("{} of its tensors have no place", unplaced.len()));
    }
    if !empty.is_empty() {
        faults.push(format!("{} parameters are left empty", empty.len()));
    }
    let mut text = format!("load: {source} does not fit the network: {}", faults.join("; "));
    if !unplaced.is_empty() || !empty.is_empty() {
        let theirs = unplaced.iter().map(|e| format!("{} {:?}", e.name, e.dims)).collect();
        let ours = empty.iter().map(|w| format!("{} {:?} of {}", w.name, w.dims, layers(&w.name))).collect();
        text += &beside(["no place for", "left empty"], [theirs, ours]);
    }
    for line in advice(entries, wanted, &unplaced, &empty, wanted.iter().filter(|w| fits(w)).count(), why) {
        text += &format!("\n  {line}");
    }
    Error::Msg(text)
}

fn quoted(names: &[String]) -> String {
    let mut shown: Vec<_> = names.iter().take(MOST).map(|name| format!("`{name}`")).collect();
    if names.len() > MOST {
        shown.push(format!("{} more", names.len() - MOST));
    }
    shown.join(", ")
}

/// Two lists side by side.
fn beside(titles: [&str; 2], sides: [Vec<String>; 2]) -> String {
    let sides = sides.map(|mut side| {
        let more = side.len().saturating_sub(MOST);
        side.truncate(MOST);
        if more > 0 {
            side.push(format!("and {more} more"));
        }
        side
    });
    let width = sides[0].iter().map(String::len).chain([titles[0].len()]).max().unwrap_or(0);
    let rows = sides[0].len().max(sides[1].len());
    let cell = |side: usize, row: usize| sides[side].get(row).map_or("", String::as_str);
    let line = |left: &str, right: &str| format!("\n  {left:width$}   {right}").trim_end().to_string();
    let table: String = (0..rows).map(|row| line(cell(0, row), cell(1, row))).collect();
    line(titles[0], titles[1]) + table.as_str()
}

/// What to write.
fn advice(
    entries: &[Entry],
    wanted: &[Wanted],
    unplaced: &[Entry],
    empty: &[Wanted],
    fitting: usize,
    why: &Unpaired,
) -> Vec<String> {
    let mut lines = vec![];
    let statistic = |name: &str| split(name).1 == "running_mean";
    if entries.iter().any(|e| statistic(&e.name)) && !wanted.iter().any(|w| statistic(&w.name)) {
        lines.push(
            "#{ fold: true } folds its batch normalisations into the layers before them; batch_norm2d() keeps them"
                .to_string(),
        );
    }
    let is_normal = |name: &str| ["mean", "std"].contains(&split(name).1);
    if unplaced.iter().any(|e| is_normal(&e.name)) && !wanted.iter().any(|w| is_normal(&w.name)) {
        lines.push("normalize() as the first layer takes a file's `mean` and `std`".into());
    }
    if empty.iter().any(|w| is_normal(&w.name)) && !unplaced.iter().any(|e| is_normal(&e.name)) {
        lines.push("the file has no mean and std for normalize(); write them: normalize([0.5], [0.25])".into());
    }
    if unplaced.is_empty() || empty.is_empty() {
        return lines;
    }
    // A normalisation's own find each other.
    let both = unplaced.iter().any(|e| is_normal(&e.name)) && empty.iter().any(|w| is_normal(&w.name));
    let unplaced: Vec<_> = unplaced.iter().filter(|e| !(both && is_normal(&e.name))).cloned().collect();
    let empty: Vec<_> = empty.iter().filter(|w| !(both && is_normal(&w.name))).cloned().collect();
    if let Some(pairs) = suggested(&unplaced, &empty).filter(|pairs| pairs.len() <= 2 * MOST && lines.is_empty()) {
        let number = |path: &String| if path.parse::<usize>().is_ok() { path.clone() } else { format!("\"{path}\"") };
        // What no pair takes is left out by name.
        let module = |name: &str| if split(name).0.is_empty() { name.to_string() } else { split(name).0.to_string() };
        let mut rest: Vec<String> = unplaced.iter().map(|e| module(&e.name)).collect();
        rest.retain(|name| !pairs.iter().any(|(theirs, _)| theirs == name));
        rest.dedup();
        let mut named: Vec<_> = pairs.iter().map(|(theirs, ours)| format!("\"{theirs}\": {}", number(ours))).collect();
        named.extend(rest.iter().take(MOST).map(|name| format!("\"{name}\": ()")));
        let left_out = if rest.is_empty() { "" } else { "; () leaves out" };
        lines
            .push(format!("say which is whose: model.load(path, #{{ names: #{{ {} }} }}){left_out}", named.join(", ")));
        if matches!(why, Unpaired::Left) && fitting == 0 && unplaced.len() == empty.len() {
            lines.push("or by their shapes, which differ: #{ by: \"order\" }".into());
        }
    } else if lines.is_empty() {
        lines.push("say which is whose: model.load(path, #{ names: #{ \"a layer or tensor of the file\": 0 } }), 0 being the layer's number here".into());
    }
    lines
}
