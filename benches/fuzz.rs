//! Random damage to every kind of data file, for as long as one likes: no panic, no endless loop, no memory out of bounds
//!
//! ```text
//! cargo bench --bench fuzz -- [SECONDS FOR EACH PARSER, 60] [SEED, 0] [PARSER...]
//! ```
//!
//! Each round takes a good file, changes it in a few places (bits, bytes, numbers at the edges, pieces cut out, doubled,
//! moved, or taken from another file) and loads the data set. An error is right and so is a data set of the right size;
//! a panic or a round of more than five seconds ends the run with the file kept and its name printed.

#[path = "../tests/common/parquet.rs"]
mod parquet_files;

use parquet::basic::{BrotliLevel, Compression, GzipLevel};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use workbench::base::random::Generator;
use workbench::data::source::{fetch, recognise};
use workbench::data::{Dataset, Options};

/// One parser: the name of the damaged file, the good contents to start from, and what is loaded.
struct Target {
    name: &'static str,
    file: &'static str,
    seeds: Vec<Vec<u8>>,
    import: Option<&'static str>,
}

const SIZES: (usize, usize) = (6, 4);

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|a| a.parse::<u64>().ok());
    let (seconds, seed) = (numbers.next().unwrap_or(60), numbers.next().unwrap_or(0));
    let folder = tempfile::tempdir().expect("a folder");
    // SAFETY: no other thread runs yet. What is imported must not come to lie among the user's own data.
    unsafe { std::env::set_var("XDG_CACHE_HOME", folder.path().join("cache")) };
    // Where a panic is expected to be caught, its words would only hide the report.
    std::panic::set_hook(Box::new(|_| {}));
    let named: Vec<String> = std::env::args().skip(1).filter(|a| a.starts_with(char::is_alphabetic)).collect();
    for target in targets().into_iter().filter(|t| named.is_empty() || named.iter().any(|n| n == t.name)) {
        let place = folder.path().join(target.name);
        fill(&place, target.name);
        let (rounds, fine) = run(&target, &place, Duration::from_secs(seconds), seed);
        println!("{:10} {rounds:8} rounds, {fine} of them loaded nevertheless, no crash", target.name);
    }
}

fn run(target: &Target, place: &Path, time: Duration, seed: u64) -> (usize, usize) {
    let random = Generator::stream(seed, 1).fork(target.name);
    let (started, mut rounds, mut fine) = (Instant::now(), 0, 0);
    while started.elapsed() < time {
        let bytes = damaged(&target.seeds, &random);
        let file = place.join(target.file);
        std::fs::write(&file, &bytes).expect("room for a file");
        let begin = Instant::now();
        match catch_unwind(AssertUnwindSafe(|| load(target, place))) {
            Ok(loaded) if begin.elapsed() < Duration::from_secs(5) => fine += usize::from(loaded),
            other => {
                let kept = PathBuf::from(format!("fuzz-{}-{rounds}", target.name));
                std::fs::write(&kept, &bytes).expect("room for a file");
                let what = if other.is_err() { "a panic" } else { "too slow" };
                println!(
                    "{}: {what} in round {rounds}, {:?}; kept as {}",
                    target.name,
                    begin.elapsed(),
                    kept.display()
                );
                std::process::exit(1);
            }
        }
        rounds += 1;
    }
    (rounds, fine)
}

fn load(target: &Target, place: &Path) -> bool {
    let file = place.join(target.file);
    match target.name {
        "weights" => return load_weights(&file),
        "onnx" => return workbench::nn::load_model(&file, None, &candle_core::Device::Cpu).is_ok(),
        _ => {}
    }
    let manifest = place.join("my.yaml").display().to_string();
    if target.import == Some("") {
        return recognise::look(&place.join("in")).is_ok();
    }
    if let Some(archive) = target.import {
        return fetch::import(&manifest, &place.join(archive), &|_| {}).is_ok();
    }
    match Dataset::load(&manifest, &Options::default()) {
        Ok(data) if !["manifest", "looks"].contains(&target.name) => {
            assert_eq!((data.train.len(), data.test.len()), SIZES, "a data set of another size");
            true
        }
        other => other.is_ok(),
    }
}

