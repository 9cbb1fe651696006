//! Every kind of layer under one contract (`common/contract.rs`), kinds from outside the crate with them; whole networks of all kinds
//! against attacks.

#[path = "layers/batch_norm.rs"]
mod batch_norm;
#[path = "layers/centering.rs"]
mod centering;
mod common;
#[path = "layers/derived.rs"]
mod derived;
#[path = "layers/exported.rs"]
mod exported;
#[path = "layers/frontier.rs"]
mod frontier;
#[path = "layers/orthogonal.rs"]
mod orthogonal;
#[path = "layers/outward.rs"]
mod outward;
#[path = "layers/own.rs"]
mod own;
#[path = "layers/resnets.rs"]
mod resnets;
#[path = "layers/trees.rs"]
mod trees;

use candle_core::{DType, Device, Result, Tensor};
use common::{Lab, contract, values};
use serde_json::{Map, Value, json};
use std::rc::Rc;
use workbench::base::random::Generator;
use workbench::compute::precision::Precision;
use workbench::nn::layers::*;
use workbench::nn::{Layer, Role, Sequential};

/// A network `net` after a few steps by local bounds on `x`, saved at `path` and read again.
const TRAINED_AND_READ: &str = r#"
        let optimizer = adam(net);
        let x = uniform(0.0, 1.0, [8, 1, 6, 6]);
        let y = net.forward(x).argmax(1);
        let vectors = fresh_vectors(net, 8);
        for step in 0..5 {
            let found = lip::bounds(net, x, 0.02, vectors, 5);
            optimizer.step(cross_entropy(worst_logits(net, found, y), y));
        }
        net.save(path);
        let again = load_model(path);
"#;

