//! Which tensor of a file is which parameter of a network: by name, by the order of numbered layers, by shape, or as a script says.
//!
//! What normalisation, dropout and flatten shift in the numbers of layers is no obstacle: where every layer of a file is numbered, as
//! PyTorch's `Sequential` does, the layers with parameters are taken in their order.

use super::folding::{Entry, Folding, numbers};
use super::names::{Whose, is_number, split};

/// What a script says of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    /// Which of several dictionaries of tensors.
    pub take: Option<String>,
    /// Which tensor, module or pattern is whose.
    pub names: Vec<(String, Whose)>,
    /// By shape, where no two layers can change places.
    pub by_order: bool,
    pub fold: Option<Folding>,
}

/// A parameter of the network.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub name: String,
    pub dims: Vec<usize>,
}

/// Who is whose, by places in the two lists.
#[derive(Clone, Debug, Default)]
pub struct Pairs {
    pub of: Vec<(usize, usize)>,
    /// Mean and deviation of a normalisation whose numbers the network has fixed.
    pub fixed: Option<(usize, usize)>,
    /// Were they paired by anything but their names?
    pub told: bool,
}

/// Why there are no pairs.
#[derive(Clone, Debug)]
pub enum Unpaired {
    /// Some are left over.
    Left,
    /// These layers, of the file or of the network, could change places.
    Alike(&'static str, Vec<String>),
}

/// What tells which is whose.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum How {
    /// Names, or else the order of numbered layers.
    Name,
    /// Names that a script has given, and nothing else.
    Given,
    Shape,
}

/// Pair all of them. `is_fixed`: the network has one normalisation whose numbers it has fixed.
pub fn pair(entries: &[Entry], wanted: &[Wanted], how: How, is_fixed: bool) -> Result<Pairs, Unpaired> {
    let by_order = how == How::Shape;
    let all: Vec<usize> = (0..entries.len()).filter(|i| !is_counter(entries, *i)).collect();
    if !by_order && let Some(of) = exact(entries, &all, wanted, &(0..wanted.len()).collect::<Vec<_>>()) {
        return Ok(Pairs { of, ..Pairs::default() });
    }
    // A normalisation's numbers may be called anything.
    let normal = ["mean", "std"].map(|short| single(&all, |i| split(&entries[*i].name).1 == short));
    let unfilled = ["mean", "std"]
        .map(|short| single(&(0..wanted.len()).collect::<Vec<_>>(), |i| split(&wanted[*i].name).1 == short));
    let (mut found, mut rest) = (Pairs { told: true, ..Pairs::default() }, all.clone());
    let mut left: Vec<usize> = (0..wanted.len()).collect();
    if let [Some(mean), Some(std)] = normal {
        match unfilled {
            [Some(of_mean), Some(of_std)] => {
                found.of = vec![(of_mean, mean), (of_std, std)];
                left.retain(|i| ![of_mean, of_std].contains(i));
                rest.retain(|i| ![mean, std].contains(i));
            }
            _ if is_fixed => {
                found.fixed = Some((mean, std));
                rest.retain(|i| ![mean, std].contains(i));
            }
            _ => {}
        }
    }
    let others = match how {
        How::Shape => by_shape(entries, &rest, wanted, &left)?,
        How::Given => exact(entries, &rest, wanted, &left),
        How::Name => exact(entries, &rest, wanted, &left).or_else(|| by_number(entries, &rest, wanted, &left)),
    };
    found.of.extend(others.ok_or(Unpaired::Left)?);
    found.of.sort_unstable();
    Ok(found)
}

/// PyTorch counts the batches that a normalisation has seen, and the weights in an average; nothing here hangs on them.
pub fn is_counter(entries: &[Entry], at: usize) -> bool {
    let Entry { name, is_float, .. } = &entries[at];
    let layer = name.strip_suffix("num_batches_tracked");
    layer.is_some_and(|layer| entries.iter().any(|e| e.name == format!("{layer}running_mean")))
        || (name == "n_averaged" && !is_float)
}

fn single(all: &[usize], fits: impl Fn(&usize) -> bool) -> Option<usize> {
    let mut fitting = all.iter().copied().filter(|i| fits(i));
    fitting.next().filter(|_| fitting.next().is_none())
}

/// All by their names, with nothing left over.
fn exact(entries: &[Entry], some: &[usize], wanted: &[Wanted], left: &[usize]) -> Option<Vec<(usize, usize)>> {
    if some.len() != left.len() {
        return None;
    }
    let place = |w: &Wanted| some.iter().copied().find(|i| entries[*i].name == w.name && entries[*i].dims == w.dims);
    left.iter().map(|w| Some((*w, place(&wanted[*w])?))).collect()
}

