//! Power iterations of halves: what 11 bits leave of the norms, the vectors and the gradient, at every size of weights and slopes.

use super::common::emulation::on_the_host;
use super::common::values;
use super::{CPU, as_for_tensor_cores, chosen, draw, gap, gpu, layers};
use candle_core::{DType, Device, Tensor, Var};
use workbench::base::random::Generator;
use workbench::bounds::{Arithmetic, PowerOptions, Start, spectral_norms};
use workbench::compute::autograd::backward;
use workbench::compute::norms::samples::per_sample;
use workbench::nn::layers::{Conv2d, Flatten, Linear};
use workbench::nn::{Layer, LayerSpec, Sequential};
use workbench::train::{Vectors, VectorsOptions};

/// What f16 may differ by after as many iterations as f32: of sigma, of a gradient's largest number, and of vectors, which turn by as
/// much as singular values are close.
const SIGMA: f64 = 5e-4;
const SLOPE: f64 = 4e-3;
const VECTORS: f64 = 2e-2;

fn options(iterations: usize, arithmetic: Arithmetic) -> PowerOptions {
    PowerOptions { iterations, tolerance: None, arithmetic }
}

/// The layer's weight times a factor, in f32 on a device.
fn scaled(model: &Sequential, by: f64, device: &Device) -> Layer {
    let own = |(name, var): &(String, Var)| {
        let name = name.rsplit('.').next().unwrap().to_string();
        let value = (var.as_tensor() * if name == "weight" { by } else { 1.0 }).unwrap();
        (name, Var::from_tensor(&value.to_dtype(DType::F32).unwrap().to_device(device).unwrap()).unwrap())
    };
    let own: Vec<_> = model.parameters().iter().map(own).map(|(name, var)| (name, var.as_tensor().clone())).collect();
    model.layers()[0].with_parameters(&own).unwrap()
}

/// Sigmas of four masked samples and of the whole map, the gradient of a sum of theirs, and the unit vectors.
fn found(layer: &Layer, inputs: &[Tensor; 3], power: PowerOptions, slopes: f64, device: &Device) -> Vec<Tensor> {
    let there = |t: &Tensor| t.to_device(device).unwrap();
    let [u, columns, rows] = inputs.each_ref().map(there);
    let start = Start::of(&u.to_dtype(DType::F32).unwrap());
    let (local, global) = spectral_norms(layer, start, Some(&columns), Some(&rows), power).unwrap();
    let weights = there(&Tensor::new(&[1f32, 0.5, -2.0, 0.25], &CPU).unwrap());
    let loss = (&local.sigma * weights).unwrap().sum_all().unwrap();
    let loss = ((loss + (global.sigma.sum_all().unwrap() * 0.7).unwrap()).unwrap() * slopes).unwrap();
    let slope = backward(&loss).unwrap().get(layer.weight().unwrap()).unwrap().clone();
    let vectors = [&local.u, &local.v, &global.u, &global.v].map(|vectors| vectors.unit().unwrap());
    assert!(vectors.iter().all(|v| v.dtype() == DType::F32));
    let all = [&[local.sigma.detach(), global.sigma.detach(), slope][..], &vectors].concat();
    all.iter().map(|t| t.to_dtype(DType::F64).unwrap().to_device(&CPU).unwrap()).collect()
}

