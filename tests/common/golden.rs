//! Golden values: nets with seeded weights, what the published code computes on them, and the truth in f64. Four small nets
//! lie in the repository; the five of the published sizes in the folder that WORKBENCH_GOLDEN names.

use super::rounding::SINGLE;
use super::{close, relative_gap, values};
use candle_core::{DType, Tensor, Var};
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use workbench::base::random::Generator;
use workbench::compute::autograd::backward;
use workbench::nn::layers::{ClippedMaxMin, Conv2d, Flatten, Linear, Relu, ReluTheta};
use workbench::nn::{Layer, LayerSpec, Sequential};

/// One golden net: its tensors, its description.
pub struct Golden {
    pub tensors: HashMap<String, Tensor>,
    pub info: Value,
    pub name: String,
}

/// Of a list that is stored as a sample, the numbers that are in it.
pub fn sampled(list: &[f64], count: usize) -> Vec<f64> {
    (0..count).map(|k| list[k * 1_000_003 % list.len()]).collect()
}

/// The folder of the golden files that are in the repository.
pub fn golden_folder() -> PathBuf {
    // A test binary may run on another machine than the one that built it (tools/gpu_check.sh).
    let repository = std::env::var_os("WORKBENCH_TEST_FOLDER").map(PathBuf::from);
    repository.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into()).join("tests/golden")
}

impl Golden {
    /// A net of the repository, or of the folder that WORKBENCH_GOLDEN names.
    pub fn find(name: &str) -> Option<Self> {
        if name.starts_with("tiny") {
            return Some(Self::load(&golden_folder(), name));
        }
        let folder = std::env::var_os("WORKBENCH_GOLDEN").map(PathBuf::from);
        let folder = folder.filter(|folder| folder.join(format!("{name}.json")).exists());
        if folder.is_none() {
            eprintln!("skipped: WORKBENCH_GOLDEN names no folder with {name}.json");
        }
        folder.map(|folder| Self::load(&folder, name))
    }

    pub fn load(folder: &Path, name: &str) -> Self {
        let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).expect("golden description");
        let info: Value = serde_json::from_str(&text).expect("golden description");
        let file = folder.join(format!("{name}.safetensors"));
        let mut tensors = candle_core::safetensors::load(file, &super::device()).expect("golden values");
        // Inputs that are not in the file are made by the formula in the description.
        for (key, rule) in info["generator"]["tensors"].as_object().expect("generator") {
            let shape: Vec<usize> =
                rule["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
            let number = |k: &str| rule[k].as_f64().unwrap();
            let made = uniform(rule["seed"].as_str().unwrap().parse().unwrap(), &shape, number("lo"), number("hi"));
            let first: Vec<f32> = made.flatten_all().unwrap().to_vec1().unwrap();
            for (a, b) in first.iter().zip(rule["first4"].as_array().unwrap()) {
                assert_eq!(*a, b.as_f64().unwrap() as f32, "{name} {key}: the generator");
            }
            tensors.entry(key.clone()).or_insert(made);
        }
        Self { tensors, info, name: name.into() }
    }

