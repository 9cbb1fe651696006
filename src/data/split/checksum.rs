//! Digests of a split: of its images as they are stored, and of what batches are made of.

use super::in_memory::Split;
use crate::base::fingerprint::Fingerprint;
use crate::data::digest::of_bytes;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

impl Split {
    /// The SHA-256 over those of all images, in their order: pixels as they are stored, then the label as four bytes. Of
    /// values that are no pixels, the [`Self::fingerprint`].
    pub fn checksum(&self) -> candle_core::Result<String> {
        let image = |i: u32| -> Option<[u8; 32]> {
            let (pixels, label) = self.stored(i)?;
            Some(Sha256::new().chain_update(pixels).chain_update(label.to_le_bytes()).finalize().into())
        };
        match (0..self.len() as u32).into_par_iter().map(image).collect::<Option<Vec<_>>>() {
            Some(images) => Ok(of_bytes(images.as_flattened())),
            None => self.fingerprint(),
        }
    }

    /// A digest of the images and labels as they are, whatever they came from and whatever their type.
    pub fn fingerprint(&self) -> candle_core::Result<String> {
        let mut digest = Fingerprint::default();
        let all: Vec<u32> = (0..self.len() as u32).collect();
        for part in all.chunks(1000) {
            digest.tensor(&self.images(part)?)?;
            digest.tensor(&self.labels(part)?)?;
        }
        Ok(digest.finish())
    }
}
