//! Training steps that a CUDA graph repeats: the weights, the vectors and the records of steps that are taken one by one, to the bit. On the GPU
//! where the tests have one, or in software; on the CPU a trainer is `training_step` with the optimiser's step behind it.

mod common;

use common::{Lab, values};
use rhai::{Array, Dynamic, Map};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Three epochs with a warm-up, other iterations in the last one, an evaluation and fresh bounds in between. The last batch is smaller.
const TRAINING: &str = r#"
    import "std/methods"  as methods;
    import "std/evaluate" as evaluate;
    fn trained(method, graph, layers, rule) {
        let data = dataset("digits", #{ train_limit: 90, test_limit: 10 });
        let net  = sequential(data.shape, layers);
        let cfg     = #{ iterations: 2, graph: graph, vectors: "f16", sparsity: if method == "local_lip_b" { 0.01 } else { 0.0 } };
        let vectors = methods::vector_store(method, net, data.train.places, cfg);
        let opt     = rule.call(net);
        let step    = methods::trainer(method, net, opt, vectors, cfg);
        let logs    = [];
        for epoch in 0..6 {
            let iterations = if epoch < 4 { 2 } else { 3 };
            for batch in data.train.batches(16, #{ pass: epoch }) {
                let place = epoch + batch.number.to_float() / batch.count;
                let log   = step.run(batch, if epoch == 0 { 0.0 } else { 0.02 * place }, if epoch == 0 { 1.0 } else { 1.0 - place / 8.0 }, 3e-3 / (1 + epoch), iterations);
                let own   = #{};
                for key in log.keys() { own[key] = if type_of(log[key]) == "Tensor" { log[key].item() } else { log[key] }; }
                logs.push(own);
            }
            if epoch % 2 == 1 { evaluate::accuracies(net, data.test, 0.1, #{ bound: "global", steps: 1, apgd: 0 }); }
        }
        let is_local = methods::bound_of(method) == "local" && !methods::is_boundless(method);
        let affine   = net.layers.filter(|layer| layer.is_affine);
        affine.pop();
        let kept     = if is_local { affine.map(|layer| vectors.first(90).local(layer)) } else { [] };
        let recorded = if step.graph == () { 0 } else { step.graph.recorded };
        let refused  = if step.graph == () { #{} } else { step.graph.refused };
        #{ weights: net.parameters.values(), moments: opt.state.values(), steps: opt.steps, kept: kept, logs: logs, recorded: recorded, refused: refused }
    }
"#;

/// One training at a time: where another thread changes variables meanwhile, what two places of a step share is computed twice, and rounds otherwise.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a training ends with: all numbers, how many keys were recorded, which were not to be.
fn trained(method: &str, graph: &str, Kind { between, activation, rule }: Kind) -> (Vec<Vec<f64>>, i64, Map) {
    let layers = format!(
        "[conv2d(8, 3, #{{ padding: 1 }}), {activation}, {between} conv2d(8, 4, #{{ stride: 2, padding: 1 }}), {activation}, flatten(), \
         linear(12), {activation}, linear(10)]"
    );
    let call = format!("{TRAINING} trained(\"{method}\", \"{graph}\", {layers}, |net| {rule})");
    let found = Lab::new().run(&call).cast::<Map>();
    let tensors = |key: &str| {
        found[key].clone().cast::<Array>().iter().map(|t| values(&common::tensor_of(t))).collect::<Vec<_>>()
    };
    let mut all: Vec<Vec<f64>> = ["weights", "moments", "kept"].map(tensors).concat();
    for log in found["logs"].clone().cast::<Array>() {
        all.push(
            log.cast::<Map>()
                .values()
                .map(|x: &Dynamic| x.as_float().unwrap_or_else(|_| x.as_int().unwrap() as f64))
                .collect(),
        );
    }
    all.push(vec![found["steps"].as_int().unwrap() as f64]);
    (all, found["recorded"].as_int().unwrap(), found["refused"].clone().cast())
}

const ADAM: &str = "adam(net, #{ lr: 3e-3, weight_decay: 1e-3 })";

/// What a method is tried with.
#[derive(Clone, Copy)]
struct Kind {
    /// Layers behind the first activation.
    between: &'static str,
    activation: &'static str,
    rule: &'static str,
}

const RELU: Kind = Kind { between: "", activation: "relu()", rule: ADAM };

/// Two blocks of one kernel each, which nobody keeps: one after the other is made, and goes.
const BLOCKS: &str =
    "residual([conv2d(8, 3, #{ padding: 1 })]), relu(), residual([conv2d(8, 3, #{ padding: 1 })]), relu(),";

/// The kinds of steps: local and global norms, the two together, none; ReLU-theta, MaxMin; blocks; the rules of the optimiser.
const METHODS: [(&str, Kind); 11] = [
    ("local_lip_b", Kind { activation: "relu_theta(1.0)", ..RELU }),
    ("local_lip_b", Kind { between: BLOCKS, ..RELU }),
    (
        "local_lip_g",
        Kind { activation: "clipped_maxmin(0.2, -0.2)", rule: "nadam(net, #{ lr: 3e-3, clip_norm: 0.5 })", ..RELU },
    ),
    ("bcp", Kind { rule: "adamw(net, #{ lr: 3e-3, weight_decay: 0.1 })", ..RELU }),
    ("gloro", Kind { activation: "maxmin()", ..RELU }),
    ("gloro_trades", RELU),
    ("emma", RELU),
    ("lmt", RELU),
    ("ibp", RELU),
    ("standard", RELU),
    ("multi_margin", RELU),
];

#[test]
fn a_repeated_step_is_the_step_to_the_bit() {
    let (_alone, on_gpu) = (alone(), !common::device().is_cpu());
    for (method, kind) in METHODS {
        let (plain, none, _) = trained(method, "unrecorded", kind);
        let (repeated, recorded, refused) = trained(method, "on", kind);
        assert_eq!(plain.len(), repeated.len());
        for (i, (a, b)) in plain.iter().zip(&repeated).enumerate() {
            let same = a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "{method}: result {i} of {}", plain.len());
        }
        println!("{method}: {recorded} recorded, not to be: {refused:?}");
        assert_eq!(none, 0);
        // LMT draws a vector for its last layer at every step, the others look at boxes or labels.
        let whole =
            if ["lmt", "ibp", "gloro_trades"].contains(&method) { !refused.is_empty() } else { refused.is_empty() };
        assert!(if on_gpu { recorded > 0 && whole } else { recorded == 0 }, "{method}: {recorded}, {refused:?}");
        // The step that a script has in full, with eps and kappa as numbers, is the same but for rounding: what the first steps of the ramp log.
        let (written_out, ..) = trained(method, "off", kind);
        let logs = |all: &[Vec<f64>]| all[all.len() - 1 - 36..][..10].to_vec();
        for (i, (a, b)) in logs(&written_out).iter().zip(logs(&plain)).enumerate() {
            assert_eq!(a.len(), b.len());
            let off = a.iter().zip(&b).map(|(a, b)| (a - b).abs() / a.abs().max(1.0)).fold(0.0, f64::max);
            assert!(off <= 1e-3, "{method}: step {i} is off by {off:e}");
        }
    }
}

/// A step that reads or draws is taken as it is, and says why; what it does is what it does without. So is one of a
/// network whose weights are made of parameters or statistics.
#[test]
fn a_step_that_cannot_be_repeated_is_taken_as_it_is() {
    const PLAIN: &str = "conv2d(4, 3), relu(), flatten()";
    let script = |record: bool, layers: &str, step: &str| {
        format!(
            r#"
            let data = dataset("digits", #{{ train_limit: 64, test_limit: 10 }});
            let net  = sequential(data.shape, [{layers}, linear(data.classes)]);
            let opt  = adam(net);
            let vectors = singular_vectors(net, data.train.places);
            let steps   = step_graph(opt, vectors, #{{ record: {record} }});
            for pass in 0..2 {{ for batch in data.train.batches(8, #{{ pass: pass }}) {{
                steps.step("own", batch, [0.5], 1e-3, |batch, numbers| {{ let loss = cross_entropy(net.forward(batch.x), batch.y); {step} }});
            }} }}
            [net.parameters.values(), steps.recorded, steps.refused.values(), opt.steps, random()]
            "#
        )
    };
    let run = |record: bool, layers: &str, step: &str| Lab::new().run(&script(record, layers, step)).cast::<Array>();
    let (_alone, on_gpu) = (alone(), !common::device().is_cpu());
    for (layers, step, reason) in [
        (PLAIN, "#{ loss: numbers[0] * loss }", None),
        (PLAIN, "#{ loss: loss, at: opt.lr * loss }", None),
        (PLAIN, "#{ loss: loss * loss.item() }", Some("not permitted")),
        (PLAIN, "#{ loss: cross_entropy(net.forward(batch.x + 0.1 * randn(batch.x.shape)), batch.y) }", Some("")),
        (PLAIN, "#{ loss: loss * (1.0 + random()) }", Some("it draws random numbers")),
        (PLAIN, "#{ loss: loss * (1 + batch.number) }", Some("it reads batch.number")),
        (PLAIN, "let own = vectors.first(8).local(net.layers[0]).mean(); #{ loss: loss + own }", Some("never")),
        ("conv2d(4, 3, #{ weight: |w| 0.5 * w }), relu(), flatten()", "#{ loss: loss }", Some("never")),
        ("conv2d(4, 3), batch_norm2d(), relu(), flatten()", "#{ loss: loss }", Some("never")),
    ] {
        let [plain, repeated] = [false, true].map(|record| run(record, layers, step));
        let weights = |found: &Array| -> Vec<Vec<f64>> {
            found[0].clone().cast::<Array>().iter().map(|t| values(&common::tensor_of(t))).collect()
        };
        assert!(weights(&plain) == weights(&repeated), "{step}: other weights");
        assert_eq!(repeated[3].as_int().unwrap(), 16, "{step}: each step is counted once");
        assert_eq!(repeated[4].as_float().unwrap(), plain[4].as_float().unwrap(), "{step}: draws that follow");
        let (recorded, refused) = (repeated[1].as_int().unwrap(), repeated[2].clone().cast::<Array>());
        println!("{step}: {recorded}, {refused:?}");
        match reason.filter(|_| on_gpu) {
            None => assert_eq!((recorded, refused.len()), (i64::from(on_gpu), 0), "{step}: {refused:?}"),
            // Not tried at all.
            Some("never") => assert_eq!((recorded, refused.len()), (0, 0), "{step}: {refused:?}"),
            Some(reason) => {
                assert_eq!((recorded, refused.len()), (0, 1), "{step}: {refused:?}");
                assert!(refused[0].to_string().contains(reason), "{step}: {refused:?}");
            }
        }
    }
}

/// An optimiser whose state is put back has it in other memory: the step is recorded once more.
#[test]
fn what_has_moved_is_recorded_once_more() {
    let _alone = alone();
    let run = |record: bool| {
        let mut lab = Lab::new();
        let _ = lab.run(&format!(
            r#"
            let data = dataset("digits", #{{ train_limit: 64, test_limit: 10 }});
            let net  = sequential(data.shape, [conv2d(4, 3), relu(), flatten(), linear(data.classes)]);
            let opt  = adam(net);
            let steps = step_graph(opt, singular_vectors(net, data.train.places, #{{ layers: [] }}), #{{ record: {record} }});
            "#
        ));
        let pass = "for batch in data.train.batches(8) { steps.step(\"own\", batch, [], 1e-3, |batch, numbers| #{ loss: cross_entropy(net.forward(batch.x), batch.y) }); }";
        let _ = lab.run(pass);
        let optimizer = lab.scope.get_value::<workbench::script::values::Optimizer>("opt").unwrap();
        let (steps, state) = (optimizer.0.borrow().steps, optimizer.0.borrow().state().unwrap());
        optimizer.0.borrow_mut().set_state(steps, &state.into_iter().collect()).unwrap();
        let _ = lab.run(pass);
        let found = lab.run("[net.parameters.values(), opt.state.values(), steps.recorded]").cast::<Array>();
        let all = |i: usize| {
            found[i].clone().cast::<Array>().iter().map(|t| values(&common::tensor_of(t))).collect::<Vec<_>>()
        };
        ([all(0), all(1)].concat(), found[2].as_int().unwrap())
    };
    let ((plain, _), (repeated, recorded)) = (run(false), run(true));
    assert!(plain == repeated, "other weights or moments");
    assert_eq!(recorded, i64::from(!common::device().is_cpu()));
}

/// A tensor that a step keeps would be written over by the next one: that is an error, not a silent change.
#[test]
fn a_step_that_keeps_a_tensor_is_an_error() {
    let _alone = alone();
    let script = r#"
        let data = dataset("digits", #{ train_limit: 64, test_limit: 10 });
        let net  = sequential(data.shape, [flatten(), linear(data.classes)]);
        let kept = [];
        let steps = step_graph(adam(net), singular_vectors(net, data.train.places));
        let take  = || { for batch in data.train.batches(8) { steps.step("own", batch, [], 1e-3, |batch, numbers| {
            let loss = cross_entropy(net.forward(batch.x), batch.y);
            kept.push(loss.detach());
            #{ loss: loss }
        }); } };
        let said = "nothing";
        try { take.call(); } catch (e) { said = `${e}`; }
        said
    "#;
    let said = Lab::new().run(script).to_string();
    match common::device().is_cpu() {
        true => assert_eq!(said, "nothing"),
        false => assert!(said.contains("it keeps a tensor") && said.contains("give it in the step's map"), "{said}"),
    }
}
