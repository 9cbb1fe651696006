//! What is promised in training is proved of a frozen network alone: steps of convex potentials (CPL, SLL).

use super::common::{Lab, values};
use candle_core::{DType, Device, Tensor};
use workbench::base::random::Generator;
use workbench::bounds::Region;
use workbench::compute::variables::assign;
use workbench::nn::Sequential;
use workbench::nn::layers::*;

fn steps() -> Vec<(LayerSpec, Vec<usize>)> {
    vec![
        (LayerSpec::of(Stepped(CplConv2d { inner: 3, kernel: 3, iterations: 1 })), vec![2, 4, 4]),
        (LayerSpec::of(Stepped(CplLinear { inner: 5, squarings: 25 })), vec![6]),
        (LayerSpec::of(Stepped(SllConv2d { inner: 3, kernel: 3 })), vec![2, 4, 4]),
        (LayerSpec::of(Stepped(SllLinear { inner: 5 })), vec![6]),
    ]
}

fn alone(spec: &LayerSpec, input: &[usize]) -> Sequential {
    Sequential::new(input, std::slice::from_ref(spec), DType::F64, &Device::Cpu, &Generator::new(6)).unwrap()
}

/// In training the constant is one that nobody has proved, and an outward region is refused, by the layer as by a frozen view of it; a frozen
/// network proves its own.
#[test]
fn a_step_in_training_takes_no_outward_region() {
    for (spec, input) in steps() {
        let (net, what) = (alone(&spec, &input), spec.describe());
        let x = Tensor::zeros([&[2], input.as_slice()].concat(), DType::F64, &Device::Cpu).unwrap();
        let radius = Tensor::new(&[0.1, 0.2], &Device::Cpu).unwrap();
        let outward = Region::around_outward(&x, &radius, false).unwrap();
        let training = net.current().unwrap().layers()[0].clone();
        for layer in [&training, &training.frozen()] {
            let why = outward.activation(layer, false).expect_err(&what).to_string();
            assert!(why.contains(&what) && why.contains("no outward region goes through it"), "{what}: {why}");
            let estimated = Region::around(&x, &radius, false).unwrap().activation(layer, false).unwrap();
            assert_eq!(values(&estimated.radius), [0.1, 0.2], "{what}");
        }
        let frozen = net.frozen();
        let behind = outward.activation(&frozen.current().unwrap().layers()[0], false).unwrap();
        let grown = values(&behind.radius)[0];
        assert!((0.1..0.1 + 1e-5).contains(&grown), "{what}: {grown}");
    }
}

/// `certify` freezes what it is given, so that a network in training is proved as the one that evaluations see.
#[test]
fn proofs_freeze_a_network_in_training() {
    let mut lab = Lab::on(Device::Cpu);
    let found = lab.run(
        r#"
        import "std/certify" as certify;
        let net = sequential([2, 4, 4], [cpl_conv2d(3, 3), flatten(), sll_linear(8), cpl_linear(5, #{ squarings: 1 }), linear(3)]);
        let x = uniform(0, 1, [3, 2, 4, 4]);
        let y = net.forward(x).argmax(1);
        check_claims(net);
        let proved = |m| certify::margins_within(certify::prepare(m, "rigorous"), x, y, 0.05, [0, 1, 2], 0, true).margins;
        // One squaring leaves sigma too small, and the constant above 1.
        [(proved.call(net) - proved.call(net.frozen())).abs().max().item(), net.frozen().layers[3].lipschitz, net.frozen().layers[0].lipschitz]
        "#,
    );
    let found: Vec<f64> = found.into_typed_array().unwrap();
    assert!(found[0] == 0.0 && found[1] > 1.001 && found[2] < 1.0 + 1e-5, "{found:?}");
}

/// Power iterations go on after each step of an optimiser and no more, so that a run that goes on computes the same; frozen, sigma stands
/// wherever they are.
#[test]
fn the_vector_of_a_convolution_moves_with_its_weight() {
    let spec = LayerSpec::of(Stepped(CplConv2d { inner: 3, kernel: 3, iterations: 1 }));
    let net = alone(&spec, &[2, 4, 4]);
    let x = Generator::new(1).normal(0.0, 1.0, (2, 2, 4, 4), DType::F64, &Device::Cpu).unwrap();
    let u = || values(&net.parameter("0.u").unwrap().as_detached_tensor());
    let gap = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    net.forward(&x).unwrap();
    let first = u();
    net.forward(&x).unwrap();
    net.frozen().forward(&x).unwrap();
    assert_eq!(first, u(), "no step was taken");
    let weight = net.parameter("0.weight").unwrap();
    let noise = Generator::new(2).normal(0.0, 0.3, weight.dims(), DType::F64, &Device::Cpu).unwrap();
    assign(weight, &(weight.as_tensor() + noise).unwrap().detach()).unwrap();
    let value = || values(&net.forward(&x).unwrap().detach());
    let before = value();
    assert!(first == u() && before == value(), "a value changes nothing");
    net.after_step().unwrap();
    let second = u();
    assert!(gap(&first, &second) > 1e-3, "it has moved");
    let norm: f64 = second.iter().map(|x| x * x).sum();
    assert!((norm - 1.0).abs() < 1e-12 && !net.trained().iter().any(|(name, _)| name == "0.u"));
    // From anywhere the frozen layer is the same one.
    let now = values(&net.frozen().forward(&x).unwrap());
    let other = Generator::new(3).normal(0.0, 1.0, (1, 2, 4, 4), DType::F64, &Device::Cpu).unwrap();
    assign(net.parameter("0.u").unwrap(), &other).unwrap();
    assert!(gap(&now, &values(&net.frozen().forward(&x).unwrap())) < 1e-9);
    let found = net.frozen().current().unwrap().layers()[0].lipschitz().unwrap();
    assert!(found < 1.0 + 1e-5, "{found}");
}

/// A convolution of two channels by 1 and 2, over images too large for a matrix, whose vector knows the first alone: sigma is 1, and what is
/// proved is the map that is there, which stretches by 7.
#[test]
fn a_sigma_that_is_too_small_is_proved_as_what_it_is() {
    let spec = LayerSpec::of(Stepped(CplConv2d { inner: 2, kernel: 1, iterations: 1 }));
    let net = alone(&spec, &[2, 24, 24]);
    let put = |name: &str, value: Vec<f64>| {
        let var = net.parameter(name).unwrap();
        assign(var, &Tensor::from_vec(value, var.dims(), &Device::Cpu).unwrap()).unwrap();
    };
    put("0.weight", vec![1.0, 0.0, 0.0, 2.0]);
    put("0.bias", vec![0.0; 2]);
    put("0.u", (0..1152).map(|at| if at < 576 { 1.0 } else { 0.0 }).collect());
    let frozen = net.frozen();
    let layer = &frozen.current().unwrap().layers()[0].clone();
    let said = layer.lipschitz().unwrap();
    let x = Tensor::ones((1, 2, 24, 24), DType::F64, &Device::Cpu).unwrap();
    let y = values(&layer.forward(&x).unwrap());
    assert!((y[0] + 1.0).abs() < 1e-9 && (y[1151] + 7.0).abs() < 1e-9, "{} {}", y[0], y[1151]);
    assert!((7.0..7.01).contains(&said), "{said}");
}
