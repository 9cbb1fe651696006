//! Which calls of a training step a CUDA graph takes, what a replay of them costs, and whether it is the same bit for bit
//!
//! A piece is run plainly, captured on the device's stream, and launched again and again. What a capture refuses is named with the
//! error; on the GPU in software that is what CUDA's documentation says it refuses. `tools/gpu_check.sh capture` shows the table.
#![cfg(feature = "cuda")]

mod common;

use candle_core::cuda::cudarc::driver::{CudaGraph, CudaStream, sys};
use candle_core::{DType, Device, Tensor};
use common::{Lab, tensor_of};
use rhai::Dynamic;
use std::sync::Arc;
use std::time::Instant;

/// A net with everything in it: convolutions, products, thresholds.
const MADE: &str = r#"
    import "std/methods" as methods;
    import "std/losses"  as losses;
    let batch     = BATCH;
    let model     = sequential([8, 12, 12], [conv2d(16, 3, #{ padding: 1 }), relu_theta(1.0), conv2d(16, 4, #{ stride: 2, padding: 1 }), relu_theta(1.0),
                                             flatten(), linear(32), relu_theta(1.0), linear(10)]);
    let optimizer = adam(model, #{ lr: 1e-3 });
    let vectors   = singular_vectors(model, batch, #{ dtype: "f16" }).first(batch);
    let x         = uniform(0, 1, [batch, 8, 12, 12]);
    let labels    = [];
    for i in 0..batch { labels.push(i % 10); }
    let y         = tensor(labels, "u32");
    let hidden    = randn([batch, 16, 12, 12]);
    let flat      = randn([batch, 576]);
"#;

/// What is captured: the smallest first. Each gives a tensor.
const PIECES: [(&str, &str); 8] = [
    ("memory taken and given back", "(flat + flat) * 2.0 - flat"),
    ("kernels of our own", "model.layers[1].forward(hidden)"),
    ("a product of cuBLAS", "model.layers[5].forward(flat)"),
    ("a convolution of cuDNN", "model.layers[0].forward(x)"),
    ("the network", "model.forward(x)"),
    ("cross-entropy and its gradients", "let l = cross_entropy(model.forward(x), y); l.backward(); l.detach()"),
    ("a cross-entropy step with Adam", "let l = cross_entropy(model.forward(x), y); optimizer.step(l); l.detach()"),
    (
        "a Local-Lip-B step",
        r#"let f = methods::worst_case("local", model, x, y, 0.1, vectors, 2, #{ method: "clip" }, #{});
           let l = losses::bcp(f.logits, f.worst, y, 0.5); optimizer.step(l); l.detach()"#,
    ),
];

/// What came of a piece.
enum Outcome {
    Captured { plain: f64, replay: f64, same: bool },
    Refused(String),
}

fn stream(device: &Device) -> Arc<CudaStream> {
    match device {
        Device::Cuda(device) => device.cuda_stream(),
        _ => unreachable!("the device is a GPU"),
    }
}

/// Milliseconds of one of `runs`, the device waited for at the end.
fn timed(stream: &CudaStream, runs: u32, mut work: impl FnMut()) -> f64 {
    stream.synchronize().unwrap();
    let began = Instant::now();
    (0..runs).for_each(|_| work());
    stream.synchronize().unwrap();
    began.elapsed().as_secs_f64() * 1e3 / f64::from(runs)
}

/// In a thread of its own, so that it has a device and a stream of its own: a capture that was refused leaves nothing behind.
fn outcome(piece: &'static str, batch: usize, runs: u32) -> Outcome {
    let one = move || {
        let device = common::device();
        let stream = stream(&device);
        let mut lab = Lab::on(device.clone());
        let _ = lab.run(&MADE.replace("BATCH", &batch.to_string()));
        let Device::Cuda(cuda) = &device else { unreachable!() };
        // Numbers that go to the device again and again are kept there by what they are.
        let _kept = cuda.enable_cuda_graph_htod_cache();
        let text = format!("import \"std/methods\" as methods; import \"std/losses\" as losses; {{ {piece} }}");
        let Lab { engine, scope } = &mut lab;
        let program = engine.compile_with_scope(scope, text).unwrap();
        let mut run = || engine.eval_ast_with_scope::<Dynamic>(scope, &program);
        let numbers = |t: &Tensor| t.flatten_all().unwrap().to_dtype(DType::F32).unwrap().to_vec1::<f32>().unwrap();
        // Plans, kernels and constants are there after the first times.
        let _ = run().unwrap();
        let before = numbers(&tensor_of(&run().unwrap()));
        let plain = timed(&stream, runs, || drop(run().unwrap()));
        let stateful = piece.contains("optimizer");
        let (graph, inside) = match captured(&stream, || run().map_err(|e| e.to_string())) {
            Ok(found) => found,
            Err(reason) => return Outcome::Refused(reason),
        };
        graph.launch().unwrap();
        let same = stateful || numbers(&tensor_of(&inside)) == before;
        let replay = timed(&stream, runs, || graph.launch().unwrap());
        let same = same && (stateful || numbers(&tensor_of(&inside)) == before);
        drop(inside);
        drop(graph);
        Outcome::Captured { plain, replay, same }
    };
    std::thread::Builder::new()
        .stack_size(64 << 20)
        .spawn(one)
        .unwrap()
        .join()
        .unwrap_or_else(|_| Outcome::Refused("it panicked".into()))
}

/// The graph of the work, and what it gave, which lies in the graph's memory.
fn captured(
    stream: &Arc<CudaStream>,
    work: impl FnOnce() -> Result<Dynamic, String>,
) -> Result<(CudaGraph, Dynamic), String> {
    stream.begin_capture(sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).map_err(|e| e.to_string())?;
    let found = work();
    let flags = sys::CUgraphInstantiate_flags_enum::CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH;
    let graph = stream.end_capture(flags);
    let found = found?;
    let graph = graph.map_err(|e| e.to_string())?.ok_or("the capture holds no graph")?;
    Ok((graph, found))
}

#[test]
fn what_a_graph_takes() {
    if !matches!(common::device(), Device::Cuda(_)) {
        println!("skipped: there is no GPU");
        return;
    }
    let software = std::env::var_os("SOFTWARE_GPU").is_some();
    let (batch, runs) = if software { (2, 1) } else { (256, 100) };
    let mut taken = vec![];
    for (name, piece) in PIECES {
        match outcome(piece, batch, runs) {
            Outcome::Captured { plain, replay, same } => {
                println!(
                    "captured  {name}: plain {plain:.3} ms, replay {replay:.3} ms, {}",
                    if same { "the same bit for bit" } else { "NOT the same" }
                );
                assert!(same, "{name}: a replay gives other numbers");
                taken.push(name);
            }
            Outcome::Refused(reason) => println!("refused   {name}: {}", reason.lines().next().unwrap_or_default()),
        }
    }
    // What the levers of a step rest on.
    assert!(taken.len() >= 6, "{taken:?}");
}
