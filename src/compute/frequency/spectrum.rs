//! The matrices of a kernel at each frequency, and the kernel of such matrices.

use super::complex::Complex;
use super::tables::taps;
use super::transform::{analysed, frequencies, synthesised};
use candle_core::{Result, Tensor, bail};

/// `sum_t w[t] e^(i f t)` of `w` `[O, I, k, k]` around images of n x n, tap (k - 1) / 2 over the pixel itself. No gradient.
pub fn spectrum(w: &Tensor, n: usize) -> Result<Complex> {
    let (o, i, k, _) = w.dims4()?;
    if k == 0 || k > n {
        bail!("spectrum: a {k}x{k} kernel does not fit into the {n}x{n} image that it goes around in");
    }
    let all = frequencies(n);
    let table = taps(k, n, w.dtype(), w.device())?;
    let found = table.t()?.contiguous()?.matmul(&w.detach().reshape((o * i, k * k))?.t()?)?;
    let part = |from| found.narrow(0, from, all)?.contiguous()?.reshape((all, o, i));
    Ok(Complex { re: part(0)?, im: part(all)? })
}

/// The gradient in `w` of one in its spectrum: the adjoint of [`spectrum`].
pub fn of_spectrum(g: &Complex, k: usize, n: usize) -> Result<Tensor> {
    let (all, o, i) = g.re.dims3()?;
    let table = taps(k, n, g.re.dtype(), g.re.device())?;
    let both = Tensor::cat(&[&g.re, &g.im], 0)?.reshape((2 * all, o * i))?;
    table.matmul(&both)?.t()?.contiguous()?.reshape((o, i, k, k))
}

/// The Frobenius norm of all matrices of a spectrum together, the square root of `sum w H w`, H the taps' products. With gradient.
pub fn spectrum_norm(w: &Tensor, n: usize) -> Result<Tensor> {
    let (o, i, k, _) = w.dims4()?;
    let table = taps(k, n, w.dtype(), w.device())?;
    let products = table.matmul(&table.t()?.contiguous()?)?;
    let flat = w.reshape((o * i, k * k))?;
    (flat.matmul(&products)? * &flat)?.sum_all()?.sqrt()
}

/// The kernel `[O, I, n, n]` of the map with the matrices `spectrum` `[F, 2 O, 2 I]`, tap (0, 0) over the pixel itself. With gradient.
pub fn kernel_of(spectrum: &Tensor, n: usize) -> Result<Tensor> {
    let Complex { re, im } = Complex::of_real_form(spectrum)?;
    // The map's matrices are conjugate to the transform of its taps.
    synthesised(&Tensor::cat(&[&re, &im.neg()?], 2)?, n)
}

/// The matrices `[F, 2 O, 2 I]` of a kernel as large as the image, `[O, I, n, n]`. With gradient.
pub fn spectrum_of_plane(kernel: &Tensor) -> Result<Tensor> {
    let found = analysed(kernel)?;
    let channels = found.dim(2)? / 2;
    let part = |from| found.narrow(2, from, channels)?.contiguous();
    Complex { re: part(0)?, im: part(channels)?.neg()? }.real_form()
}

#[cfg(test)]
mod tests {
    use super::super::product::circular;
    use super::*;
    use crate::base::random::Generator;
    use candle_core::{DType, Device};

    fn draw(shape: &[usize]) -> Tensor {
        Generator::new(3).normal(0.0, 1.0, shape, DType::F64, &Device::Cpu).unwrap()
    }

    fn gap(a: &Tensor, b: &Tensor) -> f64 {
        (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
    }

    /// `y[p] = sum_t w[t] x[p + t - before]`, around the image.
    fn slowly(x: &Tensor, w: &Tensor) -> Tensor {
        let ((batch, inputs, n, _), (outputs, _, k, _)) = (x.dims4().unwrap(), w.dims4().unwrap());
        let (xs, ws) =
            (x.flatten_all().unwrap().to_vec1::<f64>().unwrap(), w.flatten_all().unwrap().to_vec1::<f64>().unwrap());
        let before = (k - 1) / 2;
        let mut y = vec![0.0; batch * outputs * n * n];
        for (at, y) in y.iter_mut().enumerate() {
            let (q, p, o, b) = (at % n, at / n % n, at / n / n % outputs, at / n / n / outputs);
            for c in 0..inputs {
                for (s, t) in (0..k).flat_map(|s| (0..k).map(move |t| (s, t))) {
                    let pixel = ((p + s + n - before) % n, (q + t + n - before) % n);
                    *y += ws[((o * inputs + c) * k + s) * k + t] * xs[((b * inputs + c) * n + pixel.0) * n + pixel.1];
                }
            }
        }
        Tensor::from_vec(y, (batch, outputs, n, n), &Device::Cpu).unwrap()
    }

    #[test]
    fn by_frequency_as_around_the_image() {
        for (n, k) in [(6, 3), (5, 3), (4, 4), (1, 1), (7, 2), (8, 5)] {
            let (x, w) = (draw(&[2, 3, n, n]), draw(&[4, 3, k, k]));
            let found = spectrum(&w, n).unwrap();
            let whole = found.real_form().unwrap();
            let norm = found.re.sqr().unwrap().sum_all().unwrap() + found.im.sqr().unwrap().sum_all().unwrap();
            assert!(gap(&norm.unwrap().sqrt().unwrap(), &spectrum_norm(&w, n).unwrap()) < 1e-11);
            let y = circular(&x, &whole, false).unwrap();
            assert!(gap(&y, &slowly(&x, &w)) < 1e-12, "n {n}, k {k}");
            // The adjoint: <W x, y> = <x, W^T y>.
            let z = draw(&[2, 4, n, n]);
            let back = circular(&z, &whole, true).unwrap();
            let dot = |a: &Tensor, b: &Tensor| (a * b).unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
            assert!((dot(&y, &z) - dot(&x, &back)).abs() < 1e-11, "n {n}, k {k}");
            // There and back: the kernel, spread over the image.
            let kernel = kernel_of(&whole, n).unwrap();
            assert!(gap(&spectrum_of_plane(&kernel).unwrap(), &whole) < 1e-12, "n {n}, k {k}");
        }
        assert!(spectrum(&draw(&[1, 1, 4, 4]), 3).is_err());
        assert!(circular(&draw(&[1, 2, 4, 4]), &draw(&[12, 2, 2]), false).is_err());
    }
}
