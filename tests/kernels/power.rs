//! Masked norms by power iteration, and their gradient.

use super::common::emulation::on_the_host;
use super::common::values;
use super::{CPU, as_for_tensor_cores, draw, gap, gpu, layers};
use candle_core::{DType, Device, Tensor, Var};
use workbench::base::random::Generator;
use workbench::bounds::{Arithmetic, PowerOptions, Start, spectral_norm, spectral_norms};
use workbench::compute::autograd::backward;
use workbench::compute::layout;
use workbench::compute::layout::Layout;

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
        let per_sample = |t: &Tensor, like: &Tensor| workbench::compute::norms::samples::per_sample(t, like).unwrap();
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
                            4 => layout::seen(&layout::turned(mask, Layout::Nchw, Layout::Nhwc).unwrap(), Layout::Nhwc),
                            _ => Ok(mask.clone()),
                        };
                        let (columns, rows) = (lying(&columns).unwrap(), lying(&rows).unwrap());
                        let u = u.to_dtype(DType::F32).unwrap();
                        let pair = spectral_norm(narrow, &u, Some(&columns), Some(&rows), options).unwrap();
                        let vectors = [&pair.u, &pair.v].map(|vectors| vectors.unit().unwrap());
                        let loss = (&pair.sigma * Tensor::new(&[1f32, 0.0, -2.0, 0.5], &CPU).unwrap()).unwrap();
                        let slopes = backward(&loss.sum_all().unwrap()).unwrap();
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
                let truth = backward(&(&here.sigma * weights).unwrap().sum_all().unwrap()).unwrap();
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
                backward(&loss).unwrap().get(layer.weight().unwrap()).unwrap().clone()
            };
            let Some(g) = on_the_host(|| gradient(&there)) else { return };
            assert!(gap(&g, &gradient(&here)) < bound.max(1e-11) * 10.0, "the envelope");
        }
    }
}

/// Both norms of a layer as one batch are those of two calls, vectors and gradients too, whichever of the two has one.
#[test]
fn both_norms_as_one_batch() {
    let random = Generator::new(41);
    for model in layers(&random) {
        let mask = |shape: &[usize]| draw(&random, shape).gt(-0.5).unwrap();
        let (columns, rows) = (mask(&[&[3], model.input()].concat()), mask(&[&[3], model.output()].concat()));
        let (u, whole) =
            (draw(&random, &[&[3], model.input()].concat()), draw(&random, &[&[1], model.input()].concat()));
        for (iterations, tolerance) in [(2, None), (60_000, Some(1e-5))] {
            for (dtype, bound) in [(DType::F64, 1e-12), (DType::F32, 1e-6)] {
                // What is left of a step at the end of an iteration is larger than rounding.
                let bound = if tolerance.is_some() { 1e-4 } else { bound };
                if tolerance.is_some() && dtype == DType::F32 {
                    continue;
                }
                let options = PowerOptions { iterations, tolerance, arithmetic: Arithmetic::Own };
                let found = |device: &Device, together: bool, wanted: [f64; 2]| {
                    let there = |t: &Tensor| t.to_device(device).unwrap();
                    let single = |t: &Tensor| there(&t.to_dtype(dtype).unwrap());
                    let own = |(name, var): &(String, Var)| {
                        let name = name.rsplit('.').next().unwrap().to_string();
                        (name, Var::from_tensor(&single(var.as_tensor())).unwrap().as_tensor().clone())
                    };
                    let own: Vec<_> = model.parameters().iter().map(own).collect();
                    let layer = &model.layers()[0].with_parameters(&own).unwrap();
                    let (columns, rows) = (there(&columns), there(&rows));
                    let (local, global) = if together {
                        let start = Start::of(&Tensor::cat(&[&single(&u), &single(&whole)], 0).unwrap());
                        spectral_norms(layer, start, Some(&columns), Some(&rows), options).unwrap()
                    } else {
                        let norm = |u, columns, rows| spectral_norm(layer, u, columns, rows, options).unwrap();
                        (norm(&single(&u), Some(&columns), Some(&rows)), norm(&single(&whole), None, None))
                    };
                    let weights = single(&Tensor::new(&[1.0, -2.0, 0.5], &CPU).unwrap());
                    let (a, b) =
                        ((&local.sigma * weights).unwrap().sum_all().unwrap(), global.sigma.sum_all().unwrap());
                    let loss = ((a * wanted[0]).unwrap() + (b * wanted[1]).unwrap()).unwrap();
                    let loss = match wanted {
                        [1.0, 0.0] => local.sigma.sum_all().unwrap(),
                        [0.0, 1.0] => global.sigma.sum_all().unwrap(),
                        _ => loss,
                    };
                    let slope = backward(&loss).unwrap().get(layer.weight().unwrap()).unwrap().clone();
                    let vectors = [&local.u, &local.v, &global.u, &global.v].map(|vectors| vectors.unit().unwrap());
                    let all = [&[local.sigma.detach(), global.sigma.detach(), slope][..], &vectors].concat();
                    all.iter().map(|t| t.to_dtype(DType::F64).unwrap().to_device(&CPU).unwrap()).collect::<Vec<_>>()
                };
                for wanted in
                    [[1.0, 0.7], [1.0, 0.0], [0.0, 1.0]].into_iter().take(if tolerance.is_some() { 1 } else { 3 })
                {
                    let pairs = [
                        Some((found(&CPU, true, wanted), found(&CPU, false, wanted))),
                        on_the_host(|| (found(&CPU, true, wanted), found(&CPU, false, wanted))),
                        on_the_host(|| as_for_tensor_cores(|| (found(&CPU, true, wanted), found(&CPU, false, wanted)))),
                        gpu().map(|gpu| (found(&gpu, true, wanted), found(&gpu, false, wanted))),
                    ];
                    for (way, (one, two)) in pairs.into_iter().enumerate().filter_map(|(way, pair)| Some((way, pair?)))
                    {
                        for (i, (one, two)) in one.iter().zip(&two).enumerate() {
                            let off = gap(one, two);
                            assert!(
                                off < bound,
                                "{iterations} iterations, {dtype:?}, way {way}: result {i} is off by {off:e}"
                            );
                        }
                    }
                }
            }
        }
    }
}
