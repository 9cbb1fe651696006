//! Convolutions in f32, by whichever kernels this processor has, against matrix products in f64, for shapes of every kind.

mod common;

use candle_core::{DType, Device, Result, Tensor};
use common::bf16::Masked;
use common::lanczos::by_lanczos;
use workbench::base::random::Generator;
use workbench::bounds::{Arithmetic, PowerOptions, Region, bf16_iterations, spectral_norm};
use workbench::compute::autograd::backward;
use workbench::compute::conv::{Window, conv2d, conv2d_bias, conv2d_input, conv2d_weight, conv2d_weight_scaled};
use workbench::nn::layers::{Conv2d, Flatten, Linear};
use workbench::nn::{LayerSpec, Sequential};

/// The largest distance, relative to the largest value.
fn distance(single: &Tensor, double: &Tensor) -> Result<f64> {
    assert_eq!(single.dims(), double.dims());
    let largest = |t: &Tensor| t.abs()?.flatten_all()?.max(0)?.to_scalar::<f64>();
    Ok(largest(&(single.to_dtype(DType::F64)? - double)?)? / largest(double)?.max(1e-30))
}

struct Case {
    batch: usize,
    channels: (usize, usize),
    size: (usize, usize),
    kernel: (usize, usize),
    window: Window,
}

fn compare(case: &Case, random: &Generator) -> Result<()> {
    let Case { batch, channels: (i, o), size, kernel, window } = *case;
    let (Some(oh), Some(ow)) = (window.output(size.0, kernel.0), window.output(size.1, kernel.1)) else {
        return Ok(());
    };
    let draw = |shape: &[usize]| random.normal(0.0, 1.0, shape.to_vec(), DType::F64, &Device::Cpu);
    let (x, w, b) = (draw(&[batch, i, size.0, size.1])?, draw(&[o, i, kernel.0, kernel.1])?, draw(&[o])?);
    let (y, scale) = (draw(&[batch, o, oh, ow])?, draw(&[batch])?);
    let single = |t: &Tensor| t.to_dtype(DType::F32);
    let (xs, ws, bs, ys, ss) = (single(&x)?, single(&w)?, single(&b)?, single(&y)?, single(&scale)?);
    let pairs = [
        ("conv2d", conv2d(&xs, &ws, window)?, conv2d(&x, &w, window)?),
        ("conv2d_bias", conv2d_bias(&xs, &ws, &bs, window)?, conv2d_bias(&x, &w, &b, window)?),
        ("conv2d_input", conv2d_input(&ys, &ws, window, size)?, conv2d_input(&y, &w, window, size)?),
        ("conv2d_weight", conv2d_weight(&xs, &ys, window, kernel)?, conv2d_weight(&x, &y, window, kernel)?),
        (
            "conv2d_weight_scaled",
            conv2d_weight_scaled(&xs, &ys, &ss, window, kernel)?,
            conv2d_weight_scaled(&x, &y, &scale, window, kernel)?,
        ),
    ];
    for (name, single, double) in pairs {
        let off = distance(&single, &double)?;
        assert!(off < 2e-5, "{name}: {off:e} for {i} -> {o} channels, {size:?}, {kernel:?}, {window:?}, batch {batch}");
    }
    Ok(())
}

#[test]
fn every_shape() -> Result<()> {
    let random = Generator::new(5);
    let mut count = 0;
    for kh in 1..=8 {
        for stride in 1..=3 {
            for padding in 0..=4 {
                let kw = [kh, 1 + (kh * stride + padding) % 7][padding % 2];
                let n = count;
                count += 1;
                let channels = [1, 3, 16, 17, 5, 33, 40, 2][n % 8];
                let out = [1, 16, 33, 3, 48, 7, 64][n % 7];
                let size = ([7, 16, 5, 11, 32][n % 5], [9, 16, 17, 8, 1, 33][n % 6]);
                let window = Window::new(stride, padding);
                compare(
                    &Case { batch: 1 + n % 3, channels: (channels, out), size, kernel: (kh, kw), window },
                    &random,
                )?;
            }
        }
    }
    assert_eq!(count, 120);
    Ok(())
}