/// One of each kind of the registry, over shapes that it takes.
fn every_kind() -> Vec<(LayerSpec, Vec<usize>)> {
    let conv = |channels, kernel, stride, padding, bias| Conv2d { channels, kernel, stride, padding, bias };
    vec![
        (LayerSpec::of(conv(4, 3, 1, 1, true)), vec![2, 5, 6]),
        (LayerSpec::of(conv(3, 4, 2, 1, false)), vec![3, 7, 5]),
        (LayerSpec::of(Linear { features: 5, bias: true }), vec![7]),
        (LayerSpec::of(AvgPool2d { kernel: 2, stride: 2 }), vec![2, 5, 6]),
        (LayerSpec::of(Normalize { mean: vec![0.4, 0.5], std: vec![0.2, 0.3] }), vec![2, 3, 4]),
        (LayerSpec::of(Normalize { mean: vec![], std: vec![] }), vec![2, 3, 4]),
        (LayerSpec::of(Flatten), vec![2, 3, 4]),
        (LayerSpec::of(Relu), vec![9]),
        (LayerSpec::of(Relu6), vec![2, 3, 3]),
        (LayerSpec::of(ReluTheta { theta: 0.6 }), vec![2, 3, 3]),
        (LayerSpec::of(MaxMin), vec![4, 3, 2]),
        (LayerSpec::of(ClippedMaxMin { max: 0.4, min: -0.3 }), vec![6]),
        (LayerSpec::of(GroupSort { size: 3 }), vec![6, 2, 3]),
        (LayerSpec::of(GroupSort { size: 7 }), vec![7]),
        (LayerSpec::of(LeakyRelu { slope: 0.1 }), vec![2, 3, 3]),
        (LayerSpec::of(LeakyRelu { slope: 1.7 }), vec![8]),
        (LayerSpec::of(Abs), vec![2, 3, 3]),
        (LayerSpec::of(Gelu), vec![2, 3, 3]),
        (LayerSpec::of(Softplus { beta: 1.0 }), vec![7]),
        (LayerSpec::of(Softplus { beta: 20.0 }), vec![2, 3, 3]),
        (LayerSpec::of(Householder), vec![4, 3, 2]),
        (LayerSpec::of(Householder), vec![6]),
        (LayerSpec::of(NActivation), vec![3, 2, 4]),
        (LayerSpec::of(NActivation), vec![7]),
        (LayerSpec::of(HalfAbs), vec![4, 3, 2]),
        (LayerSpec::of(HalfAbs), vec![6]),
        (LayerSpec::of(ScaleShift), vec![3, 2, 4]),
        (LayerSpec::of(ScaleShift), vec![5]),
        (LayerSpec::of(BatchNorm2d { eps: 1e-5, momentum: 0.1 }), vec![3, 4, 2]),
        (LayerSpec::of(BatchCentering { momentum: 0.1 }), vec![3, 4, 2]),
        (LayerSpec::of(BatchCentering { momentum: 0.3 }), vec![5]),
        (LayerSpec::of(MaxPool2d { kernel: 2, stride: 2 }), vec![2, 5, 6]),
        (LayerSpec::of(MaxPool2d { kernel: 3, stride: 2 }), vec![1, 7, 6]),
        (LayerSpec::of(MaxPool2d { kernel: 3, stride: 1 }), vec![1, 4, 5]),
        (LayerSpec::of(PixelUnshuffle { factor: 2 }), vec![3, 4, 6]),
        (LayerSpec::of(Made(AolConv2d { channels: 3, kernel: 3, stride: 2, padding: 1, bias: true })), vec![2, 5, 6]),
        (LayerSpec::of(Made(AolLinear { features: 5, bias: false })), vec![7]),
        (
            LayerSpec::of(CayleyConv2d { channels: 3, kernel: 3, stride: 1, bias: true, train_alpha: true }),
            vec![4, 5, 5],
        ),
        (
            LayerSpec::of(CayleyConv2d { channels: 5, kernel: 4, stride: 2, bias: false, train_alpha: false }),
            vec![1, 6, 6],
        ),
        (LayerSpec::of(Made(CayleyLinear { features: 4, bias: true, train_alpha: false })), vec![6]),
        (LayerSpec::of(Made(CayleyLinear { features: 6, bias: false, train_alpha: true })), vec![5]),
        (
            LayerSpec::of(BroConv2d { channels: 4, kernel: 3, stride: 1, padding: 1, rank: 0, bias: true }),
            vec![3, 4, 4],
        ),
        (
            LayerSpec::of(BroConv2d { channels: 2, kernel: 2, stride: 2, padding: 0, rank: 3, bias: false }),
            vec![1, 6, 6],
        ),
        (LayerSpec::of(Made(BroLinear { features: 4, rank: 2, bias: true })), vec![6]),
        (LayerSpec::of(SocConv2d { channels: 3, kernel: 3, stride: 1, terms: 12, bias: true }), vec![4, 5, 3]),
        (LayerSpec::of(SocConv2d { channels: 5, kernel: 3, stride: 2, terms: 8, bias: false }), vec![1, 4, 6]),
        (LayerSpec::of(Made(LinearResidual { kernel: 3, scale: 0.5, bias: true })), vec![3, 4, 5]),
        (LayerSpec::of(Made(CholeskyLinear { scale: 0.3, bias: true })), vec![6]),
        (LayerSpec::of(Made(LlnLinear { features: 4, bias: true })), vec![7]),
        (LayerSpec::of(Stepped(SllConv2d { inner: 5, kernel: 3 })), vec![2, 4, 3]),
        (LayerSpec::of(Stepped(SllLinear { inner: 4 })), vec![6]),
        (LayerSpec::of(Stepped(CplLinear { inner: 5, squarings: 25 })), vec![6]),
        (LayerSpec::of(Stepped(CplLinear { inner: 9, squarings: 1 })), vec![4]),
        (LayerSpec::of(Stepped(CplConv2d { inner: 5, kernel: 3, iterations: 1 })), vec![2, 4, 3]),
        (LayerSpec::of(Stepped(CplConv2d { inner: 2, kernel: 1, iterations: 3 })), vec![3, 2, 2]),
        (LayerSpec::of(Residual { layers: vec![LayerSpec::of(conv(3, 3, 1, 1, true))] }), vec![3, 5, 4]),
        (LayerSpec::of(Residual { layers: vec![LayerSpec::of(Linear { features: 6, bias: true })] }), vec![6]),
        // No kernel of one convolution: two in a row, three summands, a kernel that is wider behind than before.
        (
            LayerSpec::of(Residual {
                layers: vec![LayerSpec::of(conv(4, 3, 1, 1, true)), LayerSpec::of(conv(2, 3, 1, 1, false))],
            }),
            vec![2, 4, 5],
        ),
        (
            LayerSpec::of(Sum {
                branches: vec![
                    Branch::One(LayerSpec::of(AvgPool2d { kernel: 2, stride: 2 })),
                    Branch::One(LayerSpec::of(conv(3, 4, 2, 1, true))),
                ],
            }),
            vec![3, 6, 8],
        ),
        (
            LayerSpec::of(Sum {
                branches: vec![
                    Branch::One(LayerSpec::of(conv(2, 1, 1, 0, true))),
                    Branch::List(vec![
                        LayerSpec::of(PixelUnshuffle { factor: 1 }),
                        LayerSpec::of(conv(2, 3, 1, 1, true)),
                    ]),
                    Branch::List(vec![LayerSpec::of(conv(3, 3, 1, 1, false)), LayerSpec::of(conv(2, 1, 1, 0, true))]),
                ],
            }),
            vec![2, 4, 3],
        ),
        (
            LayerSpec::of(Residual {
                layers: vec![LayerSpec::of(Residual { layers: vec![LayerSpec::of(conv(2, 3, 1, 1, true))] })],
            }),
            vec![2, 4, 4],
        ),
        // One kernel for branches side by side, one of them the identity; a matrix; none where strides differ.
        (
            LayerSpec::of(Parallel {
                branches: vec![
                    Branch::List(vec![]),
                    Branch::One(LayerSpec::of(conv(3, 3, 1, 1, true))),
                    Branch::One(LayerSpec::of(conv(1, 1, 1, 0, false))),
                ],
            }),
            vec![2, 4, 5],
        ),
        (
            LayerSpec::of(Parallel {
                branches: vec![
                    Branch::One(LayerSpec::of(Linear { features: 3, bias: false })),
                    Branch::One(LayerSpec::of(Linear { features: 2, bias: true })),
                ],
            }),
            vec![5],
        ),
        (
            LayerSpec::of(Parallel {
                branches: vec![
                    Branch::One(LayerSpec::of(PixelUnshuffle { factor: 2 })),
                    Branch::List(vec![
                        LayerSpec::of(conv(3, 3, 1, 1, true)),
                        LayerSpec::of(AvgPool2d { kernel: 2, stride: 2 }),
                    ]),
                ],
            }),
            vec![2, 4, 6],
        ),
        // A block of affine layers is their product.
        (
            LayerSpec::of(Block {
                layers: vec![
                    LayerSpec::of(conv(3, 3, 1, 1, true)),
                    LayerSpec::of(Flatten),
                    LayerSpec::of(Linear { features: 4, bias: true }),
                ],
            }),
            vec![2, 4, 3],
        ),
        (
            LayerSpec::of(Residual {
                layers: vec![
                    LayerSpec::of(Linear { features: 5, bias: true }),
                    LayerSpec::of(Relu),
                    LayerSpec::of(Linear { features: 6, bias: true }),
                ],
            }),
            vec![6],
        ),
    ]
}

