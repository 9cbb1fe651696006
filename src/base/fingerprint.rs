//! A digest of tensors: SHA-256 over names, shapes and values (as f64), so that two evaluations can tell whether they are of the
//! same network and the same images.

use super::hex::hex;
use candle_core::{DType, Result, Tensor};
use sha2::{Digest, Sha256};

/// A digest in progress.
#[derive(Default)]
pub struct Fingerprint(Sha256);

impl Fingerprint {
    /// Take in a text.
    pub fn text(&mut self, text: &str) {
        self.0.update((text.len() as u64).to_le_bytes());
        self.0.update(text);
    }

    /// Take in a tensor.
    pub fn tensor(&mut self, tensor: &Tensor) -> Result<()> {
        self.text(&format!("{:?}", tensor.dims()));
        for value in tensor.detach().to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()? {
            self.0.update(value.to_le_bytes());
        }
        Ok(())
    }

    /// The first 16 bytes in hexadecimal: enough to tell apart what nobody forged.
    pub fn finish(self) -> String {
        hex(&self.0.finalize()[..16])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn values_and_shapes_count_the_type_does_not() {
        let digest = |t: &Tensor| {
            let mut f = Fingerprint::default();
            f.tensor(t).expect("digested");
            f.finish()
        };
        let a = Tensor::new(&[[1f32, 2.0], [3.0, 4.0]], &Device::Cpu).expect("a tensor");
        assert_eq!(digest(&a), digest(&a.to_dtype(DType::F64).expect("converted")));
        assert_ne!(digest(&a), digest(&a.flatten_all().expect("flattened")));
        assert_ne!(digest(&a), digest(&(&a + 1.0).expect("moved")));
    }
}
