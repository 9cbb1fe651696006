//! Golden values: what the published procedure computes (f32 and f64), and float64 truth, on nine nets: four small ones of
//! every kind always, five of the published sizes where WORKBENCH_GOLDEN names a folder that holds them.

#[path = "../common/mod.rs"]
mod common;

/// One test of a function for each of the nine nets. A test that finds no file says so and passes.
macro_rules! on_each_net {
    ($check:ident) => {
        on_each_net!($check: tiny_relux tiny_clmaxmin tiny_standrelu tiny_oddpad_relux mnist_4c3f_relux
            cifar_4c3f_relux cifar_6c2f_relux cifar_6c2f_clmaxmin tin_8c2f_relux);
    };
    ($check:ident: $($net:ident)*) => {
        mod $check {
            $(#[test]
            fn $net() {
                crate::common::golden::Golden::find(stringify!($net)).iter().for_each(super::$check);
            })*
        }
    };
}

mod attack;
mod bf16;
mod leading;
mod others;
mod step;
mod trajectory;
mod truth;
mod worst;
