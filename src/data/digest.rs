//! Checksums: of files, and of what a split holds whatever its source and order
//!
//! ```text
//! digest(split) = SHA-256( sorted { SHA-256(label as two bytes, low first, then the pixels as u8 in HWC order) } )
//! ```

use super::Split;
use crate::base::fingerprint::Fingerprint;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::Path;

/// The digest of images in CHW order with their labels, in lower-case hexadecimal.
pub fn of_content(pixels: &[u8], labels: &[u32], [channels, height, width]: [usize; 3]) -> String {
    let area = height * width;
    let mut images: Vec<[u8; 32]> = labels
        .par_iter()
        .zip(pixels.par_chunks_exact(channels * area))
        .map_init(Vec::new, |interleaved, (label, image)| {
            interleaved.clear();
            interleaved.extend((*label as u16).to_le_bytes());
            interleaved.extend((0..area).flat_map(|at| (0..channels).map(move |c| image[c * area + at])));
            Sha256::digest(&interleaved).into()
        })
        .collect();
    images.par_sort_unstable();
    hex(&images.iter().fold(Sha256::new(), |sum, image| sum.chain_update(image)).finalize())
}

/// The SHA-256 of a file.
pub fn of_file(path: &Path) -> std::io::Result<String> {
    of_reader(&mut std::fs::File::open(path)?)
}

/// The SHA-256 of what there is to read.
pub fn of_reader(reader: &mut dyn Read) -> std::io::Result<String> {
    let (mut sum, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(hex(&sum.finalize())),
            n => sum.update(&buffer[..n]),
        }
    }
}

/// The SHA-256 of some bytes.
pub fn of_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

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
