//! Networks in formats of other programs: ONNX out and in for every kind, PyTorch's state_dict out and in, properties for verifiers.

use super::every_kind;
use crate::common::close;
use crate::common::program::Folder;
use candle_core::{DType, Device, Tensor};
use std::path::Path;
use workbench::base::random::Generator;
use workbench::nn::layers::*;
use workbench::nn::{LayerSpec, Sequential, load_model, onnx};

/// A network of this layer alone, whose parameters are anything.
fn shaken(spec: &LayerSpec, input: &[usize], random: &Generator) -> Sequential {
    let net = Sequential::new(input, std::slice::from_ref(spec), DType::F64, &Device::Cpu, random).unwrap();
    for (name, var) in net.parameters() {
        let noise = random.normal(0.0, 0.3, var.dims(), DType::F64, &Device::Cpu).unwrap();
        let value = (var.as_tensor() + noise).unwrap();
        let value =
            if name.ends_with("var") || name.ends_with("std") { (value.abs().unwrap() + 0.5).unwrap() } else { value };
        var.set(&value).unwrap();
    }
    net.project_thresholds().unwrap();
    net.frozen()
}

fn batch(input: &[usize], random: &Generator) -> Tensor {
    random.normal(0.0, 1.0, [&[5], input].concat(), DType::F64, &Device::Cpu).unwrap()
}

/// The same file without what we say of our layers.
fn without_description(path: &Path) -> std::path::PathBuf {
    let mut bytes = std::fs::read(path).unwrap();
    let key = b"workbench.network";
    let at = bytes.windows(key.len()).position(|w| w == key).expect("the layers are in the metadata");
    bytes[at] = b'x';
    let bare = path.with_file_name("bare.onnx");
    std::fs::write(&bare, bytes).unwrap();
    bare
}

#[test]
fn every_kind_goes_out_and_comes_in() {
    let folder = tempfile::tempdir().unwrap();
    let (path, random) = (folder.path().join("net.onnx"), Generator::new(11));
    let mut by_graph = vec![];
    for (spec, input) in every_kind() {
        let (net, x) = (shaken(&spec, &input, &random), batch(&input, &random));
        let what = spec.describe();
        onnx::export(&net, &path, DType::F64).unwrap_or_else(|e| panic!("{what}: {e}"));
        let (again, rounded) = load_model(&path, None, &Device::Cpu).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert!(rounded.is_none(), "{what}");
        assert_eq!(again.digest().unwrap(), net.digest().unwrap(), "{what}: layers and numbers");
        let (a, b) = (again.frozen().forward(&x).unwrap(), net.forward(&x).unwrap());
        close(&what, &a, &b, 1e-12);
        // In f32, which others compute in.
        onnx::export(&net, &path, DType::F32).unwrap();
        let narrow = load_model(&path, None, &Device::Cpu).unwrap().0;
        let here = narrow.frozen().forward(&x.to_dtype(narrow.dtype()).unwrap()).unwrap();
        close(&what, &here, &b, 1e-4);
        // By the graph alone: the same function, or a refusal that names an operator.
        onnx::export(&net, &path, DType::F64).unwrap();
        match load_model(&without_description(&path), None, &Device::Cpu) {
            Ok((found, _)) => {
                close(&format!("{what}, by its graph"), &found.frozen().forward(&x).unwrap(), &b, 1e-6);
                by_graph.push(spec.name().to_string());
            }
            Err(e) => assert!(e.to_string().contains("operator `"), "{what}: {e}"),
        }
    }
    for kind in [
        "conv2d",
        "linear",
        "avg_pool2d",
        "max_pool2d",
        "normalize",
        "flatten",
        "relu",
        "relu6",
        "relu_theta",
        "leaky_relu",
        "abs",
        "scale_shift",
        "batch_norm2d",
        "batch_centering",
        "residual",
        "sum",
        "parallel",
        "block",
    ] {
        assert!(by_graph.iter().any(|name| name == kind), "{kind} is read from a graph; read were {by_graph:?}");
    }
}

