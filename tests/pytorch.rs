//! Weights from PyTorch: its own files against its own logits, and files made to do harm. `tests/pytorch` holds the files
//! and the script that wrote them.

mod common;
#[path = "pytorch/foreign.rs"]
mod foreign;

use candle_core::{DType, Device, Tensor};
use common::close;
use common::golden::Golden;
use common::program::Folder;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use workbench::base::random::Generator;
use workbench::nn::layers::{ClippedMaxMin, Conv2d, Flatten, Linear, Relu, ReluTheta, Residual};
use workbench::nn::{LayerSpec, Sequential};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pytorch").join(name)
}

fn expected() -> HashMap<String, Tensor> {
    expected_of("expected.safetensors")
}

fn expected_of(file: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(fixture(file), &Device::Cpu).unwrap()
}

fn network(input: &[usize], specs: &[LayerSpec], dtype: DType) -> Sequential {
    Sequential::new(input, specs, dtype, &Device::Cpu, &Generator::new(7)).unwrap()
}

fn conv(channels: usize, kernel: usize, stride: usize) -> LayerSpec {
    LayerSpec::of(Conv2d { channels, kernel, stride, padding: 1, bias: true })
}

fn linear(features: usize) -> LayerSpec {
    LayerSpec::of(Linear { features, bias: true })
}

/// The network of most fixtures.
fn tiny(dtype: DType) -> Sequential {
    let (theta, maxmin) =
        (LayerSpec::of(ReluTheta { theta: 1.0 }), LayerSpec::of(ClippedMaxMin { max: 1.0, min: -1.0 }));
    network(&[1, 4, 4], &[conv(2, 3, 1), theta, LayerSpec::of(Flatten), linear(4), maxmin, linear(3)], dtype)
}

/// Load a file into `net` and compare its logits with PyTorch's, which were computed in f64.
fn agrees(net: &Sequential, file: &Path, x: &Tensor, logits: &Tensor) {
    let what = format!("{} in {:?}", file.display(), net.dtype());
    net.load(file).unwrap_or_else(|e| panic!("{what}: {e}"));
    let got = net.forward(&x.to_dtype(net.dtype()).unwrap()).unwrap();
    close(&what, &got, logits, if net.dtype() == DType::F64 { 1e-12 } else { 1e-6 });
}

#[test]
fn logits_are_those_of_pytorch() {
    let expected = expected();
    // A plain state_dict, one in a checkpoint beside an optimiser's state, one of parameters with a prefix; other orders
    // of the numbers in their storages; half precision.
    for (file, logits) in [
        ("plain.pth", "plain"),
        ("nested.pth", "plain"),
        ("prefix.pth", "plain"),
        ("strided.pth", "strided"),
        ("mixed.pth", "mixed"),
    ] {
        for dtype in [DType::F64, DType::F32] {
            agrees(&tiny(dtype), &fixture(file), &expected["x"], &expected[logits]);
        }
    }
}

/// A residual block's parameters nest, and a Sequential's prefix before all of them goes.
#[test]
fn a_residual_network_loads_by_nested_names() {
    let block = Residual { layers: vec![linear(5), LayerSpec::of(Relu), linear(4)] };
    let specs = [linear(4), LayerSpec::of(block), LayerSpec::of(Relu), linear(2)];
    let x = Tensor::new(&[[0.5, -1.0, 0.25], [1.5, 0.75, -0.5]], &Device::Cpu).unwrap();
    let logits = Tensor::new(
        &[[1.5258255315824836, 2.0777194053917425], [-3.7859431663680536, -5.785831106993036]],
        &Device::Cpu,
    );
    agrees(&network(&[3], &specs, DType::F64), &fixture("residual.pth"), &x, &logits.unwrap());
}

/// PyTorch keeps some views as they were stored, and negates them when they are read.
#[test]
fn a_negated_view_is_what_pytorch_reads() {
    let specs =
        [LayerSpec::of(Conv2d { channels: 3, kernel: 3, stride: 1, padding: 0, bias: true }), LayerSpec::of(Relu)];
    let specs = [&specs[..], &[LayerSpec::of(Flatten), linear(12), LayerSpec::of(Relu), linear(2)]].concat();
    let (plain, negated) = (network(&[2, 4, 4], &specs, DType::F32), network(&[2, 4, 4], &specs, DType::F32));
    plain.load(&fixture("negated_plain.pth")).unwrap();
    negated.load(&fixture("negated.pth")).unwrap();
    let weight = |net: &Sequential| net.parameter("3.weight").unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert!(weight(&plain).iter().any(|w| *w != 0.0));
    assert_eq!(weight(&plain), weight(&negated));
}

/// 6C2F with few channels, its layers as published.
#[test]
fn a_narrow_6c2f() {
    let mut specs = vec![];
    for (channels, kernel, stride) in [(2, 3, 1), (2, 3, 1), (2, 4, 2), (4, 3, 1), (4, 3, 1), (4, 4, 2)] {
        specs.extend([conv(channels, kernel, stride), LayerSpec::of(ReluTheta { theta: 2.0 })]);
    }
    specs.extend([LayerSpec::of(Flatten), linear(16), LayerSpec::of(ReluTheta { theta: 2.0 }), linear(10)]);
    let expected = expected();
    for dtype in [DType::F64, DType::F32] {
        let net = network(&[3, 32, 32], &specs, dtype);
        agrees(&net, &fixture("narrow_6c2f.pth"), &expected["x_6c2f"], &expected["narrow_6c2f"]);
    }
}

