//! Checksums: of files, and of what a split holds, whatever its source and order
//!
//! ```text
//! digest(split) = SHA-256( sorted { SHA-256(label as two bytes, low first, then the pixels as u8 in HWC order) } )
//! ```

use crate::base::hex::hex;
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