/// Every set of tensors in a file, each number of it.
fn load_weights(file: &Path) -> bool {
    let bytes = std::fs::read(file).expect("what was just written");
    let Ok(sets) = workbench::nn::weights::sets_of(file, &bytes) else { return false };
    sets.iter().any(|set| workbench::nn::weights::read_all(file, &bytes, Some(set), &candle_core::Device::Cpu).is_ok())
}

/// Weights in PyTorch's three formats.
fn torch_files() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pytorch");
    let names = ["nested.pth", "lists.pth", "legacy.pth", "old_views.pth", "oldest.pth", "bn.pth"];
    names.map(|name| std::fs::read(folder.join(name)).expect("a fixture")).to_vec()
}

/// Networks as ONNX: a chain, and one with branches; with what we say of them, and without.
fn onnx_files() -> Vec<Vec<u8>> {
    use workbench::nn::layers::{BatchNorm2d, Conv2d, Flatten, Linear, Relu, ReluTheta, Residual};
    use workbench::nn::{LayerSpec, Sequential, onnx};
    let conv = || LayerSpec::of(Conv2d { channels: 2, kernel: 3, stride: 1, padding: 1, bias: true });
    let end = [LayerSpec::of(Flatten), LayerSpec::of(Linear { features: 2, bias: true })];
    let norm = LayerSpec::of(BatchNorm2d { eps: 1e-5, momentum: 0.1 });
    let chain = [vec![conv(), norm, LayerSpec::of(ReluTheta { theta: 1.0 })], end.to_vec()].concat();
    let branched = [vec![LayerSpec::of(Residual { layers: vec![conv(), LayerSpec::of(Relu)] })], end.to_vec()].concat();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("net.onnx");
    let mut made = vec![];
    for specs in [chain, branched] {
        let net =
            Sequential::new(&[2, 3, 3], &specs, candle_core::DType::F32, &candle_core::Device::Cpu, &Generator::new(1));
        onnx::export(&net.expect("a network"), &path, candle_core::DType::F32).expect("a file");
        let bytes = std::fs::read(&path).expect("a file");
        let at = bytes.windows(9).position(|w| w == b"workbench").expect("a producer");
        let mut bare = bytes.clone();
        // The key of the description, behind the name of the producer.
        let key =
            bytes[at + 9..].windows(9).position(|w| w == b"workbench").map(|i| at + 9 + i).expect("a description");
        bare[key] = b'x';
        made.extend([bytes, bare]);
    }
    made
}

fn damaged(seeds: &[Vec<u8>], random: &Generator) -> Vec<u8> {
    let pick = |n: usize| (random.unit() * n.max(1) as f64) as usize;
    let mut bytes = seeds[pick(seeds.len())].clone();
    for _ in 0..=pick(6) {
        let at = pick(bytes.len());
        let end = (at + 1 + pick(40)).min(bytes.len());
        match pick(9) {
            0 | 1 if !bytes.is_empty() => bytes[at] ^= 1 << pick(8),
            2 if !bytes.is_empty() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'\n', b'-', b'9'][pick(8)],
            3 if end - at.min(end) >= 4 => {
                let number = [0, 1, u32::MAX, i32::MAX as u32, 1 << 16][pick(5)];
                let number = if pick(2) == 0 { number.to_le_bytes() } else { number.to_be_bytes() };
                bytes[at..at + 4].copy_from_slice(&number);
            }
            4 => bytes.truncate(at),
            5 if at < end => drop(bytes.drain(at..end)),
            6 if at < end => {
                let piece = bytes[at..end].to_vec();
                let to = pick(bytes.len());
                bytes.splice(to..to, piece);
            }
            7 => {
                let other = &seeds[pick(seeds.len())];
                let from = pick(other.len());
                let to = pick(bytes.len());
                bytes.splice(to..to, other[from..(from + 1 + pick(40)).min(other.len())].iter().copied());
            }
            _ => bytes.extend((0..pick(9)).map(|_| pick(256) as u8)),
        }
    }
    bytes
}

const SHAPE: [usize; 3] = [1, 5, 6];

fn pixels(image: usize) -> Vec<u8> {
    (0..30).map(|i| (i * 11 + image * 50) as u8).collect()
}

fn records(from: usize, to: usize) -> Vec<u8> {
    (from..to).flat_map(|i| [vec![(i % 2) as u8], pixels(i)].concat()).collect()
}