#[test]
fn halves_meet_f32() {
    let random = Generator::new(70);
    for model in layers(&random) {
        let mask = |shape: &[usize]| draw(&random, shape).gt(-0.5).unwrap();
        let (columns, rows) = (mask(&[&[4], model.input()].concat()), mask(&[&[4], model.output()].concat()));
        // One sample starts from nothing, one has nothing to find.
        let u = draw(&random, &[&[5], model.input()].concat());
        let alive = Tensor::new(&[1.0, 0.0, 1.0, 1.0, 1.0], &CPU).unwrap();
        let u = u.broadcast_mul(&per_sample(&alive, &u).unwrap()).unwrap();
        let open = Tensor::new(&[1u8, 1, 1, 0], &CPU).unwrap();
        let rows = rows.broadcast_mul(&per_sample(&open, &rows).unwrap()).unwrap();
        let inputs = [u, columns, rows];
        // Weights at both ends of what f32 has, slopes that no half could hold.
        for (iterations, size, slopes) in
            [(2, 1.0, 1.0), (5, 1.0, 1.0), (200, 1.0, 1.0), (2, 1e-30, 1e-6), (2, 1e30, 1e6), (2, 1.0, 1e30)]
        {
            let both = |device: &Device| {
                let layer = scaled(&model, size, device);
                [Arithmetic::Own, Arithmetic::F16]
                    .map(|numbers| found(&layer, &inputs, options(iterations, numbers), slopes, device))
            };
            let ways = [
                on_the_host(|| both(&CPU)),
                on_the_host(|| as_for_tensor_cores(|| both(&CPU))),
                gpu().map(|gpu| both(&gpu)),
                gpu().map(|gpu| as_for_tensor_cores(|| both(&gpu))),
            ];
            for (way, [own, halves]) in ways.into_iter().enumerate().filter_map(|(way, found)| Some((way, found?))) {
                let mut different = false;
                for (i, (own, halves)) in own.iter().zip(&halves).enumerate() {
                    let most = values(own).iter().fold(0.0, |m: f64, x| m.max(x.abs()));
                    let off = values(own).iter().zip(values(halves)).fold(0.0, |m: f64, (a, b)| m.max((a - b).abs()));
                    let bound = [SIGMA, SIGMA, SLOPE].get(i).copied().unwrap_or(VECTORS);
                    assert!(
                        off <= bound * most,
                        "{iterations} iterations of size {size}, way {way}: result {i}: {off:e}"
                    );
                    different |= off > 0.0;
                }
                assert!(different, "halves round");
                assert_eq!(values(&halves[0])[3], 0.0, "nothing is found where all is masked");
                assert!(values(&halves[0])[1] > 0.0, "a dead start vector was replaced");
            }
        }
    }
}

/// Starts of any size are as good as unit ones; and where all but a tiny row is masked, its norm is found.
#[test]
fn halves_have_the_range_that_is_needed() {
    let random = Generator::new(74);
    for model in layers(&random) {
        let u = draw(&random, &[&[5], model.input()].concat());
        let open = Tensor::ones([&[4], model.output()].concat(), DType::U8, &CPU).unwrap();
        let columns = Tensor::ones([&[4], model.input()].concat(), DType::U8, &CPU).unwrap();
        for size in [1e-30, 1e-8, 1e5, 1e30] {
            let inputs = [(&u * size).unwrap(), columns.clone(), open.clone()];
            let both = || {
                let layer = scaled(&model, 1.0, &CPU);
                [Arithmetic::Own, Arithmetic::F16].map(|n| found(&layer, &inputs, options(3, n), 1.0, &CPU))
            };
            let Some([own, halves]) = on_the_host(both) else { return };
            let off = gap(&halves[0], &own[0]);
            assert!(off < SIGMA, "starts of size {size:e}: {off:e}");
        }
        // The first output channel is up to a thousand times smaller than the others, and alone open.
        let channels = model.output()[0];
        let only = Tensor::arange(0u32, channels as u32, &CPU).unwrap().eq(0.0).unwrap();
        let shape = [&[channels], &vec![1; model.output().len() - 1][..]].concat();
        let rows = only.reshape(shape).unwrap().broadcast_as(model.output()).unwrap().unsqueeze(0).unwrap();
        let rows = rows.broadcast_as([&[4], model.output()].concat()).unwrap().contiguous().unwrap();
        for (small, bound) in [(1e-2, SIGMA), (1e-3, 5e-3)] {
            let both = || {
                let layer = scaled(&model, 1.0, &CPU);
                let w = layer.weight().unwrap();
                let by = (only.to_dtype(DType::F32).unwrap() * (small - 1.0)).unwrap();
                let by = (by + 1.0).unwrap().reshape([&[channels], &vec![1; w.rank() - 1][..]].concat()).unwrap();
                let own = [("weight".to_string(), Var::from_tensor(&w.broadcast_mul(&by).unwrap()).unwrap())];
                let own = own.map(|(name, var)| (name, var.as_tensor().clone()));
                let layer = layer.with_parameters(&own).unwrap();
                let inputs = [u.clone(), columns.clone(), rows.clone()];
                [Arithmetic::Own, Arithmetic::F16].map(|n| found(&layer, &inputs, options(5, n), 1.0, &CPU))
            };
            let Some([own, halves]) = on_the_host(both) else { return };
            for (own, halves) in values(&own[0]).iter().zip(values(&halves[0])) {
                let off = (halves / own - 1.0).abs();
                assert!(*own > 0.0 && off < bound, "a row of {small:e}: {own:e}, off by {off:e}");
            }
        }
    }
}

