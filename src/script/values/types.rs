//! The host's types as scripts see them, and how they print.

use crate::bounds;
use crate::compute::autograd;
use crate::data;
use crate::nn;
use crate::train;
use rhai::{Engine, FnPtr, INT};
use std::cell::RefCell;
use std::rc::Rc;

/// A tensor. Cheap to copy: copies share the values and the graph.
#[derive(Clone)]
pub struct Tensor(pub candle_core::Tensor);

/// A layer before it has a place: what `conv2d(32, 3)` gives.
#[derive(Clone)]
pub struct LayerSpec(pub nn::LayerSpec);

/// A layer of a model.
#[derive(Clone)]
pub struct Layer(pub nn::Layer);

/// A network.
#[derive(Clone)]
pub struct Model(pub Rc<nn::Sequential>);

/// Ball and box at one layer.
#[derive(Clone)]
pub struct Region(pub bounds::Region);

/// A linear function below some quantities of a layer.
#[derive(Clone)]
pub struct LinearBound(pub bounds::LinearBound);

/// The result of a power iteration.
#[derive(Clone)]
pub struct SpectralNorm(pub Rc<bounds::SingularPair>);

/// Upper bounds on norms.
#[derive(Clone)]
pub struct NormBound(pub Rc<bounds::NormBound>);

/// How far a network that runs in f32 lies from exact arithmetic.
#[derive(Clone)]
pub struct Execution(pub bounds::Execution);

/// The store of power-iteration vectors.
#[derive(Clone)]
pub struct Vectors(pub train::Vectors);

/// The vectors of one batch.
#[derive(Clone)]
pub struct BatchVectors(pub train::BatchVectors);

/// An optimiser with its state.
#[derive(Clone)]
pub struct Optimizer(pub Rc<RefCell<train::Optimizer>>, pub Option<Rc<nn::Sequential>>);

/// Training steps that a CUDA graph repeats, and their optimiser.
#[derive(Clone)]
pub struct StepGraph(pub Rc<RefCell<train::StepGraph>>, pub Optimizer);

/// The steps of a training: a closure that takes one, its iterations unless a call says otherwise, and what repeats them.
#[derive(Clone)]
pub struct Trainer(pub Rc<FnPtr>, pub INT, pub Option<StepGraph>);

/// The gradients of one `backward`.
#[derive(Clone)]
pub struct Gradients(pub Rc<autograd::Gradients>);

/// A data set with its splits.
#[derive(Clone)]
pub struct Dataset(pub Rc<data::Dataset>);

/// The training, validation or test images of a data set.
#[derive(Clone)]
pub struct Split(pub data::Split);

/// One batch of images.
#[derive(Clone)]
pub struct Batch(pub Rc<data::Batch>);

/// Name the types, and how they print.
pub fn register(engine: &mut Engine) {
    engine
        .register_type_with_name::<Tensor>("Tensor")
        .register_type_with_name::<LayerSpec>("LayerSpec")
        .register_type_with_name::<Layer>("Layer")
        .register_type_with_name::<Model>("Model")
        .register_type_with_name::<Region>("Region")
        .register_type_with_name::<LinearBound>("LinearBound")
        .register_type_with_name::<SpectralNorm>("SpectralNorm")
        .register_type_with_name::<NormBound>("NormBound")
        .register_type_with_name::<Execution>("Execution")
        .register_type_with_name::<Vectors>("Vectors")
        .register_type_with_name::<BatchVectors>("BatchVectors")
        .register_type_with_name::<Optimizer>("Optimizer")
        .register_type_with_name::<StepGraph>("StepGraph")
        .register_type_with_name::<Trainer>("Trainer")
        .register_type_with_name::<Gradients>("Gradients")
        .register_type_with_name::<Dataset>("Dataset")
        .register_type_with_name::<Split>("Split")
        .register_type_with_name::<Batch>("Batch");
    shown(engine, |s: &LayerSpec| s.0.describe());
    shown(engine, |l: &Layer| {
        format!("layer {}: {}, {:?} -> {:?}", l.0.path, l.0.spec.describe(), l.0.input, l.0.output)
    });
    shown(engine, |m: &Model| m.0.describe());
    shown(engine, |r: &Region| format!("Region over {:?}: center, lower, upper, radius", r.0.dims()));
    shown(engine, |b: &LinearBound| format!("LinearBound, coefficients {:?}", b.0.dims()));
    shown(engine, |n: &SpectralNorm| {
        format!("SpectralNorm of {} samples: sigma, u, v, iterations, converged", n.0.iterations.len())
    });
    shown(engine, |n: &NormBound| format!("NormBound of {} samples: upper, lower, steps", n.0.steps.len()));
    shown(engine, |e: &Execution| format!("Execution in f32 over {:?}: each, norm", e.0.each.dims()));
    shown(engine, |v: &Vectors| v.0.describe());
    shown(engine, |v: &BatchVectors| format!("singular vectors of {} images", v.0.len()));
    shown(engine, |o: &Optimizer| {
        let o = o.0.borrow();
        format!("{:?}, lr {}, {} steps taken", o.kind, o.lr, o.steps)
    });
    shown(engine, |g: &StepGraph| {
        g.0.try_borrow().map_or("StepGraph: at a step".into(), |graph| {
            let (recorded, refused) = graph.state();
            format!("StepGraph: {recorded} kinds of steps recorded, {} not to be", refused.len())
        })
    });
    shown(engine, |t: &Trainer| format!("Trainer: {} iterations", t.1));
    shown(engine, |_: &Gradients| "Gradients: grads.of(parameter)".to_string());
    shown(engine, |d: &Dataset| {
        let d = &d.0;
        format!(
            "{}: {:?}, {} classes, {} train{},{} {} test{}, from {}",
            d.title,
            d.shape,
            d.classes,
            if d.lacks_train.is_some() { "no".into() } else { d.train.len().to_string() },
            changes(&d.train),
            d.validation.as_ref().map_or(String::new(), |v| format!(" {} validation{},", v.len(), changes(v))),
            d.test.len(),
            changes(&d.test),
            d.source
        )
    });
    shown(engine, |s: &Split| format!("{} images ({}){}", s.0.len(), s.0.name(), changes(&s.0)));
    shown(engine, |b: &Batch| format!("batch {} of {}: x {:?}", b.0.number + 1, b.0.count, b.0.x.dims()));
}

/// ` (pad 2, crop 4, flip)`, or nothing where batches hold the images as they are.
fn changes(split: &data::Split) -> String {
    let changes = split.describe_changes();
    if changes.is_empty() { changes } else { format!(" ({changes})") }
}

/// The same text for `print`, for string interpolation and at the prompt.
fn shown<T: Clone + 'static>(engine: &mut Engine, text: impl Fn(&T) -> String + Copy + 'static) {
    engine.register_fn("to_string", move |x: &mut T| text(x));
    engine.register_fn("to_debug", move |x: &mut T| text(x));
}

/// A size as Rhai's integer.
pub fn int(n: usize) -> INT {
    INT::try_from(n).unwrap_or(INT::MAX)
}
