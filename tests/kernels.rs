//! The CUDA kernels without a GPU: every source compiles for compute capability 9.0, and on the host, thread by thread, it
//! computes what the CPU forms compute in f64, values and gradients.

mod common;

use candle_core::{DType, Device, Result, Tensor, Var};
use common::emulation::on_the_host;
use common::{Lab, random_net_on, tensor_of, values};
use half::f16;
use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;
use workbench::bounds::{Arithmetic, PowerOptions, Region, WorstMethod, spectral_norm, worst_logits};
use workbench::compute::channels::add_channels;
use workbench::compute::clip::{clip, larger, relu, smaller};
use workbench::compute::kernels::Source;
use workbench::compute::order::{self, Order};
use workbench::compute::precision::{self, Precision};
use workbench::compute::random::Generator;
use workbench::compute::reduce::{normalize_samples, sample_norms};
use workbench::compute::row_norms::row_norms;
use workbench::nn::{LayerSpec, Operation, Sequential};
use workbench::train::attack::{AttackOptions, Objective, Start, pgd};
use workbench::train::device_rows::DeviceRows;
use workbench::train::optimizer::{Optimizer, OptimizerKind};
use workbench::train::places::Places;

const CPU: Device = Device::Cpu;

fn draw(random: &Generator, shape: &[usize]) -> Tensor {
    random.normal(0.0, 1.0, shape.to_vec(), DType::F64, &CPU).unwrap()
}

fn gap(a: &Tensor, b: &Tensor) -> f64 {
    let (a, b) = (values(&a.to_dtype(DType::F64).unwrap()), values(b));
    assert_eq!(a.len(), b.len());
    let size = b.iter().fold(1e-3f64, |m, x| if x.is_finite() { m.max(x.abs()) } else { m });
    let one = |(a, b): (&f64, &f64)| if a.is_nan() && b.is_nan() || a == b { 0.0 } else { (a - b).abs() / size };
    // A NaN on one side alone is not close to anything.
    a.iter().zip(&b).map(one).fold(0.0, |m, x| if x.is_nan() { f64::INFINITY } else { m.max(x) })
}

/// Values of `f`, and gradients of their weighted sum, in `dtype` on `device`; results on the CPU.
fn run(
    inputs: &[Tensor],
    dtype: DType,
    device: &Device,
    f: &dyn Fn(&[Tensor]) -> Result<Vec<Tensor>>,
) -> Result<Vec<Tensor>> {
    let vars =
        inputs.iter().map(|t| Var::from_tensor(&t.to_dtype(dtype)?.to_device(device)?)).collect::<Result<Vec<_>>>()?;
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let mut found = f(&tensors)?;
    let random = Generator::new(99);
    let mut loss = Tensor::zeros((), dtype, device)?;
    for value in &found {
        let weights = draw(&random, value.dims()).to_dtype(dtype)?.to_device(device)?;
        loss = (loss + (value * weights)?.sum_all()?)?;
    }
    let gradients = loss.backward()?;
    found.iter_mut().for_each(|value| *value = value.detach());
    found.extend(vars.iter().map(|v| gradients.get(v.as_tensor()).cloned().unwrap_or(v.zeros_like().unwrap())));
    found.iter().map(|t| t.to_device(&CPU)).collect()
}

/// The kernels in f64 and in f32 against the CPU form in f64.
fn check(what: &str, inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Vec<Tensor>>) {
    let truth = run(inputs, DType::F64, &CPU, &f).unwrap();
    for (dtype, tolerance) in [(DType::F64, 1e-11), (DType::F32, 1e-5)] {
        let on_gpu = gpu().map(|gpu| run(inputs, dtype, &gpu, &f).unwrap());
        let emulated = on_the_host(|| run(inputs, dtype, &CPU, &f).unwrap());
        // With the channels of a pixel side by side, as under TF32; on the CPU its numbers are those of f32.
        let turned = on_the_host(|| as_for_tensor_cores(|| run(inputs, dtype, &CPU, &f).unwrap()));
        let all = on_gpu.iter().chain(&emulated).chain(&turned);
        for (i, (found, truth)) in all.flat_map(|found| found.iter().zip(&truth).enumerate()) {
            let gap = gap(found, truth);
            assert!(gap < tolerance, "{what}, {dtype:?}: result {i} is off by {gap:.1e}\n{found}\n{truth}");
        }
    }
}

/// Run `work` in the order that convolutions have under TF32.
fn as_for_tensor_cores<R>(work: impl FnOnce() -> R) -> R {
    precision::set(Precision::Tf32);
    let found = work();
    precision::set(Precision::F32);
    found
}

/// The GPU, where there is one: then everything is checked on it too.
fn gpu() -> Option<Device> {
    Some(common::device()).filter(|device| !device.is_cpu())
}

/// The compiler of a CUDA toolkit: of CUDA_HOME, or in the path.
fn nvcc() -> Option<PathBuf> {
    let home = std::env::var_os("CUDA_HOME").map(|home| PathBuf::from(home).join("bin/nvcc"));
    // That of the software GPU compiles nothing.
    let real = |out: &[u8]| String::from_utf8_lossy(out).contains("NVIDIA");
    let works = |p: &PathBuf| Command::new(p).arg("--version").output().is_ok_and(|o| real(&o.stdout));
    home.into_iter().chain([PathBuf::from("nvcc"), PathBuf::from("/usr/local/cuda/bin/nvcc")]).find(works)
}

