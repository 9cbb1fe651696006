//! The translation problem alone, maximise w . d over ball and box: exact against f64 truth, clip-and-enlarge against the
//! reference's iterates.

use crate::common::golden::Golden;
use crate::common::rounding::SINGLE;
use crate::common::{close, relative_gap, values};
use candle_core::{DType, Tensor};
use workbench::bounds::{Region, WorstMethod, worst_logits};

on_each_net!(worst_logits_by_every_method);

fn worst_logits_by_every_method(g: &Golden) {
    let model = g.model(DType::F64);
    let last = model.layers().last().unwrap();
    for setting in ["train", "conv", "oracle"] {
        let get = |key: &str| g.wide(&format!("{setting}/{key}"));
        let (center, middle, half) = (get("bcp/mu_prev"), get("bcp/ibp_mu_prev"), get("bcp/ibp_r_prev"));
        let (lower, upper) = ((&middle - &half).unwrap(), (&middle + &half).unwrap());
        let region = Region::new(&center, &lower, &upper, get("r_local")).unwrap();
        let logits = last.forward(&region.center().unwrap()).unwrap();
        let classes = logits.dim(1).unwrap();
        let within = |y: &Tensor, method, radius: &Tensor| worst_logits(last, &region, radius, y, method).unwrap();
        let worst = |y: &Tensor, method| within(y, method, &get("r_local"));
        // All labels of ten classes; every eighth of two hundred, each against all others.
        for label in (0..classes).step_by(1 + classes / 25) {
            let y = Tensor::full(label as u32, logits.dim(0).unwrap(), &crate::common::device()).unwrap();
            // golden [b, i, j] bounds (w_i - w_j).(z - mu): j is the label.
            let truth = |key: &str| get(key).narrow(2, label, 1).unwrap().squeeze(2).unwrap();
            let rise = |method| (worst(&y, method) - &logits).unwrap();
            let exact = rise(WorstMethod::Exact);
            let what = format!("{} {setting} label {label}", g.name);
            // The truth was computed from the inputs as they are stored, so only f64 rounding is between.
            close(&format!("{what} exact"), &exact, &truth("translation_exact"), 1e-9);
            // The reference's iterates have a constant under their square roots, and but for the oracle are computed in f32,
            // to 1e-5 as sums of up to 512 terms. Both tell where r^2 - ||clipped||^2 is little of r^2: twice what the
            // constant does, and a radius off by eight roundings.
            for n in [1, 10, 1000].into_iter().filter(|n| g.has(&format!("{setting}/translation_opt{n}"))) {
                let clip = |constant| WorstMethod::Clip { iterations: n, constant };
                let got = rise(clip(0.0));
                let (rounding, wider) = if setting == "oracle" { (1e-8, 0.0) } else { (1e-5, 8.0 * SINGLE) };
                let wider = (get("r_local") * (1.0 + wider)).unwrap();
                let wider = (within(&y, clip(0.0), &wider) - &logits).unwrap();
                let allowed = rounding + 2.0 * (relative_gap(&rise(clip(1e-12)), &got) + relative_gap(&wider, &got));
                close(&format!("{what} clip {n}"), &got, &truth(&format!("translation_opt{n}")), allowed);
            }
            for method in [WorstMethod::Clip { iterations: 1, constant: 0.0 }, WorstMethod::Ball] {
                for gap in values(&(rise(method) - &exact).unwrap()) {
                    assert!(gap > -1e-12, "{what}: a looser form lies {gap:.2e} below the exact maximum");
                }
            }
        }
        // The margin of the exact worst logits, at the labels.
        let y = g.labels();
        let margin = workbench::bounds::margins(&worst(&y, WorstMethod::Exact), &y).unwrap();
        close(&format!("{} {setting}/exact_margin", g.name), &margin, &get("exact_margin"), 1e-5);
    }
}
