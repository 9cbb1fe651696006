//! Optimisers: 20 steps each against PyTorch's in float64 (`tests/cases/optimizers.py`), and a state that is put back goes on bit for bit.

use super::case;
use super::common::{Lab, entry, values};
use candle_core::{DType, Device, Tensor, Var};
use std::collections::HashMap;
use workbench::train::{Lookahead, Optimizer, OptimizerKind};

const MAKE: [(&str, &str); 8] = [
    ("adam", "adam(p, #{ lr: 0.05, beta1: 0.8, beta2: 0.95, weight_decay: 0.1 })"),
    ("adamw", "adamw(p, #{ lr: 0.05 })"),
    ("nadam", "nadam(p)"),
    ("nadam_decay", "nadam(p, #{ lr: 0.05, beta1: 0.8, beta2: 0.95, weight_decay: 0.1, momentum_decay: 0.2 })"),
    ("nadam_decoupled", "nadam(p, #{ lr: 0.05, weight_decay: 0.1, decoupled: true })"),
    ("nadam_clipped", "nadam(p, #{ lr: 0.05, clip_norm: 3.0 })"),
    ("lookahead", "lookahead(nadam(p, #{ lr: 0.05 }))"),
    ("lookahead_sgd", "lookahead(sgd(p, #{ lr: 0.05, momentum: 0.9 }), #{ steps: 3, share: 0.8 })"),
];

#[test]
fn trajectories_are_those_of_pytorch() {
    let all = case("optimizers");
    for (name, make) in MAKE {
        let mut lab = Lab::on(Device::Cpu);
        for key in ["start/0", "start/1", "gradient/0", "gradient/1"] {
            lab.tensor(&key.replace("/", "_"), &all[key]);
        }
        let found = lab.run(&format!(
            r#"
            let p = [start_0.parameter(), start_1.parameter()];
            let optimizer = {make};
            let path = [[], []];
            for step in 0..20 {{
                optimizer.step((p[0] * gradient_0[step]).sum() + (p[1] * gradient_1[step]).sum());
                for i in 0..2 {{ path[i].push(p[i].detach() * 1.0); }}
            }}
            #{{ "0": stack(path[0], 0), "1": stack(path[1], 0) }}
            "#
        ));
        for i in ["0", "1"] {
            let (found, truth) = (values(&entry(&found, i)), values(&all[&format!("{name}/{i}")]));
            assert_eq!(found.len(), truth.len());
            for (at, (a, b)) in found.iter().zip(&truth).enumerate() {
                assert!(
                    (a - b).abs() <= 1e-12 * (1.0 + b.abs()),
                    "{name}, parameter {i}, number {at}: {a} against {b}"
                );
            }
        }
    }
}