#[test]
fn every_source_compiles_for_compute_capability_9() {
    let Some(nvcc) = nvcc() else {
        println!("skipped: no nvcc in CUDA_HOME or PATH; tools/cuda/setup.sh brings one");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for (source, double) in Source::ALL.into_iter().flat_map(|s| [(s, false), (s, true)]) {
        let (from, to) = (folder.path().join("kernels.cu"), folder.path().join("kernels.cubin"));
        std::fs::write(&from, source.program(double)).unwrap();
        let out = Command::new(&nvcc)
            .args(["-arch=sm_90", "-std=c++17", "-cubin", "-o"])
            .arg(&to)
            .arg(&from)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success() && to.exists(), "{}, double: {double}\n{told}", source.name());
    }
}

#[test]
fn activations_and_sides() {
    let random = Generator::new(1);
    let (x, same) = (draw(&random, &[5, 3, 7]), draw(&random, &[5, 3, 7]));
    // With ties, closed neurons, and something that is no number.
    let t = draw(&random, &[1, 3, 7]).abs().unwrap().to_dtype(DType::F32).unwrap().to_dtype(DType::F64).unwrap();
    let x = Tensor::cat(&[&x, &t, &(&t * 0.0).unwrap(), &(&t * f64::NAN).unwrap()], 0).unwrap();
    let wide = Tensor::cat(&[&same, &t, &t, &t], 0).unwrap();
    check("activations", &[x, t, wide], |a| {
        let on = |f: fn(&Tensor, &Tensor) -> Result<Tensor>| {
            Ok::<_, candle_core::Error>([f(&a[0], &a[1])?, f(&a[0], &a[2])?])
        };
        Ok([on(clip)?, on(smaller)?, on(larger)?].into_iter().flatten().chain([relu(&a[0])?]).collect())
    });
}

#[test]
fn channels_rows_and_samples() {
    let random = Generator::new(2);
    for positions in [1, 9, 130] {
        let inputs = [draw(&random, &[4, 6, positions]), draw(&random, &[1, 6]), draw(&random, &[4, 6])];
        check("add_channels", &inputs, |a| Ok(vec![add_channels(&a[0], &a[1])?, add_channels(&a[0], &a[2])?]));
        let zero_row = Tensor::zeros((1, positions), DType::F64, &CPU).unwrap();
        let w = Tensor::cat(&[&draw(&random, &[7, positions]), &zero_row], 0).unwrap();
        check("rows", &[w], |a| {
            let (unit, norms) = normalize_samples(&a[0])?;
            Ok(vec![
                row_norms(&a[0])?,
                unit,
                norms.to_dtype(a[0].dtype())?,
                sample_norms(&a[0])?.to_dtype(a[0].dtype())?,
            ])
        });
    }
}

fn layer(input: &[usize], spec: LayerSpec, random: &Generator) -> Sequential {
    Sequential::new(input, &[spec], DType::F64, &CPU, random).unwrap()
}

fn layers(random: &Generator) -> Vec<Sequential> {
    let conv = |channels, kernel, stride, padding| LayerSpec::Conv2d { channels, kernel, stride, padding, bias: true };
    vec![
        layer(&[3, 6, 5], conv(4, 3, 1, 1), random),
        layer(&[2, 11, 10], conv(5, 4, 2, 1), random),
        layer(&[23], LayerSpec::Linear { features: 9, bias: true }, random),
    ]
}

#[test]
fn ball_and_box_through_a_layer() {
    let random = Generator::new(3);
    for model in layers(&random) {
        let shape = [&[3], model.input()].concat();
        let center = draw(&random, &shape);
        let room = |random: &Generator| (draw(random, &shape).abs().unwrap() * 0.2).unwrap();
        let (lower, upper) = ((&center - room(&random)).unwrap(), (&center + room(&random)).unwrap());
        let radius = Tensor::new(&[0.0, 0.4, 3.0], &CPU).unwrap();
        let threshold = draw(&random, &[&[1], model.output()].concat()).abs().unwrap();
        let parameters: Vec<Tensor> = model.parameters().iter().map(|(_, v)| v.as_tensor().copy().unwrap()).collect();
        let inputs = [vec![center, lower, upper, radius, threshold], parameters].concat();
        check("region", &inputs, |a| {
            let mut own = model.to_dtype(a[0].dtype())?.layers()[0].clone();
            own.operation = match own.operation {
                workbench::nn::Operation::Conv2d { window, .. } => {
                    workbench::nn::Operation::Conv2d { weight: a[5].clone(), bias: Some(a[6].clone()), window }
                }
                _ => workbench::nn::Operation::Linear { weight: a[5].clone(), bias: Some(a[6].clone()) },
            };
            let sigma = Tensor::new(&[1.5], a[0].device())?.to_dtype(a[0].dtype())?;
            let region = Region::new(&a[0], &a[1], &a[2], a[3].clone())?.affine(&own, &sigma)?;
            let mut act = own.clone();
            act.operation = workbench::nn::Operation::Clip { threshold: a[4].clone() };
            act.input = own.output.clone();
            let behind = region.activation(&act, false)?;
            let mask = workbench::bounds::varying(&act, &region)?.unwrap().to_dtype(a[0].dtype())?;
            let mut relu = act.clone();
            relu.operation = workbench::nn::Operation::Relu;
            let open = workbench::bounds::varying(&relu, &region)?.unwrap().to_dtype(a[0].dtype())?;
            let other = region.activation(&relu, false)?;
            let (below, above) = behind.gaps()?;
            Ok(vec![
                region.center()?,
                region.lower()?,
                region.upper()?,
                region.radius.clone(),
                behind.center()?,
                behind.lower()?,
                behind.upper()?,
                mask,
                other.center()?,
                other.lower()?,
                other.upper()?,
                open,
                below,
                above,
            ])
        });
    }
}

