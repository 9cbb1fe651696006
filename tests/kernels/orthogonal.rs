//! Inverses and factors, and the weights that orthogonal layers make with them.

use super::{CPU, check, draw};
use candle_core::{DType, Tensor};
use workbench::base::random::Generator;
use workbench::compute::frequency::circular;
use workbench::compute::inverse::inverse;
use workbench::compute::orthogonal::{cayley, cayley_by_frequency, reflected, rescaled, triangular};

#[test]
fn inverses_and_factors() {
    let random = Generator::new(6);
    for n in [1, 5, 33, 64, 70] {
        let u = (draw(&random, &[2, n, n]) * (1.0 / (n as f64).sqrt())).unwrap();
        let v = (draw(&random, &[2, n, n]) * (1.0 / (n as f64).sqrt())).unwrap();
        check(&format!("inverse of {n} rows"), &[u, v], |t| {
            let skew = (&t[0] - t[0].t()?.contiguous()?)?;
            let eye = Tensor::eye(n, t[0].dtype(), t[0].device())?;
            let m = (skew + t[1].t()?.contiguous()?.matmul(&t[1])?)?.broadcast_add(&eye)?;
            Ok(vec![inverse(&m)?])
        });
        let x = (draw(&random, &[n, n]) * (0.3 / (n as f64).sqrt())).unwrap();
        let x = (x + Tensor::eye(n, DType::F64, &CPU).unwrap()).unwrap();
        check(&format!("factor of {n} rows"), &[x], |t| Ok(vec![triangular(&t[0])?]));
    }
}

#[test]
fn weights_of_norm_one() {
    let random = Generator::new(8);
    let small = |shape: &[usize]| (draw(&random, shape) * 0.4).unwrap();
    check("a Cayley matrix", &[small(&[7, 5])], |t| Ok(vec![cayley(&t[0])?, cayley(&t[0].t()?.contiguous()?)?]));
    check("a reflector", &[small(&[6, 3])], |t| Ok(vec![reflected(&t[0])?]));
    check("a rescaled kernel", &[small(&[3, 2, 3, 3])], |t| Ok(vec![rescaled(&t[0])?]));
    check("a Cayley convolution", &[small(&[3, 2, 3, 3]), small(&[2, 2, 5, 5])], |t| {
        let q = cayley_by_frequency(&t[0], 5)?;
        let y = circular(&t[1], &q, false)?;
        Ok(vec![circular(&y, &q, true)?, y])
    });
}
