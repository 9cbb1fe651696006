//! Residual networks, their blocks linear or with an activation inside, against float64 values made by dense matrices and their SVD
//! (`WORKBENCH_GOLDEN`, `frontier/`): boxes, masks, norms, Lipschitz bounds, worst logits, gradients; and what a file makes of them.

use super::common::{Lab, close, entry};
use candle_core::{DType, Device, Tensor};
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;
use workbench::base::random::Generator;
use workbench::nn::layers::*;
use workbench::nn::{LayerSpec, Sequential};

pub type Golden = HashMap<String, Tensor>;

pub fn golden(name: &str) -> Option<Golden> {
    let Some(folder) = std::env::var_os("WORKBENCH_GOLDEN") else {
        println!("skipped: WORKBENCH_GOLDEN does not say where the values of {name} are");
        return None;
    };
    let path = PathBuf::from(folder).join("frontier").join(format!("{name}.safetensors"));
    Some(candle_core::safetensors::load(path, &Device::Cpu).unwrap())
}

fn conv(channels: usize) -> LayerSpec {
    LayerSpec::of(Conv2d { channels, kernel: 3, stride: 1, padding: 1, bias: true })
}

fn residual(layers: &[LayerSpec]) -> LayerSpec {
    LayerSpec::of(Residual { layers: layers.to_vec() })
}

/// `resnet_relux` and `resnet_clmaxmin`: three linear residual blocks.
fn linear_blocks(activation: &LayerSpec) -> Vec<LayerSpec> {
    let mut specs = vec![conv(6), activation.clone()];
    for _ in 0..3 {
        specs.extend([residual(&[conv(6)]), activation.clone()]);
    }
    specs
}

/// `resnet_mixed`: a block with an activation inside, a sum, two blocks whose identity goes past their activation.
fn mixed_blocks(activation: &LayerSpec) -> Vec<LayerSpec> {
    let strided = LayerSpec::of(Conv2d { channels: 4, kernel: 4, stride: 2, padding: 1, bias: true });
    let pool = LayerSpec::of(AvgPool2d { kernel: 2, stride: 2 });
    let before = residual(&[activation.clone(), conv(4)]);
    vec![
        conv(4),
        activation.clone(),
        residual(&[conv(4), activation.clone(), conv(4)]),
        activation.clone(),
        LayerSpec::of(Sum { branches: vec![Branch::One(pool), Branch::One(strided)] }),
        before.clone(),
        before,
    ]
}

fn network(values: &Golden, mut specs: Vec<LayerSpec>, activation: &LayerSpec) -> Rc<Sequential> {
    let linear = |features| LayerSpec::of(Linear { features, bias: true });
    specs.extend([LayerSpec::of(Flatten), linear(12), activation.clone(), linear(5)]);
    let net = Sequential::new(&[3, 6, 6], &specs, DType::F64, &Device::Cpu, &Generator::new(0)).unwrap();
    for (name, var) in net.parameters() {
        let value = &values[&format!("param/{name}")];
        let value = if value.rank() < var.rank() { value.unsqueeze(0).unwrap() } else { value.clone() };
        var.set(&value.broadcast_as(var.shape()).unwrap().contiguous().unwrap()).unwrap();
    }
    Rc::new(net)
}

