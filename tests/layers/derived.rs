//! Weights as functions of their parameters: values, gradients, bounds, every way in which a parameter changes, files, how often they are made.

use super::common::{Lab, values};
use candle_core::{DType, Device, Result, Tensor};
use std::cell::Cell;
use std::rc::Rc;
use workbench::base::random::Generator;
use workbench::nn::layers::{Derived, Deriving, Linear};
use workbench::nn::{LayerSpec, Sequential};

/// A function from outside of scripts, that counts how often it is called.
#[derive(Debug, Default)]
struct Counted {
    calls: Cell<usize>,
}

impl Deriving for Counted {
    fn derive(&self, parameter: &Tensor) -> Result<Tensor> {
        self.calls.set(self.calls.get() + 1);
        parameter * 0.5
    }
    fn identity(&self) -> String {
        "half".into()
    }
}

/// Once for all that is asked between two changes of a parameter, and in a frozen view of its own once more; a change is never missed.
#[test]
fn a_weight_is_made_when_parameters_change() {
    let by = Rc::new(Counted::default());
    let layer = LayerSpec::of(Linear { features: 3, bias: true });
    let specs = [LayerSpec::of(Derived { layer, by: by.clone() })];
    let net = Sequential::new(&[4], &specs, DType::F32, &Device::Cpu, &Generator::new(1)).unwrap();
    let x = Tensor::ones((1, 4), DType::F32, &Device::Cpu).unwrap();
    let before = by.calls.get();
    for _ in 0..3 {
        net.forward(&x).unwrap();
        net.current().unwrap().layers()[0].row_norms().unwrap();
    }
    assert_eq!(by.calls.get() - before, 1);
    let frozen = net.frozen();
    let first = values(&frozen.forward(&x).unwrap());
    frozen.forward(&x).unwrap();
    assert_eq!(by.calls.get() - before, 2);
    let weight = net.parameter("0.weight").unwrap();
    weight.set(&(weight.as_tensor().detach() * 3.0).unwrap()).unwrap();
    let now = values(&frozen.forward(&x).unwrap());
    let bias = values(net.parameter("0.bias").unwrap().as_tensor());
    for ((a, b), bias) in first.iter().zip(&now).zip(bias) {
        assert!((3.0 * (a - bias) - (b - bias)).abs() < 1e-6, "{first:?} {now:?}");
    }
    assert_eq!(by.calls.get() - before, 3);
    // Who asks the network itself for a map of an old weight is told so.
    let why = net.layers()[0].row_norms().unwrap_err().to_string();
    assert!(why.contains("model.current()"), "{why}");
}

