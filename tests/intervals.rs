//! Ball and box through an affine layer as one operation, against the same made of several in f64: values and gradients,
//! in f32 and f64, for convolutions and linear layers of awkward sizes.

mod common;

use candle_core::{DType, Device, Result, Tensor, Var};
use common::rounding::Spread;
use workbench::base::random::Generator;
use workbench::bounds::Region;
use workbench::compute::autograd::{Gradients, backward};
use workbench::compute::elementwise::clip::{clip, larger, smaller};
use workbench::compute::norms::channels::add_channels;
use workbench::nn::layers::{Conv2d, Flatten, Fused, Linear, Relu, ReluTheta};
use workbench::nn::{Layer, LayerSpec, Sequential};

/// The formula of `bounds::region`, an operation at a time.
fn composed(t: &[Tensor], layer: &Layer, sigma: &Tensor) -> Result<Vec<Tensor>> {
    let forward = |x: &Tensor| layer.add_bias(&layer.apply(x)?);
    let (center, middle) = (forward(&t[0])?, forward(&((&t[1] + &t[2])? * 0.5)?)?);
    let half = layer.apply_absolute(&((&t[2] - &t[1])? * 0.5)?)?;
    let reach = t[3].unsqueeze(1)?.broadcast_mul(&layer.row_norms()?)?;
    let lower = larger(&(&middle - &half)?, &add_channels(&center, &reach.neg()?)?)?;
    let upper = smaller(&(&middle + &half)?, &add_channels(&center, &reach)?)?;
    Ok(vec![center, lower, upper, t[3].broadcast_mul(sigma)?])
}

fn at_once(t: &[Tensor], layer: &Layer, sigma: &Tensor) -> Result<Vec<Tensor>> {
    let region = Region::new(&t[0], &t[1], &t[2], t[3].clone())?.affine(layer, sigma)?;
    Ok(vec![region.center()?, region.lower()?, region.upper()?, region.radius.clone()])
}

struct Case {
    model: Sequential,
    parts: Vec<Var>,
    weights: Vec<Tensor>,
}

impl Case {
    /// The same on another network, in its number type.
    fn on(&self, model: &Sequential) -> Result<Self> {
        let dtype = model.dtype();
        Ok(Self {
            model: model.to_dtype(dtype)?,
            parts: self.parts.iter().map(|p| Var::from_tensor(&p.to_dtype(dtype)?)).collect::<Result<_>>()?,
            weights: self.weights.iter().map(|w| w.to_dtype(dtype)).collect::<Result<_>>()?,
        })
    }

    fn run(&self, f: fn(&[Tensor], &Layer, &Tensor) -> Result<Vec<Tensor>>) -> Result<(Vec<Tensor>, Gradients)> {
        let layer = &self.model.layers()[0];
        let parts: Vec<Tensor> = self.parts.iter().map(|p| p.as_tensor().clone()).collect();
        let sigma = layer.weight().unwrap().sqr()?.sum_all()?.sqrt()?.reshape(1)?;
        let out = f(&parts, layer, &sigma)?;
        let mut loss = Tensor::zeros((), self.model.dtype(), &common::device())?;
        for (value, weight) in out.iter().zip(&self.weights) {
            loss = (loss + (value * weight)?.sum_all()?)?;
        }
        Ok((out, backward(&loss)?))
    }

    fn gradients(&self, store: &Gradients) -> Vec<(String, Tensor)> {
        let own = self.parts.iter().enumerate().map(|(i, p)| (format!("part {i}"), p));
        let parameters = self.model.parameters().iter().map(|(name, var)| (name.clone(), var));
        own.chain(parameters).map(|(name, var)| (name, store.get(var.as_tensor()).unwrap().clone())).collect()
    }
}

/// Gradients by sample, where they are of samples.
fn by_sample(gradients: Vec<(String, Tensor)>) -> Result<Vec<Tensor>> {
    let of_samples = |name: &str, t: &Tensor| name.starts_with("part") && t.rank() > 1;
    gradients.iter().map(|(name, t)| if of_samples(name, t) { Ok(t.clone()) } else { t.reshape((1, ())) }).collect()
}

fn distance(a: &Tensor, truth: &Tensor) -> f64 {
    let largest = |t: &Tensor| t.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f64>().unwrap();
    assert_eq!(a.dims(), truth.dims());
    largest(&(a.to_dtype(DType::F64).unwrap() - truth).unwrap()) / largest(truth).max(1e-12)
}

