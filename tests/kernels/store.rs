//! What lies on the device from step to step: rows of vectors, images as bytes.

use super::common::emulation::on_the_host;
use super::common::values;
use super::{CPU, as_for_tensor_cores, chosen, draw, gap};
use candle_core::{DType, Tensor};
use half::f16;
use workbench::base::random::Generator;
use workbench::bounds::{Arithmetic, PowerOptions};
use workbench::compute::layout::Layout;
use workbench::nn::layers::{Conv2d, Flatten, Linear};
use workbench::nn::{LayerSpec, Sequential};
use workbench::train::vectors::device_rows::DeviceRows;
use workbench::train::vectors::places::Places;

#[test]
fn half_precision_is_rounded_as_elsewhere() {
    let mut numbers: Vec<f32> = (0..=u16::MAX).map(|bits| f16::from_bits(bits).to_f32()).collect();
    // Between two halves, just beside the middle, and beyond both ends.
    let between = numbers.windows(2).map(|w| f32::midpoint(w[0], w[1])).collect::<Vec<_>>();
    let beside = between.iter().flat_map(|x| [f32::from_bits(x.to_bits() ^ 1), x * 1.000_000_1]).collect::<Vec<_>>();
    numbers.extend(between.into_iter().chain(beside).chain([
        65519.99,
        65520.0,
        1e30,
        f32::MIN_POSITIVE,
        1e-8,
        2.9e-8,
        3e-8,
    ]));
    numbers.resize(numbers.len().next_multiple_of(4), 1.0);
    // Four numbers at once, and one at a time.
    for n in [numbers.len(), numbers.len() - 1] {
        let x = Tensor::from_slice(&numbers[..n], (1, n), &CPU).unwrap();
        let there = on_the_host(|| {
            let (store, first) =
                (DeviceRows::zeros(DType::F16, 1, &[n], Layout::Nchw, &CPU).unwrap(), Places::new(vec![0]));
            store.scatter(&first, (&x, None), None).unwrap();
            let read = || store.gather(&first, DType::F32, None, None).unwrap().flatten_all().unwrap();
            let rounded = read().to_vec1::<f32>().unwrap();
            store.place(&[0], &x.to_dtype(DType::F16).unwrap()).unwrap();
            (rounded, read().to_vec1::<f32>().unwrap())
        });
        let Some((there, placed)) = there else { return };
        for ((x, found), placed) in numbers.iter().zip(there).zip(placed) {
            let want = f16::from_f32(*x).to_f32();
            for found in [found, placed] {
                let same = want.to_bits() == found.to_bits() || want.is_nan() && found.is_nan();
                assert!(same, "{x:e}: {found:e}, wanted {want:e}");
            }
        }
    }
}

/// Images that lie on the device as bytes: the same batches, cropped, reflected and padded.
#[test]
fn batches_made_on_the_device() {
    use super::common::data::digits;
    use workbench::data::{Augmentation, BatchOrder, Options};
    let plain = digits(&Options::default()).train;
    let augmentation = Augmentation { crop: 2, flip: true, ..Augmentation::NONE };
    for split in [plain.clone(), plain.with_pad(3).unwrap(), plain.with_augmentation(augmentation).unwrap()] {
        let order = BatchOrder::Shuffled { seed: 4, pass: 1 };
        let all = || split.batches(100, order).unwrap().augmented(1).map(|b| b.unwrap()).collect::<Vec<_>>();
        let here = all();
        let Some(there) = on_the_host(all) else { return };
        assert_eq!(here.len(), there.len());
        for (here, there) in here.iter().zip(&there) {
            assert_eq!(here.index, there.index);
            assert_eq!(values(&here.x), values(&there.x));
            assert_eq!(here.y.to_vec1::<u32>().unwrap(), there.y.to_vec1::<u32>().unwrap());
        }
    }
}