/// Layer after layer without anybody asking for ends of boxes on the way, in sizes that are read one and four numbers at a time, with
/// more samples than are summed apart.
#[test]
fn regions_through_several_layers() {
    let random = Generator::new(12);
    let conv =
        |channels, kernel, stride| LayerSpec::Conv2d { channels, kernel, stride, padding: 1, bias: channels != 6 };
    let linear = |features| LayerSpec::Linear { features, bias: true };
    let (clipped, relu, flat) = (LayerSpec::ReluTheta { theta: 0.7 }, LayerSpec::Relu, LayerSpec::Flatten);
    let (maxmin, sorted) = (LayerSpec::MaxMin, LayerSpec::ClippedMaxMin { max: 0.3, min: -0.2 });
    let cases = [
        (
            vec![3, 7, 6],
            5,
            vec![conv(8, 3, 1), sorted.clone(), conv(6, 3, 2), sorted.clone(), flat.clone(), linear(10)],
        ),
        (
            vec![2, 8, 8],
            3,
            vec![conv(8, 3, 1), maxmin.clone(), conv(16, 4, 2), sorted.clone(), flat.clone(), linear(12)],
        ),
        (vec![10], 150, vec![linear(14), sorted, linear(16), maxmin, linear(4)]),
        (
            vec![3, 7, 6],
            5,
            vec![conv(4, 3, 1), clipped.clone(), conv(6, 3, 2), clipped.clone(), flat.clone(), linear(9)],
        ),
        (vec![2, 8, 8], 3, vec![conv(8, 3, 1), relu.clone(), conv(8, 4, 2), clipped.clone(), flat, linear(12)]),
        (vec![10], 150, vec![linear(13), relu, linear(16), clipped.clone(), linear(4)]),
        (vec![6], 2, vec![linear(1100), clipped, linear(3)]),
    ];
    for (input, batch, specs) in cases {
        let model = Sequential::new(&input, &specs, DType::F64, &CPU, &random).unwrap();
        let x = draw(&random, &[&[batch], input.as_slice()].concat());
        let radius = (draw(&random, &[batch]).abs().unwrap() * 0.3).unwrap();
        let parameters: Vec<Tensor> = model.parameters().iter().map(|(_, v)| v.as_tensor().copy().unwrap()).collect();
        check("regions", &[vec![x, radius], parameters].concat(), |a| {
            let mut rest = a[2..].iter().cloned();
            let mut region = Region::around(&a[0].detach(), &a[1].detach(), false)?;
            let mut masks = vec![];
            for layer in model.to_dtype(a[0].dtype())?.layers() {
                let mut layer = layer.clone();
                let mut next = || rest.next().unwrap();
                layer.operation = match layer.operation {
                    Operation::Conv2d { bias, window, .. } => {
                        Operation::Conv2d { weight: next(), bias: bias.map(|_| next()), window }
                    }
                    Operation::Linear { bias, .. } => Operation::Linear { weight: next(), bias: bias.map(|_| next()) },
                    Operation::Clip { .. } => Operation::Clip { threshold: next() },
                    Operation::ClippedMaxMin { .. } => Operation::ClippedMaxMin { max: next(), min: next() },
                    other => other,
                };
                if layer.is_affine() {
                    let sigma = layer.weight().unwrap().sqr()?.sum_all()?.sqrt()?.reshape(1)?;
                    region = region.affine(&layer, &(sigma * 0.3)?)?;
                } else {
                    let before = region.clone();
                    region = region.activation(&layer, false)?;
                    let read = if layer.is_maxmin() { &region } else { &before };
                    let mask = if layer.is_activation() { workbench::bounds::varying(&layer, read)? } else { None };
                    masks.extend(mask.map(|mask| mask.to_dtype(a[0].dtype())).transpose()?);
                }
            }
            let (below, above) = region.gaps()?;
            Ok([vec![region.center()?, below, above, region.radius.clone()], masks].concat())
        });
    }
}

