//! The matrices of the transforms, made once for a size, a number type and a device.

use candle_core::{DType, Device, DeviceLocation, Result, Tensor};
use std::f64::consts::TAU;
use std::sync::{Arc, Mutex};

/// Of images of n x n, m = n / 2 + 1.
#[derive(Debug)]
pub struct Tables {
    /// Rows of pixels to frequencies, `[n, (m, 2)]`: cosines and negative sines.
    pub columns: Tensor,
    /// Columns of complex numbers to frequencies, `[(2, n), (2, n)]`.
    pub rows: Tensor,
    pub rows_back: Tensor,
    /// `columns` turned, for the adjoint of the transform; and with the weights w / n^2, for its inverse. `[(m, 2), n]`.
    pub columns_turned: Tensor,
    pub columns_back: Tensor,
    /// `columns_back` turned: the inverse's adjoint.
    pub columns_weighted: Tensor,
}

type Key = (usize, DType, DeviceLocation);
static KEPT: Mutex<Vec<(Key, Arc<Tables>)>> = Mutex::new(Vec::new());

/// Cosine and sine of 2 pi times `turns / n`, exact at quarters.
fn turned(turns: usize, n: usize) -> (f64, f64) {
    let turns = turns % n;
    match 4 * turns {
        0 => (1.0, 0.0),
        t if t == n => (0.0, 1.0),
        t if t == 2 * n => (-1.0, 0.0),
        t if t == 3 * n => (0.0, -1.0),
        _ => {
            let angle = TAU * turns as f64 / n as f64;
            (angle.cos(), angle.sin())
        }
    }
}

/// Those of images of n x n.
pub fn tables(n: usize, dtype: DType, device: &Device) -> Result<Arc<Tables>> {
    let key = (n, dtype, device.location());
    kept(&KEPT, key, || make(n, dtype, device).map(Arc::new))
}

/// What was made for the key, or is made now.
fn kept<K: PartialEq, V: Clone>(all: &Mutex<Vec<(K, V)>>, key: K, make: impl FnOnce() -> Result<V>) -> Result<V> {
    let mut all = all.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some((_, found)) = all.iter().find(|(own, _)| *own == key) {
        return Ok(found.clone());
    }
    let made = make()?;
    all.push((key, made.clone()));
    Ok(made)
}

type Taps = ((usize, usize), DType, DeviceLocation);
static TAPS: Mutex<Vec<(Taps, Tensor)>> = Mutex::new(Vec::new());

/// What each tap of a k x k kernel, tap (k - 1) / 2 over the pixel itself, adds to each frequency of an n x n image: `[k k, (2, F)]`.
pub fn taps(k: usize, n: usize, dtype: DType, device: &Device) -> Result<Tensor> {
    let key = ((k, n), dtype, device.location());
    kept(&TAPS, key, || {
        let (all, before) = (n * (n / 2 + 1), (k - 1) / 2);
        let mut table = vec![0.0; k * k * 2 * all];
        for (tap, row) in table.chunks_exact_mut(2 * all).enumerate() {
            // Positions are counted around, so none is negative.
            let (a, b) = (tap / k + n - before, tap % k + n - before);
            for f in 0..all {
                let (f2, f1) = (f / n, f % n);
                (row[f], row[all + f]) = turned(f1 * a + f2 * b, n);
            }
        }
        Tensor::from_vec(table, (k * k, 2 * all), &Device::Cpu)?.to_dtype(dtype)?.to_device(device)
    })
}

fn make(n: usize, dtype: DType, device: &Device) -> Result<Tables> {
    let m = n / 2 + 1;
    let tensor = |values: Vec<f64>, shape: (usize, usize)| {
        Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)
    };
    let mut columns = vec![0.0; n * 2 * m];
    let mut weighted = columns.clone();
    for (p, row) in columns.chunks_exact_mut(2 * m).enumerate() {
        for f in 0..m {
            let (cos, sin) = turned(p * f, n);
            (row[2 * f], row[2 * f + 1]) = (cos, -sin);
            // The half that is left out is conjugate.
            let weight = if f == 0 || 2 * f == n { 1.0 } else { 2.0 } / (n * n) as f64;
            (weighted[p * 2 * m + 2 * f], weighted[p * 2 * m + 2 * f + 1]) = (weight * cos, -weight * sin);
        }
    }
    let mut rows = vec![0.0; 4 * n * n];
    for p in 0..n {
        for f in 0..n {
            let (cos, sin) = turned(p * f, n);
            // (a + ib) (cos - i sin)
            (rows[p * 2 * n + f], rows[p * 2 * n + n + f]) = (cos, -sin);
            (rows[(n + p) * 2 * n + f], rows[(n + p) * 2 * n + n + f]) = (sin, cos);
        }
    }
    let (columns, rows) = (tensor(columns, (n, 2 * m))?, tensor(rows, (2 * n, 2 * n))?);
    let columns_weighted = tensor(weighted, (n, 2 * m))?;
    let turn = |t: &Tensor| t.t()?.contiguous();
    Ok(Tables {
        rows_back: turn(&rows)?,
        columns_turned: turn(&columns)?,
        columns_back: turn(&columns_weighted)?,
        columns_weighted,
        columns,
        rows,
    })
}
