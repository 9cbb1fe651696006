//! A folder of scripts, and the program started in it several times over.

use super::program::Folder;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many tests at a time: two cores have enough with two launchers, which wait most of their time.
const AT_A_TIME: usize = 2;

static UNDER_WAY: Mutex<usize> = Mutex::new(0);
static OVER: Condvar = Condvar::new();

/// A test's turn, until it is over.
pub struct Turn(());

impl Drop for Turn {
    fn drop(&mut self) {
        *UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        OVER.notify_one();
    }
}

/// Is there an mpirun of Open MPI? Says why a test is skipped.
pub fn turn() -> Option<Turn> {
    let said = Command::new("mpirun").arg("--version").output();
    if said.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("Open MPI")) {
        let mut under_way = UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner);
        while *under_way >= AT_A_TIME {
            under_way = OVER.wait(under_way).unwrap_or_else(PoisonError::into_inner);
        }
        *under_way += 1;
        return Some(Turn(()));
    }
    assert!(
        std::env::var_os("WORKBENCH_REQUIRE_MPI").is_none(),
        "WORKBENCH_REQUIRE_MPI is set, and there is no mpirun of Open MPI"
    );
    println!("skipped: there is no mpirun of Open MPI on PATH (Debian: openmpi-bin)");
    None
}

/// Trains by Local-Lip-B, so that vectors of images, global ones, box and ball all take part; draws for each batch.
pub const TRAINS: &str = r#"
import "std/local_lip" as lip;
import "std/methods" as methods;
import "std/schedule" as schedule;
let cfg = settings(#{ epochs: 3, batch: 60, limit: 1009, method: "local_lip_b", vectors: "f32", dtype: "f32", rule: "adam", pause: 0.0, every: 0, warmup: 0, ramp: 2,
    eps: 0.5, eps_train: 0.5, iterations: 1, lr: 1e-3, worst_iterations: 1, sparsity: 0.0, draws: true, norm: false });
let data  = dataset("digits", #{ train_limit: cfg.limit });
let norm  = if cfg.norm { [batch_norm2d()] } else { [] };
let model = sequential(data.shape, [conv2d(6, 3, #{ padding: 1 })] + norm + [relu_theta(1.0), flatten(), linear(24), relu_theta(1.0), linear(10)], #{ dtype: cfg.dtype });
let vectors   = methods::vector_store(cfg.method, model, data.train.places, cfg);
let optimizer = if cfg.rule == "sgd" { sgd(model, #{ lr: 0.02 }) } else { adam(model, #{ lr: cfg.lr, clip_norm: 1.0 }) };
for epoch in run.epochs(cfg.epochs) {
    for batch in data.train.batches(cfg.batch) {
        let x = batch.x.to(model);
        if cfg.draws { x = x + randn(x.shape).to(model) * 0.01; }
        let loss = if cfg.norm {
            cross_entropy(model.forward(x), batch.y)
        } else if cfg.dtype == "f64" {
            // By the bounds themselves: methods train in f32.
            let found = lip::bounds(model, x, 0.2, vectors.of(batch), #{ iterations: 1 });
            cross_entropy(worst_logits(model, found, batch.y, #{ method: "clip", iterations: 1 }), batch.y)
        } else {
            methods::training_step(cfg.method, model, batch, schedule::epsilon(epoch, batch, cfg), schedule::kappa(epoch, batch, cfg), vectors, cfg).loss
                + cross_entropy(model.forward(x), batch.y) * 0.1
        };
        optimizer.step(loss);
        run.log(#{ loss: loss });
        if cfg.pause > 0.0 { sleep(cfg.pause); }
        if cfg.every > 0 && batch.number % cfg.every == 0 { run.checkpoint(); }
    }
    run.save(model, "model.safetensors");
    run.checkpoint();
}
print(`${fixed(run.metrics.loss, 9)}`);
"#;

/// `mpirun -n N workbench ...` in the folder.
pub fn launcher(folder: &Folder, n: usize, arguments: &[&str]) -> Command {
    launcher_of(folder, n, &[&[env!("CARGO_BIN_EXE_workbench")], arguments].concat())
}

/// The same of any command.
pub fn launcher_of(folder: &Folder, n: usize, words: &[&str]) -> Command {
    let mut command = Command::new("mpirun");
    command.args(["--oversubscribe", "--bind-to", "none", "-n", &n.to_string()]);
    command.args(words).current_dir(folder.path()).env("NO_COLOR", "1").stdin(Stdio::null());
    // In a container everybody is root.
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    command
}

/// What such a run prints, and its exit code.
pub fn launched(folder: &Folder, n: usize, arguments: &[&str]) -> String {
    folder.shown(&launcher(folder, n, arguments).output().unwrap())
}

/// The bytes of a file that a run has written.
pub fn bytes(folder: &Folder, file: &str) -> Vec<u8> {
    std::fs::read(folder.path().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// The rows of a run's metrics without the time that they took.
pub fn rows(folder: &Folder, run: &str) -> Vec<serde_json::Value> {
    let text = String::from_utf8(bytes(folder, &format!("{run}/metrics.jsonl"))).unwrap();
    let mut rows: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    rows.iter_mut().for_each(|row| drop(row.as_object_mut().unwrap().remove("seconds")));
    rows
}

/// The largest difference of the numbers of two rows' losses.
pub fn apart(a: &[serde_json::Value], b: &[serde_json::Value]) -> f64 {
    assert_eq!(a.len(), b.len());
    let loss = |row: &serde_json::Value| row["loss"].as_f64().unwrap();
    a.iter().zip(b).map(|(a, b)| (loss(a) - loss(b)).abs() / loss(a).abs()).fold(0.0, f64::max)
}

/// The largest difference of the weights in two files.
pub fn weights_apart(folder: &Folder, a: &str, b: &str) -> f64 {
    let load =
        |file: &str| candle_core::safetensors::load(folder.path().join(file), &candle_core::Device::Cpu).unwrap();
    let (a, b) = (load(a), load(b));
    let apart = |name: &String| {
        let numbers = |t: &candle_core::Tensor| {
            t.flatten_all().unwrap().to_dtype(candle_core::DType::F64).unwrap().to_vec1::<f64>().unwrap()
        };
        numbers(&a[name]).iter().zip(numbers(&b[name])).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max)
    };
    assert_eq!(a.len(), b.len());
    a.keys().map(apart).fold(0.0, f64::max)
}

/// Wait until a run is under way so far that it has written `lines` rows of metrics.
pub fn wait_for_rows(folder: &Path, lines: usize) {
    let began = Instant::now();
    let file = folder.join("metrics.jsonl");
    while std::fs::read_to_string(&file).map_or(0, |text| text.lines().count()) < lines {
        assert!(began.elapsed() < Duration::from_secs(60), "the run does not get on");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The processes of the program that a launcher has started.
pub fn processes_of(launcher: &Child) -> Vec<i32> {
    let text = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", launcher.id())).unwrap_or_default();
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// The end of a launcher within so many seconds: what it said, and its code.
pub fn end_of(folder: &Folder, mut launcher: Child, seconds: u64) -> String {
    let began = Instant::now();
    while launcher.try_wait().unwrap().is_none() {
        if began.elapsed() > Duration::from_secs(seconds) {
            launcher.kill().unwrap();
            panic!("it hangs");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    folder.shown(&launcher.wait_with_output().unwrap())
}
