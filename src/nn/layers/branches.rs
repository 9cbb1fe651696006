//! `residual([layers])`, x + F(x), and `sum([branches])`, each a layer or a list of layers on the same input. Branches of affine layers and
//! rearrangements, so far: the block is then one affine layer ([`super::added`]).
//!
//! Parameters nest: those of layer i of a residual block at place 3 are `3.i.weight`; in a sum branch b comes first, `3.b.weight` where it is a
//! single layer.

use super::added::{Added, Branch as Steps, Step};
use super::role::Role;
use super::spec::{Argument, Branch, Entry, Kind, LayerSpec, Own, Parameter, Place, Takes, read, settings};
use candle_core::{Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::rc::Rc;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Residual {
    pub layers: Vec<LayerSpec>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sum {
    pub branches: Vec<Branch>,
}

pub const RESIDUAL: Entry = Entry {
    name: "residual",
    arguments: &[Argument { name: "layers", takes: Takes::Layers }],
    options: &[],
    make: |given| LayerSpec::of(Residual { layers: given.layers("layers") }),
    read: read::<Residual>,
};

pub const SUM: Entry = Entry {
    name: "sum",
    arguments: &[Argument { name: "branches", takes: Takes::Branches }],
    options: &[],
    make: |given| LayerSpec::of(Sum { branches: given.branches("branches") }),
    read: read::<Sum>,
};

/// The layers of a branch with the beginnings of their parameters' names.
type Named<'a> = Vec<(String, &'a LayerSpec)>;

fn numbered<'a>(before: &str, layers: &'a [LayerSpec]) -> Named<'a> {
    layers.iter().enumerate().map(|(i, layer)| (format!("{before}{i}."), layer)).collect()
}

fn listed(layers: &[LayerSpec]) -> String {
    layers.iter().map(|layer| layer.describe()).collect::<Vec<_>>().join(", ")
}

fn shape_behind(branch: &Named, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
    branch.iter().enumerate().try_fold(input.to_vec(), |shape, (i, (_, layer))| {
        layer.output_shape(&shape).map_err(|why| format!("layer {i} of its branch, {}: {why}", layer.describe()))
    })
}

fn parameters(branches: &[Named], input: &[usize]) -> Vec<Parameter> {
    let mut all = vec![];
    for branch in branches {
        let mut shape = input.to_vec();
        for (before, layer) in branch {
            let own = layer.parameters(&shape).into_iter();
            all.extend(own.map(|p| Parameter { name: format!("{before}{}", p.name), ..p }));
            shape = layer.output_shape(&shape).unwrap_or_default();
        }
    }
    all
}

fn build(name: &str, branches: &[Named], place: &Place) -> Result<Role> {
    let mut steps: Vec<Steps> = vec![];
    for branch in branches {
        let (mut own, mut shape): (Steps, _) = (vec![], place.input.to_vec());
        for (before, layer) in branch {
            let output = layer.output_shape(&shape).map_err(candle_core::Error::Msg)?;
            let inside = |(name, t): &(String, _)| Some((name.strip_prefix(before)?.to_string(), Clone::clone(t)));
            let parameters: Vec<_> = place.parameters.iter().filter_map(inside).collect();
            let inner = Place { input: &shape, output: &output, parameters: &parameters, ..*place };
            let step = match layer.build(&inner)? {
                Role::Affine(map) => Step::Affine(map),
                Role::Reshape(r) => Step::Reshape(r),
                Role::Activation(_) => bail!(
                    "{name}: {} stands in a branch; branches are of affine layers so far, put activations behind the block",
                    layer.describe()
                ),
            };
            own.push((step, output.clone()));
            shape = output;
        }
        steps.push(own);
    }
    Ok(Role::Affine(Rc::new(Added {
        branches: steps,
        input: place.input.to_vec(),
        output: place.output.to_vec(),
        numbers: (place.dtype, place.device.clone()),
    })))
}

/// What a script has defined in the branches.
fn own(branches: &[Named]) -> Vec<Own> {
    branches.iter().flatten().flat_map(|(_, layer)| layer.own()).collect()
}

impl Residual {
    /// The branch; the identity is the other.
    fn branch(&self) -> Named<'_> {
        numbered("", &self.layers)
    }
}

impl Kind for Residual {
    fn name(&self) -> &str {
        RESIDUAL.name
    }

    fn describe(&self) -> String {
        format!("residual([{}])", listed(&self.layers))
    }

    fn own(&self) -> Vec<Own> {
        own(&[self.branch()])
    }

    fn settings(&self) -> Map<String, Value> {
        settings(self)
    }

    fn output_shape(&self, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
        if self.layers.is_empty() {
            return Err("its branch has no layers".into());
        }
        match shape_behind(&self.branch(), input)? {
            output if output == input => Ok(output),
            output => Err(format!("its branch makes {output:?} of {input:?}, which cannot be added to the input")),
        }
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        parameters(&[self.branch()], input)
    }

    fn build(&self, place: &Place) -> Result<Role> {
        build(RESIDUAL.name, &[vec![], self.branch()], place)
    }
}

impl Sum {
    fn branches(&self) -> Vec<Named<'_>> {
        let mut all = vec![];
        for (b, branch) in self.branches.iter().enumerate() {
            all.push(match branch {
                Branch::One(layer) => vec![(format!("{b}."), layer)],
                Branch::List(layers) => numbered(&format!("{b}."), layers),
            });
        }
        all
    }
}

impl Kind for Sum {
    fn name(&self) -> &str {
        SUM.name
    }

    fn describe(&self) -> String {
        let one = |branch: &Branch| match branch {
            Branch::One(layer) => layer.describe(),
            Branch::List(layers) => format!("[{}]", listed(layers)),
        };
        format!("sum([{}])", self.branches.iter().map(one).collect::<Vec<_>>().join(", "))
    }

    fn own(&self) -> Vec<Own> {
        own(&self.branches())
    }

    fn settings(&self) -> Map<String, Value> {
        settings(self)
    }

    fn output_shape(&self, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
        let mut shapes = vec![];
        for branch in self.branches() {
            shapes.push(shape_behind(&branch, input)?);
        }
        match shapes.as_slice() {
            [] => Err("it has no branches".into()),
            [first, others @ ..] => match others.iter().find(|other| *other != first) {
                None => Ok(first.clone()),
                Some(other) => Err(format!("its branches make {first:?} and {other:?}, which cannot be added")),
            },
        }
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        parameters(&self.branches(), input)
    }

    fn build(&self, place: &Place) -> Result<Role> {
        build(SUM.name, &self.branches(), place)
    }
}
