//! A training step that is recorded as a CUDA graph and repeated: the processor's part of a step is then a handful of calls
//!
//! ```text
//! first visits of a key    the step as it is; the second prepares what a recording cannot upload
//! third visit              recorded from the same calls, then launched
//! further visits           images, labels, rows and numbers are written where the recording reads them, and it is launched
//! ```
//!
//! A key names what must be the same from one step to the next beside shapes: which loss, how many iterations. What changes stands in memory
//! that was there before: the batch, the numbers of the step (epsilon, kappa), the constants of Adam, the vectors' store. A step that cannot
//! be recorded, since it draws or reads back, is taken as it is: then, and from then on for its key. When memory that
//! lives on has moved (a state that was put back, a workspace that has grown) the step is recorded once more. A batch with an image twice, or one
//! whose vectors have not been drawn yet, is taken as it is too.

mod asked;
mod recorded;

use super::optimizer::Optimizer;
use super::vectors::Vectors;
use crate::compute::checked;
use crate::compute::gpu::recording::{KEEPS, Recording, place, remembering_uploads};
use crate::nn::Sequential;
use asked::Kinds;
pub use asked::{Asked, Found};
use candle_core::{DType, Result, Tensor, bail};
use recorded::{Known, Places, Recorded, Results};
use std::collections::HashMap;
use std::rc::Rc;

/// What a step is made of: from images, labels and the numbers, each a tensor `[]` on the device, to what there is to know of it. What it
/// asks of the device must follow from these, the vectors of the batch, and the key.
pub type Step<'a> = &'a mut dyn FnMut(Tensor, Tensor, Vec<Tensor>) -> Result<Found>;

/// The name of the loss in [`Found`].
pub const LOSS: &str = "loss";

/// Visits of a key that are taken as they are.
const PLAIN: usize = 2;

/// The steps of one training.
#[derive(Debug)]
pub struct StepGraph {
    model: Rc<Sequential>,
    vectors: Vectors,
    keys: HashMap<String, Visits>,
    /// Are steps recorded at all?
    records: bool,
}

#[derive(Debug)]
enum Visits {
    /// So many, and what the last one gave and asked for.
    Plain(usize, Kinds),
    Recorded(Box<Recorded>),
    /// Not to be recorded, for this reason.
    Refused(String),
}

impl StepGraph {
    /// For steps of `model` with vectors from this store. Without `records` all are taken as they are.
    pub fn new(model: Rc<Sequential>, vectors: Vectors, records: bool) -> Self {
        Self { model, vectors, keys: HashMap::new(), records }
    }

    /// Take a step. Gives what `step` gave.
    pub fn run(&mut self, asked: Asked, step: Step) -> Result<Found> {
        if let Some(bad) = asked.numbers.iter().find(|n| !n.is_finite()) {
            bail!("step_graph: a number of the step is {bad}; each must be finite");
        }
        let (known, signs) = (Known::of(&asked), asked.numbers.iter().map(|n| *n >= 0.0).collect::<Vec<_>>());
        let of = |t: &Tensor| format!("{:?} {:?}", t.dims(), t.dtype());
        let key = format!("{}, {}, {}, {known:?}, {signs:?}", asked.key, of(asked.x), of(asked.y));
        let on_gpu = self.records && self.model.device().is_cuda() && asked.dealt.is_none();
        if !on_gpu || !self.model.can_be_recorded() || !asked.optimizer.borrow().can_be_recorded() {
            return self.plainly(&asked, step);
        }
        let visits = match self.keys.remove(&key).unwrap_or(Visits::Plain(0, Kinds::default())) {
            // Recorded where something lay before: once more, where it lies now.
            Visits::Recorded(old) if old.place != place() => Visits::Plain(PLAIN, old.kinds),
            other => other,
        };
        let (next, found) = self.visit(visits, &asked, step)?;
        self.keys.insert(key, next);
        Ok(found)
    }