#[test]
fn losses_and_margins() {
    use workbench::train::losses::{accuracy, cross_entropies, cross_entropy, gloro_logits, margins};
    let random = Generator::new(13);
    for (batch, classes) in [(1, 2), (7, 5), (300, 10)] {
        let labels: Vec<u32> = (0..batch).map(|_| (random.unit() * classes as f64) as u32).collect();
        let y = Tensor::new(labels, &CPU).unwrap();
        let (logits, worst) = (draw(&random, &[batch, classes]), draw(&random, &[batch, classes]));
        check("losses", &[(logits * 3.0).unwrap(), worst], |a| {
            let y = y.to_device(a[0].device())?;
            let own = |t: Tensor| t.to_dtype(a[0].dtype());
            Ok(vec![
                cross_entropy(&a[0], &y)?,
                cross_entropies(&a[0], &y)?,
                margins(&a[0], &y)?,
                own(accuracy(&a[0], &y)?)?,
                gloro_logits(&a[0], &a[1], &y)?,
            ])
        });
    }
    // Nothing that is broken counts as right.
    let broken = Tensor::new(&[[f64::NAN, 1.0], [5.0, f64::NAN], [f64::INFINITY, 1.0], [1.0, 1.0], [2.0, 1.0]], &CPU);
    let (broken, y) = (broken.unwrap(), Tensor::new(&[0u32; 5], &CPU).unwrap());
    let share = on_the_host(|| accuracy(&broken, &y).unwrap().to_scalar::<f32>().unwrap());
    assert!(share.is_none_or(|share| share == 0.2), "{share:?}");
}

#[test]
fn masked_norms() {
    let random = Generator::new(4);
    for model in layers(&random) {
        let layer = &model.layers()[0];
        let mask = |shape: &[usize]| draw(&random, shape).gt(-0.5).unwrap();
        let (columns, rows) = (mask(&[&[4], model.input()].concat()), mask(&[&[4], model.output()].concat()));
        // One sample starts from nothing, and one has nothing to find.
        let u = draw(&random, &[&[4], model.input()].concat());
        let alive = Tensor::new(&[1.0, 0.0, 1.0, 1.0], &CPU).unwrap();
        let per_sample = |t: &Tensor, like: &Tensor| workbench::compute::reduce::per_sample(t, like).unwrap();
        let u = u.broadcast_mul(&per_sample(&alive, &u)).unwrap();
        let open = Tensor::new(&[1u8, 1, 1, 0], &CPU).unwrap();
        let rows = rows.broadcast_mul(&per_sample(&open, &rows)).unwrap();
        for (iterations, tolerance, bound) in [(3, None, 1e-11), (60_000, Some(1e-9), 1e-7)] {
            let options = PowerOptions { iterations, tolerance, arithmetic: Arithmetic::Own };
            let norm = |u: &Tensor| {
                let pair = spectral_norm(layer, u, Some(&columns), Some(&rows), options).unwrap();
                let vectors = [&pair.u, &pair.v].map(|vectors| vectors.unit().unwrap());
                (pair, vectors)
            };
            let (here, vectors) = norm(&u);
            let Some((there, others)) = on_the_host(|| norm(&u)) else { return };
            if tolerance.is_none() {
                // In f32 and in the other order, masks seen as a region gives them.
                let single = model.to_dtype(DType::F32).unwrap();
                let narrow = &single.layers()[0];
                let found = on_the_host(|| {
                    as_for_tensor_cores(|| {
                        let lying = |mask: &Tensor| match mask.rank() {
                            4 => order::seen(&order::turned(mask, Order::Planes, Order::Last).unwrap(), Order::Last),
                            _ => Ok(mask.clone()),
                        };
                        let (columns, rows) = (lying(&columns).unwrap(), lying(&rows).unwrap());
                        let u = u.to_dtype(DType::F32).unwrap();
                        let pair = spectral_norm(narrow, &u, Some(&columns), Some(&rows), options).unwrap();
                        let vectors = [&pair.u, &pair.v].map(|vectors| vectors.unit().unwrap());
                        let loss = (&pair.sigma * Tensor::new(&[1f32, 0.0, -2.0, 0.5], &CPU).unwrap()).unwrap();
                        let slopes = loss.sum_all().unwrap().backward().unwrap();
                        (pair.sigma, vectors, slopes.get(narrow.weight().unwrap()).unwrap().clone())
                    })
                });
                let Some((sigma, units, slope)) = found else { return };
                let alive =
                    |t: &Tensor| Tensor::cat(&[t.narrow(0, 0, 1).unwrap(), t.narrow(0, 2, 2).unwrap()], 0).unwrap();
                assert!(gap(&alive(&sigma), &alive(&here.sigma)) < 1e-5);
                for (there, here) in units.iter().zip(&vectors) {
                    assert!(gap(&alive(there), &alive(here)) < 1e-5);
                }
                let weights = Tensor::new(&[1.0, 0.0, -2.0, 0.5], &CPU).unwrap();
                let truth = (&here.sigma * weights).unwrap().sum_all().unwrap().backward().unwrap();
                assert!(gap(&slope, truth.get(layer.weight().unwrap()).unwrap()) < 1e-4);
            }
            // The restarted sample is another iterate until it has converged.
            let same = |t: &Tensor| match tolerance {
                None => Tensor::cat(&[t.narrow(0, 0, 1).unwrap(), t.narrow(0, 2, 2).unwrap()], 0).unwrap(),
                Some(_) => t.clone(),
            };
            assert!(gap(&same(&there.sigma), &same(&here.sigma)) < bound, "{}\n{}", there.sigma, here.sigma);
            if tolerance.is_none() {
                for (there, here) in others.iter().zip(&vectors) {
                    assert!(gap(&same(there), &same(here)) < bound);
                }
                // The CPU also leaves a sample that has nothing to find.
                assert_eq!(here.iterations[..3], there.iterations[..3]);
                assert_eq!(here.converged[..3], there.converged[..3]);
            }
            assert!(values(&there.sigma)[1] > 0.0, "a dead start vector was replaced");
            if let Some(t) = tolerance {
                assert!(there.converged.iter().all(|c| *c), "{t}: {:?}", there.converged);
            }
            let gradient = |pair: &workbench::bounds::SingularPair| {
                let weights = same(&Tensor::new(&[1.0, 0.0, -2.0, 0.5], &CPU).unwrap());
                let loss = (same(&pair.sigma) * weights).unwrap().sum_all().unwrap();
                loss.backward().unwrap().get(layer.weight().unwrap()).unwrap().clone()
            };
            let Some(g) = on_the_host(|| gradient(&there)) else { return };
            assert!(gap(&g, &gradient(&here)) < bound.max(1e-11) * 10.0, "the envelope");
        }
    }
}

