//! What a person, or a digest, reads of a network.

use super::network::Sequential;
use crate::base::fingerprint::Fingerprint;
use crate::compute::device;
use crate::nn::Layer;
use candle_core::Result;

impl Sequential {
    /// A digest of layers and parameters.
    pub fn digest(&self) -> Result<String> {
        let mut digest = Fingerprint::default();
        self.specs.iter().for_each(|spec| {
            digest.text(&spec.describe());
            spec.own().iter().for_each(|own| digest.text(&own.identity));
        });
        for (name, var) in &self.parameters {
            digest.text(name);
            digest.tensor(var.as_tensor())?;
        }
        Ok(digest.finish())
    }

    /// Numbers in the parameters of a layer, without those of the layers of its branches, which stand by themselves.
    pub fn count_of(&self, layer: &Layer) -> usize {
        let of = |path: &str| {
            let before = format!("{path}.");
            self.parameters
                .iter()
                .filter(|(name, _)| name.starts_with(&before))
                .map(|(_, var)| var.elem_count())
                .sum::<usize>()
        };
        of(&layer.path) - layer.branches.iter().flatten().map(|inner| of(&inner.path)).sum::<usize>()
    }

    /// One line per layer: position, layer, output shape, number of parameters.
    pub fn describe(&self) -> String {
        let rows: Vec<_> = self
            .all_layers()
            .iter()
            .map(|l| (l.path.clone(), l.spec.describe(), format!("{:?}", l.output), self.count_of(l)))
            .collect();
        let width = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0);
        let p = width(&mut rows.iter().map(|r| r.0.len())).max(3);
        let (a, b) = (width(&mut rows.iter().map(|r| r.1.len())), width(&mut rows.iter().map(|r| r.2.len())));
        let mut text =
            format!("sequential over {:?}, {:?} on {}\n", self.input, self.dtype, device::name(&self.device));
        for (path, layer, shape, count) in &rows {
            text += format!(
                "{path:>p$}  {layer:<a$}  {shape:<b$}  {}",
                if *count > 0 { count.to_string() } else { String::new() }
            )
            .trim_end();
            text.push('\n');
        }
        let total: usize = self.parameters.iter().map(|(_, v)| v.elem_count()).sum();
        format!("{text}     {total} parameters")
    }
}