/// Of every kind a file of ours is the same network; a state_dict holds what its parameters are, so that one whose numbers are a function of these
/// is refused, with the layer and the way out, alone as in a block.
#[test]
fn no_kind_is_silently_another_one_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let (file, dictionary) = (folder.path().join("net.safetensors"), folder.path().join("net.pth"));
    let (random, mut made, mut plain) = (Generator::new(12), vec![], vec![]);
    for (spec, input) in every_kind() {
        let what = spec.describe();
        let (net, x) = (shaken(&spec, &input, &random), batch(&input, &random));
        net.save(&file).unwrap();
        let (again, rounded) = load_model(&file, Some(DType::F64), &Device::Cpu).unwrap();
        assert!(rounded.is_none() && again.digest().unwrap() == net.digest().unwrap(), "{what}");
        close(&what, &again.frozen().forward(&x).unwrap(), &net.forward(&x).unwrap(), 0.0);
        let _ = std::fs::remove_file(&dictionary);
        if spec.has(Word::Made) {
            let block = LayerSpec::of(Block { layers: vec![spec.clone()] });
            for (net, place) in [(net, "0"), (shaken(&block, &input, &random), "0")] {
                let why = net.export_state_dict(&dictionary, &[]).expect_err(&what).to_string();
                assert!(why.contains(&format!("layer {place}")) && why.contains(&what), "{what}: {why}");
                assert!(why.contains("export to .onnx") && !dictionary.exists(), "{what}: {why}");
            }
            made.push(spec.name().to_string());
            continue;
        }
        net.export_state_dict(&dictionary, &[]).unwrap_or_else(|e| panic!("{what}: {e}"));
        let other = Sequential::new(&input, std::slice::from_ref(&spec), DType::F64, &Device::Cpu, &random).unwrap();
        if net.parameters().is_empty() {
            assert!(other.load(&dictionary).is_err() || other.digest().unwrap() == net.digest().unwrap(), "{what}");
        } else {
            other.load(&dictionary).unwrap_or_else(|e| panic!("{what}: {e}"));
        }
        close(&what, &other.frozen().forward(&x).unwrap(), &net.forward(&x).unwrap(), 0.0);
        plain.push(spec.name().to_string());
    }
    for entry in KINDS {
        let (of_made, of_plain) = (made.iter().any(|n| n == entry.name), plain.iter().any(|n| n == entry.name));
        assert!(of_made != of_plain, "{}: one of both", entry.name);
    }
    assert!(made.contains(&"cpl_conv2d".into()) && plain.contains(&"batch_centering".into()), "{made:?}");
}

/// What the metadata says counts only as long as the graph is the one that it makes.
#[test]
fn a_graph_that_was_changed_is_what_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.onnx");
    let specs = [
        LayerSpec::of(Linear { features: 3, bias: true }),
        LayerSpec::of(Relu),
        LayerSpec::of(Linear { features: 2, bias: true }),
    ];
    let net = Sequential::new(&[4], &specs, DType::F64, &Device::Cpu, &Generator::new(3)).unwrap();
    onnx::export(&net, &path, DType::F64).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    // Relu, as an operator's type, becomes Tanh: what is run elsewhere is not what the metadata says.
    let at = bytes.windows(6).position(|w| w == b"\x22\x04Relu").unwrap();
    bytes[at + 2..at + 6].copy_from_slice(b"Tanh");
    std::fs::write(&path, bytes).unwrap();
    let why = load_model(&path, None, &Device::Cpu).unwrap_err().to_string();
    assert!(why.contains("operator `Tanh`") && why.contains("read are Conv, Gemm"), "{why}");
}

#[test]
fn damaged_graphs_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.onnx");
    let block = Residual {
        layers: vec![
            LayerSpec::of(Conv2d { channels: 2, kernel: 3, stride: 1, padding: 1, bias: true }),
            LayerSpec::of(Relu),
        ],
    };
    let specs = [
        LayerSpec::of(block),
        LayerSpec::of(MaxMin),
        LayerSpec::of(Flatten),
        LayerSpec::of(Linear { features: 2, bias: true }),
    ];
    let net = Sequential::new(&[2, 3, 3], &specs, DType::F32, &Device::Cpu, &Generator::new(3)).unwrap();
    onnx::export(&net, &path, DType::F32).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let (mut fine, mut refused) = (0, 0);
    for at in 0..bytes.len() {
        for value in [0u8, 1, 0x7f, 0xff, bytes[at] ^ 4] {
            let mut damaged = bytes.clone();
            damaged[at] = value;
            match workbench::nn::onnx::load("it", &damaged, None, &Device::Cpu) {
                Ok(_) => fine += 1,
                Err(_) => refused += 1,
            }
        }
        assert!(
            at == 0 || workbench::nn::onnx::load("it", &bytes[..at], None, &Device::Cpu).is_err(),
            "cut off at {at}"
        );
    }
    assert!(fine > 100 && refused > 1000, "{fine} read, {refused} refused");
}