fn idx(from: usize, to: usize) -> (Vec<u8>, Vec<u8>) {
    let word = |n: usize| (n as u32).to_be_bytes();
    let images = [&word(0x0803)[..], &word(to - from), &word(5), &word(6)].concat();
    let labels = [&word(0x0801)[..], &word(to - from)].concat();
    let labels = labels.into_iter().chain((from..to).map(|i| (i % 2) as u8)).collect();
    (images.into_iter().chain((from..to).flat_map(pixels)).collect(), labels)
}

fn csv(from: usize, to: usize) -> Vec<u8> {
    let row = |i: usize| {
        let values: Vec<String> = pixels(i).iter().map(u8::to_string).collect();
        format!("{},{}\n", values.join(","), i % 2)
    };
    (from..to).map(row).collect::<String>().into_bytes()
}

fn rows(from: usize, to: usize) -> Vec<u8> {
    let rows: Vec<_> = (from..to).map(|i| (parquet_files::png(&pixels(i), SHAPE), (i % 2) as i64)).collect();
    parquet_files::write(&rows, 4, ("image", "label"))
}

fn jpeg(image: usize) -> Vec<u8> {
    let mut out = vec![];
    let encoder = image::codecs::jpeg::JpegEncoder::new(&mut out);
    image::ImageEncoder::write_image(encoder, &pixels(image), 6, 5, image::ExtendedColorType::L8).expect("a picture");
    out
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn tar() -> Vec<u8> {
    let mut archive = tar::Builder::new(vec![]);
    for (name, bytes) in [("train.bin", records(0, 6)), ("test.bin", records(6, 10))] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, &bytes[..]).expect("memory");
    }
    archive.into_inner().expect("memory")
}

fn zip() -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(vec![]));
    for (name, bytes) in [("train.bin", records(0, 6)), ("test.bin", records(6, 10))] {
        archive.start_file(name, zip::write::SimpleFileOptions::default()).expect("memory");
        archive.write_all(&bytes).expect("memory");
    }
    archive.finish().expect("memory").into_inner()
}

/// Records as a pickle of Python's version.
fn pickle(from: usize, to: usize) -> Vec<u8> {
    let n = (to - from) as u8;
    let data: Vec<u8> = (from..to).flat_map(pixels).collect();
    let list: Vec<u8> = (from..to).flat_map(|i| [b'K', (i % 2) as u8]).collect();
    [
        b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01"
            .as_slice(),
        &[b'K', n, b'K', 30, 0x86],
        b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T",
        &(data.len() as u32).to_le_bytes(),
        &data,
        b"tbU\x06labels](",
        &list,
        b"eu.",
    ]
    .concat()
}

/// Rows with names for labels, in a compression whose pages are looked at first.
fn named_rows(from: usize, to: usize, brotli: bool) -> Vec<u8> {
    let compression =
        if brotli { Compression::BROTLI(BrotliLevel::default()) } else { Compression::GZIP(GzipLevel::default()) };
    let schema = "message schema { OPTIONAL BYTE_ARRAY image; OPTIONAL BYTE_ARRAY label (UTF8); }";
    let schema = Arc::new(parse_message_type(schema).expect("a schema"));
    let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
    let mut out = vec![];
    let mut writer = SerializedFileWriter::new(&mut out, schema, properties).expect("memory");
    let mut group = writer.next_row_group().expect("memory");
    let pictures = (from..to).map(|i| ByteArray::from(parquet_files::png(&pixels(i), SHAPE))).collect();
    let labels: Vec<ByteArray> = (from..to).map(|i| ByteArray::from(["x", "y"][i % 2])).collect();
    for values in [pictures, labels] {
        let mut column = group.next_column().expect("memory").expect("a column");
        let levels = vec![1; values.len()];
        column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).expect("memory");
        column.close().expect("memory");
    }
    group.close().expect("memory");
    writer.close().expect("memory");
    out
}

/// A picture in another format.
fn coded(image: usize, format: image::ImageFormat) -> Vec<u8> {
    let mut out = std::io::Cursor::new(vec![]);
    let rgb: Vec<u8> = pixels(image).into_iter().flat_map(|v| [v; 3]).collect();
    image::RgbImage::from_raw(6, 5, rgb).expect("its pixels").write_to(&mut out, format).expect("memory");
    out.into_inner()
}

