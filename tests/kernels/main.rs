//! The CUDA kernels without a GPU: every source compiles for compute capability 9.0, and on the host, thread by thread, it
//! computes what the CPU forms compute in f64, values and gradients. Where there is a GPU, or one in software, it is checked too.

#[path = "../common/mod.rs"]
mod common;

mod attacks;
mod channels_last;
mod elementwise;
mod halves;
mod orthogonal;
mod power;
mod regions;
mod store;
mod tensor_cores;
mod training;
mod worst;

use candle_core::{DType, Device, Result, Tensor, Var};
use common::emulation::on_the_host;
use common::values;
use std::path::PathBuf;
use std::process::Command;
use workbench::base::random::Generator;
use workbench::compute::gpu::Source;
use workbench::compute::precision::{Chosen, Precision, products_in};
use workbench::nn::layers::{Conv2d, Linear};
use workbench::nn::{LayerSpec, Sequential};

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
    let gradients = workbench::compute::autograd::backward(&loss)?;
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
    chosen().set(Precision::Tf32);
    let found = work();
    chosen().set(Precision::F32);
    // A setting of the process, which the last product has left.
    products_in(Precision::F32);
    found
}

/// What the networks of these tests are told to multiply in.
fn chosen() -> Chosen {
    thread_local! {
        static CHOSEN: Chosen = Chosen::changing();
    }
    CHOSEN.with(Chosen::clone)
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

fn layer(input: &[usize], spec: LayerSpec, random: &Generator) -> Sequential {
    Sequential::new(input, &[spec], DType::F64, &CPU, random).unwrap().computed_in(&chosen())
}

fn layers(random: &Generator) -> Vec<Sequential> {
    let conv =
        |channels, kernel, stride, padding| LayerSpec::of(Conv2d { channels, kernel, stride, padding, bias: true });
    vec![
        layer(&[3, 6, 5], conv(4, 3, 1, 1), random),
        layer(&[2, 11, 10], conv(5, 4, 2, 1), random),
        layer(&[23], LayerSpec::of(Linear { features: 9, bias: true }), random),
    ]
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