/// Twenty steps at once, and seven, a copy of the state in another optimiser, thirteen: the same bits. In f32, which nobody rounds away.
#[test]
fn a_state_that_is_put_back_goes_on_bit_for_bit() {
    let all = case("optimizers");
    let narrow = |key: &str| all[key].to_dtype(DType::F32).unwrap();
    let adam = OptimizerKind::Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, decoupled: true };
    let nadam = OptimizerKind::Nadam { beta1: 0.9, beta2: 0.999, eps: 1e-8, momentum_decay: 0.004, decoupled: false };
    let sgd = OptimizerKind::Sgd { momentum: 0.9 };
    for (kind, ahead) in [(adam, None), (nadam.clone(), None), (nadam, Some(5)), (sgd, Some(4))] {
        let made = |start: [Tensor; 2]| {
            let named = [0, 1].map(|i| (i.to_string(), Var::from_tensor(&start[i]).unwrap()));
            let mut optimizer = Optimizer::new(kind.clone(), &named, 0.05, 0.01, Some(3.0)).unwrap();
            if let Some(steps) = ahead {
                optimizer.look_ahead(Lookahead::new(steps, 0.5).unwrap()).unwrap();
            }
            (named.map(|(_, var)| var), optimizer)
        };
        let step = |vars: &[Var; 2], optimizer: &mut Optimizer, at: usize| {
            let of = |i: usize| (vars[i].as_tensor() * narrow(&format!("gradient/{i}")).get(at).unwrap()).unwrap();
            let loss = (of(0).sum_all().unwrap() + of(1).sum_all().unwrap()).unwrap();
            optimizer.step(&loss, None).unwrap();
        };
        let start = || [narrow("start/0"), narrow("start/1")];
        let (whole, mut optimizer) = made(start());
        (0..20).for_each(|at| step(&whole, &mut optimizer, at));
        let (first, mut optimizer) = made(start());
        (0..7).for_each(|at| step(&first, &mut optimizer, at));
        let state: HashMap<String, Tensor> = optimizer.state().unwrap().into_iter().collect();
        assert_eq!(state.contains_key("slow/0"), ahead.is_some());
        // The other one began elsewhere.
        let (second, mut again) = made(start().map(|t| (t + 1.0).unwrap()));
        (0..2).for_each(|i| second[i].set(&first[i].as_tensor().copy().unwrap()).unwrap());
        again.set_state(7, &state).unwrap();
        (7..20).for_each(|at| step(&second, &mut again, at));
        for i in 0..2 {
            let bits = |var: &Var| values(var.as_tensor()).into_iter().map(f64::to_bits).collect::<Vec<_>>();
            assert_eq!(bits(&second[i]), bits(&whole[i]), "{kind:?}, lookahead {ahead:?}");
        }
        // One without its slow weights does not take the place of one with them.
        if ahead.is_some() {
            let mut bare = state.clone();
            bare.remove("slow/0");
            let why = again.set_state(7, &bare).unwrap_err().to_string();
            assert!(why.contains("`slow/0` is missing"), "{why}");
        }
    }
}

/// Momenta are 0 in the end, and the steps go on.
#[test]
fn nadam_goes_on_behind_many_steps() {
    let var = Var::from_tensor(&Tensor::new(&[1.0f64], &Device::Cpu).unwrap()).unwrap();
    let named = [("p".to_string(), var.clone())];
    let kind = OptimizerKind::Nadam { beta1: 0.5, beta2: 0.9, eps: 1e-8, momentum_decay: 0.004, decoupled: false };
    let mut optimizer = Optimizer::new(kind, &named, 0.1, 0.0, None).unwrap();
    let state: HashMap<String, Tensor> = optimizer.state().unwrap().into_iter().collect();
    optimizer.set_state(1_000_000, &state).unwrap();
    optimizer.step(&var.as_tensor().sum_all().unwrap(), None).unwrap();
    // m = 0.5, v = 0.1: mu is 0.5, its product 0, second 1; p - lr (0.5 m + 0.5 g) / sqrt v.
    let wanted = 1.0 - 0.1 * (0.5 * 0.5 + 0.5) / (0.1f64.sqrt() + 1e-8);
    let found = values(var.as_tensor())[0];
    assert!((found - wanted).abs() < 1e-12, "{found} against {wanted}");
}

#[test]
fn mistakes_are_told() {
    for (line, wanted) in [
        ("lookahead(lookahead(adam(p)))", "the optimiser has it already, steps 5 and share 0.5; wrap it once"),
        ("let o = adam(p); o.step(p[0].sum()); lookahead(o)", "has taken 1 steps; wrap it before its first"),
        ("lookahead(adam(p), #{ share: 0.0 })", "share is 0"),
        ("lookahead(adam(p), #{ steps: 0 })", "steps"),
        ("nadam(p, #{ lr: -1.0 })", "nadam: the learning rate is -1"),
        ("adamw(p, #{ decoupled: false })", "decoupled"),
    ] {
        let script = format!(
            "let p = [tensor([1.0]).parameter()]; let said = \"none\"; try {{ {line}; }} catch (e) {{ said = `${{e}}`; }} said"
        );
        let said = Lab::on(Device::Cpu).run(&script).into_string().unwrap();
        assert!(said.contains(wanted), "{line}: {said}");
    }
}
