//! The one source of randomness: ChaCha8 streams, all derived from one seed; those of probabilistic bounds from bits of the operating
//! system ([`Key::drawn`]), since their probability is over numbers that nobody knew.
//!
//! A stream is named by `(seed, stream)`, so that independent uses (initialisation, the order of batches, start
//! vectors of sample 17 in layer 3) never depend on how often another use has drawn. Numbers are made on the host and
//! copied, so they are the same on every device and for every number of threads. The operating system's bits are recorded,
//! so that a run goes on and is repeated with the same ones.

use super::hex::hex;
use candle_core::{DType, Device, Error, Result, Shape, Tensor};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use std::cell::RefCell;

/// Words of 32 bits that ChaCha makes at a time.
const BLOCK: u128 = 16;

/// What all streams of a seed have in common: 256 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key([u8; 32]);

impl Key {
    /// That of a seed.
    pub fn of_seed(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed).get_seed())
    }

    /// One that nobody knew, from the operating system.
    pub fn drawn() -> Result<Self> {
        let mut bits = [0; 32];
        let failed = |e| Error::Msg(format!("random numbers: the operating system gives none: {e}"));
        getrandom::fill(&mut bits).map_err(failed)?;
        Ok(Self(bits))
    }

    /// From 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().map(|b| (b as char).to_digit(16)).collect::<Option<Vec<_>>>()?;
        let bits: Vec<u8> = digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, d| byte << 4 | *d as u8)).collect();
        bits.try_into().ok().filter(|_| text.len() == 64).map(Self)
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// What a generator is made from: the name of a stream, which threads can share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamName {
    pub key: Key,
    pub stream: u64,
}

impl StreamName {
    /// As [`Generator::fork`].
    pub fn fork(self, name: &str) -> Self {
        // FNV-1a: stable across versions and machines, unlike the standard library's hasher.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64 ^ self.stream, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self { key: self.key, stream: hash }
    }

    /// The generator at the beginning of this stream.
    pub fn generator(self) -> Generator {
        let mut state = ChaCha8Rng::from_seed(self.key.0);
        state.set_stream(self.stream);
        Generator { name: self, state: RefCell::new(state) }
    }
}

/// A seeded stream of random numbers.
#[derive(Debug)]
pub struct Generator {
    name: StreamName,
    state: RefCell<ChaCha8Rng>,
}

impl Generator {
    /// Stream 0 of `seed`.
    pub fn new(seed: u64) -> Self {
        Self::stream(seed, 0)
    }

    /// Stream `stream` of `seed`; different streams of one seed are independent.
    pub fn stream(seed: u64, stream: u64) -> Self {
        StreamName { key: Key::of_seed(seed), stream }.generator()
    }

    /// A further generator, independent of this one's draws, for the use called `name`.
    pub fn fork(&self, name: &str) -> Self {
        self.name().fork(name).generator()
    }

    /// Of which stream it is.
    pub fn name(&self) -> StreamName {
        self.name
    }

    /// The beginning of another stream of this one's seed.
    pub fn other(&self, stream: u64) -> Self {
        StreamName { key: self.name.key, stream }.generator()
    }

    /// How far the stream has been read, in words of 32 bits.
    pub fn position(&self) -> u128 {
        self.state.borrow().get_word_pos()
    }

    /// Go on from where [`Self::position`] was.
    pub fn set_position(&self, position: u128) {
        self.state.borrow_mut().set_word_pos(position);
    }

    /// Draw from a stream of its own for a while, which follows from `name` and from where this one stands: that is given back.
    pub fn detour(&self, name: &str) -> u128 {
        let main = self.position();
        let own = self.name.fork(&format!("{name} at {main}"));
        let state = &mut *self.state.borrow_mut();
        state.set_stream(own.stream);
        state.set_word_pos(0);
        main
    }

    /// Back to where this stream stood; `on` by a block of numbers, so that the next detour is another one.
    pub fn end_detour(&self, main: u128, on: bool) {
        let state = &mut *self.state.borrow_mut();
        state.set_stream(self.name.stream);
        state.set_word_pos(main + if on { BLOCK } else { 0 });
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
    fn a_detour_leaves_the_stream_where_it_was() {
        let g = Generator::new(5);
        let (_, at) = (g.gauss(), g.position());
        let other = || {
            let main = g.detour("shard 1");
            let drawn: Vec<f64> = (0..5).map(|_| g.unit()).collect();
            (drawn, main)
        };
        let (one, main) = other();
        g.end_detour(main, false);
        assert_eq!((g.position(), main), (at, at));
        let (again, main) = other();
        assert_eq!(one, again, "it is named by the place that it begins at");
        g.end_detour(main, true);
        assert_eq!(g.position(), at + BLOCK);
        assert_ne!(other().0, one);
    }

    #[test]
    fn keys_are_read_as_they_are_written() {
        let (key, other) = (Key::drawn().expect("random bits"), Key::drawn().expect("random bits"));
        assert_ne!(key, other);
        assert_eq!(Key::parse(&key.to_string()), Some(key));
        assert_eq!(Key::of_seed(1).to_string().len(), 64);
        for text in ["", "12", &"g".repeat(64), &"0".repeat(63), &"0".repeat(66), &"\u{660}".repeat(32)] {
            assert_eq!(Key::parse(text), None, "{text}");
        }
        let draw = |key| StreamName { key, stream: 3 }.generator().unit();
        assert_ne!(draw(key), draw(other));
        assert_eq!(draw(Key::of_seed(5)), Generator::stream(5, 3).unit());
    }

    #[test]
    fn permutation_holds_every_index_once() {
        let mut order = Generator::new(1).permutation(1000);
        assert_ne!(order, (0..1000).collect::<Vec<u32>>());
        order.sort_unstable();
        assert_eq!(order, (0..1000).collect::<Vec<u32>>());
    }
}
