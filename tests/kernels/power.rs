//! Masked norms by power iteration, and their gradient.

use super::common::emulation::on_the_host;
use super::common::values;
use super::{CPU, as_for_tensor_cores, draw, gap, layers};
use candle_core::{DType, Tensor};
use workbench::base::random::Generator;
use workbench::bounds::{Arithmetic, PowerOptions, spectral_norm};
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
