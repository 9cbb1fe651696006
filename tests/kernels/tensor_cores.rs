//! The order of the axes that tensor cores want, and what they compute.

use super::common::emulation::on_the_host;
use super::common::values;
use super::{CPU, draw, gap, gpu};
use candle_core::{DType, Tensor};
use workbench::base::random::Generator;
use workbench::compute::layout;
use workbench::compute::layout::Layout;
use workbench::compute::precision::Precision;

#[test]
fn orders_of_the_axes() {
    let random = Generator::new(14);
    for dims in [vec![2, 3, 5, 4], vec![1, 40, 7, 6], vec![3, 2, 33, 1, 35], vec![2, 1, 4, 4]] {
        let x = draw(&random, &dims);
        let done = on_the_host(|| {
            let last = layout::turned(&x, Layout::Nchw, Layout::Nhwc).unwrap();
            let seen = layout::seen(&last, Layout::Nhwc).unwrap();
            let bytes = layout::turned(&x.gt(0.0).unwrap(), Layout::Nchw, Layout::Nhwc).unwrap();
            let back = layout::turned(&last, Layout::Nhwc, Layout::Nchw).unwrap();
            assert_eq!(layout::memory(&seen, Layout::Nhwc).unwrap().dims(), layout::shape(&dims, Layout::Nhwc));
            assert_eq!(layout::planes(last.dims(), Layout::Nhwc), dims);
            assert_eq!(values(&layout::memory(&x, Layout::Nhwc).unwrap()), values(&last));
            assert_eq!(values(&bytes), values(&last.gt(0.0).unwrap()));
            (seen.contiguous().unwrap(), back)
        });
        let Some((seen, back)) = done else { return };
        assert_eq!((values(&seen), values(&back)), (values(&x), values(&x)));
        // That it lies otherwise in between: the first row of the second order are the channels of the first pixel.
        let axes: Vec<usize> = (0..dims.len() - 3).chain([dims.len() - 2, dims.len() - 1, dims.len() - 3]).collect();
        let Some(last) = on_the_host(|| layout::turned(&x, Layout::Nchw, Layout::Nhwc).unwrap()) else { return };
        assert_eq!(values(&last), values(&x.permute(axes).unwrap().contiguous().unwrap()));
    }
}

/// Under TF32 and bf16 a GPU convolves with the channels of a pixel side by side; as near to f64 as eleven or eight bits are.
#[test]
fn convolutions_by_tensor_cores() {
    use workbench::compute::conv::in_layout;
    use workbench::compute::conv::into::conv2d_input_into;
    use workbench::compute::conv::{Window, conv2d, conv2d_input, conv2d_weight};
    let Some(gpu) = gpu() else {
        println!("skipped: no GPU");
        return;
    };
    let random = Generator::new(16);
    let shapes =
        [((3, 9, 8), 16, 3, 1, 1), ((16, 8, 8), 32, 4, 2, 1), ((5, 7, 6), 6, 3, 1, 0), ((1, 28, 28), 8, 3, 1, 1)];
    for ((inputs, h, width), outputs, kernel, stride, padding) in shapes {
        let window = Window::new(stride, padding);
        let (x, w) = (draw(&random, &[3, inputs, h, width]), draw(&random, &[outputs, inputs, kernel, kernel]));
        let y = draw(&random, conv2d(&x, &w, window).unwrap().dims());
        let size = (h, width);
        let truth = [
            conv2d(&x, &w, window).unwrap(),
            conv2d_input(&y, &w, window, size).unwrap(),
            conv2d_weight(&x, &y, window, (kernel, kernel)).unwrap(),
        ];
        let there = |t: &Tensor, order| {
            let t = t.to_dtype(DType::F32).unwrap().to_device(&gpu).unwrap();
            layout::turned(&t, Layout::Nchw, order).unwrap()
        };
        for (chosen, tolerance) in [(Precision::F32, 1e-5), (Precision::Tf32, 2e-3), (Precision::Bf16, 2e-2)] {
            let window = window.computed_in(chosen);
            for order in [Layout::Nchw, Layout::Nhwc] {
                let [x, w, y] = [&x, &w, &y].map(|t| there(t, order));
                let into = in_layout::input(order, &y, &w, window, size).unwrap().zeros_like().unwrap();
                match order {
                    Layout::Nchw => conv2d_input_into(&y, &w, window, &into).unwrap(),
                    Layout::Nhwc => in_layout::input_into(order, &y, &w, window, &into).unwrap(),
                }
                let found = [
                    in_layout::forward(order, &x, &w, window).unwrap(),
                    in_layout::input(order, &y, &w, window, size).unwrap(),
                    in_layout::weight(order, &x, &y, window, (kernel, kernel)).unwrap(),
                    into,
                ];
                for (i, found) in found.iter().enumerate() {
                    let back = layout::turned(found, order, Layout::Nchw).unwrap().to_device(&CPU).unwrap();
                    let off = gap(&back, [&truth[0], &truth[1], &truth[2], &truth[1]][i]);
                    assert!(
                        off < tolerance,
                        "{chosen:?}, {order:?}, map {i} of {inputs} to {outputs}: off by {off:.1e}"
                    );
                }
            }
        }
    }
}