#[test]
fn worst_logits_by_every_method() {
    let random = Generator::new(5);
    let y = Tensor::new(&[0u32, 4, 1, 2, 4], &CPU).unwrap();
    let (weight, bias) = (draw(&random, &[6, 37]), draw(&random, &[6]));
    let center = draw(&random, &[5, 37]);
    let room = || (draw(&random, &[5, 37]).abs().unwrap() * 0.3).unwrap();
    let (lower, upper) = ((&center - room()).unwrap(), (&center + room()).unwrap());
    let model = layer(&[37], LayerSpec::Linear { features: 6, bias: true }, &random);
    for radius in [0.0, 0.05, 0.6, 1.5, 50.0] {
        for method in [
            WorstMethod::Exact,
            WorstMethod::Clip { iterations: 1, constant: 0.0 },
            WorstMethod::Clip { iterations: 5, constant: 0.0 },
            WorstMethod::Ball,
            WorstMethod::Box,
        ] {
            let radius = Tensor::full(radius, 5, &CPU).unwrap();
            let inputs = [weight.clone(), bias.clone(), center.clone(), lower.clone(), upper.clone(), radius];
            check(&format!("{method:?}"), &inputs, |a| {
                let mut last = model.to_dtype(a[0].dtype())?.layers()[0].clone();
                last.operation = workbench::nn::Operation::Linear { weight: a[0].clone(), bias: Some(a[1].clone()) };
                let region = Region::new(&a[2], &a[3], &a[4], a[5].clone())?;
                Ok(vec![worst_logits(&last, &region, &a[5], &y.to_device(a[0].device())?, method)?])
            });
        }
    }
}

#[test]
fn a_broken_network_stays_broken() {
    let random = Generator::new(6);
    let model = layer(&[8], LayerSpec::Linear { features: 3, bias: true }, &random);
    let center = draw(&random, &[4, 8]);
    let nan = Tensor::new(&[f64::NAN], &CPU).unwrap().broadcast_as((1, 8)).unwrap();
    let broken = |t: &Tensor| Tensor::cat(&[&t.narrow(0, 0, 3).unwrap(), &nan], 0).unwrap();
    let y = Tensor::new(&[0u32, 1, 2, 0], &CPU).unwrap();
    for method in [WorstMethod::Exact, WorstMethod::Clip { iterations: 3, constant: 0.0 }, WorstMethod::Box] {
        let region = || Region::new(&center, &broken(&center), &broken(&center), Tensor::ones(4, DType::F64, &CPU)?);
        let radius = Tensor::new(&[1.0, f64::NAN, f64::INFINITY, 1.0], &CPU).unwrap();
        let worst = on_the_host(|| worst_logits(&model.layers()[0], &region().unwrap(), &radius, &y, method).unwrap());
        let Some(worst) = worst else { return };
        let worst = worst.to_vec2::<f64>().unwrap();
        assert!(worst[0].iter().all(|x| x.is_finite()), "{method:?}: {worst:?}");
        // The box alone does not read the radius.
        for sample in if method == WorstMethod::Box { 3..4 } else { 1..4 } {
            let others = (0..3).filter(|j| *j != [0, 1, 2, 0][sample]);
            assert!(others.into_iter().all(|j| worst[sample][j].is_nan()), "{method:?}, sample {sample}: {worst:?}");
        }
    }
}

#[test]
fn attacks() {
    let random = Generator::new(7);
    let model = random_net_on(&random, &CPU);
    let shape = [&[4], model.input()].concat();
    let x = random.uniform(0.0, 1.0, shape, DType::F64, &CPU).unwrap();
    let y = Tensor::new(&[0u32, 1, 0, 1], &CPU).unwrap();
    for (epsilon, clip) in [(0.3, true), (2.0, false)] {
        let options = || AttackOptions {
            epsilon,
            steps: 6,
            step_size: epsilon / 3.0,
            start: Start::Center,
            objective: Objective::CrossEntropy,
            clip,
            stop_early: false,
        };
        let truth = pgd(&model, &x, &y, options(), &Generator::new(1)).unwrap();
        for (dtype, tolerance) in [(DType::F64, 1e-10), (DType::F32, 1e-4)] {
            let model = model.to_dtype(dtype).unwrap();
            let x = x.to_dtype(dtype).unwrap();
            let Some(found) = on_the_host(|| pgd(&model, &x, &y, options(), &Generator::new(1)).unwrap()) else {
                return;
            };
            assert!(gap(&found, &truth) < tolerance, "{dtype:?}: {:.1e}", gap(&found, &truth));
        }
    }
}