#[test]
fn one_operation_is_the_composition() -> Result<()> {
    let random = Generator::new(31);
    let conv =
        |channels, kernel, stride, padding, bias| LayerSpec::of(Conv2d { channels, kernel, stride, padding, bias });
    let cases: [(LayerSpec, &[usize], usize); 8] = [
        (conv(32, 3, 1, 1, true), &[3, 9, 9], 4),
        (conv(17, 4, 2, 1, true), &[20, 8, 11], 18),
        (conv(40, 3, 2, 0, false), &[33, 7, 7], 1),
        (conv(5, 5, 3, 2, true), &[2, 10, 10], 3),
        (LayerSpec::of(Linear { features: 37, bias: true }), &[130], 13),
        (LayerSpec::of(Linear { features: 3, bias: false }), &[7], 1),
        (LayerSpec::of(Linear { features: 70, bias: true }), &[2100], 66),
        (LayerSpec::of(Linear { features: 129, bias: true }), &[64], 6),
    ];
    for (spec, input, batch) in cases {
        let model = Sequential::new(input, &[spec], DType::F64, &common::device(), &random)?;
        let draw = |shape: &[usize]| random.normal(0.0, 1.0, shape.to_vec(), DType::F64, &common::device());
        let shape = [&[batch], input].concat();
        let center = draw(&shape)?;
        let (lower, upper) = ((&center - draw(&shape)?.abs()?)?, (&center + draw(&shape)?.abs()?)?);
        // Radii such that now the ball cuts the box, now not.
        let radius = (draw(&[batch])?.abs()? * (input.iter().product::<usize>() as f64).sqrt())?;
        let out = [&[batch], model.output()].concat();
        let weights = [draw(&out)?, draw(&out)?, draw(&out)?, draw(&[batch])?];
        // Numbers that f32 can hold.
        let narrow = |t: &Tensor| t.to_dtype(DType::F32)?.to_dtype(DType::F64);
        let model = model.to_dtype(DType::F32)?.to_dtype(DType::F64)?;
        let weights = weights.iter().map(narrow).collect::<Result<_>>()?;
        let parts =
            [center, lower, upper, radius].iter().map(|t| Var::from_tensor(&narrow(t)?)).collect::<Result<_>>()?;
        let double = Case { model, parts, weights };
        let (truth, store) = double.run(composed)?;
        let slopes = double.gradients(&store);
        // Values are sums, of up to 2101 terms. Gradients also go to the one or the other of two ends, and in f32 not always to
        // the same where they lie close: how much that may be is measured.
        let spread = Spread::of(&double.model, |model| {
            let case = double.on(model)?;
            by_sample(case.gradients(&case.run(composed)?.1))
        });
        for (dtype, values) in [(DType::F64, 1e-12), (DType::F32, 2e-5)] {
            let case = double.on(&double.model.to_dtype(dtype)?)?;
            let (found, store) = case.run(at_once)?;
            for (i, (found, truth)) in found.iter().zip(&truth).enumerate() {
                let off = distance(found, truth);
                assert!(off < values, "{dtype:?}, {input:?} to {out:?}: value {i} is off by {off:e}");
            }
            let gradients = case.gradients(&store);
            if dtype == DType::F32 {
                for (i, found) in by_sample(gradients)?.iter().enumerate() {
                    spread.check(&format!("{input:?} to {out:?}: gradient of {}", slopes[i].0), i, found);
                }
                continue;
            }
            for ((name, found), (_, truth)) in gradients.iter().zip(&slopes) {
                let off = distance(found, truth);
                assert!(off < 1e-11, "{dtype:?}, {input:?} to {out:?}: gradient of {name} is off by {off:e}");
            }
        }
    }
    Ok(())
}

