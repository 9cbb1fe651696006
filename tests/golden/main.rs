//! Golden values: what the published procedure computes (f32 and f64), and float64 truth, on nine nets: four small ones of
//! every kind always, five of the published sizes where WORKBENCH_GOLDEN names a folder that holds them.

#[path = "../common/mod.rs"]
mod common;

/// One test of a function for each of the nine nets, or, of one that takes minutes on the largest, for the eight others; of that with
/// WORKBENCH_SLOW. A test that finds no file says so and passes.
macro_rules! on_each_net {
    ($check:ident) => {
        on_each_net!($check: tiny_relux tiny_clmaxmin tiny_standrelu tiny_oddpad_relux mnist_4c3f_relux
            cifar_4c3f_relux cifar_6c2f_relux cifar_6c2f_clmaxmin tin_8c2f_relux);
    };
    ($check:ident, slow) => {
        mod $check {
            #[test]
            fn tin_8c2f_relux() {
                match std::env::var_os("WORKBENCH_SLOW") {
                    Some(_) => crate::common::golden::Golden::find("tin_8c2f_relux").iter().for_each(super::$check),
                    None => eprintln!("skipped: takes minutes; WORKBENCH_SLOW=1 runs it"),
                }
            }
            on_each_net!(in $check: tiny_relux tiny_clmaxmin tiny_standrelu tiny_oddpad_relux mnist_4c3f_relux
                cifar_4c3f_relux cifar_6c2f_relux cifar_6c2f_clmaxmin);
        }
    };
    ($check:ident: $($net:ident)*) => {
        mod $check {
            on_each_net!(in $check: $($net)*);
        }
    };
    (in $check:ident: $($net:ident)*) => {
        $(#[test]
        fn $net() {
            crate::common::golden::Golden::find(stringify!($net)).iter().for_each(super::$check);
        })*
    };
}

mod attack;
mod bf16;
mod halves;
mod leading;
mod others;
mod step;
mod trajectory;
mod truth;
mod walked;
mod worst;