#[test]
fn steps_of_adam() {
    let random = Generator::new(8);
    // Several parameters at once, of one block and of several.
    let shapes = [vec![300], vec![1], vec![70, 61], vec![1024]];
    let (start, goal): (Vec<_>, Vec<_>) = shapes.iter().map(|s| (draw(&random, s), draw(&random, s))).unzip();
    let steps = |dtype: DType| {
        let var = |t: &Tensor| Var::from_tensor(&t.to_dtype(dtype).unwrap()).unwrap();
        let named: Vec<_> = start.iter().enumerate().map(|(i, t)| (i.to_string(), var(t))).collect();
        let kind = OptimizerKind::Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, decoupled: true };
        let mut optimizer = Optimizer::new(kind, &named, 0.05, 0.01, Some(2.0)).unwrap();
        for _ in 0..25 {
            let mut loss = Tensor::zeros((), dtype, &CPU).unwrap();
            for ((_, p), goal) in named.iter().zip(&goal) {
                let off = (p.as_tensor() - goal.to_dtype(dtype).unwrap()).unwrap();
                loss = (loss + off.sqr().unwrap().sum_all().unwrap()).unwrap();
            }
            optimizer.step(&loss, None).unwrap();
        }
        let flat = |p: &Var| p.as_tensor().detach().flatten_all().unwrap();
        Tensor::cat(&named.iter().map(|(_, p)| flat(p)).collect::<Vec<_>>(), 0).unwrap()
    };
    let truth = steps(DType::F64);
    for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
        let Some(found) = on_the_host(|| steps(dtype)) else { return };
        assert!(gap(&found, &truth) < tolerance);
    }
}

/// Thresholds that have gone below 0 come back to it, and a broken one stays broken.
#[test]
fn thresholds_are_projected() {
    let specs = [LayerSpec::ReluTheta { theta: 1.0 }, LayerSpec::Linear { features: 900, bias: true }];
    let specs =
        [&specs[..], &[LayerSpec::ReluTheta { theta: 1.0 }, LayerSpec::Linear { features: 2, bias: true }]].concat();
    let random = Generator::new(10);
    let model = Sequential::new(&[1300], &specs, DType::F32, &CPU, &random).unwrap();
    let thresholds: Vec<_> = model.parameters().iter().filter(|(name, _)| name.ends_with("threshold")).collect();
    let mut wanted = vec![];
    for (_, var) in &thresholds {
        let mut numbers = values(&draw(&random, var.dims()));
        numbers[3] = f64::NAN;
        wanted.push(numbers.iter().map(|x| if *x < 0.0 { 0.0 } else { *x as f32 }).collect::<Vec<f32>>());
        var.set(&Tensor::from_vec(numbers, var.shape(), &CPU).unwrap().to_dtype(DType::F32).unwrap()).unwrap();
    }
    if on_the_host(|| model.project_thresholds().unwrap()).is_none() {
        return;
    }
    for ((_, var), wanted) in thresholds.iter().zip(wanted) {
        let found = var.as_tensor().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(found.iter().zip(&wanted).all(|(a, b)| a == b || a.is_nan() && b.is_nan()));
    }
}