/// Several layers deep, with parts used on the way and twice: gradients meet in one place and none is lost.
#[test]
fn gradients_of_parts_used_along_the_way() -> Result<()> {
    let random = Generator::new(32);
    let specs = [
        LayerSpec::of(Conv2d { channels: 6, kernel: 3, stride: 1, padding: 1, bias: true }),
        LayerSpec::of(ReluTheta { theta: 0.8 }),
        LayerSpec::of(Flatten),
        LayerSpec::of(Linear { features: 9, bias: true }),
        LayerSpec::of(Relu),
    ];
    let model = Sequential::new(&[2, 5, 5], &specs, DType::F64, &common::device(), &random)?;
    let x = random.normal(0.0, 1.0, (3, 2, 5, 5), DType::F64, &common::device())?;
    let radius = Tensor::new(&[0.1, 0.3, 0.05], &common::device())?;
    let one = Tensor::ones(1, DType::F64, &common::device())?;
    let by_region = || -> Result<Tensor> {
        let mut region = Region::around(&x, &radius, false)?;
        let mut loss = Tensor::zeros((), DType::F64, &common::device())?;
        for layer in model.layers() {
            region = if layer.is_affine() { region.affine(layer, &one)? } else { region.activation(layer, false)? };
            let ends = (region.lower()?.sqr()?.mean_all()? + region.upper()?.sum_all()?)?;
            loss = ((loss + ends)? + region.center()?.powf(3.0)?.mean_all()?)?;
            loss = (loss + region.upper()?.sqr()?.mean_all()?)?;
        }
        Ok(loss)
    };
    let by_hand = || -> Result<Tensor> {
        let half = radius.reshape((3, 1, 1, 1))?;
        let mut t = vec![x.clone(), x.broadcast_sub(&half)?, x.broadcast_add(&half)?, radius.clone()];
        let mut loss = Tensor::zeros((), DType::F64, &common::device())?;
        for layer in model.layers() {
            if layer.is_affine() {
                t = composed(&t, layer, &one)?;
            } else {
                for part in &mut t[..3] {
                    *part = match layer.fused() {
                        Some(Fused::Clip { threshold: Some(threshold) }) => clip(part, &threshold)?,
                        _ => layer.forward(part)?,
                    };
                }
            }
            let ends = (t[1].sqr()?.mean_all()? + t[2].sum_all()?)?;
            loss = ((loss + ends)? + t[0].powf(3.0)?.mean_all()?)?;
            loss = (loss + t[2].sqr()?.mean_all()?)?;
        }
        Ok(loss)
    };
    let (a, b) = (by_region()?, by_hand()?);
    assert!((a.to_scalar::<f64>()? - b.to_scalar::<f64>()?).abs() < 1e-10);
    let (a, b) = (backward(&a)?, backward(&b)?);
    for (name, var) in model.parameters() {
        let (a, b) = (a.get(var.as_tensor()).unwrap(), b.get(var.as_tensor()).unwrap());
        assert!(distance(a, b) < 1e-10, "{name}");
    }
    Ok(())
}

/// A region of the wrong shape is an error at the activation, not a mask or a box that happens to have the right size.
#[test]
fn regions_that_do_not_fit_are_refused() -> Result<()> {
    let random = Generator::new(33);
    let specs = [
        LayerSpec::of(Conv2d { channels: 4, kernel: 3, stride: 1, padding: 1, bias: true }),
        LayerSpec::of(ReluTheta { theta: 1.0 }),
        LayerSpec::of(Flatten),
    ];
    let model = Sequential::new(&[1, 6, 6], &specs, DType::F32, &common::device(), &random)?;
    let radius = Tensor::ones(2, DType::F32, &common::device())?;
    for shape in [vec![2, 4, 12, 12], vec![2, 4, 6], vec![2, 5, 4, 6, 6], vec![2, 144]] {
        let x = random.normal(0.0, 1.0, shape.clone(), DType::F32, &common::device())?;
        let region = Region::around(&x, &radius, false)?;
        assert!(region.activation(&model.layers()[1], false).is_err(), "{shape:?}");
        assert!(region.activation(&model.layers()[2], false).is_err(), "{shape:?}");
        assert!(workbench::bounds::varying(&model.layers()[1], &region).is_err(), "{shape:?}");
    }
    Ok(())
}

/// The same in the other forms of the kernels that run here.
#[test]
fn other_forms() {
    common::forms::again("other_forms");
}

