//! Kinds that hold lists of layers on one input: `residual`, `sum`, `parallel`, `block`, nested to any depth.
//!
//! Where all that is inside is affine or a rearrangement, the whole is one affine layer ([`super::combined`]); else bounds walk into the
//! branches. A list of layers that is the only one (`block`) stands in the network as its layers.
//!
//! Parameters nest: those of layer i of a residual block at place 3 are `3.i.weight`; in a sum branch b comes first, `3.b.i.weight`, or
//! `3.b.weight` where it is a single layer.

use super::combined::{Combined, Step, Steps};
use super::entry::{Branch, settings};
use super::graph::{Attribute, Graph};
use super::spec::{Branches, Kind, LayerSpec, Meeting, Own, Parameter, Place, Role, Word};
use candle_core::Result;
use serde::Serialize;
use serde_json::{Map, Value};
use std::fmt::Debug;
use std::rc::Rc;

/// The layers of a branch with the beginnings of their parameters' names.
pub type Named = Vec<(String, LayerSpec)>;

/// What a kind that holds lists says of itself.
pub trait Tree: Clone + Debug + Serialize + 'static {
    const NAME: &'static str;
    const MEETING: Meeting;
    /// The lists; one without layers is the identity.
    fn lists(&self) -> Vec<Named>;
    /// The arguments as a script writes them.
    fn written(&self) -> String;
    /// The shape of the whole, from those behind the lists.
    fn shape(&self, input: &[usize], behind: &[Vec<usize>]) -> std::result::Result<Vec<usize>, String>;
}

/// The layers of one list, numbered.
pub fn numbered(before: &str, layers: &[LayerSpec]) -> Named {
    layers.iter().enumerate().map(|(i, layer)| (format!("{before}{i}."), layer.clone())).collect()
}

/// Layers as a script writes them.
pub fn listed(layers: &[LayerSpec]) -> String {
    layers.iter().map(|layer| layer.describe()).collect::<Vec<_>>().join(", ")
}

/// The lists of branches, each a layer or a list of layers.
pub fn lists(branches: &[Branch]) -> Vec<Named> {
    let one = |(b, branch): (usize, &Branch)| match branch {
        Branch::One(layer) => vec![(format!("{b}."), layer.clone())],
        Branch::List(layers) => numbered(&format!("{b}."), layers),
    };
    branches.iter().enumerate().map(one).collect()
}

/// Branches as a script writes them.
pub fn written(branches: &[Branch]) -> String {
    let one = |branch: &Branch| match branch {
        Branch::One(layer) => layer.describe(),
        Branch::List(layers) => format!("[{}]", listed(layers)),
    };
    branches.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn shape_behind(list: &Named, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
    list.iter().enumerate().try_fold(input.to_vec(), |shape, (i, (_, layer))| {
        layer.output_shape(&shape).map_err(|why| format!("layer {i} of its branch, {}: {why}", layer.describe()))
    })
}

/// Every layer of the lists with the shape before it.
fn placed<'a>(lists: &'a [Named], input: &[usize]) -> Vec<(&'a (String, LayerSpec), Vec<usize>)> {
    let mut all = vec![];
    for list in lists {
        let mut shape = input.to_vec();
        for named in list {
            let behind = named.1.output_shape(&shape).unwrap_or_default();
            all.push((named, std::mem::replace(&mut shape, behind)));
        }
    }
    all
}

impl<T: Tree> Kind for T {
    fn name(&self) -> &str {
        T::NAME
    }

    fn describe(&self) -> String {
        format!("{}([{}])", T::NAME, self.written())
    }

    fn own(&self) -> Vec<Own> {
        self.lists().iter().flatten().flat_map(|(_, layer)| layer.own()).collect()
    }

    fn settings(&self) -> Map<String, Value> {
        settings(self)
    }

    fn output_shape(&self, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
        let behind =
            self.lists().iter().map(|list| shape_behind(list, input)).collect::<std::result::Result<Vec<_>, _>>()?;
        if behind.is_empty() {
            return Err("it has no branches".into());
        }
        self.shape(input, &behind)
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        let lists = self.lists();
        let of = |((before, layer), shape): (&(String, LayerSpec), Vec<usize>)| {
            let own = layer.parameters(&shape).into_iter();
            own.map(|p| Parameter { name: format!("{before}{}", p.name), ..p }).collect::<Vec<_>>()
        };
        placed(&lists, input).into_iter().flat_map(of).collect()
    }

    fn export(&self, place: &Place, graph: &mut Graph, x: String) -> Result<String> {
        let (lists, own) = (self.lists(), graph.path().to_string());
        let mut ends = vec![];
        for list in &lists {
            let mut at = x.clone();
            for ((before, layer), shape) in placed(std::slice::from_ref(list), place.input) {
                let output = layer.output_shape(&shape).map_err(candle_core::Error::Msg)?;
                let parameters = place.inside(before);
                graph.at(&format!("{own}.{}", before.trim_end_matches('.')));
                at = layer.export(
                    &Place { input: &shape, output: &output, parameters: &parameters, ..*place },
                    graph,
                    at,
                )?;
            }
            ends.push(at);
        }
        graph.at(&own);
        let sum = |graph: &mut Graph, all: &[String]| {
            let mut sum = all[0].clone();
            for other in &all[1..] {
                sum = graph.apply("Add", &[&sum, other], &[]);
            }
            sum
        };
        Ok(match T::MEETING {
            Meeting::Sum => sum(graph, &ends),
            Meeting::Concatenation => {
                let ends: Vec<_> = ends.iter().map(String::as_str).collect();
                graph.apply("Concat", &ends, &[("axis", Attribute::Int(1))])
            }
        })
    }

    fn build(&self, place: &Place) -> Result<Role> {
        let lists = self.lists();
        let mut branches: Vec<Steps> = vec![];
        for list in &lists {
            let mut steps: Steps = vec![];
            for ((before, layer), shape) in placed(std::slice::from_ref(list), place.input) {
                let output = layer.output_shape(&shape).map_err(candle_core::Error::Msg)?;
                let parameters = place.inside(before);
                let inner = Place { input: &shape, output: &output, parameters: &parameters, ..*place };
                let step = match layer.build(&inner)? {
                    Role::Affine(map) => Step::Affine(map),
                    Role::Reshape(r) => Step::Reshape(r),
                    Role::Activation(_) | Role::Branches(_) => {
                        return Ok(Role::Branches(Branches { lists, meeting: T::MEETING }));
                    }
                };
                steps.push((step, output));
            }
            branches.push(steps);
        }
        // One list of one layer is that layer.
        if let [steps] = branches.as_slice()
            && let [(step, _)] = steps.as_slice()
        {
            return Ok(match step {
                Step::Affine(map) => Role::Affine(map.clone()),
                Step::Reshape(r) => Role::Reshape(r.clone()),
            });
        }
        Ok(Role::Affine(Rc::new(Combined {
            branches,
            meeting: T::MEETING,
            asks_a_batch: lists.iter().flatten().any(|(_, layer)| layer.has(Word::Statistics)),
            input: place.input.to_vec(),
            output: place.output.to_vec(),
            numbers: (place.dtype, place.device.clone()),
        })))
    }
}