    /// A step of a key with these visits, and the key's visits behind it.
    fn visit(&self, visits: Visits, asked: &Asked, step: Step) -> Result<(Visits, Found)> {
        match visits {
            Visits::Refused(reason) => Ok((Visits::Refused(reason), self.plainly(asked, step)?)),
            Visits::Plain(count, _) if count < PLAIN => {
                let mut work = || self.vectors.asked_by(|| self.plainly(asked, step));
                let last = count + 1 == PLAIN;
                let (found, layers) = if last { remembering_uploads(self.model.device(), &mut work) } else { work() };
                let found = found?;
                let kinds = Kinds { found: found.iter().map(|(name, t)| (name.clone(), t.dtype())).collect(), layers };
                Ok((Visits::Plain(count + 1, kinds), found))
            }
            Visits::Plain(count, kinds) => {
                let Some(rows) = self.vectors.rows_to_record(asked.images, &kinds.layers)? else {
                    return Ok((Visits::Plain(count, kinds), self.plainly(asked, step)?));
                };
                match self.recorded(asked, &rows, kinds, step) {
                    Ok(recorded) => {
                        let found = recorded.launch(asked, &rows, &self.vectors)?;
                        Ok((Visits::Recorded(Box::new(recorded)), found))
                    }
                    Err(reason) => {
                        let reason = reason.to_string().lines().next().unwrap_or_default().to_string();
                        if reason.starts_with(KEEPS) {
                            bail!("step_graph: {reason}; give it in the step's map instead");
                        }
                        Ok((Visits::Refused(reason), self.plainly(asked, step)?))
                    }
                }
            }
            Visits::Recorded(recorded) => {
                let found = match self.vectors.rows_to_record(asked.images, &recorded.kinds.layers)? {
                    Some(rows) => recorded.launch(asked, &rows, &self.vectors)?,
                    None => self.plainly(asked, step)?,
                };
                Ok((Visits::Recorded(recorded), found))
            }
        }
    }

    /// How many keys are recorded, and which are not to be, with the reason.
    pub fn state(&self) -> (usize, Vec<(&str, &str)>) {
        let recorded = self.keys.values().filter(|visits| matches!(visits, Visits::Recorded(_))).count();
        let refused = self.keys.iter().filter_map(|(key, visits)| match visits {
            Visits::Refused(reason) => Some((key.as_str(), reason.as_str())),
            Visits::Plain(..) | Visits::Recorded(_) => None,
        });
        (recorded, refused.collect())
    }

    fn plainly(&self, asked: &Asked, step: Step) -> Result<Found> {
        let told = Tensor::new(asked.numbers, self.model.device())?;
        let numbers = numbers(&told, asked.numbers, self.model.dtype())?;
        let found = step(asked.x.clone(), asked.y.clone(), numbers)?;
        asked.optimizer.borrow_mut().step_in(loss_of(&found)?, asked.lr, asked.dealt.as_ref())?;
        self.model.after_step()?;
        Ok(found.into_iter().map(|(name, t)| (name, t.detach())).collect())
    }

    fn recorded(&self, asked: &Asked, rows: &[u32], kinds: Kinds, step: Step) -> Result<Recorded> {
        let device = self.model.device();
        let (places, found) = (Places::new(asked, rows, device)?, Results::new(&kinds.found, device)?);
        Known::of(asked).note(&places);
        let told = places.numbers.narrow(0, asked.numbers.len(), Optimizer::TOLD)?;
        let place = place();
        let (graph, visits) = self.vectors.recorded(rows, &places.rows, || {
            Recording::new(device, || {
                let numbers = numbers(&places.numbers, asked.numbers, self.model.dtype())?;
                let own = step(places.x.clone(), places.y.clone(), numbers)?;
                asked.optimizer.borrow_mut().record(loss_of(&own)?, &told)?;
                self.model.after_step()?;
                found.write(&own)
            })
        });
        Ok(Recorded { graph: graph?, place, visits, kinds, places, found })
    }
}

/// The first values that are told, each `[]`, in the network's numbers.
fn numbers(told: &Tensor, values: &[f64], dtype: DType) -> Result<Vec<Tensor>> {
    let one = |(i, value): (usize, &f64)| {
        let number = told.narrow(0, i, 1)?.reshape(())?.to_dtype(dtype)?;
        if *value >= 0.0 {
            checked::note_radii(&number);
        }
        Ok(number)
    };
    values.iter().enumerate().map(one).collect()
}

fn loss_of(found: &Found) -> Result<&Tensor> {
    match found.iter().find(|(name, _)| name == LOSS) {
        Some((_, loss)) => Ok(loss),
        None => bail!("step_graph: the step gives no `{LOSS}`; it must give a map with the loss in it"),
    }
}
