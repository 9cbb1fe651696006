//! The one source of randomness: ChaCha8 streams, all derived from one seed.
//!
//! A stream is named by `(seed, stream)`, so that independent uses (initialisation, the order of batches, start
//! vectors of sample 17 in layer 3) never depend on how often another use has drawn. Numbers are made on the host and
//! copied, so they are the same on every device and for every number of threads.

use candle_core::{DType, Device, Result, Shape, Tensor};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use std::cell::RefCell;

/// What a generator is made from: the name of a stream, which threads can share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamName {
    seed: u64,
    stream: u64,
}

impl StreamName {
    /// As [`Generator::fork`].
    pub fn fork(self, name: &str) -> Self {
        // FNV-1a: stable across versions and machines, unlike the standard library's hasher.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64 ^ self.stream, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self { seed: self.seed, stream: hash }
    }

    /// The generator at the beginning of this stream.
    pub fn generator(self) -> Generator {
        Generator::stream(self.seed, self.stream)
    }
}

/// A seeded stream of random numbers.
#[derive(Debug)]
pub struct Generator {
    seed: u64,
    stream: u64,
    state: RefCell<ChaCha8Rng>,
}

impl Generator {
    /// Stream 0 of `seed`.
    pub fn new(seed: u64) -> Self {
        Self::stream(seed, 0)
    }

    /// Stream `stream` of `seed`; different streams of one seed are independent.
    pub fn stream(seed: u64, stream: u64) -> Self {
        let mut state = ChaCha8Rng::seed_from_u64(seed);
        state.set_stream(stream);
        Self { seed, stream, state: RefCell::new(state) }
    }

    /// A further generator, independent of this one's draws, for the use called `name`.
    pub fn fork(&self, name: &str) -> Self {
        self.name().fork(name).generator()
    }

    /// Of which stream it is.
    pub fn name(&self) -> StreamName {
        StreamName { seed: self.seed, stream: self.stream }
    }

    /// The seed that this generator was made from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// How far the stream has been read, in words of 32 bits.
    pub fn position(&self) -> u128 {
        self.state.borrow().get_word_pos()
    }

    /// Go on from where [`Self::position`] was.
    pub fn set_position(&self, position: u128) {
        self.state.borrow_mut().set_word_pos(position);
    }

    /// Uniform values in `[lo, hi)`.
    pub fn uniform(&self, lo: f64, hi: f64, shape: impl Into<Shape>, dtype: DType, device: &Device) -> Result<Tensor> {
        let mut state = self.state.borrow_mut();
        self.fill(shape.into(), dtype, device, || lo + (hi - lo) * state.random::<f64>())
    }

    /// Normal values with the given mean and standard deviation.
    pub fn normal(
        &self,
        mean: f64,
        std: f64,
        shape: impl Into<Shape>,
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor> {
        let mut state = self.state.borrow_mut();
        let mut draw = || -> f64 { StandardNormal.sample(&mut *state) };
        self.fill(shape.into(), dtype, device, || mean + std * draw())
    }

    /// Standard normal rows `[names, n]`, each from the beginning of a stream of its own, drawn by several threads.
    pub fn normal_rows(names: &[StreamName], n: usize, dtype: DType, device: &Device) -> Result<Tensor> {
        fn drawn<T: Copy + Send + Sync>(names: &[StreamName], n: usize, number: impl Fn(f64) -> T + Sync) -> Vec<T> {
            let row = |name: &StreamName| {
                let own = name.generator();
                (0..n).map(|_| number(own.gauss())).collect::<Vec<_>>()
            };
            names.par_iter().flat_map_iter(row).collect()
        }
        let shape = (names.len(), n);
        let rows = match dtype {
            DType::F32 => Tensor::from_vec(drawn(names, n, |x| x as f32), shape, &Device::Cpu)?,
            _ => Tensor::from_vec(drawn(names, n, |x| x), shape, &Device::Cpu)?.to_dtype(dtype)?,
        };
        rows.to_device(device)
    }

    /// A random order of `0..n`.
    pub fn permutation(&self, n: usize) -> Vec<u32> {
        let mut state = self.state.borrow_mut();
        let mut order: Vec<u32> = (0..n as u32).collect();
        // Fisher-Yates, written out because `shuffle` may change between versions of the crate.
        for i in (1..n).rev() {
            order.swap(i, state.random_range(0..=i as u64) as usize);
        }
        order
    }

    /// One value in `[0, 1)`.
    pub fn unit(&self) -> f64 {
        self.state.borrow_mut().random::<f64>()
    }

    /// One standard normal value.
    pub fn gauss(&self) -> f64 {
        StandardNormal.sample(&mut *self.state.borrow_mut())
    }

    fn fill(&self, shape: Shape, dtype: DType, device: &Device, mut draw: impl FnMut() -> f64) -> Result<Tensor> {
        // Drawn in f64 whatever the dtype: an f32 and an f64 run start from the same numbers.
        let values: Vec<f64> = (0..shape.elem_count()).map(|_| draw()).collect();
        Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_reproducible_and_independent() {
        let draw = |g: &Generator| (0..8).map(|_| g.unit()).collect::<Vec<_>>();
        assert_eq!(draw(&Generator::new(3)), draw(&Generator::new(3)));
        assert_ne!(draw(&Generator::new(3)), draw(&Generator::new(4)));
        let parent = Generator::new(3);
        let before = draw(&parent.fork("order"));
        parent.unit();
        assert_eq!(before, draw(&parent.fork("order")), "a fork depends on its name only");
        assert_ne!(before, draw(&parent.fork("weights")));
    }

    #[test]
    fn a_stream_goes_on_from_a_position() {
        let g = Generator::new(5);
        let _ = (g.unit(), g.gauss(), g.permutation(7));
        let at = g.position();
        let rest: Vec<f64> = (0..5).map(|_| g.gauss()).collect();
        let other = Generator::new(5);
        other.set_position(at);
        assert_eq!(rest, (0..5).map(|_| other.gauss()).collect::<Vec<_>>());
    }

    #[test]
    fn permutation_holds_every_index_once() {
        let mut order = Generator::new(1).permutation(1000);
        assert_ne!(order, (0..1000).collect::<Vec<u32>>());
        order.sort_unstable();
        assert_eq!(order, (0..1000).collect::<Vec<u32>>());
    }
}