/// A derived weight bounds, trains and certifies as the weight that it is: a network whose parameters are those weights does the same.
#[test]
fn bounds_see_the_weight_that_the_function_gives() {
    let mut lab = Lab::on(Device::Cpu);
    let found = lab.run(
        r#"
        import "std/local_lip" as lip; import "std/certify" as certify;
        let rows = |w| w / (w.sqr().flatten(1).sum(1).reshape([w.shape[0]] + w.shape.extract(1).map(|n| 1)) + 0.1).sqrt();
        let layers = |how| [conv2d(4, 3, how), relu_theta(0.6), residual([conv2d(4, 3, how + #{ padding: 1 })]), maxmin(), flatten(), linear(8, how), relu_theta(0.5), linear(3)];
        let net   = sequential([1, 6, 6], layers.call(#{ weight: rows }), #{ dtype: "f64" });
        let plain = sequential([1, 6, 6], layers.call(#{}), #{ dtype: "f64" });
        for name in net.parameters.keys() {
            let own = net.param(name).detach();
            let is_derived = ["0.weight", "2.0.weight", "5.weight"].contains(name);
            plain.set_param(name, if is_derived { rows.call(own).detach() } else { own });
        }
        let x = uniform(0.0, 1.0, [5, 1, 6, 6]).to_dtype("f64");
        let y = net.forward(x).argmax(1);
        let how = #{ iterations: 3000, tolerance: 1e-12 };
        let a = lip::bounds(net, x, 0.05, fresh_vectors(net, 5), how);
        let b = lip::bounds(plain, x, 0.05, fresh_vectors(plain, 5), how);
        let proved = |m| certify::margins_within(certify::prepare(m, "rigorous"), x, y, 0.05, [0, 1, 2, 3, 4], 0, true).margins;
        let apart = |a, b| (a - b).abs().max().item();
        let out = [apart.call(a.lipschitz, b.lipschitz), apart.call(a.logits, b.logits), apart.call(proved.call(net), proved.call(plain))];

        // The gradient in a parameter, through bound and function, against differences along a direction.
        let loss = |net| cross_entropy(worst_logits(net, lip::bounds(net, x, 0.05, fresh_vectors(net, 5), how), y), y);
        let gradients = loss.call(net).backward();
        for name in ["0.weight", "2.0.weight", "5.weight"] {
            let before = net.param(name).detach() * 1.0;
            let along  = randn(before.shape).to_dtype("f64");
            let at = |t| { net.set_param(name, before + t * along); loss.call(net).item() };
            let slope = (at.call(1e-5) - at.call(-1e-5)) / 2e-5;
            net.set_param(name, before);
            out.push((gradients.of(net.param(name)) * along).sum().item() - slope);
        }
        out
        "#,
    );
    let found: Vec<f64> = found.into_typed_array().unwrap();
    assert!(found[0] < 1e-9 && found[1] < 1e-12 && found[2] < 1e-6, "{found:?}");
    assert!(found[3..].iter().all(|gap| gap.abs() < 1e-6), "{found:?}");
}

/// Steps of optimisers over a network and over an array, `set_param`, `load`: the weight is that of the parameter as it is then.
#[test]
fn every_change_of_a_parameter_reaches_the_weight() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    let mut lab = Lab::on(Device::Cpu);
    lab.set("path", path.display().to_string().into());
    let found = lab.run(
        r#"
        let double = |w| 2.0 * w;
        let net = sequential([3], [linear(4, #{ weight: double, bias: false })]);
        let view = net.frozen();
        let x = randn([2, 3]);
        let gaps = [];
        let look = |what| [(net.forward(x) - 2.0 * (x @ net.param("0.weight").t())).abs().max().item(), (view.forward(x) - net.forward(x)).abs().max().item(),
                           (net.layers[0].weight - 2.0 * net.param("0.weight")).abs().max().item()];
        gaps += look.call("first");
        net.save(path);
        let whole = adam(net, #{ lr: 0.1 });
        whole.step(net.forward(x).sqr().mean());
        gaps += look.call("adam");
        let part = sgd([net.param("0.weight")], #{ lr: 0.1 });
        part.step(net.forward(x).sqr().mean());
        gaps += look.call("sgd");
        net.set_param("0.weight", randn([4, 3]));
        gaps += look.call("set_param");
        let moved = net.copy().digest != net.digest;
        net.load(path);
        gaps += look.call("load");
        let other = sequential([3], [linear(4, #{ weight: |w| 3.0 * w, bias: false })]);
        other.load(path);
        let why = ""; try { load_model(path); } catch (e) { why = e.to_string(); }
        let shape = ""; try { sequential([3], [linear(4, #{ weight: |w| w.t() })]); } catch (e) { shape = e.to_string(); }
        let count = ""; try { linear(4, #{ weight: |a, b| a }); } catch (e) { count = e.to_string(); }
        let kind = ""; try { linear(4, #{ weight: 3 }); } catch (e) { kind = e.to_string(); }
        #{ gaps: gaps, moved: moved, texts: [why, shape, count, kind, net.layers[0].name], own: net.layers[0].own.len() }
        "#,
    );
    let mut found = found.cast::<rhai::Map>();
    let gaps: Vec<f64> = found.remove("gaps").unwrap().into_typed_array().unwrap();
    assert!(gaps.len() == 15 && gaps.iter().all(|gap| *gap < 1e-5), "{gaps:?}");
    assert!(!found["moved"].as_bool().unwrap(), "a copy is the same network");
    assert_eq!(found["own"].as_int().unwrap(), 0, "bounds do not rest on the script's word");
    let texts: Vec<String> = found.remove("texts").unwrap().into_typed_array().unwrap();
    assert!(texts[0].contains("script's own"), "{}", texts[0]);
    assert!(texts[1].contains("weight") && texts[1].contains("[4, 3]"), "{}", texts[1]);
    assert!(texts[2].contains("2 arguments"), "{}", texts[2]);
    assert!(texts[3].contains("closure"), "{}", texts[3]);
    assert_eq!(texts[4], "linear(4, #{ bias: false, weight: |w| ... })");
}