/// Alone in a network, whose parameters are drawn.
fn placed(spec: &LayerSpec, input: &[usize]) -> Layer {
    let net = Sequential::new(input, std::slice::from_ref(spec), DType::F64, &Device::Cpu, &Generator::new(5)).unwrap();
    // What is made of parameters is so when it is asked for; what a batch says, by the running statistics.
    let net = if spec.is_derived() { net.frozen() } else { net };
    net.current().unwrap().layers()[0].clone()
}

#[test]
fn every_kind_keeps_the_contract() {
    let random = Generator::new(3);
    let all = every_kind();
    for entry in &KINDS {
        assert!(all.iter().any(|(spec, _)| spec.name() == entry.name), "{} is tried here", entry.name);
    }
    for (spec, input) in all {
        contract::hold(&placed(&spec, &input), &random);
        let text = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<LayerSpec>(&text).unwrap(), spec, "{text}");
    }
}

/// A script makes each kind by its name, and the text of a layer makes it again.
#[test]
fn every_kind_is_written_as_it_is_shown() {
    let mut lab = Lab::on(Device::Cpu);
    for (spec, input) in every_kind() {
        let (text, input) = (spec.describe(), format!("{input:?}"));
        let shown = lab.run(&format!("let n = sequential({input}, [{text}]); [n.layers[0].name, n.layers[0].kind]"));
        let shown: Vec<String> = shown.into_typed_array().unwrap();
        assert_eq!(shown, [text, spec.name().to_string()]);
    }
}

