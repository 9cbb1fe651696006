//! Activations against float64 values and gradients of another program (`WORKBENCH_GOLDEN`, `frontier/layers`), smooth ones against their
//! definitions in 80-digit arithmetic, written down here.

use super::common::{close, values};
use super::resnets::golden;
use candle_core::{DType, Device, Tensor, Var};
use workbench::base::random::Generator;
use workbench::compute::autograd::backward;
use workbench::nn::layers::*;
use workbench::nn::{LayerSpec, Sequential};

fn alone(spec: &LayerSpec, input: &[usize]) -> Sequential {
    Sequential::new(input, std::slice::from_ref(spec), DType::F64, &Device::Cpu, &Generator::new(0)).unwrap()
}

#[test]
fn sorted_reflected_and_folded_activations_meet_the_truth() {
    // Two kinds of the repository's own, the others where there are values.
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/frontier.safetensors");
    let mut all = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    all.extend(golden("layers").into_iter().flatten());
    let cases = [
        ("maxmin", LayerSpec::of(MaxMin)),
        ("groupsort2", LayerSpec::of(GroupSort { size: 2 })),
        ("groupsort4", LayerSpec::of(GroupSort { size: 4 })),
        ("fullsort", LayerSpec::of(GroupSort { size: 7 })),
        ("householder", LayerSpec::of(Householder)),
        ("n_activation", LayerSpec::of(NActivation)),
        ("half_abs", LayerSpec::of(HalfAbs)),
    ];
    for (case, spec) in cases.into_iter().filter(|(case, _)| all.contains_key(&format!("{case}/x"))) {
        let read = |key: &str| all[&format!("{case}/{key}")].clone();
        let x = Var::from_tensor(&read("x")).unwrap();
        let net = alone(&spec, &x.dims()[1..]);
        for (name, var) in net.parameters() {
            var.set(&read(&format!("param/{}", &name[2..])).reshape(var.shape()).unwrap()).unwrap();
        }
        let y = net.forward(x.as_tensor()).unwrap();
        close(&format!("{case}: its value"), &y, &read("y"), 1e-12);
        let gradients = backward(&(y * read("cotangent")).unwrap().sum_all().unwrap()).unwrap();
        close(&format!("{case}: in x"), gradients.get(x.as_tensor()).unwrap(), &read("grad/x"), 1e-10);
        for (name, var) in net.parameters() {
            let own = gradients.get(var.as_tensor()).unwrap();
            let truth = read(&format!("grad/{}", &name[2..]));
            close(&format!("{case}: in {name}"), own, &truth.reshape(own.shape()).unwrap(), 1e-10);
        }
    }
}

#[test]
fn smooth_activations_are_their_definitions() {
    let gelu = [
        (-6.5, -2.6104003795084267e-10),
        (-2.0, -0.04550026389635842),
        (-0.7517915, -0.16997120747990352),
        (-0.1, -0.0460172162722971),
        (0.3, 0.1853734266566858),
        (1.7, 1.6242387133104768),
        (5.0, 4.999998566742141),
    ];
    let plus = [
        (-40.0, 1.4880303904083345e-44),
        (-2.0, 0.0026861393956472274),
        (-0.1, 0.2303757679515374),
        (0.0, 0.2772588722239781),
        (0.3, 0.45474840244596),
        (1.7, 1.705665382772602),
        (50.0, 50.0),
    ];
    for (spec, truth) in [(LayerSpec::of(Gelu), gelu), (LayerSpec::of(Softplus { beta: 2.5 }), plus)] {
        let x: Vec<f64> = truth.iter().map(|(x, _)| *x).collect();
        let x = Var::from_tensor(&Tensor::from_vec(x, (1, 7), &Device::Cpu).unwrap()).unwrap();
        let net = alone(&spec, &[7]);
        let y = net.forward(x.as_tensor()).unwrap();
        for ((x, truth), y) in truth.iter().zip(values(&y)) {
            assert!((y - truth).abs() <= 4e-15 * truth.abs(), "{} of {x}: {y} against {truth}", spec.describe());
        }
        // At its steepest and nowhere beyond: the constant is met, and the least value by no point of a box that holds its place.
        let line = Tensor::arange_step(-8.0, 8.0, 1e-3, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        let line = Var::from_tensor(&line).unwrap();
        let wide = alone(&spec, &line.dims()[1..]);
        let all = wide.forward(line.as_tensor()).unwrap();
        let slopes = values(backward(&all.sum_all().unwrap()).unwrap().get(line.as_tensor()).unwrap());
        let steepest = slopes.into_iter().map(f64::abs).fold(0.0, f64::max);
        let said = wide.layers()[0].lipschitz().unwrap();
        assert!(steepest <= said && said < steepest * (1.0 + 1e-5), "{}: {steepest} and {said}", spec.describe());
        let f = wide.layers()[0].activation("a test").unwrap();
        let ends = |x: f64| Tensor::full(x, (1, 1), &Device::Cpu).unwrap();
        let [low, high] = image(f, &ends(-8.0), &ends(8.0)).unwrap();
        let least = values(&all).into_iter().fold(f64::INFINITY, f64::min);
        assert!(values(&low)[0] <= least && least < values(&low)[0] + 1e-6 && values(&high)[0] >= 7.999);
    }
}