fn header_csv(from: usize, to: usize) -> Vec<u8> {
    let names: String = (0..30).map(|i| format!(",p{i}")).collect();
    let row = |i: usize| format!("{}{}\n", i % 2, pixels(i).iter().map(|v| format!(",{v}")).collect::<String>());
    format!("label{names}\n{}", (from..to).map(row).collect::<String>()).into_bytes()
}

/// An array of bytes as NumPy writes it.
fn npy(shape: &[usize], bytes: &[u8]) -> Vec<u8> {
    array("|u1", false, shape, bytes)
}

fn array(kind: &str, fortran: bool, shape: &[usize], bytes: &[u8]) -> Vec<u8> {
    let shape: String = shape.iter().map(|n| format!("{n},")).collect();
    let order = if fortran { "True" } else { "False" };
    let header = format!("{{'descr': '{kind}', 'fortran_order': {order}, 'shape': ({shape}), }}");
    let header = format!("{header:117}\n");
    [b"\x93NUMPY\x01\x00\x76\x00", header.as_bytes(), bytes].concat()
}

fn npz() -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(vec![]));
    for (name, from, to) in [("a", 0, 6), ("b", 6, 10)] {
        let images = npy(&[to - from, 5, 6], &(from..to).flat_map(pixels).collect::<Vec<_>>());
        let labels = npy(&[to - from], &(from..to).map(|i| (i % 2) as u8).collect::<Vec<_>>());
        for (kind, bytes) in [("x", images), ("y", labels)] {
            archive.start_file(format!("{name}{kind}.npy"), zip::write::SimpleFileOptions::default()).expect("memory");
            archive.write_all(&bytes).expect("memory");
        }
    }
    archive.finish().expect("memory").into_inner()
}

fn manifest(format: &str) -> String {
    let splits = match format {
        "idx" => ("images: a, labels: b", "images: c, labels: d"),
        "csv" | "header" => ("file: a", "file: b"),
        "npy" | "numbers" => ("images: x.npy, labels: y.npy", "images: xt.npy, labels: yt.npy"),
        "npz" => ("file: all.npz, images: ax, labels: ay", "file: all.npz, images: bx, labels: by"),
        "folders" | "bmp" | "webp" | "looks" => ("folder: train", "folder: val, annotations: list.txt"),
        _ => ("files: [train.bin]", "files: [test.bin]"),
    };
    let more = match format {
        "folders" => "class_list: classes.txt\n",
        "bmp" | "webp" | "looks" => {
            "class_list: classes.txt\nclass_names: [x, y]\npictures: { fit: crop, channels: 1, background: [1, 2, 3], depth: 8, exif: true }\n"
        }
        "parquet" => "columns: { image: image, label: label }\n",
        _ => "",
    };
    let (format, scale) = match format {
        "bmp" | "webp" | "looks" => ("folders", 255),
        "numbers" => ("npy", 256),
        "header" => ("csv", 255),
        other => (other, 255),
    };
    format!(
        "name: my\ntitle: My\nshape: [1, 5, 6]\nclasses: 2\nscale: {scale}\nformat: {format}\n{more}splits:\n  \
         train: {{ size: 6, {} }}\n  test: {{ size: 4, {} }}\nlicence: none\ncitation: none\n",
        splits.0, splits.1
    )
}

