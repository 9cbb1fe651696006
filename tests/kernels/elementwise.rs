//! Activations, channels, rows, losses: one number at a time.

use super::common::emulation::on_the_host;
use super::{CPU, check, draw};
use candle_core::{DType, Result, Tensor};
use workbench::base::random::Generator;
use workbench::compute::elementwise::clip::{clip, larger, relu, smaller};
use workbench::compute::norms::channels::add_channels;
use workbench::compute::norms::rows::row_norms;
use workbench::compute::norms::samples::{normalize_samples, sample_norms};

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

#[test]
fn losses_and_margins() {
    use workbench::bounds::{accuracy, margins};
    use workbench::train::losses::{cross_entropies, cross_entropy, gloro_logits};
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

/// MaxMin, plain and cut at thresholds.
#[test]
fn sorted_pairs_of_channels() {
    use workbench::compute::elementwise::pairs::sorted_pairs;
    let random = Generator::new(8);
    for shape in [vec![5, 4, 3, 7], vec![300, 6], vec![1, 2]] {
        let half = [&[1, shape[1] / 2], &shape[2..]].concat();
        let inputs = [draw(&random, &shape), draw(&random, &half), draw(&random, &half)];
        check("pairs", &inputs, |a| Ok(vec![sorted_pairs(&a[0], None)?, sorted_pairs(&a[0], Some((&a[1], &a[2])))?]));
    }
}