/// Weights go to PyTorch under its names and come back.
#[test]
fn weights_for_pytorch_come_back() {
    let script = r#"
        let net = sequential([1, 6, 6], [conv2d(4, 3), relu_theta(1.0), residual([conv2d(4, 3, #{ padding: 1 })]), flatten(), linear(3)]);
        net.export("plain.pth");
        net.export("named.pth", #{ names: #{ "0": "conv1", "4": "fc", "1.threshold": "act.theta" } });
        let other = sequential([1, 6, 6], [conv2d(4, 3), relu_theta(1.0), residual([conv2d(4, 3, #{ padding: 1 })]), flatten(), linear(3)]);
        other.load("plain.pth");
        print(other.digest == net.digest);
        print(load_tensors("named.pth").keys());
        try { net.export("a.pth", #{ names: #{ "7": "fc" } }); } catch (e) { print(e); }
        try { net.export("a.h5"); } catch (e) { print(e); }
        try { net.load("net.onnx"); } catch (e) { print(e); }
        net.export("net.onnx");
        print(load_model("net.onnx").digest == net.digest);
        try { net.load("net.onnx"); } catch (e) { print(e); }
        let x = uniform(0, 1, [2, 1, 6, 6]);
        print(net.export_vnnlib("p.vnnlib", x, tensor([0, 2], "u32"), 0.1, #{ images: true }));
        try { net.export_vnnlib("f.vnnlib", x, tensor([0.5, 2.0]), 0.1); } catch (e) { print(e); }
        print(net.export_vnnlib("one.vnnlib", x.narrow(0, 0, 1), tensor([1], "u32"), 0.1, #{ norm: "linf" }));
    "#;
    let folder = Folder::new(&[("main.rhai", script)]);
    let said = folder.run(&["run", "main.rhai", "--allow-write", "."]);
    assert!(said.ends_with("exit code 0"), "{said}");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "true", "{said}");
    assert!(
        lines[1].contains("\"act.theta\"") && lines[1].contains("\"conv1.weight\"") && lines[1].contains("\"fc.bias\""),
        "{said}"
    );
    assert!(said.contains("no layer or parameter `7`") && said.contains(".onnx (the network), .pth or .pt"), "{said}");
    assert!(said.contains("a whole network in ONNX; load_model(path) takes it"), "{said}");
    let text = std::fs::read_to_string(folder.path().join("p-1.vnnlib")).unwrap();
    assert!(
        text.starts_with(
            "; The box around the l2 ball of radius 0.1 around an image of class 2: larger than the ball."
        ),
        "{text}"
    );
    assert!(
        text.contains("(declare-const X_35 Real)")
            && text.contains("(declare-const Y_2 Real)")
            && !text.contains("X_36"),
        "{text}"
    );
    assert!(
        text.contains("(and (>= Y_0 Y_2))") && text.contains("(and (>= Y_1 Y_2))") && !text.contains("Y_2 Y_2"),
        "{text}"
    );
    assert!(folder.path().join("one.vnnlib").exists());
    assert!(said.contains("labels are whole numbers") && !folder.path().join("f-0.vnnlib").exists(), "{said}");
}

/// Graphs that others have written (`tests/onnx`): the function that onnxruntime sees, or a refusal that says what is not taken.
#[test]
fn graphs_of_others_are_what_they_are_elsewhere() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx");
    let expected: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("expected.json")).unwrap()).unwrap();
    let mut read = 0;
    for (name, wanted) in expected.as_object().unwrap() {
        let found = load_model(&folder.join(format!("{name}.onnx")), None, &Device::Cpu);
        if let Some(said) = wanted.as_str() {
            let why = found.map(|(net, _)| net.describe()).expect_err(name).to_string();
            assert!(why.contains(said) && why.contains(name), "{name}: {why}");
            continue;
        }
        let (net, rounded) = found.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(rounded.is_none(), "{name}");
        let numbers =
            |key: &str| wanted[key].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect::<Vec<_>>();
        let shape: Vec<usize> = numbers("shape").iter().map(|n| *n as usize).collect();
        let x = Tensor::from_vec(numbers("x"), shape, &Device::Cpu).unwrap().to_dtype(net.dtype()).unwrap();
        let y = net.frozen().forward(&x).unwrap();
        let y_wanted = Tensor::from_vec(numbers("y"), y.dims(), &Device::Cpu).unwrap();
        close(name, &y, &y_wanted, if net.dtype() == DType::F64 { 1e-15 } else { 1e-5 });
        read += 1;
    }
    assert!(read >= 6, "{read}");
}

/// A threshold below 0 is one of 0, here and there.
#[test]
fn thresholds_below_zero_go_out_as_the_layer_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.onnx");
    let spec = LayerSpec::of(ReluTheta { theta: 1.0 });
    let net = Sequential::new(&[2], &[spec], DType::F64, &Device::Cpu, &Generator::new(1)).unwrap();
    net.parameter("0.threshold").unwrap().set(&Tensor::new(&[[-1.0, 1.0]], &Device::Cpu).unwrap()).unwrap();
    onnx::export(&net, &path, DType::F64).unwrap();
    let x = Tensor::new(&[[2.0, 2.0], [-1.0, 0.5]], &Device::Cpu).unwrap();
    let bare = load_model(&without_description(&path), None, &Device::Cpu).unwrap().0;
    close("by its graph", &bare.frozen().forward(&x).unwrap(), &net.frozen().forward(&x).unwrap(), 0.0);
}