fn targets() -> Vec<Target> {
    let target = |name, file, seeds| Target { name, file, seeds, import: None };
    let hub = include_str!("../datasets/cifar10.yaml").as_bytes().to_vec();
    let manifests = ["cifar", "idx", "folders"].map(|f| manifest(f).into_bytes()).into_iter().chain([hub]).collect();
    vec![
        target("idx", "a", vec![idx(0, 6).0, idx(6, 10).0]),
        target("labels", "b", vec![idx(0, 6).1]),
        target("idx-gz", "a.gz", vec![gz(&idx(0, 6).0)]),
        target("csv", "a", vec![csv(0, 6), csv(2, 9)]),
        target("cifar", "train.bin", vec![records(0, 6), records(0, 5)]),
        target("parquet", "train.bin", vec![rows(0, 6), rows(0, 5)]),
        target("png", "train/x/0.png", vec![parquet_files::png(&pixels(0), SHAPE)]),
        target("jpeg", "train/x/0.png", vec![jpeg(0), jpeg(3)]),
        target("lists", "val/list.txt", vec![b"0.png\tx\n1.png\ty\n2.png\tx\n3.png\ty\n".to_vec()]),
        target("manifest", "my.yaml", manifests),
        target("npy", "x.npy", vec![npy(&[6, 1, 5, 6], &(0..6).flat_map(pixels).collect::<Vec<_>>())]),
        target("npz", "all.npz", vec![npz()]),
        target("weights", "w.pth", torch_files()),
        target("onnx", "net.onnx", onnx_files()),
        target("numbers", "x.npy", {
            let half: Vec<u8> = (0..180).flat_map(|v| half::f16::from_f32(v as f32).to_be_bytes()).collect();
            let wide: Vec<u8> = (0..180_u16).flat_map(u16::to_be_bytes).collect();
            vec![array(">f2", true, &[6, 5, 6], &half), array(">u2", true, &[6, 1, 5, 6], &wide)]
        }),
        target("header", "a", vec![header_csv(0, 6), csv(0, 6)]),
        target("pickle", "train.bin", vec![pickle(0, 6), pickle(0, 5)]),
        target("gzip-pages", "train.bin", vec![named_rows(0, 6, false)]),
        target("brotli-pages", "train.bin", vec![named_rows(0, 6, true)]),
        target("bmp", "train/x/0.png", vec![coded(0, image::ImageFormat::Bmp)]),
        target("webp", "train/x/0.png", vec![coded(0, image::ImageFormat::WebP)]),
        target("looks", "my.yaml", vec![manifest("looks").into_bytes()]),
        Target { name: "recognise", file: "in/a.npz", seeds: vec![npz()], import: Some("") },
        Target { name: "recognise-csv", file: "in/a.csv", seeds: vec![header_csv(0, 6)], import: Some("") },
        Target { name: "tar", file: "a.tar", seeds: vec![tar()], import: Some("a.tar") },
        Target { name: "tar-gz", file: "a.tar.gz", seeds: vec![gz(&tar())], import: Some("a.tar.gz") },
        Target { name: "zip", file: "a.zip", seeds: vec![zip()], import: Some("a.zip") },
    ]
}

/// The good files that a target's damaged one lies among.
fn fill(place: &Path, target: &str) {
    let put = |file: &str, bytes: Vec<u8>| {
        let path = place.join(file);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("room for a folder");
        std::fs::write(path, bytes).expect("room for a file");
    };
    let format = match target {
        "idx" | "labels" | "idx-gz" => "idx",
        "csv" => "csv",
        "parquet" | "npy" | "npz" => target,
        "png" | "jpeg" | "bmp" | "webp" | "lists" | "looks" => "folders",
        "numbers" => "npy",
        "header" => "csv",
        "gzip-pages" | "brotli-pages" => "parquet",
        _ => "cifar",
    };
    put(
        "my.yaml",
        manifest(if matches!(target, "bmp" | "webp" | "numbers" | "header") { target } else { format }).into_bytes(),
    );
    put("in/note", vec![]);
    match format {
        "idx" => {
            let ((a, b), (c, d)) = (idx(0, 6), idx(6, 10));
            if target != "idx-gz" {
                put("a", a);
            }
            [("b", b), ("c", c), ("d", d)].into_iter().for_each(|(file, bytes)| put(file, bytes));
        }
        "csv" => put("b", csv(6, 10)),
        "npy" => {
            put("y.npy", npy(&[6], &[0, 1, 0, 1, 0, 1]));
            put("xt.npy", npy(&[4, 5, 6], &(6..10).flat_map(pixels).collect::<Vec<_>>()));
            put("yt.npy", npy(&[4], &[0, 1, 0, 1]));
        }
        "parquet" if target == "parquet" => put("test.bin", rows(6, 10)),
        "parquet" => put("test.bin", named_rows(6, 10, target == "brotli-pages")),
        "folders" => {
            put("classes.txt", b"x\ny\n".to_vec());
            put("val/list.txt", b"0.png\tx\n1.png\ty\n2.png\tx\n3.png\ty\n".to_vec());
            for i in 0..4 {
                put(&format!("val/{i}.png"), parquet_files::png(&pixels(i), SHAPE));
            }
            for (i, class) in (0..6).map(|i| (i, ["x", "y"][i % 2])) {
                put(&format!("train/{class}/{}.png", i / 2), parquet_files::png(&pixels(i), SHAPE));
            }
        }
        _ if !target.contains("tar") && target != "zip" => {
            put("train.bin", records(0, 6));
            put("test.bin", records(6, 10));
        }
        _ => {}
    }
}
