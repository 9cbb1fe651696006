//! One layer at its place in a network: its role with its parameters, its input and output shape.

use super::layers::{
    Activation, Affine, ClippedMaxMin, Clipping, Dense, Fused, LayerSpec, MaxMin, Meeting, Place, Reshape, Role, Side,
    Structure, Underived, Unmade, Word,
};
use crate::compute::precision::Chosen;
use candle_core::{DType, Device, Result, Tensor, bail};
use std::rc::Rc;

/// A layer of a [`super::Sequential`]. Cloning shares the parameters.
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
    pub(super) fn opened(
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
    pub(super) fn underived(mut self) -> Self {
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

    /// The results of the branches of a block, `[B, ...]` each, together.
    pub fn joined(&self, parts: &[Tensor]) -> Result<Tensor> {
        match self.meeting() {
            Some(meeting) if parts.len() == self.branches.len() => meeting.of(parts),
            Some(_) => {
                bail!("joined: {} has {} branches, got {} results", self.title(), self.branches.len(), parts.len())
            }
            None => bail!("joined: {} has no branches", self.title()),
        }
    }

    /// The same, and all inside, with products on a GPU in the precision that is `chosen`.
    pub(super) fn computed_in(mut self, chosen: &Chosen) -> Self {
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

    /// The layer's value on a batch `[B, input...]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match &self.role {
            Role::Affine(map) => {
                self.check("forward", x, &self.input)?;
                map.forward(x, self.precision.get())
            }
            Role::Activation(f) => f.forward(x),
            Role::Reshape(r) => r.forward(x),
            Role::Branches(inside) => {
                let through = |list: &Vec<Self>| list.iter().try_fold(x.clone(), |x, layer| layer.forward(&x));
                inside.meeting.of(&self.branches.iter().map(through).collect::<Result<Vec<_>>>()?)
            }
        }
    }

    /// `W x` without the bias, `[B, input...]` to `[B, output...]`.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        self.check("apply", x, &self.input)?;
        self.affine("apply")?.apply(x, self.precision.get())
    }

    /// `W^T y`, `[B, output...]` to `[B, input...]`: for a convolution the transposed one, of the input's exact size.
    pub fn adjoint(&self, y: &Tensor) -> Result<Tensor> {
        self.check("adjoint", y, &self.output)?;
        self.affine("adjoint")?.adjoint(y, self.precision.get())
    }

    /// `|W| h` for half-widths `h` >= 0: how far the output can move when every input moves by at most h.
    pub fn apply_absolute(&self, h: &Tensor) -> Result<Tensor> {
        self.check("apply_absolute", h, &self.input)?;
        self.affine("apply_absolute")?.apply_absolute(h, self.precision.get())
    }

    /// The 2-norm of each output channel's (or feature's) own row of W, `[1, C]`: for a convolution the norm of the
    /// channel's kernel, an upper bound where the padding cuts the row.
    pub fn row_norms(&self) -> Result<Tensor> {
        self.affine("row_norms")?.row_norms()
    }

    /// `y` plus the layer's bias.
    pub fn add_bias(&self, y: &Tensor) -> Result<Tensor> {
        self.affine("add_bias")?.add_bias(y)
    }

    /// The weight of a layer that has one to train.
    pub fn weight(&self) -> Option<&Tensor> {
        match &self.role {
            Role::Affine(map) => map.weight(),
            Role::Activation(_) | Role::Reshape(_) | Role::Branches(_) => None,
        }
    }

    /// The map of an affine layer in a form that fast kernels take, if it has one, in the precision that is chosen now.
    pub fn dense(&self) -> Option<Dense> {
        let Role::Affine(map) = &self.role else { return None };
        let precision = self.precision.get();
        map.dense().map(|dense| match dense {
            Dense::Convolution { weight, bias, window, prepared } => {
                Dense::Convolution { weight, bias, window: window.computed_in(precision), prepared }
            }
            Dense::EachChannel { weight, window } => {
                Dense::EachChannel { weight, window: window.computed_in(precision) }
            }
            other @ (Dense::Matrix { .. } | Dense::Diagonal { .. }) => other,
        })
    }

    /// What proved bounds rest on where the map has no dense form; none of a map with a form, and of one that its matrix bounds.
    pub fn structure(&self, op: &str) -> Result<Option<Structure>> {
        let map = self.affine(op)?;
        if map.dense().is_some() { Ok(None) } else { map.structure() }
    }

    /// What scripts call the form of an affine layer's map, if it has one.
    pub fn form(&self) -> Result<Option<&'static str>> {
        Ok(match (&self.role, self.dense()) {
            (_, Some(dense)) => Some(dense.name()),
            // Before its weight is made a map has no structure to tell.
            (Role::Affine(map), None) => map.structure()?.map(|structure| structure.name()),
            (Role::Activation(_) | Role::Reshape(_) | Role::Branches(_), None) => None,
        })
    }

    /// An activation in a form that fused kernels take, if it has one.
    pub fn fused(&self) -> Option<Fused> {
        match &self.role {
            Role::Activation(f) => f.facts().fused,
            Role::Affine(_) | Role::Reshape(_) | Role::Branches(_) => None,
        }
    }

    /// The map of an affine layer; `op` is named in the error.
    pub fn affine(&self, op: &str) -> Result<&dyn Affine> {
        match &self.role {
            Role::Affine(map) => Ok(&**map),
            Role::Activation(_) | Role::Reshape(_) | Role::Branches(_) => bail!("{op}: {} is not affine", self.title()),
        }
    }

    /// The function of an activation; `op` is named in the error.
    pub fn activation(&self, op: &str) -> Result<&dyn Activation> {
        match &self.role {
            Role::Activation(f) => Ok(&**f),
            Role::Affine(_) | Role::Reshape(_) | Role::Branches(_) => bail!("{op}: {} is no activation", self.title()),
        }
    }

    /// The rearrangement of a layer that is one; `op` is named in the error.
    pub fn reshape(&self, op: &str) -> Result<&dyn Reshape> {
        match &self.role {
            Role::Reshape(r) => Ok(&**r),
            Role::Affine(_) | Role::Activation(_) | Role::Branches(_) => {
                bail!("{op}: {} does more than rearrange its input", self.title())
            }
        }
    }

    /// Convolution, linear, pooling, normalisation: a linear map and a bias.
    pub fn is_affine(&self) -> bool {
        matches!(self.role, Role::Affine(_))
    }

    /// How the branches of a block with activations inside meet; none of other layers.
    pub fn meeting(&self) -> Option<Meeting> {
        match &self.role {
            Role::Branches(inside) => Some(inside.meeting),
            Role::Affine(_) | Role::Activation(_) | Role::Reshape(_) => None,
        }
    }

    /// What of `[B, output...]` behind a block is each branch's: all of a sum, of branches side by side their channels.
    pub fn apart(&self, y: &Tensor) -> Result<Vec<Tensor>> {
        let Some(meeting) = self.meeting() else { bail!("apart: {} has no branches", self.title()) };
        self.check("apart", y, &self.output)?;
        let channels: Vec<_> =
            self.branches.iter().map(|list| list.last().map_or(self.input[0], |l| l.output[0])).collect();
        meeting.apart(y, &channels)
    }

    /// A function that is not linear in one piece.
    pub fn is_activation(&self) -> bool {
        matches!(self.role, Role::Activation(_))
    }

    fn clipping(&self) -> Option<&dyn Clipping> {
        match &self.role {
            Role::Activation(f) => f.clipping(),
            Role::Affine(_) | Role::Reshape(_) | Role::Branches(_) => None,
        }
    }

    /// An activation that is constant beyond a threshold: ReLU kinds and clipped MaxMin, not plain MaxMin.
    pub fn can_clip(&self) -> bool {
        self.clipping().is_some()
    }

    /// Where an activation's mask is read; none of a layer all of whose outputs can vary.
    pub fn mask_side(&self) -> Option<Side> {
        self.clipping().map(Clipping::side)
    }

    /// MaxMin in either form: its mask is read behind it and bears on the columns of the next layer only.
    pub fn is_maxmin(&self) -> bool {
        self.spec.is::<MaxMin>() || self.spec.is::<ClippedMaxMin>()
    }

    /// A true upper bound of an activation's or a rearrangement's Lipschitz constant; an affine layer's is its norm, a block's what its
    /// branches come to.
    pub fn lipschitz(&self) -> Option<f64> {
        match &self.role {
            Role::Activation(f) => Some(f.facts().lipschitz),
            Role::Reshape(_) => Some(1.0),
            Role::Affine(_) | Role::Branches(_) => None,
        }
    }

    /// A rearrangement's way back, `[B, output...]` to `[B, input...]`: of values, boxes and masks alike.
    pub fn inverse(&self, y: &Tensor) -> Result<Tensor> {
        self.check("inverse", y, &self.output)?;
        self.reshape("inverse")?.inverse(y)
    }

    /// Number of values in one sample of the input.
    pub fn input_len(&self) -> usize {
        self.input.iter().product()
    }

    /// Number type and device of an affine layer's map.
    pub fn numbers(&self) -> Option<(DType, Device)> {
        match &self.role {
            Role::Affine(map) => Some(map.numbers()),
            Role::Activation(_) | Role::Reshape(_) | Role::Branches(_) => None,
        }
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

    fn check(&self, op: &str, x: &Tensor, want: &[usize]) -> Result<()> {
        if x.rank() == 0 || x.dims()[1..] != *want {
            bail!("{op}: {} wants a batch of {want:?}, got a tensor of shape {:?}", self.title(), x.dims());
        }
        Ok(())
    }
}
