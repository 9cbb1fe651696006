//! One step of an attack, and where it begins: the balls around images, and moves inside of them.

use super::options::{AttackOptions, Climb, Start};
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
    pub steps: Tensor,
    /// The radii once more, for starts, which are drawn on the host.
    host: Vec<f64>,
    /// Where the first climbs begin; none for random points.
    start: Option<Tensor>,
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
        let mut balls = Self {
            x: x.detach(),
            radii: on_device(host.clone())?,
            steps: on_device(steps)?,
            host,
            start: None,
            streams: options.streams.clone(),
            clip: options.clip,
            least_slope: options.least_slope,
        };
        balls.start = balls.given(&options.start)?;
        Ok(balls)
    }

    /// Those at some places.
    pub fn take(&self, rows: &Tensor, places: &[usize]) -> Result<Self> {
        Ok(Self {
            x: self.x.index_select(rows, 0)?,
            radii: self.radii.index_select(rows, 0)?,
            steps: self.steps.index_select(rows, 0)?,
            host: places.iter().map(|i| self.host[*i]).collect(),
            start: self.start.as_ref().map(|start| start.index_select(rows, 0)).transpose()?,
            streams: self.streams.as_ref().map(|streams| places.iter().map(|i| streams[*i]).collect()),
            ..*self
        })
    }

    /// The points that the attack begins at, where they are not random.
    fn given(&self, start: &Start) -> Result<Option<Tensor>> {
        match start {
            Start::Random => Ok(None),
            Start::Center => Ok(Some(self.x.clone())),
            Start::Points(points) if points.dims() != self.x.dims() => {
                bail!("pgd: start points of shape {:?} for images of {:?}", points.dims(), self.x.dims())
            }
            Start::Points(points) => self.inside(&self.cut(&points.detach().to_dtype(self.x.dtype())?)?).map(Some),
        }
    }

    /// The points that a climb begins at.
    pub fn begin(&self, climb: &Climb, random: &Generator) -> Result<Tensor> {
        let x = &self.x;
        if let Some(start) = self.start.as_ref().filter(|_| climb.first) {
            return Ok(start.clone());
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
                let name = match climb.number {
                    0 => "pgd".to_string(),
                    number => format!("pgd, restart {number}"),
                };
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

    /// `point` moved along `g` by `steps` `[B]`, cut, brought into the ball, cut.
    pub fn step(&self, point: &Tensor, g: &Tensor, steps: Tensor) -> Result<Tensor> {
        if gpu::has_kernel(&self.x) {
            return self.step_by_kernel(point, g, steps);
        }
        let (unit, norms) = normalize_samples(g)?;
        let mut length = steps;
        if self.least_slope > 0.0 {
            length = norms.minimum(self.least_slope)?.mul(&(length / self.least_slope)?)?;
        }
        let moved = (point + unit.broadcast_mul(&per_sample(&length.to_dtype(point.dtype())?, point)?)?)?;
        let moved = self.held(&moved)?;
        // Along a gradient that is NaN or infinite there is no way.
        choose(&norms.lt(f64::INFINITY)?, &moved, point)
    }

    fn step_by_kernel(&self, point: &Tensor, g: &Tensor, steps: Tensor) -> Result<Tensor> {
        let (x, point, g) = (self.x.contiguous()?, point.contiguous()?, g.contiguous()?);
        let (batch, next) = (x.dim(0)?, room(x.shape(), x.dtype(), x.device())?);
        let tensors = [&x, &point, &g, &next, &steps, &self.radii].map(Into::into);
        let n = x.elem_count() / batch.max(1);
        let numbers = [n.into(), usize::from(self.clip).into(), self.least_slope.into()];
        launch(Source::Train, "attack_step", &x, Blocks::Exactly(batch), &[&tensors[..], &numbers].concat())?;
        Ok(next)
    }

    /// `point` cut, brought into the ball, cut.
    pub fn held(&self, point: &Tensor) -> Result<Tensor> {
        self.cut(&self.inside(&self.cut(point)?)?)
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

/// `rows` as `[B]` of u8.
pub fn mask(rows: &[bool], device: &Device) -> Result<Tensor> {
    Tensor::from_vec(rows.iter().map(|row| u8::from(*row)).collect(), rows.len(), device)
}
