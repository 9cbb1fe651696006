//! Ours against PyTorch: both in one run, call by call in turn, so that a machine whose speed drifts drifts for both
//!
//!     WORKBENCH_TORCH=venv/bin/python cargo bench --bench peer -- [--rounds N] [--threads N] [conv ce step certify wide memory growth script]
//!
//! Without names all but `growth` and `script` run. `WORKBENCH_TORCH` names a Python with PyTorch (`pip install torch numpy`),
//! `python3` otherwise. The peer is `benches/torch_peer.py`, in its better memory layout. Each line tells the median of both
//! sides, and of the ratios round by round with their quartiles; above 1 ours is faster.

mod ours;
mod torch;

use ours::{Convolution, Training};
use std::time::Instant;
use torch::Torch;

/// As the program has it.
#[global_allocator]
static ALLOCATOR: workbench::base::memory::Allocator = workbench::base::memory::Allocator;

/// What was asked for on the command line.
pub struct Options {
    rounds: usize,
    threads: usize,
    what: Vec<String>,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut options = Options { rounds: 9, threads: 2, what: vec![] };
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|n| n.parse().ok()).expect("a number behind the option");
        match argument.as_str() {
            // Given by cargo.
            "--bench" => {}
            "--rounds" => options.rounds = number(),
            "--threads" => options.threads = number(),
            // One side of a measurement of memory, in a process of its own.
            "--memory-of" => return ours::memory(arguments),
            _ => options.what.push(argument),
        }
    }
    if options.what.is_empty() {
        options.what = ["conv", "ce", "step", "certify", "wide", "memory"].map(String::from).to_vec();
    }
    workbench::base::memory::keep_freed_memory();
    workbench::base::threads::start(Some(options.threads)).expect("the thread pool");
    for what in &options.what {
        match what.as_str() {
            "conv" => convolutions(&options),
            "ce" => networks(&options, "ce", &["cifar10_6c2f", "mnist_4c3f"], 64, &["tuned"]),
            "step" => networks(&options, "step", &["cifar10_6c2f", "mnist_4c3f"], 64, &["plain", "tuned", "compiled"]),
            "certify" => networks(&options, "certify", &["cifar10_6c2f"], 64, &["tuned"]),
            "wide" => networks(&options, "step", &["tiny_8c2f"], 8, &["tuned"]),
            "memory" => memory(&options),
            "growth" => growth(),
            "script" => ours::script_time(),
            "alone" => alone(&options),
            other => panic!("unknown part {other}; see the first lines of benches/peer/main.rs"),
        }
    }
}

/// The layers of 6C2F: channels in, out, kernel, stride, padding, side.
const LAYERS: [[usize; 6]; 6] = [
    [3, 32, 3, 1, 1, 32],
    [32, 32, 3, 1, 1, 32],
    [32, 32, 4, 2, 1, 32],
    [32, 64, 3, 1, 1, 16],
    [64, 64, 3, 1, 1, 16],
    [64, 64, 4, 2, 1, 16],
];

fn convolutions(options: &Options) {
    println!("\nconvolutions of 6C2F, batch 64, GFLOP/s");
    let mut torch = Torch::start();
    let mut ratios = vec![];
    for (layer, shape) in LAYERS.iter().enumerate() {
        for direction in ["forward", "input", "weight"] {
            let ask = |last: bool| {
                format!(
                    r#"{{"what":"conv","net":"cifar10_6c2f","layer":{layer},"direction":"{direction}","channels_last":{last},"threads":{}}}"#,
                    options.threads
                )
            };
            let jobs = [false, true].map(|last| torch.prepare(&ask(last)));
            let ours = Convolution::new(*shape, 64, direction);
            let rounds = rounds(options.rounds.max(15), true, || ours.run(), &mut torch, &jobs.map(|j| j.id));
            let gflop = jobs[0].gflop;
            let best = rounds.best_peer();
            println!(
                "{shape:?} {direction:8} ours {:6.1}  torch {:6.1}   {}",
                gflop / median(&rounds.ours) * 1e3,
                gflop / median(&rounds.peers[best]) * 1e3,
                rounds.ratio(best)
            );
            ratios.push(rounds.median_ratio(best));
        }
    }
    let mean = (ratios.iter().map(|r| r.ln()).sum::<f64>() / ratios.len() as f64).exp();
    println!("geometric mean {mean:.2}, least {:.2}", ratios.iter().copied().fold(f64::INFINITY, f64::min));
}

fn networks(options: &Options, what: &str, nets: &[&str], batch: usize, styles: &[&str]) {
    for net in nets {
        println!("\n{what}, {net}, batch {batch}, {} threads, ms", options.threads);
        let mut torch = Torch::start();
        let mut labels = vec![];
        let mut jobs = vec![];
        for style in styles {
            for last in [false, true] {
                let job = torch.prepare(&format!(
                    r#"{{"what":"{what}","net":"{net}","style":"{style}","batch":{batch},"channels_last":{last},"threads":{}}}"#,
                    options.threads
                ));
                labels.push(format!("{style}{}", if last { ", channels last" } else { "" }));
                jobs.push(job.id);
            }
        }
        let count = if what == "certify" { 3.min(options.rounds) } else { options.rounds };
        for dtype in if what == "ce" { &["f32"][..] } else { &["f32", "bf16"] } {
            if *dtype == "bf16" && !workbench::bounds::bf16_iterations() {
                println!("  this processor multiplies no bf16: no such row");
                continue;
            }
            let mut ours = Training::new(net, batch, 1, what, dtype);
            let rounds = rounds(count, false, || ours.run(), &mut torch, &jobs);
            println!("  ours, {dtype}: {}", spread(&rounds.ours));
            for (i, label) in labels.iter().enumerate() {
                println!("    {label:26} {}   {}", spread(&rounds.peers[i]), rounds.ratio(i));
            }
        }
    }
}

