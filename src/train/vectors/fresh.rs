//! Fresh start vectors that belong to images: an image's are the same whoever shares its batch, and whenever it is asked.

use super::batch::BatchVectors;
use super::store::{Vectors, VectorsOptions, slots};
use crate::base::random::Generator;
use crate::bounds::SingularVectors;
use crate::nn::Sequential;
use candle_core::Result;

/// Random vectors for the images at these places of the data, for all affine layers but the last.
pub fn fresh_vectors(model: &Sequential, seed: u64, places: &[u64]) -> Result<BatchVectors> {
    let options = VectorsOptions { dtype: model.dtype(), layers: None, fresh: false, memory: None };
    let store = Vectors::new(model, places.len(), &options, &Generator::new(seed).fork("fresh vectors"))?;
    let all: Vec<u32> = (0..places.len() as u32).collect();
    for (layer, uncertain) in slots(model) {
        let name = format!("fresh vectors {}{}", layer.index, if uncertain { " uncertain" } else { "" });
        let streams: Vec<_> = places.iter().map(|place| Generator::stream(seed, *place).name().fork(&name)).collect();
        let rows = Generator::normal_rows(&streams, layer.input_len(), model.dtype(), model.device())?;
        let rows = SingularVectors::of(rows.reshape([&[places.len()], layer.input.as_slice()].concat())?);
        let own = store.of(&all)?;
        if uncertain { own.uncertain() } else { own }.put_local(layer.index, &rows)?;
    }
    store.of(&all)
}