/// 6C2F as published, 2.4 million parameters: too large for the repository. `write_fixtures.py GOLDEN cifar_6c2f_relux
/// OUT.pth` writes the file.
#[test]
fn the_published_6c2f() {
    let name = "cifar_6c2f_relux";
    let folder = |key| std::env::var_os(key).map(PathBuf::from);
    let (Some(file), Some(golden)) = (folder("WORKBENCH_PTH"), folder("WORKBENCH_GOLDEN")) else {
        eprintln!("skipped: 6C2F from PyTorch, WORKBENCH_PTH or WORKBENCH_GOLDEN is not set");
        return;
    };
    let golden = Golden::load(&golden, name);
    for dtype in [DType::F64, DType::F32] {
        let trained = golden.model(dtype);
        let net = network(trained.input(), &trained.specs(), dtype);
        agrees(&net, &file, &golden.get("x"), &golden.get("train64/logits"));
        for (name, var) in trained.parameters() {
            close(name, net.parameter(name).unwrap().as_tensor(), var.as_tensor(), 0.0);
        }
    }
}

/// The content decides, not the name: a PyTorch file under any name, and safetensors called `.pth`.
#[test]
fn the_kind_of_a_file_is_told_by_its_content() {
    let folder = tempfile::tempdir().unwrap();
    let (torch, own) = (folder.path().join("w.safetensors"), folder.path().join("w.pth"));
    std::fs::copy(fixture("plain.pth"), &torch).unwrap();
    let expected = expected();
    agrees(&tiny(DType::F64), &torch, &expected["x"], &expected["plain"]);
    let net = tiny(DType::F64);
    net.load(&torch).unwrap();
    net.save(&own).unwrap();
    agrees(&tiny(DType::F64), &own, &expected["x"], &expected["plain"]);
}

/// Nothing changes unless all of it fits.
#[test]
fn a_refused_file_leaves_the_weights_alone() {
    let net = network(&[4], &[linear(2)], DType::F32);
    let before = net.parameter("0.weight").unwrap().to_vec2::<f32>().unwrap();
    for name in ["plain.pth", "beyond_by_shape.pth", "batchnorm.pth"] {
        assert!(net.load(&fixture(name)).is_err());
        assert_eq!(net.parameter("0.weight").unwrap().to_vec2::<f32>().unwrap(), before);
    }
}

const LINEAR: &str = "sequential([4], [linear(2, #{ bias: false })])";
const TINY: &str = "sequential([1, 4, 4], [conv2d(2, 3, #{ padding: 1 }), relu_theta(1.0), flatten(), linear(4), \
                    clipped_maxmin(1.0, -1.0), linear(3)])";

/// What the program says of each file, loaded into `net`.
fn refused(snapshot: &str, cases: &[(&str, &str)]) {
    let mut shown = String::new();
    for (net, name) in cases {
        let folder = Folder::new(&[("main.rhai", &format!("{net}\n    .load(\"{name}\");"))]);
        std::fs::copy(fixture(name), folder.path().join(name)).unwrap();
        let said = folder.run(&["run", "main.rhai"]);
        assert!(said.ends_with("exit code 1"), "{name}:\n{said}");
        assert!(!said.contains('\x1b'), "{name} reaches the terminal:\n{said}");
        let files = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files, 2, "{name} left something behind; a command ran");
        shown += &format!("{}\n", said.lines().next().unwrap());
    }
    insta::assert_snapshot!(snapshot, shown);
}

#[test]
fn weights_that_do_not_fit() {
    let longer = TINY.replace("linear(3)]", "linear(3), relu(), linear(2)]");
    let wider = TINY.replace("linear(4)", "linear(6)");
    let shorter = TINY.replace(", linear(3)]", "]");
    refused(
        "weights_that_do_not_fit",
        &[
            (&longer, "plain.pth"),
            (&wider, "plain.pth"),
            (&shorter, "prefix.pth"),
            ("sequential([4], [linear(2)])", "batchnorm.pth"),
        ],
    );
}

#[test]
fn files_without_one_dictionary_of_tensors() {
    let files = ["two.pth", "none.pth"];
    refused("files_without_one_dictionary_of_tensors", &files.map(|name| (LINEAR, name)));
}

#[test]
fn harmful_files() {
    let files = [
        "runs_a_command.pth",
        "bare_command.pth",
        "storage_elsewhere.pth",
        "beyond_by_shape.pth",
        "beyond_by_strides.pth",
        "beyond_by_offset.pth",
        "offset_below_zero.pth",
        "storage_too_short.pth",
        "text_of_4_gib.pth",
        "bomb.pth",
        "big_endian.pth",
        "terminal_codes.pth",
    ];
    refused("harmful_files", &files.map(|name| (LINEAR, name)));
}

/// With its place in the script, as for every other fault.
#[test]
fn a_file_that_is_cut_off_and_one_without_a_network() {
    let folder = Folder::new(&[
        ("cut.rhai", &format!("let net = {TINY};\nnet.load(\"cut.pth\");")),
        ("network.rhai", "let net = load_model(\"plain.pth\");"),
        ("text.rhai", &format!("let net = {TINY};\nnet.load(\"text.pth\");")),
        ("text.pth", "these are no weights"),
    ]);
    let bytes = std::fs::read(fixture("plain.pth")).unwrap();
    std::fs::write(folder.path().join("plain.pth"), &bytes).unwrap();
    std::fs::write(folder.path().join("cut.pth"), &bytes[..bytes.len() / 2]).unwrap();
    insta::assert_snapshot!("cut_off", folder.run(&["run", "cut.rhai"]));
    insta::assert_snapshot!("without_a_network", folder.run(&["run", "network.rhai"]));
    insta::assert_snapshot!("of_another_format", folder.run(&["run", "text.rhai"]));
}