/// A few channels on either side and rows that fill registers: the kernels on planes.
#[test]
fn few_channels() -> Result<()> {
    let random = Generator::new(8);
    let mut count = 0;
    for kernel in [(1, 1), (2, 3), (3, 3), (5, 2), (4, 4), (5, 5), (7, 7)] {
        for (n, width) in [12, 13, 16, 28, 29, 32, 47, 64, 65].into_iter().enumerate() {
            let (few, many) = ([1, 2, 3, 5, 8][(n + kernel.0) % 5], [1, 4, 7, 32, 33, 18][(n + kernel.1) % 6]);
            let channels = if n % 3 == 1 { (many, few) } else { (few, many) };
            let padding = n % kernel.0.min(kernel.1);
            let (size, window) = ((kernel.0 + 3 * n, width), Window::new(1, padding));
            compare(&Case { batch: 1 + n, channels, size, kernel, window }, &random)?;
            count += 1;
        }
    }
    assert_eq!(count, 63);
    Ok(())
}

/// The layers of the paper's networks, at a batch that is no multiple of anything.
#[test]
fn common_shapes() -> Result<()> {
    let random = Generator::new(6);
    for (i, o, k, stride, padding, side) in [
        (3, 32, 3, 1, 1, 32),
        (32, 32, 3, 1, 1, 32),
        (32, 32, 4, 2, 1, 32),
        (32, 64, 3, 1, 1, 16),
        (64, 64, 3, 1, 1, 16),
        (64, 64, 4, 2, 1, 16),
        (1, 32, 3, 1, 1, 28),
        (32, 64, 3, 1, 1, 14),
        (64, 64, 4, 2, 1, 14),
        (64, 64, 4, 2, 0, 64),
        (256, 256, 4, 2, 0, 12),
    ] {
        let window = Window::new(stride, padding);
        compare(&Case { batch: 11, channels: (i, o), size: (side, side), kernel: (k, k), window }, &random)?;
    }
    Ok(())
}

/// The same in the other forms that run here.
#[test]
fn other_forms() {
    common::forms::again("other_forms");
}

fn conv(channels: usize, kernel: usize, stride: usize, padding: usize) -> LayerSpec {
    LayerSpec::of(Conv2d { channels, kernel, stride, padding, bias: true })
}

/// Sigma in f32 and by bf16 iterations against f64, from the same start, with masks; u, v and sigma belong together.
#[test]
fn power_iteration_in_every_arithmetic() -> Result<()> {
    let random = Generator::new(7);
    for (layer, input) in [
        (conv(32, 3, 1, 1), [3, 32, 32]),
        (conv(24, 4, 2, 1), [17, 13, 9]),
        (conv(64, 4, 2, 0), [64, 16, 16]),
        (conv(7, 5, 3, 2), [5, 12, 12]),
        (conv(9, 5, 1, 1), [2, 14, 29]),
        (conv(1, 3, 1, 0), [32, 9, 16]),
    ] {
        let double = Sequential::new(&input, &[layer], DType::F64, &Device::Cpu, &random.fork("weights"))?;
        let single = double.to_dtype(DType::F32)?;
        let (one, two) = (&single.layers()[0], &double.layers()[0]);
        let batch = |shape: &[usize]| [&[5], shape].concat();
        let start = random.normal(0.0, 1.0, batch(&one.input), DType::F64, &Device::Cpu)?;
        let mask = |shape: &[usize]| random.uniform(0.0, 1.0, batch(shape), DType::F64, &Device::Cpu)?.gt(0.4);
        let (columns, rows) = (mask(&one.input)?, mask(&one.output)?);
        let map = Masked { layer: one, columns: Some(&columns), rows: Some(&rows) };
        let narrow = start.to_dtype(DType::F32)?;
        let norms = by_lanczos(one, 5, Some(&columns), Some(&rows)).values;
        let norms: Vec<[f64; 2]> = norms.into_iter().map(|[first, second, _]| [first.sqrt(), second.sqrt()]).collect();
        for iterations in [1, 2, 40] {
            let run = |layer, arithmetic| {
                let options = PowerOptions { iterations, tolerance: None, arithmetic };
                spectral_norm(layer, &start, Some(&columns), Some(&rows), options)
            };
            let truth = run(two, Arithmetic::Own)?;
            let own = run(one, Arithmetic::Own)?;
            // Sigma and its vectors belong together, so that only the last products' rounding is in sigma; the vectors have
            // that of up to 80 products of sums of up to 1024 terms, at some 1e-6 each.
            assert!(distance(&own.sigma, &truth.sigma)? < 2e-6, "{} iterations, f32", iterations);
            assert!(distance(&own.u.unit()?, &truth.u.unit()?)? < 1e-4);
            // In software everywhere, and by the processor where it multiplies bf16.
            let soft = map.in_bf16(&narrow, iterations);
            let ends = map.ends(&map.exact(&narrow, iterations), &soft, &norms);
            let within = |sigmas: &[f64]| {
                for (sigma, [low, high]) in sigmas.iter().zip(&ends) {
                    let holds = *sigma >= low * (1.0 - 3e-6) && *sigma <= high * (1.0 + 3e-6);
                    assert!(holds, "{iterations} iterations, bf16: {sigma} is not between {low} and {high}");
                }
            };
            within(&soft.sigma);
            if !bf16_iterations() {
                eprintln!("in software alone: this processor multiplies no bf16");
                continue;
            }
            let half = run(one, Arithmetic::Bf16)?;
            within(&common::values(&half.sigma));
            let product =
                (one.apply(&half.u.unit()?)? * &half.v.unit()?)?.flatten_from(1)?.sum(1)?.to_dtype(DType::F64)?;
            assert!(distance(&half.sigma, &product)? < 1e-5, "sigma = v . W u");
            assert!(
                half.u.unit()?.mul(&columns.eq(0u8)?.to_dtype(DType::F32)?)?.abs()?.sum_all()?.to_scalar::<f32>()?
                    == 0.0
            );
        }
        let until = |arithmetic| PowerOptions { iterations: 3000, tolerance: Some(1e-3), arithmetic };
        let own = spectral_norm(one, &start, Some(&columns), Some(&rows), until(Arithmetic::Own))?;
        let half = spectral_norm(one, &start, Some(&columns), Some(&rows), until(Arithmetic::Bf16))?;
        assert!(own.converged.iter().chain(&half.converged).all(|c| *c));
        assert!(distance(&half.sigma, &own.sigma.to_dtype(DType::F64)?)? < 1e-2, "both stopped at the same tolerance");
    }
    Ok(())
}

