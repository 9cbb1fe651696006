//! How a layer is made at its place, and made anew with other parameters, another map, another precision.

use crate::compute::precision::Chosen;
use crate::nn::layers::{LayerSpec, Place, Role, Underived, Unmade, Word};
use candle_core::{DType, Device, Result, Tensor, bail};
use std::rc::Rc;

/// A layer of a [`crate::nn::Sequential`]. Cloning shares the parameters.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Its number among all layers of the network, those of branches behind their block: in a network without branches its place in the list.
    pub index: usize,
    /// Where it stands in the lists, "3.0.1"; parameters are called `{path}.weight` and so on.
    pub path: String,
    pub spec: LayerSpec,
    pub role: Role,
    /// Shape of one sample before the layer, without the batch.
    pub input: Vec<usize>,
    /// Shape of one sample behind it.
    pub output: Vec<usize>,
    /// The lists of a block with activations inside; of other layers none.
    pub branches: Vec<Vec<Layer>>,
    /// What a GPU multiplies in.
    pub precision: Chosen,
}

impl Layer {
    /// The layer over samples of shape `input`, with these parameters by their short names.
    pub fn new(
        index: usize,
        spec: &LayerSpec,
        input: &[usize],
        parameters: &[(impl AsRef<str>, Tensor)],
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let parameters: Vec<_> = parameters.iter().map(|(name, t)| (name.as_ref().to_string(), t.clone())).collect();
        let mut found = Self::opened(&index.to_string(), &mut { index }, spec, input, (&parameters, dtype, device))?;
        match (found.pop(), found.is_empty()) {
            (Some(layer), true) => Ok(layer),
            _ => bail!("layer {index}, {}: a block of several layers stands in a network as these", spec.describe()),
        }
    }

    /// The layer at `path`; of a block that is one list, its layers.
    pub(in crate::nn) fn opened(
        path: &str,
        next: &mut usize,
        spec: &LayerSpec,
        input: &[usize],
        (parameters, dtype, device): (&[(String, Tensor)], DType, &Device),
    ) -> Result<Vec<Self>> {
        let wrong = |why| candle_core::Error::Msg(format!("layer {path}, {}: {why}", spec.describe()));
        let output = spec.output_shape(input).map_err(wrong)?;
        let place = Place { input, output: &output, parameters, dtype, device };
        let role = spec.build(&place)?;
        let lists = match &role {
            Role::Branches(inside) => inside.lists.as_slice(),
            Role::Affine(_) | Role::Activation(_) | Role::Reshape(_) => &[],
        };
        let index = *next;
        *next += usize::from(lists.len() != 1);
        let mut branches = vec![];
        for list in lists {
            let (mut layers, mut shape): (Vec<Self>, _) = (vec![], input.to_vec());
            for (before, inner) in list {
                let path = format!("{path}.{}", before.trim_end_matches('.'));
                layers.extend(Self::opened(&path, next, inner, &shape, (&place.inside(before), dtype, device))?);
                shape = inner.output_shape(&shape).map_err(wrong)?;
            }
            branches.push(layers);
        }
        if let [_] = branches.as_slice() {
            return Ok(branches.remove(0));
        }
        let (path, spec, precision) = (path.to_string(), spec.clone(), Chosen::exact());
        Ok(vec![Self { index, path, spec, role, input: input.to_vec(), output, branches, precision }])
    }

    /// The layer with these tensors, of one type and on one device, in the places of its parameters, by their short names.
    pub fn with_parameters(&self, parameters: &[(impl AsRef<str>, Tensor)]) -> Result<Self> {
        let Some((_, first)) = parameters.first() else { return Ok(self.clone()) };
        let (dtype, device) = (first.dtype(), first.device().clone());
        let parameters: Vec<_> = parameters.iter().map(|(name, t)| (name.as_ref().to_string(), t.clone())).collect();
        let place = (parameters.as_slice(), dtype, &device);
        let mut own = Self::opened(&self.path, &mut { self.index }, &self.spec, &self.input, place)?;
        Ok(own.swap_remove(0).computed_in(&self.precision))
    }

    /// The layer as a place for a map whose weight is to be made, where a weight in it is a function of a parameter.
    pub(in crate::nn) fn underived(mut self) -> Self {
        if !self.spec.is_derived() {
            return self;
        }
        let lists = std::mem::take(&mut self.branches).into_iter();
        self.branches = lists.map(|list| list.into_iter().map(Self::underived).collect()).collect();
        let title = self.title();
        match &self.role {
            Role::Affine(map) => {
                let (terms, numbers) = (map.terms(), map.numbers());
                self.role = Role::Affine(Rc::new(Underived { title, terms, numbers }));
            }
            Role::Activation(_) if self.spec.has(Word::Made) => self.role = Role::Activation(Rc::new(Unmade { title })),
            Role::Activation(_) | Role::Reshape(_) | Role::Branches(_) => {}
        }
        self
    }

    /// The layer for a batch of its inputs: of one whose numbers are statistics of a batch, in training, the map that these give; itself else;
    /// of a block all that is in it.
    pub fn seen(&self, x: &Tensor) -> Result<Self> {
        self.check("seen", x, &self.input)?;
        match &self.role {
            Role::Affine(map) => Ok(match map.seen(x)? {
                Some(map) => Self { role: Role::Affine(map), ..self.clone() },
                None => self.clone(),
            }),
            Role::Branches(_) => {
                let mut branches = vec![];
                for list in &self.branches {
                    let (mut at, mut layers) = (x.clone(), vec![]);
                    for layer in list {
                        let own = layer.seen(&at)?;
                        at = own.forward(&at)?;
                        layers.push(own);
                    }
                    branches.push(layers);
                }
                Ok(Self { branches, ..self.clone() })
            }
            Role::Activation(_) | Role::Reshape(_) => Ok(self.clone()),
        }
    }

    /// The same, and all inside, with products on a GPU in the precision that is `chosen`.
    pub(in crate::nn) fn computed_in(mut self, chosen: &Chosen) -> Self {
        let lists = std::mem::take(&mut self.branches).into_iter();
        let inside = |list: Vec<Self>| list.into_iter().map(|layer| layer.computed_in(chosen)).collect();
        Self { precision: chosen.clone(), branches: lists.map(inside).collect(), ..self }
    }

    /// "layer 3 (relu())", for messages.
    pub fn title(&self) -> String {
        format!("layer {} ({})", self.path, self.spec.describe())
    }

    /// The layer and all inside it, a block before its branches.
    pub fn all(&self) -> Vec<&Self> {
        std::iter::once(self).chain(self.branches.iter().flatten().flat_map(Self::all)).collect()
    }

    /// Number of values in one sample of the input.
    pub fn input_len(&self) -> usize {
        self.input.iter().product()
    }

    /// The layer with its parameters cut from the graph: gradients flow through it to its input only.
    pub fn frozen(&self) -> Self {
        let role = match &self.role {
            Role::Affine(map) => Role::Affine(map.frozen()),
            Role::Activation(f) => Role::Activation(f.frozen()),
            Role::Reshape(r) => Role::Reshape(r.clone()),
            Role::Branches(inside) => Role::Branches(inside.clone()),
        };
        let branches = self.branches.iter().map(|list| list.iter().map(Self::frozen).collect()).collect();
        Self { role, branches, ..self.clone() }
    }
}