/// A tree on a GPU: blocks with activations inside, branches side by side, a derived weight, a normalisation; bounds and gradients are those of
/// the processor.
#[test]
fn a_tree_is_bounded_alike_on_every_device() {
    let script = r#"
        import "std/local_lip" as lip;
        let data = dataset("digits");
        let net = sequential(data.shape, [
            conv2d(4, 3, #{ padding: 1, bias: false, weight: |w| w / (1.0 + w.abs()) }), batch_norm2d(), relu_theta(0.8),
            residual([conv2d(4, 3, #{ padding: 1 }), relu_theta(0.7), conv2d(4, 1)]), parallel([[], [conv2d(2, 1), relu()]]),
            residual([relu_theta(0.5), conv2d(6, 3, #{ padding: 1 })]), gelu(), residual([conv2d(6, 3, #{ padding: 1 })]), softplus(2.0),
            avg_pool2d(2), flatten(), linear(12), householder(), linear(data.classes),
        ]);
        let x = data.test.images([0, 1, 2, 3]);
        let y = data.test.labels([0, 1, 2, 3]);
        let found = lip::bounds(net, x, 0.1, fresh_vectors(net, [0, 1, 2, 3]), 30);
        let worst = worst_logits(net, found, y);
        let gradients = cross_entropy(worst, y).backward();
        let all = #{ logits: found.logits, lipschitz: found.lipschitz, worst: worst, frozen: net.frozen().forward(x),
            lower: found.region.lower, upper: found.region.upper, box: lip::box(net.frozen(), x, 0.1).region.upper };
        for name in net.parameters.keys() { if gradients.of(net.param(name)) != () { all[`in ${name}`] = gradients.of(net.param(name)); } }
        all
    "#;
    let [here, there] = [Device::Cpu, common::device()].map(|device| common::Lab::on(device).run(script));
    let keys: Vec<String> = here.clone().cast::<rhai::Map>().keys().map(|key| key.to_string()).collect();
    assert!(keys.len() > 20, "{keys:?}");
    for key in keys {
        let there = common::entry(&there, &key).to_device(&Device::Cpu).unwrap();
        common::close(&key, &there, &common::entry(&here, &key), 2e-4);
    }
}

/// Of a ball around images the first layer is computed in closed form: the same as by the ends of its box, values and gradients.
#[test]
fn a_ball_around_images_in_closed_form() -> Result<()> {
    let random = Generator::new(57);
    let conv =
        |channels, kernel, stride, padding, bias| LayerSpec::of(Conv2d { channels, kernel, stride, padding, bias });
    let cases: [(LayerSpec, &[usize], usize); 5] = [
        (conv(32, 3, 1, 1, true), &[3, 9, 9], 5),
        (conv(17, 4, 2, 1, false), &[2, 8, 11], 18),
        // Padding on all sides cuts most of the kernel: there the box is the smaller one.
        (conv(5, 5, 3, 4, true), &[1, 3, 3], 3),
        (LayerSpec::of(Linear { features: 37, bias: true }), &[130], 13),
        (LayerSpec::of(Linear { features: 3, bias: false }), &[1], 2),
    ];
    for (spec, input, batch) in cases {
        let model = Sequential::new(input, &[spec], DType::F64, &common::device(), &random)?;
        let draw = |shape: &[usize]| random.normal(0.0, 1.0, shape.to_vec(), DType::F64, &common::device());
        let narrow = |t: &Tensor| t.to_dtype(DType::F32)?.to_dtype(DType::F64);
        let model = model.to_dtype(DType::F32)?.to_dtype(DType::F64)?;
        let (x, radius) = (narrow(&draw(&[&[batch], input].concat())?)?, narrow(&draw(&[batch])?.abs()?)?);
        let out = [&[batch], model.output()].concat();
        let weights = [narrow(&draw(&out)?)?, narrow(&draw(&out)?)?, narrow(&draw(&out)?)?, narrow(&draw(&[batch])?)?];
        let found = |model: &Sequential, closed: bool| {
            let layer = &model.layers()[0];
            let dtype = model.dtype();
            let (x, radius) = (x.to_dtype(dtype)?, radius.to_dtype(dtype)?);
            let sigma = layer.weight().unwrap().sqr()?.sum_all()?.sqrt()?.reshape(1)?;
            let values = if closed {
                let region = Region::around(&x, &radius, false)?;
                let behind = region.before_norm(layer)?;
                let unknown = behind.radius.to_dtype(DType::F64)?.to_vec1::<f64>()?;
                assert!(unknown.iter().all(|r| r.is_nan()), "a radius that nobody knows certifies nothing");
                assert!(behind.before_norm(layer).is_err() && region.with_norm(&sigma).is_err());
                let region = behind.with_norm(&sigma)?;
                vec![region.center()?, region.lower()?, region.upper()?, region.radius.clone()]
            } else {
                let half = workbench::compute::norms::samples::per_sample(&radius, &x)?;
                composed(&[x.clone(), x.broadcast_sub(&half)?, x.broadcast_add(&half)?, radius], layer, &sigma)?
            };
            let mut loss = Tensor::zeros((), dtype, &common::device())?;
            for (value, weight) in values.iter().zip(&weights) {
                loss = (loss + (value * weight.to_dtype(dtype)?)?.sum_all()?)?;
            }
            let store = backward(&loss)?;
            let slopes = model.parameters().iter().map(|(_, var)| store.get(var.as_tensor()).unwrap().clone());
            Ok::<_, candle_core::Error>([values, slopes.collect()].concat())
        };
        let truth = found(&model, false)?;
        for (dtype, bound) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
            for (i, (found, truth)) in found(&model.to_dtype(dtype)?, true)?.iter().zip(&truth).enumerate() {
                let off = distance(found, truth);
                assert!(off < bound, "{dtype:?}, {input:?} to {out:?}: result {i} is off by {off:e}");
            }
        }
    }
    Ok(())
}