const WALK: &str = r#"
    import "std/local_lip" as lip;
    let power = #{ iterations: 200000, tolerance: 1e-14 };
    let found = lip::bounds(net, x, eps, fresh_vectors(net, 4), power);
    let all = #{ logits: found.logits, lip_pen: found.lipschitz, lip_local: lip::whole_network(net, found, power),
        worst_local: worst_logits(net, found, y, #{ method: "exact" }) };
    for (note, i) in found.layers {
        all[`mu/${i}`] = note.region.center; all[`lb/${i}`] = note.region.lower; all[`ub/${i}`] = note.region.upper;
        all[`r_ball/${i}`] = note.region.radius;
        if note.behind != () { all[`columns/${i}`] = note.behind; }
        if note.rows != () { all[`rows/${i}`] = note.rows; }
        if note.local != () { all[`sigma_local/${i}`] = note.local.sigma; }
        if note.layer.is_affine { all[`sigma_global/${i}`] = note.global.sigma; }
        if note.layer.meeting == "sum" {
            all[`sigma_global/${i}`] = lip::global_product([note], ones([1], "f64"));
            all[`sigma_local_triangle/${i}`] = note.local.apart; all[`sigma_local_centred/${i}`] = note.local.centred;
            let inside = lip::before_activation(note.parts);
            let f      = note.layer.one_activation.activation;
            all[`branch_lb/${i}`] = inside.lower; all[`branch_ub/${i}`] = inside.upper;
            all[`branch_mask/${i}`] = varying(f, inside); all[`branch_certain/${i}`] = unclipped(f, inside);
        }
    }
    let gradients = all.lip_local.sum().backward();
    for name in net.parameters.keys() {
        let own = gradients.of(net.param(name));
        if own != () { all[`grad_lip_local/${name}`] = own; }
    }
    all
"#;

#[test]
fn residual_networks_meet_the_truth() {
    let (clip, sort) = (LayerSpec::of(ReluTheta { theta: 1.0 }), LayerSpec::of(ClippedMaxMin { max: 1.0, min: -1.0 }));
    let kinds = [
        ("resnet_relux", linear_blocks(&clip), clip.clone(), 0.04),
        ("resnet_clmaxmin", linear_blocks(&sort), sort.clone(), 0.05),
        ("resnet_mixed", mixed_blocks(&clip), clip.clone(), 0.03),
    ];
    for (name, specs, activation, eps) in kinds {
        let Some(values) = golden(name) else { return };
        let norms = if name == "resnet_mixed" { 6 } else { 5 };
        let net = network(&values, specs, &activation);
        let mut lab = Lab::on(Device::Cpu);
        lab.model("net", &net).tensor("x", &values["x"]).set("eps", eps.into());
        lab.tensor("y", &values["y"].to_dtype(DType::U32).unwrap());
        let found = lab.run(WALK);
        let keys: Vec<String> = found.clone().cast::<rhai::Map>().keys().map(|key| key.to_string()).collect();
        assert!(keys.iter().filter(|key| key.starts_with("sigma_local/")).count() == norms);
        for key in keys {
            let truth = &values[match key.as_str() {
                "worst_local" => "worst_logits_local",
                key => key,
            }];
            let got = entry(&found, &key);
            let is_mask = ["rows", "columns", "branch_mask", "branch_certain"].iter().any(|mask| key.starts_with(mask));
            let tolerance = if is_mask {
                0.0
            } else if key.starts_with("grad") {
                1e-8
            } else {
                1e-10
            };
            let truth = if truth.elem_count() == got.elem_count() {
                truth.reshape(got.shape())
            } else {
                truth.broadcast_as(got.shape())
            };
            close(&format!("{name} {key}"), &got, &truth.unwrap(), tolerance);
        }
    }
}

/// A pool beside a strided convolution: one matrix, whose norm is less than the sum of two.
#[test]
fn a_sum_of_a_pool_and_a_convolution_meets_the_truth() {
    let Some(values) = golden("resnet_mixed") else { return };
    let conv = LayerSpec::of(Conv2d { channels: 4, kernel: 4, stride: 2, padding: 1, bias: true });
    let sum = Sum { branches: vec![Branch::One(LayerSpec::of(AvgPool2d { kernel: 2, stride: 2 })), Branch::One(conv)] };
    let net = Sequential::new(&[4, 6, 6], &[LayerSpec::of(sum)], DType::F64, &Device::Cpu, &Generator::new(0)).unwrap();
    for name in ["weight", "bias"] {
        net.parameter(&format!("0.1.{name}")).unwrap().set(&values[&format!("param/4.1.{name}")]).unwrap();
    }
    let mut lab = Lab::on(Device::Cpu);
    lab.model("net", &Rc::new(net)).tensor("mu", &values["mu/3"]);
    let found = lab.run(
        "let start = randn([1, 4, 6, 6]).to_dtype(\"f64\");
         #{ norm: spectral_norm(net.layers[0], start, (), (), #{ iterations: 200000, tolerance: 1e-14 }).sigma, mu: net.forward(mu) }",
    );
    let global = entry(&found, "norm");
    close("sum: its norm", &global, &values["sigma_global/4"].reshape(global.shape()).unwrap(), 1e-10);
    close("sum: its value", &entry(&found, "mu"), &values["mu/4"], 1e-12);
}

/// The trap of a block's masks: the identity path carries what the branch does not. `|D_out (I + W) D_in|` takes both together, and so is less
/// than a norm for each path and more than any difference quotient.
#[test]
fn blocks_are_certified_and_saved_by_nested_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    let mut lab = Lab::on(Device::Cpu);
    let found = lab.run(
        r#"
        import "std/certify" as certify; import "std/local_lip" as lip;
        let net = sequential([2, 6, 6], [conv2d(4, 3, #{ padding: 1 }), residual([conv2d(4, 3, #{ padding: 1 })]), relu_theta(0.6),
            sum([avg_pool2d(2), conv2d(4, 4, #{ stride: 2, padding: 1 })]), maxmin(), flatten(), residual([linear(36)]), linear(3)]);
        let x = uniform(0.0, 1.0, [6, 2, 6, 6]);
        let y = net.forward(x).argmax(1);
        let prepared = certify::prepare(net, "rigorous");
        let own = certify::margins_within(prepared, x, y, 0.02, [0, 1, 2, 3, 4, 5], 0, true);
        let bounds = lip::bounds(net, x, 0.02, fresh_vectors(net, 6), #{ iterations: 5000, tolerance: 1e-6 });
        let attacked = pgd(net, x, y, 0.02, #{ clip: false, stop_early: false });
        let gap = margins(net.to_dtype("f64").forward(attacked.to_dtype("f64")), y) - own.margins;
        let loss = cross_entropy(worst_logits(net, bounds, y), y);
        let gradient = loss.backward().of(net.param("1.0.weight")).norm();
        #{ net: net, numbers: [gap.min().item(), (own.lipschitz - bounds.lipschitz.to_dtype("f64")).min().item(), own.margins.max().item(), gradient.item()],
           names: net.parameters.keys() }
        "#,
    );
    let mut found = found.cast::<rhai::Map>();
    let numbers: Vec<f64> = found.remove("numbers").unwrap().into_typed_array().unwrap();
    assert!(numbers[0] >= 0.0 && numbers[1] >= -1e-4 && numbers[2] > 0.0 && numbers[3] > 0.0, "{numbers:?}");
    let names = found.remove("names").unwrap().into_typed_array::<String>().unwrap();
    assert!(["1.0.weight", "3.1.bias", "6.0.weight"].iter().all(|name| names.iter().any(|n| n == name)), "{names:?}");
    let net = found.remove("net").unwrap().cast::<workbench::script::values::Model>();
    net.0.save(&path).unwrap();
    let (again, _) = workbench::nn::load_model(&path, None, &Device::Cpu).unwrap();
    assert_eq!(again.digest().unwrap(), net.0.digest().unwrap());
}