/// Memory beyond what each side holds before its first step: each in a fresh process, the peak after five steps.
fn memory(options: &Options) {
    println!("\nmemory of the Local-Lip-B step beyond what is held before it, MiB");
    for (net, batch) in [("cifar10_6c2f", 64), ("tiny_8c2f", 8)] {
        let ours = ours::memory_in_own_process(net, batch, options.threads);
        let peer = |style: &str, last: bool| {
            let mut torch = Torch::start();
            let job = torch.prepare(&format!(
                r#"{{"what":"step","net":"{net}","style":"{style}","batch":{batch},"channels_last":{last},"threads":{}}}"#,
                options.threads
            ));
            let peak = (0..5).map(|_| torch.go(job.id).peak_mib).fold(0.0, f64::max);
            peak - job.resident_mib
        };
        let tuned = peer("tuned", false).min(peer("tuned", true));
        println!("  {net}, batch {batch}: ours {ours:.0}, tuned {tuned:.0}, ratio {:.2}", ours / tuned);
    }
}

/// Our step without a peer, for a profiler.
fn alone(options: &Options) {
    for net in ["cifar10_6c2f", "mnist_4c3f"] {
        for dtype in ["f32", "bf16"] {
            let mut step = Training::new(net, 64, 1, "step", dtype);
            (0..2).for_each(|_| step.run());
            let all: Vec<f64> = (0..options.rounds).map(|_| timed(|| step.run())).collect();
            println!("{net}, batch 64, {dtype}: {}", spread(&all));
        }
    }
}

/// How our step grows with the batch, the iterations and the width.
fn growth() {
    println!("\nLocal-Lip-B step of 6C2F in f32, ms (median of 5)");
    let time = |batch: usize, width: usize, iterations: usize| {
        let mut step = Training::new("cifar10_6c2f", batch, width, &format!("step {iterations}"), "f32");
        (0..2).for_each(|_| step.run());
        median(&(0..5).map(|_| timed(|| step.run())).collect::<Vec<_>>())
    };
    for batch in [8, 16, 32, 64, 128, 256] {
        let ms = time(batch, 1, 2);
        println!("  batch {batch:3}, 2 iterations: {ms:8.1}   {:.2} per sample", ms / batch as f64);
    }
    for iterations in [1, 2, 5, 10, 20] {
        println!("  batch  64, {iterations} iterations: {:8.1}", time(64, 1, iterations));
    }
    for width in [1, 2, 4] {
        println!("  batch  16, width x{width}: {:8.1}", time(16, width, 2));
    }
}

/// The two sides' times, round by round.
struct Rounds {
    ours: Vec<f64>,
    peers: Vec<Vec<f64>>,
}

/// Ours and each of the peer's jobs in turn, after two unmeasured rounds.
fn rounds(count: usize, short: bool, mut ours: impl FnMut(), torch: &mut Torch, jobs: &[usize]) -> Rounds {
    let mut rounds = Rounds { ours: vec![], peers: vec![vec![]; jobs.len()] };
    for round in 0..count + 2 {
        // The other side's threads may still be awake, waiting for more work.
        let rest = || std::thread::sleep(std::time::Duration::from_millis(300));
        rest();
        // Short work is called twice, and the second call counts: the first wakes threads and fills caches, on either side.
        if short {
            ours();
        }
        let ms = timed(&mut ours);
        rest();
        let mut go = |job: usize| {
            if short {
                torch.go(job);
            }
            torch.go(job).ms
        };
        let peers: Vec<f64> = jobs.iter().map(|job| go(*job)).collect();
        if round >= 2 {
            rounds.ours.push(ms);
            rounds.peers.iter_mut().zip(peers).for_each(|(all, ms)| all.push(ms));
        }
    }
    rounds
}

impl Rounds {
    fn best_peer(&self) -> usize {
        let all = 0..self.peers.len();
        all.min_by(|a, b| median(&self.peers[*a]).total_cmp(&median(&self.peers[*b]))).expect("a peer")
    }

    fn ratios(&self, peer: usize) -> Vec<f64> {
        self.peers[peer].iter().zip(&self.ours).map(|(peer, ours)| peer / ours).collect()
    }

    fn median_ratio(&self, peer: usize) -> f64 {
        median(&self.ratios(peer))
    }

    fn ratio(&self, peer: usize) -> String {
        let [low, mid, high] = quartiles(&self.ratios(peer));
        format!("ratio {mid:.2} ({low:.2}-{high:.2})")
    }
}

fn timed(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64() * 1e3
}

fn quartiles(values: &[f64]) -> [f64; 3] {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    [0.25, 0.5, 0.75].map(|q| sorted[((sorted.len() - 1) as f64 * q).round() as usize])
}

fn median(values: &[f64]) -> f64 {
    quartiles(values)[1]
}

fn spread(values: &[f64]) -> String {
    let [low, mid, high] = quartiles(values);
    format!("{mid:8.1} ({low:.1}-{high:.1})")
}
