//! Images per second of each way from files to batches; how much of a training step is spent waiting for its batch
//!
//! ```text
//! WORKBENCH_DATA=DIR cargo bench --bench loading
//! ```
//!
//! Pieces of the real data sets, as far as WORKBENCH_DATA holds them. Files have been read once before, so that what is
//! measured is reading and decoding, not the disk.

#[path = "../tests/common/parquet.rs"]
mod parquet_files;

use std::path::Path;
use std::time::Instant;
use workbench::data::{Augmentation, BatchOrder, Dataset, Options, Split};
use workbench::script::Session;
use workbench::script::session::Config;
use workbench::script::settings::Overrides;

/// As the program has it.
#[global_allocator]
static ALLOCATOR: workbench::base::memory::Allocator = workbench::base::memory::Allocator;

fn main() {
    workbench::base::memory::keep_freed_memory();
    workbench::base::threads::start(None).expect("the thread pool");
    println!("images per second, {} threads", rayon::current_num_threads());
    let part = |train, test| Options { train_limit: Some(train), test_limit: Some(test), ..Options::default() };
    let cifar = files("cifar10", "binary, .gz", &part(20_000, 2000));
    files("tiny_imagenet", "JPEG in folders", &part(500, 500));
    if let Some(cifar) = &cifar {
        repacked(cifar);
        for (name, augmentation) in [
            ("as they are", Augmentation::default()),
            ("crop, flip", Augmentation { crop: 4, flip: true, ..Augmentation::default() }),
            (
                "crop, flip, rotation, cutout",
                Augmentation { crop: 4, flip: true, cutout: 8, rotation: 15.0, ..Augmentation::default() },
            ),
        ] {
            let split = cifar.train.with_augmentation(augmentation).expect("images of 32x32");
            batches(&format!("cifar10, batches of 256, {name}"), &split);
        }
        waiting();
    }
    if let Some(data) = files("mnist", "IDX, .gz, or the decoded cache", &Options::default()) {
        batches("mnist, batches of 256", &data.train);
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn timed<R>(work: impl FnOnce() -> R) -> (f64, R) {
    let start = Instant::now();
    let result = work();
    (start.elapsed().as_secs_f64(), result)
}

fn files(name: &str, what: &str, options: &Options) -> Option<Dataset> {
    let mut times = vec![];
    let mut last = None;
    for _ in 0..4 {
        let (time, loaded) = timed(|| Dataset::load(name, options));
        match loaded {
            Ok(data) => last = Some(data),
            Err(e) => {
                println!("{name}: skipped: {}", e.to_string().lines().next().unwrap_or_default());
                return None;
            }
        }
        times.push(time);
    }
    let data = last?;
    let count = data.train.len() + data.test.len();
    let name = if name.ends_with(".yaml") { "" } else { name };
    println!(
        "{name:14} {what:34} {:10.0}   ({count} images in {:.3} s)",
        count as f64 / median(times.clone()),
        median(times)
    );
    Some(data)
}

/// The same images as the hub would hold them.
fn repacked(cifar: &Dataset) {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |file: &str, split: &Split| {
        let numbers: Vec<u32> = (0..split.len() as u32).collect();
        let labels: Vec<u32> = split.labels(&numbers).and_then(|l| l.to_vec1()).expect("labels");
        let values = split.images(&numbers).and_then(|x| x.flatten_all()?.to_vec1::<f32>()).expect("images");
        let bytes: Vec<u8> = values.iter().map(|v| (v * 255.0).round() as u8).collect();
        let rows = bytes.chunks(3072).zip(labels);
        let rows: Vec<_> = rows.map(|(p, l)| (parquet_files::png(p, [3, 32, 32]), i64::from(l))).collect();
        std::fs::write(folder.path().join(file), parquet_files::write(&rows, 1000, ("img", "label"))).expect("room");
    };
    write("train.parquet", &cifar.train);
    write("test.parquet", &cifar.test);
    let manifest = format!(
        "name: again\ntitle: CIFAR-10 as Parquet\nshape: [3, 32, 32]\nclasses: 10\nscale: 255\nformat: parquet\n\
         columns: {{ image: img, label: label }}\nsplits:\n  train: {{ size: {}, files: [train.parquet] }}\n  \
         test: {{ size: {}, files: [test.parquet] }}\nlicence: none\ncitation: none\n",
        cifar.train.len(),
        cifar.test.len()
    );
    let path = folder.path().join("again.yaml");
    std::fs::write(&path, manifest).expect("room");
    files(&path.display().to_string(), "cifar10 as PNG in Parquet", &Options::default());
}

fn batches(name: &str, split: &Split) {
    let pass = |number| {
        let order = BatchOrder::Shuffled { seed: 0, pass: number };
        let made = split.batches(256, order).expect("batches").augmented(number).ahead(0);
        timed(|| made.map(|b| std::hint::black_box(b.expect("a batch")).index.len()).sum::<usize>())
    };
    let all: Vec<(f64, usize)> = (0..5).map(pass).collect();
    println!("{name:49} {:10.0}", all[0].1 as f64 / median(all.iter().map(|(time, _)| *time).collect()));
}

/// A few real steps, timed inside the loop's body and around the loop.
fn waiting() {
    let config = Config {
        device: candle_core::Device::Cpu,
        seed: 0,
        threads: rayon::current_num_threads(),
        data_dir: std::env::var_os("WORKBENCH_DATA").map(|d| Path::new(&d).into()),
        overrides: Overrides::default(),
        script: None,
        recording: workbench::script::session::Recording::default(),
        source: Default::default(),
        allowed: Default::default(),
        ranks: Default::default(),
        limits: Default::default(),
    };
    let mut session = Session::new(config);
    if let Err(failure) = session.eval(include_str!("loading.rhai")) {
        panic!("{}", failure.render(false));
    }
}
