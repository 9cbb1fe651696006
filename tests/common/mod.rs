//! What several tests share: an engine with tensors in its scope, comparisons, random networks; golden files, the program.
#![allow(dead_code)] // each test file uses its own part

pub mod bf16;
pub mod contract;
pub mod data;
pub mod emulation;
pub mod forms;
pub mod golden;
pub mod hub;
pub mod lanczos;
pub mod parquet;
pub mod program;
pub mod rounding;

use candle_core::{DType, Device, Tensor};
use rhai::{Dynamic, Engine, Scope};
use std::rc::Rc;
use workbench::nn::layers::{
    AvgPool2d, ClippedMaxMin, Conv2d, Flatten, Linear, MaxMin, Normalize, Relu, Relu6, ReluTheta,
};
use workbench::nn::{LayerSpec, Sequential};
use workbench::script::bind::{self, Host, HostConfig};
use workbench::script::language::engine;
use workbench::script::language::loader::Loader;
use workbench::script::settings::Overrides;
use workbench::script::stdlib::stdlib;
use workbench::script::values;

/// Where the tests' tensors live: the device that WORKBENCH_TEST_DEVICE names; otherwise a GPU in a build for CUDA that finds
/// one, and the CPU. One for each thread, as a device's stream is.
pub fn device() -> Device {
    thread_local! {
        static DEVICE: Device = match std::env::var("WORKBENCH_TEST_DEVICE") {
            Ok(name) => workbench::compute::device::parse(&name).unwrap_or_else(|e| panic!("{e}")),
            Err(_) if !cfg!(feature = "cuda") => Device::Cpu,
            Err(_) => workbench::compute::device::parse("cuda").unwrap_or_else(|reason| {
                println!("skipped on a GPU, done on the CPU: {reason}");
                Device::Cpu
            }),
        };
    }
    DEVICE.with(Device::clone)
}

/// An engine as `workbench run` has it, for scripts given as text.
pub struct Lab {
    pub engine: Rc<Engine>,
    pub scope: Scope<'static>,
}

impl Lab {
    pub fn new() -> Self {
        Self::on(device())
    }

    pub fn on(device: Device) -> Self {
        let loader = Loader::new(stdlib());
        let host = Host::new(HostConfig {
            device,
            seed: 0,
            threads: 2,
            data_dir: None,
            overrides: Rc::default(),
            script_path: None,
            loader: loader.clone(),
            allowed: Default::default(),
            ranks: Default::default(),
        });
        let engine = engine::build(
            |e| bind::register(e, &host),
            loader.clone(),
            host.printer(),
            || Ok(()),
            bind::watch,
            &Default::default(),
        );
        let scope = host.scope();
        loader.set_constants(host.scope());
        let _: &Rc<std::cell::RefCell<Overrides>> = &host.overrides;
        Self { engine: Rc::new(engine), scope }
    }

    pub fn set(&mut self, name: &str, value: Dynamic) -> &mut Self {
        self.scope.push_dynamic(name.to_string(), value);
        self
    }

    pub fn tensor(&mut self, name: &str, value: &Tensor) -> &mut Self {
        self.set(name, Dynamic::from(values::Tensor(value.clone())))
    }

    pub fn model(&mut self, name: &str, model: &Rc<Sequential>) -> &mut Self {
        self.set(name, Dynamic::from(values::Model(model.clone())))
    }

    pub fn run(&mut self, script: &str) -> Dynamic {
        let _here = workbench::script::language::kept::here(&self.engine);
        match self.engine.eval_with_scope::<Dynamic>(&mut self.scope, script) {
            Ok(value) => value,
            Err(e) => panic!("{e}\nin:\n{script}"),
        }
    }
}

/// The tensor behind a script's value.
pub fn tensor_of(value: &Dynamic) -> Tensor {
    value.clone().try_cast::<values::Tensor>().unwrap_or_else(|| panic!("no tensor: {value:?}")).0
}

/// A tensor of the map that a script returned.
pub fn entry(map: &Dynamic, key: &str) -> Tensor {
    let map = map.clone().try_cast::<rhai::Map>().expect("the script returns a map");
    tensor_of(map.get(key).unwrap_or_else(|| panic!("no entry `{key}`")))
}

/// The largest difference, relative to the largest value of the truth.
pub fn relative_gap(got: &Tensor, truth: &Tensor) -> f64 {
    assert_eq!(got.elem_count(), truth.elem_count(), "{:?} against {:?}", got.dims(), truth.dims());
    let wide = |t: &Tensor| t.detach().to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
    let (a, b) = (wide(got), wide(truth));
    let scale = b.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
    let gap =
        a.iter().zip(&b).fold(0.0, |m: f64, (a, b)| if a.is_nan() { f64::INFINITY } else { m.max((a - b).abs()) });
    if scale == 0.0 { gap } else { gap / scale }
}