/// Training as a script does it: the same losses, step by step, and the same parameters at the end.
#[test]
fn a_trajectory_of_training() {
    let script = r#"
        import "std/local_lip" as lip;
        import "std/losses" as losses;
        let optimizer = adam(model, #{ lr: 0.01 });
        let found = [];
        for step in 0..8 {
            let from = (step % 2) * 6;
            let at = x[from..from + 6];
            let label = y[from..from + 6];
            let bounds = lip::bounds(model, at, 0.05, fresh_vectors(model, 6), #{ iterations: 2 });
            let worst = worst_logits(model, bounds, label);
            let loss = losses::bcp(bounds.logits, worst, label, 0.5);
            optimizer.step(loss);
            found.push(loss);
        }
        stack(found, 0)
    "#;
    let random = Generator::new(9);
    for _ in 0..4 {
        let net = random_net_on(&random, &CPU);
        let classes = net.output()[0] as u32;
        let x = random.uniform(0.0, 1.0, [&[12], net.input()].concat(), DType::F64, &CPU).unwrap();
        let y = Tensor::new((0..12u32).map(|i| i % classes).collect::<Vec<_>>(), &CPU).unwrap();
        let train = |dtype: DType| {
            let model = Rc::new(net.to_dtype(dtype).unwrap());
            let mut lab = Lab::new();
            lab.model("model", &model).tensor("x", &x.to_dtype(dtype).unwrap()).tensor("y", &y);
            let losses = tensor_of(&lab.run(script)).detach();
            let parameters = model.parameters().iter().map(|(_, v)| v.as_tensor().detach().flatten_all().unwrap());
            (losses, Tensor::cat(&parameters.collect::<Vec<_>>(), 0).unwrap())
        };
        let truth = train(DType::F64);
        // Adam divides by the size of gradients, so that rounding grows faster in f32 than the loss shows.
        for (dtype, of_losses, of_parameters) in [(DType::F64, 1e-6, 1e-5), (DType::F32, 1e-4, 1e-2)] {
            let Some(plain) = on_the_host(|| train(dtype)) else { return };
            let Some(turned) = on_the_host(|| as_for_tensor_cores(|| train(dtype))) else { return };
            for found in [plain, turned] {
                let gaps = (gap(&found.0, &truth.0), gap(&found.1, &truth.1));
                assert!(gaps.0 < of_losses && gaps.1 < of_parameters, "{dtype:?}: {gaps:?}\n{}\n{}", found.0, truth.0);
            }
        }
    }
}

#[test]
fn half_precision_is_rounded_as_elsewhere() {
    let mut numbers: Vec<f32> = (0..=u16::MAX).map(|bits| f16::from_bits(bits).to_f32()).collect();
    // Between two halves, just beside the middle, and beyond both ends.
    let between = numbers.windows(2).map(|w| f32::midpoint(w[0], w[1])).collect::<Vec<_>>();
    let beside = between.iter().flat_map(|x| [f32::from_bits(x.to_bits() ^ 1), x * 1.000_000_1]).collect::<Vec<_>>();
    numbers.extend(between.into_iter().chain(beside).chain([
        65519.99,
        65520.0,
        1e30,
        f32::MIN_POSITIVE,
        1e-8,
        2.9e-8,
        3e-8,
    ]));
    numbers.resize(numbers.len().next_multiple_of(4), 1.0);
    // Four numbers at once, and one at a time.
    for n in [numbers.len(), numbers.len() - 1] {
        let x = Tensor::from_slice(&numbers[..n], (1, n), &CPU).unwrap();
        let there = on_the_host(|| {
            let (store, first) =
                (DeviceRows::zeros(DType::F16, 1, &[n], Order::Planes, &CPU).unwrap(), Places::new(vec![0]));
            store.scatter(&first, &x, None).unwrap();
            let read = || store.gather(&first, DType::F32, None).unwrap().flatten_all().unwrap();
            let rounded = read().to_vec1::<f32>().unwrap();
            store.place(&[0], &x.to_dtype(DType::F16).unwrap()).unwrap();
            (rounded, read().to_vec1::<f32>().unwrap())
        });
        let Some((there, placed)) = there else { return };
        for ((x, found), placed) in numbers.iter().zip(there).zip(placed) {
            let want = f16::from_f32(*x).to_f32();
            for found in [found, placed] {
                let same = want.to_bits() == found.to_bits() || want.is_nan() && found.is_nan();
                assert!(same, "{x:e}: {found:e}, wanted {want:e}");
            }
        }
    }
}

/// Images that lie on the device as bytes: the same batches, cropped, reflected and padded.
#[test]
fn batches_made_on_the_device() {
    use common::data::digits;
    use workbench::data::{Augmentation, BatchOrder, Options};
    let plain = digits(&Options::default()).train;
    let augmentation = Augmentation { crop: 2, flip: true, ..Augmentation::NONE };
    for split in [plain.clone(), plain.with_pad(3).unwrap(), plain.with_augmentation(augmentation).unwrap()] {
        let order = BatchOrder::Shuffled { seed: 4, pass: 1 };
        let all = || split.batches(100, order).unwrap().augmented(1).map(|b| b.unwrap()).collect::<Vec<_>>();
        let here = all();
        let Some(there) = on_the_host(all) else { return };
        assert_eq!(here.len(), there.len());
        for (here, there) in here.iter().zip(&there) {
            assert_eq!(here.index, there.index);
            assert_eq!(values(&here.x), values(&there.x));
            assert_eq!(here.y.to_vec1::<u32>().unwrap(), there.y.to_vec1::<u32>().unwrap());
        }
    }
}

#[test]
fn orders_of_the_axes() {
    let random = Generator::new(14);
    for dims in [vec![2, 3, 5, 4], vec![1, 40, 7, 6], vec![3, 2, 33, 1, 35], vec![2, 1, 4, 4]] {
        let x = draw(&random, &dims);
        let done = on_the_host(|| {
            let last = order::turned(&x, Order::Planes, Order::Last).unwrap();
            let seen = order::seen(&last, Order::Last).unwrap();
            let bytes = order::turned(&x.gt(0.0).unwrap(), Order::Planes, Order::Last).unwrap();
            let back = order::turned(&last, Order::Last, Order::Planes).unwrap();
            assert_eq!(order::memory(&seen, Order::Last).unwrap().dims(), order::shape(&dims, Order::Last));
            assert_eq!(order::planes(last.dims(), Order::Last), dims);
            assert_eq!(values(&order::memory(&x, Order::Last).unwrap()), values(&last));
            assert_eq!(values(&bytes), values(&last.gt(0.0).unwrap()));
            (seen.contiguous().unwrap(), back)
        });
        let Some((seen, back)) = done else { return };
        assert_eq!((values(&seen), values(&back)), (values(&x), values(&x)));
        // That it lies otherwise in between: the first row of the second order are the channels of the first pixel.
        let axes: Vec<usize> = (0..dims.len() - 3).chain([dims.len() - 2, dims.len() - 1, dims.len() - 3]).collect();
        let Some(last) = on_the_host(|| order::turned(&x, Order::Planes, Order::Last).unwrap()) else { return };
        assert_eq!(values(&last), values(&x.permute(axes).unwrap().contiguous().unwrap()));
    }
}

/// A store whose rows lie in the other order: the same start vectors, and the same file.
#[test]
fn a_store_in_the_other_order() {
    use workbench::train::{Vectors, VectorsOptions};
    let random = Generator::new(15);
    let specs = [LayerSpec::Conv2d { channels: 4, kernel: 3, stride: 1, padding: 1, bias: true }, LayerSpec::Flatten];
    let specs = [&specs[..], &[LayerSpec::Linear { features: 2, bias: true }]].concat();
    let model = Sequential::new(&[3, 5, 6], &specs, DType::F32, &CPU, &random).unwrap();
    for dtype in [DType::F16, DType::F32] {
        let options = VectorsOptions { dtype, layers: None, fresh: false, memory: None };
        let filled = || {
            let store = Vectors::new(&model, 7, &options, &Generator::new(3)).unwrap();
            let layer = &model.layers()[0];
            let some = store.of(&[5, 0, 3]).unwrap();
            let (start, norm) = (
                some.local(layer).unwrap(),
                PowerOptions { iterations: 2, tolerance: None, arithmetic: Arithmetic::Own },
            );
            some.local_norm(layer, None, None, norm).unwrap();
            let mut file = vec![];
            store.write_part("0/local", &mut file).unwrap();
            (start, some.local(layer).unwrap(), file, store)
        };
        let Some((start, after, file, _)) = on_the_host(&filled) else { return };
        let other = on_the_host(|| {
            as_for_tensor_cores(|| {
                let (start, after, file, store) = filled();
                store.read_part("0/local", &file, || unreachable!()).unwrap();
                let mut again = vec![];
                store.write_part("0/local", &mut again).unwrap();
                assert_eq!(file, again, "what was read is what was written");
                (start, after, file)
            })
        });
        let Some((other_start, other_after, other_file)) = other else { return };
        assert_eq!(values(&start), values(&other_start));
        assert!(gap(&other_after, &after.to_dtype(DType::F64).unwrap()) < 2e-3);
        assert_eq!(file.len(), other_file.len());
        let untouched = 4 * 90 * dtype.size_in_bytes()..5 * 90 * dtype.size_in_bytes();
        assert_eq!(file[untouched.clone()], other_file[untouched], "rows that nobody has visited are zeros in both");
        // The main memory's store draws the same vectors.
        let (here, ..) = filled();
        assert_eq!(values(&here), values(&start));
    }
}

/// Under TF32 and bf16 a GPU convolves with the channels of a pixel side by side; as near to f64 as eleven or eight bits are.
#[test]
fn convolutions_by_tensor_cores() {
    use workbench::compute::conv::{Window, conv2d, conv2d_input, conv2d_weight};
    use workbench::compute::{conv_into::conv2d_input_into, conv_ordered};
    let Some(gpu) = gpu() else {
        println!("skipped: no GPU");
        return;
    };
    let random = Generator::new(16);
    let shapes =
        [((3, 9, 8), 16, 3, 1, 1), ((16, 8, 8), 32, 4, 2, 1), ((5, 7, 6), 6, 3, 1, 0), ((1, 28, 28), 8, 3, 1, 1)];
    for ((inputs, h, width), outputs, kernel, stride, padding) in shapes {
        let window = Window { stride, padding };
        let (x, w) = (draw(&random, &[3, inputs, h, width]), draw(&random, &[outputs, inputs, kernel, kernel]));
        let y = draw(&random, conv2d(&x, &w, window).unwrap().dims());
        let size = (h, width);
        let truth = [
            conv2d(&x, &w, window).unwrap(),
            conv2d_input(&y, &w, window, size).unwrap(),
            conv2d_weight(&x, &y, window, (kernel, kernel)).unwrap(),
        ];
        let there = |t: &Tensor, order| {
            let t = t.to_dtype(DType::F32).unwrap().to_device(&gpu).unwrap();
            order::turned(&t, Order::Planes, order).unwrap()
        };
        for (chosen, tolerance) in [(Precision::F32, 1e-5), (Precision::Tf32, 2e-3), (Precision::Bf16, 2e-2)] {
            precision::set(chosen);
            for order in [Order::Planes, Order::Last] {
                let [x, w, y] = [&x, &w, &y].map(|t| there(t, order));
                let into = conv_ordered::input(order, &y, &w, window, size).unwrap().zeros_like().unwrap();
                match order {
                    Order::Planes => conv2d_input_into(&y, &w, window, &into).unwrap(),
                    Order::Last => conv_ordered::input_into(order, &y, &w, window, &into).unwrap(),
                }
                let found = [
                    conv_ordered::forward(order, &x, &w, window).unwrap(),
                    conv_ordered::input(order, &y, &w, window, size).unwrap(),
                    conv_ordered::weight(order, &x, &y, window, (kernel, kernel)).unwrap(),
                    into,
                ];
                for (i, found) in found.iter().enumerate() {
                    let back = order::turned(found, order, Order::Planes).unwrap().to_device(&CPU).unwrap();
                    let off = gap(&back, [&truth[0], &truth[1], &truth[2], &truth[1]][i]);
                    assert!(
                        off < tolerance,
                        "{chosen:?}, {order:?}, map {i} of {inputs} to {outputs}: off by {off:.1e}"
                    );
                }
            }
        }
        precision::set(Precision::F32);
    }
}