/// A layer of a file or a network: the places of its tensors, by short name.
struct Module<'a> {
    path: &'a str,
    tensors: Vec<(&'a str, &'a [usize], usize)>,
}

impl Module<'_> {
    /// Short names and shapes, which tell what it can be.
    fn form(&self) -> Vec<(&str, &[usize])> {
        let mut form: Vec<_> = self.tensors.iter().map(|(short, dims, _)| (*short, *dims)).collect();
        form.sort_unstable();
        form
    }
}

fn modules<'a>(all: impl Iterator<Item = (&'a str, &'a [usize], usize)>) -> Vec<Module<'a>> {
    let mut found: Vec<Module> = vec![];
    for (name, dims, at) in all {
        let (path, short) = split(name);
        match found.iter_mut().find(|m| m.path == path) {
            Some(module) => module.tensors.push((short, dims, at)),
            None => found.push(Module { path, tensors: vec![(short, dims, at)] }),
        }
    }
    found
}

fn both<'a>(entries: &'a [Entry], some: &[usize], wanted: &'a [Wanted], left: &[usize]) -> [Vec<Module<'a>>; 2] {
    let theirs = modules(some.iter().map(|i| (entries[*i].name.as_str(), entries[*i].dims.as_slice(), *i)));
    let ours = modules(left.iter().map(|i| (wanted[*i].name.as_str(), wanted[*i].dims.as_slice(), *i)));
    [theirs, ours]
}

fn joined(ours: &Module, theirs: &Module) -> Vec<(usize, usize)> {
    let other = |short: &str| theirs.tensors.iter().find(|(other, ..)| *other == short).map(|(.., at)| *at);
    ours.tensors.iter().filter_map(|(short, _, at)| Some((*at, other(short)?))).collect()
}

/// Layers in the order of their numbers, where all have one.
fn by_number(entries: &[Entry], some: &[usize], wanted: &[Wanted], left: &[usize]) -> Option<Vec<(usize, usize)>> {
    let [mut theirs, mut ours] = both(entries, some, wanted, left);
    let numbered = |all: &[Module]| all.iter().all(|m| m.path.split('.').all(is_number));
    if theirs.len() != ours.len() || !numbered(&theirs) || !numbered(&ours) {
        return None;
    }
    theirs.sort_by_key(|m| numbers(m.path));
    ours.sort_by_key(|m| numbers(m.path));
    let fits = ours.iter().zip(&theirs).all(|(ours, theirs)| ours.form() == theirs.form());
    fits.then(|| ours.iter().zip(&theirs).flat_map(|(ours, theirs)| joined(ours, theirs)).collect())
}

/// Layers by the shapes of their tensors, where no two are alike.
type Shaped = Result<Option<Vec<(usize, usize)>>, Unpaired>;

fn by_shape(entries: &[Entry], some: &[usize], wanted: &[Wanted], left: &[usize]) -> Shaped {
    let [theirs, ours] = both(entries, some, wanted, left);
    let alike = |all: &[Module]| -> Vec<String> {
        let twice = all.iter().filter(|m| all.iter().filter(|other| other.form() == m.form()).count() > 1);
        twice.map(|m| m.path.to_string()).collect()
    };
    for (whose, all) in [("of the file", &theirs), ("of the network", &ours)] {
        let alike = alike(all);
        if !alike.is_empty() {
            return Err(Unpaired::Alike(whose, alike));
        }
    }
    if theirs.len() != ours.len() {
        return Ok(None);
    }
    let pair = |ours: &Module| theirs.iter().find(|m| m.form() == ours.form()).map(|theirs| joined(ours, theirs));
    let found: Option<Vec<_>> = ours.iter().map(pair).collect();
    Ok(found.map(|pairs| pairs.into_iter().flatten().collect()))
}

/// Layers that are left over on both sides and can only be each other, by shape: what a script may write.
pub fn suggested(entries: &[Entry], wanted: &[Wanted]) -> Option<Vec<(String, String)>> {
    let some: Vec<usize> = (0..entries.len()).filter(|i| !is_counter(entries, *i)).collect();
    let [theirs, ours] = both(entries, &some, wanted, &(0..wanted.len()).collect::<Vec<_>>());
    let one = |all: &[Module], form: &[(&str, &[usize])]| {
        let mut fitting = all.iter().enumerate().filter(|(_, m)| m.form() == form);
        fitting.next().filter(|_| fitting.next().is_none()).map(|(at, _)| at)
    };
    let pair = |ours_: &Module| {
        one(&ours, &ours_.form())?;
        Some((theirs[one(&theirs, &ours_.form())?].path.to_string(), ours_.path.to_string()))
    };
    ours.iter().map(pair).collect::<Option<Vec<_>>>().filter(|pairs| !pairs.is_empty())
}