#[track_caller]
pub fn close(what: &str, got: &Tensor, truth: &Tensor, tolerance: f64) {
    let gap = relative_gap(got, truth);
    println!("{what}: relative gap {gap:.1e}"); // shown with --nocapture
    assert!(gap <= tolerance, "{what}: relative gap {gap:.3e}, allowed {tolerance:.1e}");
}

/// The matrix of an affine layer's linear map, `[outputs, inputs]`, by applying it to every unit vector.
pub fn dense(layer: &workbench::nn::Layer) -> nalgebra::DMatrix<f64> {
    let n = layer.input_len();
    let (_, device) = layer.numbers().expect("an affine layer");
    let unit = Tensor::eye(n, DType::F64, &device).unwrap();
    let columns = layer.apply(&unit.reshape([&[n], layer.input.as_slice()].concat()).unwrap()).unwrap();
    let rows = columns.flatten_from(1).unwrap().to_vec2::<f64>().unwrap();
    nalgebra::DMatrix::from_fn(rows[0].len(), n, |i, j| rows[j][i])
}

/// The matrices of a layer's map under the masks of each sample of a batch.
pub fn masked_matrices(
    layer: &workbench::nn::Layer,
    batch: usize,
    columns: Option<&Tensor>,
    rows: Option<&Tensor>,
) -> Vec<nalgebra::DMatrix<f64>> {
    let matrix = dense(layer);
    let (m, n) = matrix.shape();
    let mask = |t: Option<&Tensor>, len: usize| t.map_or(vec![1.0; batch * len], values);
    let (rows, columns) = (mask(rows, m), mask(columns, n));
    let cut = |b: usize| nalgebra::DMatrix::from_fn(m, n, |i, j| rows[b * m + i] * matrix[(i, j)] * columns[b * n + j]);
    (0..batch).map(cut).collect()
}

/// The values of a tensor as one list of f64.
pub fn values(t: &Tensor) -> Vec<f64> {
    t.detach().to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap()
}

/// A random layer list over a random input shape: every kind of layer, kernel, stride and padding, odd sizes included.
pub fn random_net(random: &workbench::base::random::Generator) -> Sequential {
    random_net_on(random, &device())
}

/// The same on a given device.
pub fn random_net_on(random: &workbench::base::random::Generator, device: &Device) -> Sequential {
    let pick = |n: usize| (random.unit() * n as f64) as usize;
    loop {
        let input = vec![1 + pick(3), 4 + pick(5), 4 + pick(5)];
        let mut specs = vec![];
        if pick(3) == 0 {
            let std = (0..input[0]).map(|_| 0.3 + random.unit()).collect();
            specs.push(LayerSpec::of(Normalize { mean: vec![0.4; input[0]], std }));
        }
        for _ in 0..1 + pick(2) {
            let (kernel, stride) = (1 + pick(4), 1 + pick(3));
            let conv = LayerSpec::of(Conv2d {
                channels: 2 * (1 + pick(2)),
                kernel,
                stride,
                padding: pick(kernel),
                bias: pick(4) > 0,
            });
            specs.push(conv);
            specs.push(activation(pick(5), random));
            if pick(4) == 0 {
                specs.push(LayerSpec::of(AvgPool2d { kernel: 2, stride: 1 + pick(2) }));
            }
        }
        specs.push(LayerSpec::of(Flatten));
        if pick(2) == 0 {
            specs.push(LayerSpec::of(Linear { features: 2 * (2 + pick(3)), bias: true }));
            specs.push(activation(pick(5), random));
        }
        specs.push(LayerSpec::of(Linear { features: 2 + pick(3), bias: true }));
        // Some combinations of sizes do not fit; draw again.
        if let Ok(net) = Sequential::new(&input, &specs, DType::F64, device, random) {
            return net;
        }
    }
}

fn activation(which: usize, random: &workbench::base::random::Generator) -> LayerSpec {
    match which {
        0 => LayerSpec::of(Relu),
        1 => LayerSpec::of(Relu6),
        2 => LayerSpec::of(MaxMin),
        3 => LayerSpec::of(ClippedMaxMin { max: 0.6 * random.unit(), min: -0.6 * random.unit() }),
        _ => LayerSpec::of(ReluTheta { theta: random.unit() }),
    }
}