    /// Another net of the same kind: the same layers and ranges, all numbers drawn anew.
    pub fn again(&self, turn: u64) -> Self {
        let draw = |(key, rule): (&String, &Value)| {
            let seed =
                rule["seed"].as_str().unwrap().parse::<u64>().unwrap().wrapping_add(turn.wrapping_mul(0x1_0000_0007));
            let shape: Vec<usize> =
                rule["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
            (key.clone(), uniform(seed, &shape, rule["lo"].as_f64().unwrap(), rule["hi"].as_f64().unwrap()))
        };
        let mut tensors: HashMap<String, Tensor> =
            self.info["generator"]["tensors"].as_object().unwrap().iter().map(draw).collect();
        let classes = self.info["classes"].as_u64().unwrap() as f64;
        let labels = uniform(turn, self.get("y").dims(), 0.0, classes).to_dtype(DType::U32).unwrap();
        tensors.insert("y".into(), labels);
        Self { tensors, info: self.info.clone(), name: format!("{} again {turn}", self.name) }
    }

    /// Is this one of the small nets, all of whose values are stored whole and far from every decision?
    pub fn is_tiny(&self) -> bool {
        self.name.starts_with("tiny")
    }

    /// Is there a value of this name, whole or as a sample?
    pub fn has(&self, key: &str) -> bool {
        self.tensors.contains_key(key) || self.tensors.contains_key(&format!("{key}#sample"))
    }

    pub fn get(&self, key: &str) -> Tensor {
        self.tensors.get(key).unwrap_or_else(|| panic!("{}: no golden value `{key}`", self.name)).clone()
    }

    pub fn wide(&self, key: &str) -> Tensor {
        self.get(key).to_dtype(DType::F64).unwrap()
    }

    pub fn number(&self, key: &str) -> f64 {
        self.info[key].as_f64().unwrap()
    }

    pub fn labels(&self) -> Tensor {
        self.get("y").to_dtype(DType::U32).unwrap()
    }

    /// Compare a value with the golden one. Where only the first samples of the batch are stored, those are compared; of
    /// a tensor stored as a sample, that and its two sums.
    #[track_caller]
    pub fn check(&self, key: &str, got: &Tensor, tolerance: f64) {
        let what = format!("{} {key} {:?}", self.name, got.dtype());
        if let Some(truth) = self.tensors.get(key) {
            return close(&what, &self.stored(key, got), truth, tolerance);
        }
        let got = if got.rank() == 0 { got.reshape(1).unwrap() } else { got.clone() };
        let (got, truth, sums) =
            (values(&got), self.get(&format!("{key}#sample")), values(&self.get(&format!("{key}#stat"))));
        let sample = sampled(&got, truth.elem_count());
        close(&what, &Tensor::new(sample, &super::device()).unwrap(), &truth, tolerance);
        let norm = |list: &[f64]| list.iter().map(|a| a * a).sum::<f64>().sqrt();
        let along = values(&uniform(7, &[got.len()], -1.0, 1.0));
        let product: f64 = got.iter().zip(&along).map(|(a, b)| a * b).sum();
        for (sum, truth, scale) in [(norm(&got), sums[0], sums[0]), (product, sums[1], sums[0] * norm(&along))] {
            let gap = (sum - truth).abs() / if scale == 0.0 { 1.0 } else { scale };
            assert!(gap <= tolerance, "{what}#stat: relative gap {gap:.3e}, allowed {tolerance:.1e}");
        }
    }

    /// The largest difference from a golden value that is stored whole, relative to its largest.
    pub fn gap(&self, key: &str, got: &Tensor) -> f64 {
        relative_gap(&self.stored(key, got), &self.get(key))
    }

    /// The samples of which there is a golden value.
    fn stored(&self, key: &str, got: &Tensor) -> Tensor {
        let (got, truth) = (if got.rank() == 0 { got.reshape(1).unwrap() } else { got.clone() }, &self.tensors[key]);
        let stored = if truth.elem_count() < got.elem_count() { truth.dims()[0] } else { got.dims()[0] };
        got.narrow(0, 0, stored).unwrap()
    }

    /// Compare a value with the golden one as [`near`] says. Returns what is allowed, as a part.
    #[track_caller]
    pub fn check_near(&self, key: &str, got: &Tensor, moved: &[&Tensor]) -> f64 {
        let what = format!("{} {key}", self.name);
        let (got, moved) = (values(got), moved.iter().map(|t| values(t)).collect::<Vec<_>>());
        let holds = |what: &str, off: f64, allowed: f64| {
            println!("{what}: off by {off:.1e}, allowed {allowed:.1e}"); // shown with --nocapture
            assert!(off <= allowed, "{what}: off by {off:.3e}, allowed {allowed:.3e}");
        };
        let whole = |what: &str, got: &[f64], moved: &[Vec<f64>], truth: &[f64]| {
            let (off, allowed) = near(got, moved, truth);
            holds(what, off, allowed);
            if allowed == 0.0 { 0.0 } else { allowed / norm(truth) }
        };
        if let Some(truth) = self.tensors.get(key) {
            return whole(&what, &got, &moved, &values(truth));
        }
        let (truth, sums) = (values(&self.get(&format!("{key}#sample"))), values(&self.get(&format!("{key}#stat"))));
        let sample = |list: &[f64]| sampled(list, truth.len());
        let samples: Vec<_> = moved.iter().map(|list| sample(list)).collect();
        let share = whole(&format!("{what}#sample"), &sample(&got), &samples, &truth);
        // Its norm, and its product with a vector.
        let (_, allowed) = near(&got, &moved, &got);
        holds(&format!("{what}#stat, norm"), (norm(&got) - sums[0]).abs(), allowed);
        let along = values(&uniform(7, &[got.len()], -1.0, 1.0));
        let product: f64 = got.iter().zip(&along).map(|(a, b)| a * b).sum();
        holds(&format!("{what}#stat, product"), (product - sums[1]).abs(), allowed * norm(&along));
        share
    }

    /// Compare a mask with a golden one; some neurons lie within rounding of a decision (none in the small nets at hand), and
    /// as many may fall on the other side.
    #[track_caller]
    pub fn check_mask(&self, setting: &str, index: usize, got: &Tensor) {
        let truth = self.varying(setting, index).expect("a golden mask");
        let got = got.narrow(0, 0, truth.dim(0).unwrap()).unwrap();
        let (got, truth) = (values(&got), values(&truth));
        assert_eq!(got.len(), truth.len());
        let flips = got.iter().zip(&truth).filter(|(a, b)| a != b).count();
        let close = &self.info["info"]["mask_margin(min, count<1e-5)"][setting][index.to_string()][1];
        let allowed = close.as_u64().expect("the count of close decisions");
        assert!(flips as u64 <= allowed, "{} {setting}/mask/{index}: {flips} flips, allowed {allowed}", self.name);
    }

    /// The golden mask of what varies, u8, where it is stored.
    pub fn varying(&self, setting: &str, index: usize) -> Option<Tensor> {
        self.tensors.get(&format!("{setting}/mask/{index}")).map(|code| code.eq(1u8).unwrap())
    }

    /// The network with its golden weights.
    pub fn model(&self, dtype: DType) -> Rc<Sequential> {
        let specs: Vec<LayerSpec> = self.info["layers"].as_array().unwrap().iter().map(spec).collect();
        let input: Vec<usize> =
            self.info["in_shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
        let model = Sequential::new(&input, &specs, dtype, &super::device(), &Generator::new(0)).expect("the network");
        let weights: HashMap<String, Tensor> = self
            .tensors
            .iter()
            .filter_map(|(k, t)| k.strip_prefix("param/").map(|k| (k.to_string(), t.clone())))
            .collect();
        model.set_weights("golden", &weights).expect("golden weights");
        Rc::new(model)
    }

    /// Compare the gradients of `loss` in all parameters with those stored under `prefix`.
    #[track_caller]
    pub fn check_gradients(&self, prefix: &str, model: &Sequential, loss: &Tensor, tolerance: f64) {
        for (name, gradient) in gradients_of(model, loss) {
            self.check(&format!("{prefix}/{name}"), &gradient, tolerance);
        }
    }
}

pub fn norm(list: &[f64]) -> f64 {
    list.iter().map(|a| a * a).sum::<f64>().sqrt()
}

/// How far `got` is from a truth stored in f32, in the Euclidean norm, and how far it may be: four times as far as each of `moved`,
/// the same after a change as large as its inputs' error, for that is one of many directions; and twice the rounding of f32.
pub fn near(got: &[f64], moved: &[Vec<f64>], truth: &[f64]) -> (f64, f64) {
    assert!(moved.iter().all(|moved| moved.len() == got.len()) && got.len() == truth.len());
    let apart = |other: &[f64]| norm(&got.iter().zip(other).map(|(a, b)| a - b).collect::<Vec<_>>());
    let moved: f64 = moved.iter().map(|moved| apart(moved)).sum();
    (apart(truth), 4.0 * moved + 2.0 * SINGLE * norm(truth))
}

/// The gradients of `loss` in all parameters, by their names.
pub fn gradients_of(model: &Sequential, loss: &Tensor) -> Vec<(String, Tensor)> {
    let store = backward(loss).unwrap();
    let of = |var: &Var| store.get(var.as_tensor()).map_or(var.zeros_like().unwrap(), Tensor::detach);
    model.parameters().iter().map(|(name, var)| (name.clone(), of(var))).collect()
}

/// Every activation with the index of the layer under which its mask and its sparsity loss are filed.
pub fn activations(model: &Sequential) -> Vec<(Layer, usize)> {
    let filed = |l: &Layer| if l.is_maxmin() { l.index } else { l.index - 1 };
    model.layers().iter().filter(|l| l.is_activation()).map(|l| (l.clone(), filed(l))).collect()
}

/// Do two unit vectors per sample agree, up to their sign? Compared by 1 - |cosine|.
#[track_caller]
pub fn same_direction(what: &str, got: &Tensor, truth: &Tensor, tolerance: f64) {
    let (got, truth) = (got.flatten_from(1).unwrap(), truth.reshape((got.dims()[0], ())).unwrap());
    let product = |a: &Tensor, b: &Tensor| values(&(a * b).unwrap().sum(1).unwrap());
    for ((ab, aa), bb) in product(&got, &truth).iter().zip(product(&got, &got)).zip(product(&truth, &truth)) {
        let gap = 1.0 - ab.abs() / (aa * bb).sqrt();
        assert!(gap <= tolerance, "{what}: 1 - |cosine| is {gap:.2e}, allowed {tolerance:.1e}");
    }
}

fn spec(layer: &Value) -> LayerSpec {
    let size = |k: &str| layer[k].as_u64().unwrap() as usize;
    let outputs = || layer["out_shape"][0].as_u64().unwrap() as usize;
    match (layer["kind"].as_str().unwrap(), layer["act"].as_str()) {
        ("conv", _) => LayerSpec::of(Conv2d {
            channels: size("co"),
            kernel: size("k"),
            stride: size("s"),
            padding: size("p"),
            bias: true,
        }),
        ("linear", _) => LayerSpec::of(Linear { features: outputs(), bias: true }),
        ("flatten", _) => LayerSpec::of(Flatten),
        ("act", Some("relux")) => LayerSpec::of(ReluTheta { theta: 1.0 }),
        ("act", Some("clmaxmin")) => LayerSpec::of(ClippedMaxMin { max: 1.0, min: -1.0 }),
        ("act", Some("standrelu")) => LayerSpec::of(Relu),
        other => panic!("unknown golden layer {other:?}"),
    }
}

/// Uniform numbers in f32 from splitmix64, as the golden descriptions state it.
pub fn uniform(seed: u64, shape: &[usize], lo: f64, hi: f64) -> Tensor {
    let n: usize = shape.iter().product();
    let values: Vec<f32> = (0..n as u64)
        .map(|i| {
            let mut z = seed.wrapping_add((i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^= z >> 31;
            (lo + (hi - lo) * ((z >> 40) as f64 * 2f64.powi(-24))) as f32
        })
        .collect();
    Tensor::from_vec(values, shape, &super::device()).unwrap()
}