/// One thread and several give the same numbers to the last bit: sums never follow the split of the work.
#[test]
fn the_number_of_threads_changes_nothing() -> Result<()> {
    let random = Generator::new(10);
    let draw = |shape: &[usize]| random.normal(0.0, 1.0, shape.to_vec(), DType::F32, &Device::Cpu);
    let (x, radius) = (draw(&[19, 3, 16, 16])?, Tensor::full(0.2f32, 19, &Device::Cpu)?);
    let alone = draw(&[1, 3, 16, 16])?;
    let on = |threads: usize| -> Result<Vec<Vec<f32>>> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            // A network stays on the thread that made it.
            let specs = [conv(32, 3, 1, 1), LayerSpec::of(Flatten), LayerSpec::of(Linear { features: 37, bias: true })];
            let net = Sequential::new(&[3, 16, 16], &specs, DType::F32, &Device::Cpu, &Generator::new(9))?;
            let options = PowerOptions { iterations: 3, tolerance: None, arithmetic: Arithmetic::Own };
            let mut region = Region::around(&x, &radius, false)?;
            let mut numbers = vec![];
            for layer in net.layers() {
                if !layer.is_affine() {
                    region = region.activation(layer, false)?;
                    continue;
                }
                let start = if layer.index == 0 { x.clone() } else { region.center()?.detach() };
                let one = if layer.index == 0 { alone.clone() } else { start.narrow(0, 0, 1)? };
                let (own, whole) = (
                    spectral_norm(layer, &start, None, None, options)?,
                    spectral_norm(layer, &one, None, None, options)?,
                );
                numbers.push(own.sigma.to_vec1::<f32>()?);
                numbers.push(own.u.unit()?.flatten_all()?.to_vec1::<f32>()?);
                region = region.affine(layer, &whole.sigma)?;
            }
            let loss = ((region.upper()? - region.lower()?)?.sqr()?.sum_all()? + region.center()?.sum_all()?)?;
            let gradients = backward(&loss)?;
            numbers.push(vec![loss.to_scalar::<f32>()?]);
            for (_, parameter) in net.parameters() {
                let gradient = gradients.get(parameter.as_tensor()).unwrap();
                numbers.push(gradient.flatten_all()?.to_vec1::<f32>()?);
            }
            Ok(numbers)
        })
    };
    assert_eq!(on(1)?, on(3)?);
    Ok(())
}
