//! One step of an attack, and where it begins: the balls around images, and moves inside of them.

use super::options::{AttackOptions, Start};
use crate::base::random::Generator;
use crate::compute::gpu;
use crate::compute::gpu::{Blocks, Source, launch, room};
use crate::compute::norms::samples::{normalize_samples, per_sample};
use candle_core::{Device, Result, Tensor, bail};

/// The balls that points are held to.
pub struct Balls {
    /// Their centres, `[B, ...]`.
    pub x: Tensor,
    /// `[B]` of f64 each, where the images are: radii and lengths of the first step.
    radii: Tensor,
    steps: Tensor,
    /// The radii once more, for starts, which are drawn on the host.
    host: Vec<f64>,
    streams: Option<Vec<u64>>,
    clip: bool,
    least_slope: f64,
}

impl Balls {
    pub fn new(x: &Tensor, options: &AttackOptions) -> Result<Self> {
        let batch = x.dim(0)?;
        let (host, steps) = (options.epsilon.each("epsilon", batch)?, options.step_size.each("the step size", batch)?);
        let on_device = |sizes: Vec<f64>| Tensor::from_vec(sizes, batch, x.device());
        if let Some(streams) = options.streams.as_ref().filter(|streams| streams.len() != batch) {
            bail!("pgd: {} streams for {batch} images; give one for each", streams.len());
        }
        Ok(Self {
            x: x.detach(),
            radii: on_device(host.clone())?,
            steps: on_device(steps)?,
            host,
            streams: options.streams.clone(),
            clip: options.clip,
            least_slope: options.least_slope,
        })
    }

    /// Those at some places.
    pub fn take(&self, rows: &Tensor, places: &[usize]) -> Result<Self> {
        Ok(Self {
            x: self.x.index_select(rows, 0)?,
            radii: self.radii.index_select(rows, 0)?,
            steps: self.steps.index_select(rows, 0)?,
            host: places.iter().map(|i| self.host[*i]).collect(),
            streams: self.streams.as_ref().map(|streams| places.iter().map(|i| streams[*i]).collect()),
            ..*self
        })
    }

    /// The points that a restart begins at.
    pub fn begin(&self, start: &Start, restart: usize, random: &Generator) -> Result<Tensor> {
        let x = &self.x;
        match start {
            Start::Center if restart == 0 => return Ok(x.clone()),
            Start::Points(points) if restart == 0 => {
                if points.dims() != x.dims() {
                    bail!("pgd: start points of shape {:?} for images of {:?}", points.dims(), x.dims());
                }
                return self.inside(&self.cut(&points.detach().to_dtype(x.dtype())?)?);
            }
            Start::Center | Start::Points(_) | Start::Random => {}
        }
        let (batch, n) = (self.host.len(), x.elem_count() / self.host.len());
        // Uniform in the ball: the radius of a uniform point is eps u^(1/n).
        let radius = |random: &Generator, b: usize| self.host[b] * random.unit().powf(1.0 / n as f64);
        let (direction, radii) = match &self.streams {
            None => {
                let direction = random.normal(0.0, 1.0, x.shape(), x.dtype(), x.device())?;
                (direction, (0..batch).map(|b| radius(random, b)).collect::<Vec<_>>())
            }
            Some(streams) => {
                let name = if restart == 0 { "pgd".to_string() } else { format!("pgd, restart {restart}") };
                let (mut numbers, mut radii) = (Vec::with_capacity(batch * n), vec![]);
                for (b, stream) in streams.iter().enumerate() {
                    let own = random.other(*stream).fork(&name);
                    numbers.extend((0..n).map(|_| own.gauss()));
                    radii.push(radius(&own, b));
                }
                (Tensor::from_vec(numbers, x.shape(), &Device::Cpu)?.to_dtype(x.dtype())?.to_device(x.device())?, radii)
            }
        };
        let (direction, _) = normalize_samples(&direction)?;
        let radii = Tensor::from_vec(radii, batch, x.device())?.to_dtype(x.dtype())?;
        self.cut(&(x + direction.broadcast_mul(&per_sample(&radii, x)?)?)?)
    }

    /// `point` moved along `g` by `factor` of the first step, cut, brought into the ball, cut.
    pub fn step(&self, point: &Tensor, g: &Tensor, factor: f64) -> Result<Tensor> {
        if gpu::has_kernel(&self.x) {
            return self.step_by_kernel(point, g, factor);
        }
        let (unit, norms) = normalize_samples(g)?;
        let mut length = (&self.steps * factor)?;
        if self.least_slope > 0.0 {
            length = norms.minimum(self.least_slope)?.mul(&(length / self.least_slope)?)?;
        }
        let moved = (point + unit.broadcast_mul(&per_sample(&length.to_dtype(point.dtype())?, point)?)?)?;
        let moved = self.cut(&self.inside(&self.cut(&moved)?)?)?;
        // Along a gradient that is NaN or infinite there is no way.
        choose(&norms.lt(f64::INFINITY)?, &moved, point)
    }

    fn step_by_kernel(&self, point: &Tensor, g: &Tensor, factor: f64) -> Result<Tensor> {
        let (x, point, g) = (self.x.contiguous()?, point.contiguous()?, g.contiguous()?);
        let (batch, next) = (x.dim(0)?, room(x.shape(), x.dtype(), x.device())?);
        let steps = (&self.steps * factor)?;
        let tensors = [&x, &point, &g, &next, &steps, &self.radii].map(Into::into);
        let n = x.elem_count() / batch.max(1);
        let numbers = [n.into(), usize::from(self.clip).into(), self.least_slope.into()];
        launch(Source::Train, "attack_step", &x, Blocks::Exactly(batch), &[&tensors[..], &numbers].concat())?;
        Ok(next)
    }

    /// The nearest points of the balls.
    fn inside(&self, point: &Tensor) -> Result<Tensor> {
        let (unit, norms) = normalize_samples(&(point - &self.x)?)?;
        let length = norms.minimum(&self.radii)?.to_dtype(self.x.dtype())?;
        &self.x + unit.broadcast_mul(&per_sample(&length, &self.x)?)?
    }

    fn cut(&self, x: &Tensor) -> Result<Tensor> {
        if self.clip { x.clamp(0f64, 1f64) } else { Ok(x.clone()) }
    }
}

/// `a` where `mask` `[B]` is 1, else `b`.
pub fn choose(mask: &Tensor, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    per_sample(mask, a)?.broadcast_as(a.shape())?.contiguous()?.where_cond(a, b)
}