/// A store whose rows lie in the other order: the same start vectors, and the same file.
#[test]
fn a_store_in_the_other_order() {
    use workbench::train::{Vectors, VectorsOptions};
    let random = Generator::new(15);
    let specs =
        [LayerSpec::of(Conv2d { channels: 4, kernel: 3, stride: 1, padding: 1, bias: true }), LayerSpec::of(Flatten)];
    let specs = [&specs[..], &[LayerSpec::of(Linear { features: 2, bias: true })]].concat();
    let model = Sequential::new(&[3, 5, 6], &specs, DType::F32, &CPU, &random).unwrap().computed_in(&chosen());
    for dtype in [DType::F16, DType::F32] {
        let options = VectorsOptions { dtype, layers: None, fresh: false, memory: None };
        let filled = || {
            let store = Vectors::new(&model, 7, &options, &Generator::new(3)).unwrap();
            let layer = &model.layers()[0];
            let some = store.of(&[5, 0, 3]).unwrap();
            let (start, norm) = (
                some.local(layer).unwrap(),
                PowerOptions { iterations: 2, tolerance: None, arithmetic: Arithmetic::Own },
            );
            some.local_norm(layer, None, None, norm).unwrap();
            let mut file = vec![];
            store.write_part(0, "0/local", &mut file).unwrap();
            (start, some.local(layer).unwrap(), file, store)
        };
        let Some((start, after, file, _)) = on_the_host(filled) else { return };
        let other = on_the_host(|| {
            as_for_tensor_cores(|| {
                let (start, after, file, store) = filled();
                store.read_part((0, 1), "0/local", &file, || unreachable!()).unwrap();
                let mut again = vec![];
                store.write_part(0, "0/local", &mut again).unwrap();
                assert_eq!(file, again, "what was read is what was written");
                (start, after, file)
            })
        });
        let Some((other_start, other_after, other_file)) = other else { return };
        assert_eq!(values(&start), values(&other_start));
        assert!(gap(&other_after, &after.to_dtype(DType::F64).unwrap()) < 2e-3);
        assert_eq!(file.len(), other_file.len());
        let untouched = 4 * 90 * dtype.size_in_bytes()..5 * 90 * dtype.size_in_bytes();
        assert_eq!(file[untouched.clone()], other_file[untouched], "rows that nobody has visited are zeros in both");
        // The main memory's store draws the same vectors.
        let (here, ..) = filled();
        assert_eq!(values(&here), values(&start));
    }
}

/// Both norms of a batch at once leave in the store what one after the other leaves, where an image comes twice too.
#[test]
fn both_norms_from_a_store() {
    use workbench::train::{Vectors, VectorsOptions};
    let random = Generator::new(16);
    let specs =
        [LayerSpec::of(Conv2d { channels: 4, kernel: 3, stride: 1, padding: 1, bias: true }), LayerSpec::of(Flatten)];
    let specs = [&specs[..], &[LayerSpec::of(Linear { features: 2, bias: true })]].concat();
    let model = Sequential::new(&[3, 5, 6], &specs, DType::F32, &CPU, &random).unwrap().computed_in(&chosen());
    let columns = draw(&random, &[4, 3, 5, 6]).gt(-0.5).unwrap();
    let power = PowerOptions { iterations: 2, tolerance: None, arithmetic: Arithmetic::Own };
    for (dtype, fresh) in [(DType::F16, false), (DType::F32, false), (DType::F64, false), (DType::F32, true)] {
        let options = VectorsOptions { dtype, layers: None, fresh, memory: None };
        let visited = |together: bool| {
            let store = Vectors::new(&model, 7, &options, &Generator::new(3)).unwrap();
            let layer = &model.layers()[0];
            let some = store.of(&[5, 0, 3, 5]).unwrap();
            let mut all = vec![];
            for _ in 0..2 {
                let (local, global) = if together {
                    some.both_norms(layer, Some(&columns), None, power).unwrap()
                } else {
                    (
                        some.local_norm(layer, Some(&columns), None, power).unwrap(),
                        some.global_norm(layer, power).unwrap(),
                    )
                };
                all.extend([local.sigma.detach(), global.sigma.detach(), some.global(layer).unwrap()]);
                if !fresh {
                    all.push(some.local(layer).unwrap());
                }
            }
            let mut file = vec![];
            store.write_part(0, "0/global", &mut file).unwrap();
            assert_eq!(file.len(), 90 * 4, "one vector, in the numbers of the network");
            all
        };
        let pairs = [
            Some((visited(true), visited(false))),
            on_the_host(|| (visited(true), visited(false))),
            on_the_host(|| as_for_tensor_cores(|| (visited(true), visited(false)))),
        ];
        for (way, (one, two)) in pairs.into_iter().enumerate().filter_map(|(way, pair)| Some((way, pair?))) {
            for (i, (one, two)) in one.iter().zip(&two).enumerate() {
                let off = gap(one, &two.to_dtype(DType::F64).unwrap());
                // A number that f16 rounds up here may be rounded down there.
                let bound = if dtype == DType::F16 { 1e-3 } else { 2e-6 };
                assert!(off < bound, "{dtype:?}, way {way}: result {i} is off by {off:e}");
            }
        }
    }
}
