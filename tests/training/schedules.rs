//! Schedules against numbers of PyTorch's schedulers, and at the points by which they are defined.

use super::common::Lab;
use candle_core::Device;

fn rates(call: &str) -> Vec<f64> {
    let script = format!(
        "import \"std/schedule\" as schedule; let all = []; for position in positions {{ all.push({call}); }} all"
    );
    let positions = "let positions = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];\n";
    Lab::on(Device::Cpu).run(&format!("{positions}{script}")).into_typed_array().unwrap()
}

#[track_caller]
fn meets(found: &[f64], truth: &[f64]) {
    for (i, (a, b)) in found.iter().zip(truth).enumerate() {
        assert!((a - b).abs() <= 1e-14 * b.abs().max(1.0), "at {i}: {a} against {b}");
    }
}

#[test]
fn a_cosine_behind_a_warm_up() {
    let found = rates("schedule::cosine_rate(position, #{ epochs: 10, lr: 2.0, lr_warmup: 2, lr_end: 0.1 })");
    // From epoch 2 on `CosineAnnealingLR` over 8 epochs.
    meets(
        &found,
        &[
            0.0,
            1.0,
            2.0,
            1.9276855558857224,
            1.7217514421272202,
            1.4135492607468356,
            1.05,
            0.6864507392531648,
            0.3782485578727799,
            0.1723144441142776,
            0.1,
        ],
    );
    meets(&rates("schedule::cosine_rate(position, #{ epochs: 10, lr: 1.0 })")[..1], &[1.0]);
    assert_eq!(rates("schedule::cosine_rate(position + 3.5, #{ epochs: 10, lr: 1.0 })")[7], 0.0, "beyond the end");
}

#[test]
fn one_cycle_is_that_of_pytorch() {
    // `OneCycleLR` of 11 steps ends its rise at 0.3 of 11, less 1, of the 10 that lie between the first and the last.
    let found = rates("schedule::one_cycle_rate(position, #{ epochs: 10, lr: 2.0, lr_rise: 0.23 })");
    meets(
        &found,
        &[
            0.08000000000000007,
            0.8446822274694716,
            1.9205228494452349,
            1.959493135642603,
            1.7689514495372607,
            1.4521740985950566,
            1.0611654161751995,
            0.6601160579745898,
            0.31486502559901575,
            0.08209108641258171,
            8e-06,
        ],
    );
}

#[test]
fn a_triangle_of_two_slopes_down() {
    let found = rates("schedule::triangular_rate(position, #{ epochs: 10, lr: 0.01 })");
    meets(&found, &[0.0, 0.0025, 0.005, 0.0075, 0.01, 0.007625, 0.00525, 0.002875, 0.0005, 0.00025, 0.0]);
}

#[test]
fn a_warm_up_without_an_end_is_refused() {
    let script = r#"
        import "std/schedule" as schedule;
        let said = [];
        try { schedule::cosine_rate(1, #{ epochs: 10, lr: 1.0, lr_warmup: 10 }); } catch (e) { said.push(`${e}`); }
        try { schedule::one_cycle_rate(1, #{ epochs: 10, lr: 1.0, lr_rise: 1.0 }); } catch (e) { said.push(`${e}`); }
        said
    "#;
    let said: Vec<String> = Lab::on(Device::Cpu).run(script).into_typed_array().unwrap();
    assert!(said.len() == 2 && said[0].contains("a warm-up of 10 epochs leaves nothing of 10"), "{said:?}");
    assert!(said[1].contains("lr_rise is 1.0"), "{said:?}");
}