/// Where a tolerance asks for the converged norm, in f64, and on the CPU's own form, the option changes nothing.
#[test]
fn halves_are_for_training_alone() {
    let random = Generator::new(71);
    let model = &layers(&random)[0];
    let u = draw(&random, &[&[2], model.input()].concat());
    let narrow = model.to_dtype(DType::F32).unwrap();
    let sigma = |model: &Sequential, numbers, tolerance| {
        let u = u.to_dtype(model.layers()[0].numbers().unwrap().0).unwrap();
        let power = PowerOptions { tolerance, ..options(40, numbers) };
        let pair = workbench::bounds::spectral_norm(&model.layers()[0], &u, None, None, power).unwrap();
        values(&pair.sigma.to_dtype(DType::F64).unwrap())
    };
    let same = |model: &Sequential, tolerance| {
        sigma(model, Arithmetic::Own, tolerance) == sigma(model, Arithmetic::F16, tolerance)
    };
    assert!(same(&narrow, None), "the CPU's own form");
    let Some(there) = on_the_host(|| [same(&narrow, Some(1e-3)), same(model, None), same(&narrow, None)]) else {
        return;
    };
    assert_eq!(there, [true, true, false]);
}

/// Vectors that are kept as f16, f32 or f64, or drawn anew, carry an iteration of halves from visit to visit.
#[test]
fn halves_from_a_store() {
    let random = Generator::new(72);
    let specs =
        [LayerSpec::of(Conv2d { channels: 4, kernel: 3, stride: 1, padding: 1, bias: true }), LayerSpec::of(Flatten)];
    let specs = [&specs[..], &[LayerSpec::of(Linear { features: 2, bias: true })]].concat();
    let columns = draw(&random, &[4, 3, 5, 6]).gt(-0.5).unwrap();
    for (dtype, fresh) in [(DType::F16, false), (DType::F32, false), (DType::F64, false), (DType::F32, true)] {
        let visited = |device: &Device, numbers| {
            let random = Generator::new(73);
            let model = Sequential::new(&[3, 5, 6], &specs, DType::F32, device, &random).unwrap();
            let model = model.computed_in(&chosen());
            let columns = columns.to_device(device).unwrap();
            let options_of_store = VectorsOptions { dtype, layers: None, fresh, memory: None };
            let store = Vectors::new(&model, 7, &options_of_store, &Generator::new(3)).unwrap();
            let layer = &model.layers()[0];
            let some = store.of(&[5, 0, 3, 5]).unwrap();
            let mut all = vec![];
            for _ in 0..3 {
                let (local, global) = some.both_norms(layer, Some(&columns), None, options(2, numbers)).unwrap();
                let alone = some.local_norm(layer, Some(&columns), None, options(2, numbers)).unwrap();
                all.extend([local.sigma.detach(), global.sigma.detach(), alone.sigma.detach()]);
                all.push(some.global(layer).unwrap());
                if !fresh {
                    all.push(some.local(layer).unwrap());
                }
            }
            all.iter().map(|t| t.to_dtype(DType::F64).unwrap().to_device(&CPU).unwrap()).collect::<Vec<_>>()
        };
        let both = |device: &Device| [Arithmetic::Own, Arithmetic::F16].map(|numbers| visited(device, numbers));
        let ways = [
            on_the_host(|| both(&CPU)),
            on_the_host(|| as_for_tensor_cores(|| both(&CPU))),
            gpu().map(|gpu| as_for_tensor_cores(|| both(&gpu))),
        ];
        for (way, [own, halves]) in ways.into_iter().enumerate().filter_map(|(way, found)| Some((way, found?))) {
            for (i, (own, halves)) in own.iter().zip(&halves).enumerate() {
                let off = gap(halves, own);
                assert!(off < 3e-3, "{dtype:?}, way {way}: result {i} is off by {off:e}");
            }
        }
    }
}