/// `()` for an option is an option that was not given.
#[test]
fn an_option_of_unit_is_none() {
    let mut lab = Lab::on(Device::Cpu);
    let shown = lab.run("[avg_pool2d(2, #{ stride: () }).to_string(), conv2d(3, 3, #{ padding: () }).to_string()]");
    let shown: Vec<String> = shown.into_typed_array().unwrap();
    assert_eq!(shown, ["avg_pool2d(2, #{ stride: 2 })", "conv2d(3, 3, #{ stride: 1, padding: 0 })"]);
}

#[test]
fn a_file_with_an_unknown_kind_or_setting_is_refused() {
    let read = |text: &str| serde_json::from_str::<LayerSpec>(text).unwrap_err().to_string();
    assert!(
        read(r#"{"kind":"conv3d","channels":3}"#)
            .contains("there is no kind of layer `conv3d`; did you mean `conv2d`?")
    );
    assert!(read(r#"{"kind":"linear","features":3}"#).contains("missing field `bias`"));
    assert!(read(r#"{"kind":"relu","theta":3}"#).contains("unknown field `theta`"));
    assert!(read(r#"{"channels":3}"#).contains("without a kind"));
}

/// An activation from outside the crate: a shrinking by a learned amount, constant around 0.
#[derive(Clone, Debug)]
struct Shrink {
    by: f64,
}

#[derive(Debug)]
struct Shrunk {
    by: Tensor,
}

impl Kind for Shrink {
    fn name(&self) -> &str {
        "shrink"
    }
    fn describe(&self) -> String {
        format!("shrink({:?})", self.by)
    }
    fn own(&self) -> Vec<Own> {
        vec![]
    }
    fn settings(&self) -> Map<String, Value> {
        Map::from_iter([("by".into(), json!(self.by))])
    }
    fn output_shape(&self, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
        Ok(input.to_vec())
    }
    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        let by = Parameter::new("by", &[&[1], input].concat(), Start::Constant(self.by));
        vec![Parameter { at_least_zero: true, ..by }]
    }
    fn export(&self, _: &Place, _: &mut Graph, _: String) -> Result<String> {
        candle_core::bail!("shrink: there is no such operator")
    }
    fn build(&self, place: &Place) -> Result<Role> {
        Ok(Role::Activation(Rc::new(Shrunk { by: place.parameter("by")? })))
    }
}

impl Activation for Shrunk {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.broadcast_sub(&self.by)?.relu()? - x.neg()?.broadcast_sub(&self.by)?.relu()? + (x * 0.0)?
    }

    fn spread(&self, each: &Tensor) -> Result<Tensor> {
        Ok(each.clone())
    }

    fn facts(&self) -> Facts {
        Facts { lipschitz: 1.0, roundings: Some(1), thresholds: vec![self.by.clone()], cancels: false, fused: None }
    }

    fn boxes(&self) -> Option<&dyn Boxes> {
        None
    }

    fn clipping(&self) -> Option<&dyn Clipping> {
        Some(self)
    }

    fn lines(&self) -> Option<&dyn Lines> {
        None
    }

    fn frozen(&self) -> Rc<dyn Activation> {
        Rc::new(Self { by: self.by.detach() })
    }
}

impl Clipping for Shrunk {
    fn side(&self) -> Side {
        Side::Before
    }
    fn varying(&self, lower: &Tensor, upper: &Tensor) -> Result<Tensor> {
        let inside = (upper.broadcast_le(&self.by)? * lower.broadcast_ge(&self.by.neg()?)?)?;
        inside.eq(0u8)
    }
    fn unclipped(&self, _: &Tensor, _: &Tensor) -> Option<Result<Tensor>> {
        None
    }
    fn excess(&self, lower: &Tensor, upper: &Tensor) -> Result<Excess> {
        let reach = |end: &Tensor| end.abs()?.broadcast_sub(&self.by)?.relu();
        Ok(Excess { below: reach(lower)?, above: Some(reach(upper)?) })
    }
}

/// An affine kind from outside the crate, with no dense view: differences of neighbours with a learned weight.
#[derive(Clone, Debug)]
struct Differences;

#[derive(Clone, Debug)]
struct Difference {
    weight: Tensor,
}

impl Kind for Differences {
    fn name(&self) -> &str {
        "differences"
    }
    fn describe(&self) -> String {
        "differences()".into()
    }
    fn own(&self) -> Vec<Own> {
        vec![]
    }
    fn settings(&self) -> Map<String, Value> {
        Map::new()
    }
    fn output_shape(&self, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
        match input {
            [n] if *n > 1 => Ok(vec![n - 1]),
            _ => Err("it wants a vector of two numbers and more".into()),
        }
    }
    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        vec![Parameter::new("weight", &[1, input[0] - 1], Start::Normal { std: 1.0 })]
    }
    fn export(&self, _: &Place, _: &mut Graph, _: String) -> Result<String> {
        candle_core::bail!("differences: there is no such operator")
    }
    fn build(&self, place: &Place) -> Result<Role> {
        Ok(Role::Affine(Rc::new(Difference { weight: place.parameter("weight")? })))
    }
}

impl Difference {
    /// `a x_i + b x_(i+1)` with the weights' sizes or signs.
    fn pairs(&self, x: &Tensor, weight: &Tensor, b: f64) -> Result<Tensor> {
        let n = x.dim(1)?;
        x.narrow(1, 0, n - 1)?.broadcast_mul(weight)? + (x.narrow(1, 1, n - 1)? * b)?
    }
}

impl Affine for Difference {
    fn forward(&self, x: &Tensor, precision: Precision) -> Result<Tensor> {
        self.apply(x, precision)
    }
    fn apply(&self, x: &Tensor, _: Precision) -> Result<Tensor> {
        self.pairs(x, &self.weight, -1.0)
    }
    fn adjoint(&self, y: &Tensor, _: Precision) -> Result<Tensor> {
        let none = y.narrow(1, 0, 1)?.zeros_like()?;
        Tensor::cat(&[&y.broadcast_mul(&self.weight)?, &none], 1)? - Tensor::cat(&[&none, y], 1)?
    }
    fn apply_absolute(&self, h: &Tensor, _: Precision) -> Result<Tensor> {
        self.pairs(h, &self.weight.abs()?, 1.0)
    }
    fn row_norms(&self) -> Result<Tensor> {
        (self.weight.sqr()? + 1.0)?.sqrt()
    }
    fn add_bias(&self, y: &Tensor) -> Result<Tensor> {
        Ok(y.clone())
    }
    fn weight(&self) -> Option<&Tensor> {
        None
    }
    fn is_trained(&self) -> bool {
        self.weight.track_op()
    }
    fn terms(&self) -> usize {
        2
    }
    fn rounding(&self) -> Result<Rounding> {
        let largest = values(&self.weight).into_iter().fold(1.0, |m: f64, w| m.max(w.abs()));
        Ok(Rounding { steps: 4, largest, stretch: 1.0 })
    }
    fn weight_roundings(&self) -> usize {
        0
    }

    fn dense(&self) -> Option<Dense> {
        None
    }
    fn structure(&self) -> Result<Option<Structure>> {
        Ok(None)
    }

    fn numbers(&self) -> (DType, Device) {
        (self.weight.dtype(), self.weight.device().clone())
    }
    fn frozen(&self) -> Rc<dyn Affine> {
        Rc::new(Self { weight: self.weight.detach() })
    }

    fn each_sample(&self) -> Result<Option<Vec<Rc<dyn Affine>>>> {
        Ok(None)
    }

    fn seen(&self, _: &Tensor) -> Result<Option<Rc<dyn Affine>>> {
        Ok(None)
    }
}

#[test]
fn kinds_from_outside_keep_the_contract() {
    let random = Generator::new(4);
    contract::hold(&placed(&LayerSpec::of(Shrink { by: 0.5 }), &[7]), &random);
    contract::hold(&placed(&LayerSpec::of(Differences), &[9]), &random);
}

/// The norm of a map without a dense view has a gradient in its parameters: the envelope, against differences.
#[test]
fn the_norm_of_an_own_map_has_a_gradient() -> Result<()> {
    use workbench::bounds::{Arithmetic, PowerOptions, spectral_norm};
    let net = Sequential::new(&[6], &[LayerSpec::of(Differences)], DType::F64, &Device::Cpu, &Generator::new(2))?;
    let layer = &net.layers()[0];
    let options = PowerOptions { iterations: 5000, tolerance: Some(1e-13), arithmetic: Arithmetic::Own };
    let start = Generator::new(3).normal(0.0, 1.0, (2, 6), DType::F64, &Device::Cpu)?;
    let columns = Tensor::new(&[[1u8, 1, 1, 1, 1, 1], [1, 0, 1, 1, 0, 1]], &Device::Cpu)?;
    let sum = || spectral_norm(layer, &start, Some(&columns), None, options)?.sigma.sum_all();
    let weight = net.parameter("0.weight").unwrap();
    let gradients = workbench::compute::autograd::backward(&sum()?)?;
    let gradient = values(gradients.get(weight.as_tensor()).expect("the norm hangs on the weight"));
    let before = weight.as_tensor().copy()?;
    for (i, own) in gradient.iter().enumerate() {
        let at = |step: f64| -> Result<f64> {
            let mut moved = values(&before);
            moved[i] += step;
            weight.set(&Tensor::from_vec(moved, before.dims(), &Device::Cpu)?)?;
            sum()?.to_scalar()
        };
        let slope = (at(1e-5)? - at(-1e-5)?) / 2e-5;
        assert!((slope - own).abs() < 1e-6, "weight {i}: {own} against {slope}");
    }
    Ok(())
}

/// Networks of the later kinds: certified by estimates that have converged and by rigorous bounds, no attack finds a counter-example
/// within, and no two points of the ball lie further apart in their features than the bound says.
#[test]
fn whole_networks_of_all_kinds_are_bounded() {
    let mut lab = Lab::on(Device::Cpu);
    let shapes = [
        "[conv2d(6, 3, #{ padding: 1 }), abs(), max_pool2d(2), flatten(), linear(8), groupsort(4), linear(3)]",
        "[pixel_unshuffle(2), conv2d(6, 2), relu_theta(0.7), flatten(), linear(6), leaky_relu(0.2), linear(3)]",
        "[conv2d(4, 3), pixel_unshuffle(2), relu(), max_pool2d(2, #{ stride: 1 }), flatten(), linear(6), leaky_relu(1.5), linear(3)]",
        "[conv2d(4, 3), flatten(), relu(), linear(6), maxmin(), linear(3)]",
        "[conv2d(4, 3), scale_shift(), gelu(), flatten(), linear(6), softplus(2.0), linear(3)]",
        "[conv2d(4, 3, #{ weight: |w| w * 0.5 }), householder(), flatten(), linear(6), gelu(), residual([scale_shift(), gelu(), linear(6)]), linear(3)]",
    ];
    for (seed, layers) in shapes.iter().enumerate() {
        let found = lab.run(&format!(
            r#"
            import "std/local_lip" as lip; import "std/certify" as certify; import "std/evaluate" as evaluate;
            let net = sequential([1, 6, 6], {layers}, #{{ dtype: "f64" }});
            let x = (randn([12, 1, 6, 6]) * 0.3 + 0.5).to_dtype("f64");
            let y = net.forward(x).argmax(1);
            let eps = 0.05;
            let bounds = lip::bounds(net, x, eps, fresh_vectors(net, 12), evaluate::to_convergence());
            let prepared = certify::prepare(net, "rigorous");
            let own = certify::margins_within(prepared, x, y, eps, arange(12).to_array().map(|i| i.to_int()), 0, true);
            let attacked = pgd(net, x, y, eps, #{{ clip: false, stop_early: false, restarts: 3 }});
            let reached = margins(net.forward(attacked), y);
            let estimate = margins(worst_logits(net, bounds, y), y);
            let walk = |from| {{ for layer in net.layers.extract(0, net.layers.len() - 1) {{ from = layer.forward(from); }} from }};
            let moved = (walk.call(attacked) - walk.call(x)).flatten(1).norm(1);
            [(reached - own.margins).min().item(), (reached - estimate).min().item(),
             (bounds.radius - moved).min().item(), (own.lipschitz - bounds.lipschitz).min().item(), own.margins.max().item()]
            "#
        ));
        let found: Vec<f64> = found.into_typed_array().unwrap();
        let [rigorous, estimate, radius, above, best] = found[..] else { unreachable!() };
        assert!(rigorous >= 0.0 && estimate >= -1e-9 && radius >= -1e-9, "{seed}: {found:?}");
        assert!(above >= -1e-6, "{seed}: the rigorous bound lies below the estimate: {above}");
        assert!(best > 0.0, "{seed}: nothing is certified");
    }
}
