//! Images of a second data set in the batches of a first: how many, in which order, with what augmentation; what is refused; training.

use super::npy::{npy, npz};
use crate::common::data::{all, assert_says, digits, labels, load, put};
use crate::common::program::Folder;
use crate::common::values;
use candle_core::{DType, Device, Tensor};
use std::path::Path;
use workbench::data::{self, Augmentation, Batch, BatchOrder, Dataset, Options, Share, Split};

/// The first `own` digits, beside them the first `others`, `ratio` for each.
fn mixed(own: usize, others: usize, ratio: f64, options: Options) -> Dataset {
    let first = digits(&Options { train_limit: Some(own), ..options.clone() });
    let second = Dataset::load_beside("digits", &options, Some(others)).unwrap();
    first.with_beside(&second, ratio, None).unwrap()
}

fn pass(split: &Split, size: usize, pass: u64) -> data::Batches {
    split.batches(size, BatchOrder::Shuffled { seed: 7, pass }).unwrap()
}

/// What a batch holds, to compare bit for bit: images, labels, index, how many from beside, number, count.
type Content = (Vec<f64>, Vec<u32>, Vec<u32>, usize, usize, usize);

fn content(batch: &Batch) -> Content {
    let y = batch.y.to_vec1().unwrap();
    (values(&batch.x), y, batch.index.clone(), batch.beside, batch.number, batch.count)
}

fn contents(batches: data::Batches) -> Vec<Content> {
    batches.map(|batch| content(&batch.unwrap())).collect()
}

/// The numbers in the second data set of the images that come behind, batch by batch.
fn behind(batches: data::Batches, own: usize) -> Vec<Vec<u32>> {
    let of = |batch: Batch| batch.index[batch.index.len() - batch.beside..].iter().map(|i| i - own as u32).collect();
    batches.map(|batch| of(batch.unwrap())).collect()
}

#[test]
fn so_many_come_behind_the_images_of_a_batch() {
    for (ratio, full, last) in [(3.0, 12, 6), (1.0, 4, 2), (0.3, 1, 1), (0.13, 1, 0), (1.4, 6, 3)] {
        let data = mixed(10, 50, ratio, Options::default());
        let others = digits(&Options { train_limit: Some(50), ..Options::default() }).train;
        assert_eq!((data.train.len(), data.train.places(), pass(&data.train, 4, 0).count_in_pass()), (10, 60, 3));
        let mut seen = vec![];
        for (batch, (own, beside)) in pass(&data.train, 4, 0).zip([(4, full), (4, full), (2, last)]) {
            let batch = batch.unwrap();
            assert_eq!((batch.index.len(), batch.beside), (own + beside, beside), "ratio {ratio}");
            assert_eq!((batch.x.dims(), batch.y.dims()), (&[own + beside, 1, 8, 8][..], &[own + beside][..]));
            let (front, back) = batch.index.split_at(own);
            assert!(front.iter().all(|i| *i < 10) && back.iter().all(|i| (10..60).contains(i)), "{:?}", batch.index);
            let back: Vec<u32> = back.iter().map(|i| i - 10).collect();
            let x = [data.train.images(front), others.images(&back)].map(|x| values(&x.unwrap())).concat();
            let y = [data.train.labels(front), others.labels(&back)].map(|y| y.unwrap().to_vec1().unwrap()).concat();
            assert_eq!((values(&batch.x), batch.y.to_vec1::<u32>().unwrap()), (x, y));
            seen.extend_from_slice(front);
        }
        seen.sort_unstable();
        assert_eq!(seen, all(&data.train));
    }
}

#[test]
fn all_are_seen_before_one_is_seen_again_over_all_passes() {
    // Less than one batch's share, more than a pass's, and a number in between.
    for others in [10, 70, 23] {
        for dropped in [false, true] {
            let data = mixed(9, others, 3.0, Options::default());
            let mut counts = vec![0; others];
            for number in 0..11 {
                let batches = pass(&data.train, 4, number);
                let batches = if dropped { batches.drop_last().unwrap() } else { batches };
                for batch in behind(batches, 9) {
                    for place in batch {
                        counts[place as usize] += 1;
                        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
                        assert!(most - least <= 1, "{others}, pass {number}: {counts:?}");
                    }
                }
            }
            // 12 behind each of two batches and 3 behind the last.
            assert_eq!(counts.iter().sum::<usize>(), 11 * if dropped { 24 } else { 27 });
        }
    }
}

#[test]
fn what_comes_behind_follows_from_seed_pass_and_batch_alone() {
    let augmentation = Augmentation { crop: 2, flip: true, cutout: 3, ..Augmentation::NONE };
    let data = mixed(30, 25, 3.0, Options { augmentation, seed: 5, ..Options::default() });
    let whole = contents(pass(&data.train, 8, 3).augmented(3));
    for first in 0..4 {
        for ahead in [0, 1, 5] {
            let part = contents(pass(&data.train, 8, 3).augmented(3).ahead(ahead).from_batch(first));
            assert!(part == whole[first..], "from batch {first}, {ahead} ahead");
        }
    }
    let small = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert!(small.install(|| contents(pass(&data.train, 8, 3).augmented(3))) == whole, "whatever the threads");
    let order =
        |seed, number| behind(data.train.batches(8, BatchOrder::Shuffled { seed, pass: number }).unwrap(), 30).concat();
    assert_ne!(order(7, 0), order(7, 1), "passes differ");
    assert_ne!(order(7, 0), order(8, 0), "seeds differ");
    // Written down once: the order must be the same on every machine and in every later version.
    assert_eq!(order(7, 0)[..8], ORDER_OF_SEED_7);
}

const ORDER_OF_SEED_7: [u32; 8] = [11, 5, 17, 12, 19, 16, 8, 21];

#[test]
fn the_images_of_the_first_are_those_without_a_second() {
    let augmentation = Augmentation { crop: 2, flip: true, rotation: 10.0, ..Augmentation::NONE };
    let options = Options { augmentation, seed: 5, ..Options::default() };
    let alone = digits(&Options { train_limit: Some(30), ..options.clone() });
    let data = mixed(30, 25, 3.0, options);
    for (alone, both) in
        contents(pass(&alone.train, 8, 2).augmented(2)).iter().zip(contents(pass(&data.train, 8, 2).augmented(2)))
    {
        let n = alone.2.len();
        assert!(alone.3 == 0 && both.3 == 3 * n);
        assert!(alone.0 == both.0[..n * 64] && alone.1 == both.1[..n] && alone.2 == both.2[..n]);
    }
}

#[test]
fn order_of_the_file_tests_and_parts_have_the_first_alone() {
    let validation = Some(Share::Count(20));
    let data = mixed(60, 25, 3.0, Options::default());
    let with_validation = digits(&Options { train_limit: Some(60), validation, ..Options::default() });
    let with_validation = with_validation.with_beside(&digits(&Options::default()), 3.0, Some(25)).unwrap();
    assert_eq!((with_validation.train.len(), with_validation.train.places()), (40, 65));
    let alone = |split: &Split| {
        assert_eq!(split.places(), split.len());
        pass(split, 16, 0).for_each(|batch| assert_eq!(batch.unwrap().beside, 0));
    };
    let one_each = data.train.per_class(1).unwrap();
    for split in [
        data.train.take(20),
        data.train.range(2, 30).unwrap(),
        one_each,
        data.test,
        with_validation.validation.unwrap(),
    ] {
        alone(&split);
    }
    let in_order = data.train.batches(16, BatchOrder::Sequential).unwrap().augmented(0);
    assert_eq!(in_order.flat_map(|b| b.unwrap().index).collect::<Vec<_>>(), all(&data.train));
    assert_says(data.train.images(&[60]), &["index 60", "60 images"]);
}

#[test]
fn they_are_augmented_anew_each_time_that_they_are_seen() {
    let flip = Augmentation { flip: true, ..Augmentation::NONE };
    let data = mixed(16, 10, 3.0, Options { augmentation: flip, ..Options::default() });
    let others = digits(&Options { train_limit: Some(10), ..Options::default() }).train;
    let mut found = [[0; 2]; 10];
    for batch in pass(&data.train, 8, 0).augmented(0) {
        let batch = batch.unwrap();
        let x = values(&batch.x);
        for (image, index) in x.chunks(64).zip(&batch.index).skip(batch.index.len() - batch.beside) {
            let plain = values(&others.images(&[index - 16]).unwrap());
            let reflected: Vec<f64> = plain.chunks(8).flat_map(|row| row.iter().rev().copied()).collect();
            assert!(plain != reflected, "an image that tells");
            let kind = [plain, reflected].iter().position(|known| known == image).expect("one of the two");
            found[*index as usize - 16][kind] += 1;
        }
    }
    let total: usize = found.as_flattened().iter().sum();
    assert_eq!(total, 48);
    let both = found.iter().filter(|kinds| kinds.iter().all(|n| *n > 0)).count();
    assert!(both >= 4, "of ten that are seen four or five times each: {found:?}");
    let plain = contents(pass(&data.train, 8, 0));
    let own = |image: &[f64], index: u32| values(&others.images(&[index - 16]).unwrap()) == image;
    let is_plain = plain.iter().all(|(x, _, index, beside, ..)| {
        x.chunks(64).zip(index).skip(index.len() - beside).all(|(image, index)| own(image, *index))
    });
    assert!(is_plain, "a pass without augmentation has them as they are");
}

#[test]
fn what_cannot_stand_beside_is_refused() {
    let first = digits(&Options { train_limit: Some(20), ..Options::default() });
    let beside = |second: &Dataset, ratio, limit| first.clone().with_beside(second, ratio, limit);
    for ratio in [0.0, -1.0, f64::NAN, f64::INFINITY, 101.0] {
        assert_says(beside(&first, ratio, None), &[&format!("beside_ratio is {ratio}"), "above 0", "such as 3.0"]);
    }
    let random = |n: usize, side: usize| Tensor::rand(0f32, 1f32, (n, 1, side, side), &Device::Cpu).unwrap();
    let second = |side, classes| {
        let (x, y) = (random(12, side), (0..12).map(|i| i % 3).collect::<Vec<u32>>());
        Dataset::from_arrays("made", (&x, &y), (&x, &y), Some(classes), &Options::default()).unwrap()
    };
    assert_says(
        beside(&second(9, 10), 3.0, None),
        &["`made` has images of [1, 9, 9]", "`digits` of [1, 8, 8]", "both"],
    );
    assert_says(beside(&second(8, 12), 3.0, None), &["`made` has 12 classes", "`digits` 10", "classes: 10"]);
    assert_says(beside(&second(8, 10), 3.0, Some(13)), &["beside_limit is 13", "`made`", "give 1..=12"]);
    assert_eq!(beside(&second(8, 10), 3.0, Some(5)).unwrap().train.places(), 25);
    let both = beside(&first, 3.0, None).unwrap();
    assert_says(beside(&both, 3.0, None), &["`digits` has one beside it itself"]);
    let limit = Dataset::load_beside("digits", &Options::default(), Some(5000));
    assert_says(limit, &["beside_limit is 5000", "give 1..=1411"]);
    let few = beside(&second(8, 10), 0.1, None).unwrap();
    assert_says(
        few.train.batches(4, BatchOrder::Shuffled { seed: 0, pass: 0 }),
        &["batches of 4", "0.1", "rounded to 0"],
    );
    assert_eq!(few.train.batches(4, BatchOrder::Sequential).unwrap().count(), 5);

    let named = |names: [&str; 3]| {
        let mut data = second(8, 3);
        data.class_names = names.map(String::from).to_vec();
        data
    };
    let own = named(["cat", "dog", "eel"]);
    assert_says(
        own.clone().with_beside(&named(["cat", "eel", "dog"]), 1.0, None),
        &["class 1 is `dog`", "`eel`", "order"],
    );
    let noted = own.with_beside(&named(["cat", "hound", "eel"]), 1.0, None).unwrap();
    assert!(noted.warnings.last().unwrap().contains("class 1 is `dog`"), "{:?}", noted.warnings);
}

#[test]
fn vectors_and_other_number_types_can_be_mixed() {
    let x = Tensor::rand(0f32, 1f32, (12, 5), &Device::Cpu).unwrap();
    let y: Vec<u32> = (0..12).map(|i| i % 3).collect();
    let first =
        Dataset::from_arrays("flat", (&x, &y), (&x, &y), None, &Options { dtype: DType::F64, ..Options::default() });
    let half = Tensor::rand(0f32, 1f32, (7, 5), &Device::Cpu).unwrap().to_dtype(DType::F16).unwrap();
    let second = Dataset::from_arrays("half", (&half, &y[..7]), (&half, &y[..7]), None, &Options::default()).unwrap();
    let data = first.unwrap().with_beside(&second, 1.0, None).unwrap();
    let batch = pass(&data.train, 6, 0).next().unwrap().unwrap();
    assert_eq!((batch.x.dims(), batch.x.dtype(), batch.beside), (&[12, 5][..], DType::F64, 6));
}

/// The digits as a generated data set comes: one file with `image` [n, H, W, C] and `label`, 15 or 16 steps of grey as 0 to 255.
fn generated(folder: &Path, n: usize) {
    let train = digits(&Options { train_limit: Some(n), ..Options::default() }).train;
    let pixels: Vec<u8> =
        values(&train.images(&all(&train)).unwrap()).iter().map(|v| (v * 255.0).round() as u8).collect();
    let wide: Vec<u8> = labels(&train).iter().flat_map(|l| i64::from(*l).to_le_bytes()).collect();
    let file = npz(&[("image", npy("|u1", false, &[n, 8, 8, 1], &pixels)), ("label", npy("<i8", false, &[n], &wide))]);
    put(folder, "generated.npz", &file);
    let manifest =
        "name: generated\nshape: [1, 8, 8]\nclasses: 10\nformat: npz\nsplits: { train: { file: generated.npz } }\n";
    put(folder, "generated.yaml", manifest.as_bytes());
}

#[test]
fn a_generated_file_is_read_whole_without_images_to_test_on() {
    let folder = tempfile::tempdir().unwrap();
    generated(folder.path(), 100);
    let path = folder.path().join("generated.yaml");
    let second = Dataset::load_beside(path.to_str().unwrap(), &Options::default(), None).unwrap();
    assert_eq!((second.train.len(), second.test.len(), second.warnings.len()), (100, 0, 0));
    assert_eq!(labels(&second.train), labels(&digits(&Options { train_limit: Some(100), ..Options::default() }).train));
    // As a data set of its own a part is to test on, as ever.
    assert_eq!(Dataset::load(path.to_str().unwrap(), &Options::default()).unwrap().test.len(), 20);
    // Colour, channels last; and names that another split of the same file leaves open.
    let pixels: Vec<u8> = (0..4 * 12).collect();
    let two = [("image", npy("|u1", false, &[4, 2, 2, 3], &pixels)), ("label", npy("|u1", false, &[4], &[0, 1, 1, 0]))];
    put(folder.path(), "two.npz", &npz(&two));
    let colour = |splits: &str| {
        put(
            folder.path(),
            "my.yaml",
            format!("name: two\nshape: [3, 2, 2]\nclasses: 2\nformat: npz\nsplits: {splits}\n").as_bytes(),
        );
        load(folder.path())
    };
    let data = colour("{ train: { file: two.npz, images: image, labels: label }, test: { file: other.npz } }");
    assert!(data.is_err(), "other.npz is not there, and a data set of its own needs it");
    let path = folder.path().join("my.yaml");
    let data = Dataset::load_beside(path.to_str().unwrap(), &Options::default(), None).unwrap();
    let first: Vec<f64> = values(&data.train.images(&[0]).unwrap()).iter().map(|v| (v * 255.0).round()).collect();
    assert_eq!(first, [0.0, 3.0, 6.0, 9.0, 1.0, 4.0, 7.0, 10.0, 2.0, 5.0, 8.0, 11.0]);
    assert_says(
        colour("{ train: { file: two.npz }, test: { file: two.npz } }"),
        &["no arrays of train images", "image, label"],
    );
    assert_says(Dataset::load_beside("./nowhere.yaml", &Options::default(), None), &["nowhere.yaml"]);
}

#[test]
fn a_folder_of_pictures_stands_beside_with_all_of_its_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let picture = |path: &str, shade: u8| {
        let mut bytes = std::io::Cursor::new(vec![]);
        image::GrayImage::from_pixel(8, 8, image::Luma([shade])).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        put(folder.path(), path, &bytes.into_inner());
    };
    for i in 0..6 {
        picture(&format!("direct/{}/{i}.png", i % 3), 40 * i);
        picture(&format!("apart/train/{}/{i}.png", i % 3), 40 * i);
    }
    picture("tests/test/a/0.png", 3);
    for name in ["direct", "apart"] {
        let path = folder.path().join(name);
        let data = Dataset::load_beside(path.to_str().unwrap(), &Options::default(), None).unwrap();
        assert_eq!((labels(&data.train), data.test.len()), (vec![0, 1, 2, 0, 1, 2], 0), "{name}");
    }
    let path = folder.path().join("tests");
    assert_says(
        Dataset::load_beside(path.to_str().unwrap(), &Options::default(), None),
        &["`tests`", "train does not exist"],
    );
}

// ---- scripts ----

const SCRIPT: &str = r#"
import "std/methods"  as methods;
import "std/train"    as train;
let cfg  = settings(#{ beside: "", beside_ratio: 3.0, beside_limit: 0, train_limit: 40, test_limit: 20, crop: 1, method: "local_lip_b", vectors: "f16" });
let data = train::load_data("digits", cfg);
let net  = sequential(data.shape, [conv2d(4, 3), relu_theta(1.0), flatten(), linear(data.classes)]);
train::start_training(net, data, cfg);
train::fit("local_lip_b", net, data, #{ epochs: 2, batch: 10, lr: 1e-3, lr_end: 1e-3, warmup: 0, ramp: 1, eps_train: 0.1, iterations: 1 }, "mixed");
for batch in data.train.batches(10, #{ pass: 0 }) { print(`${batch.len()} ${batch.beside} ${batch.index.len()}`); }
for batch in data.train.batches(10, #{ shuffle: false, augment: false }) { print(`plain ${batch.len()} ${batch.beside}`); break; }
print(`places ${data.train.places} of ${data.train.len()}`);
run.save(net, "net.safetensors");
"#;

#[test]
fn a_method_that_keeps_vectors_trains_on_both_and_the_run_says_so() {
    let folder = Folder::new(&[("main.rhai", SCRIPT)]);
    generated(folder.path(), 70);
    let run = |into: &str, settings: &[&str]| {
        let mut arguments = vec!["run", "main.rhai", "--into", into];
        settings.iter().for_each(|setting| arguments.extend(["--set", setting]));
        let output = folder.run(&arguments);
        assert!(output.ends_with("exit code 0"), "{output}");
        let record = std::fs::read(folder.path().join(into).join("run.json")).unwrap();
        let weights = std::fs::read(folder.path().join(into).join("net.safetensors")).unwrap();
        (output, serde_json::from_slice::<serde_json::Value>(&record).unwrap()["data"].clone(), weights)
    };
    let (said, known, weights) = run("both", &["beside=generated.yaml"]);
    for part in ["beside each 3 of 70 others", "40 30 40", "plain 10 0", "places 110 of 40", "110 images"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!((&known[0]["name"], &known[1]["name"]), (&"digits".into(), &"generated".into()), "{known}");
    assert_eq!(
        (&known[1]["asked"], &known[1]["splits"]["train"][0]),
        (&"generated.yaml".into(), &70.into()),
        "{known}"
    );
    assert!(known[1]["splits"]["test"].is_null() && known[2].is_null(), "{known}");
    assert!(run("again", &["beside=generated.yaml"]).2 == weights, "another process comes to the same");
    let (said, known, alone) = run("alone", &[]);
    assert!(
        said.contains("places 40 of 40") && said.contains("10 0 10") && known[1].is_null() && alone != weights,
        "{said}"
    );
    let again = folder.run(&["replay", "both"]);
    assert!(again.ends_with("exit code 0"), "{again}");
    put(
        folder.path(),
        "generated.yaml",
        b"name: generated\nshape: [1, 4, 4]\nclasses: 10\nformat: npz\nsplits: { train: { file: generated.npz } }\n",
    );
    let other = folder.run(&["run", "main.rhai", "--set", "beside=generated.yaml"]);
    assert!(other.contains("generated.npz, array image: its shape is") && !other.ends_with("exit code 0"), "{other}");
}

#[test]
fn scripts_are_told_what_is_wrong_with_what_they_ask_for_beside() {
    let says = |line: &str, parts: &[&str]| {
        let folder = Folder::new(&[("main.rhai", line)]);
        let output = folder.run(&["run", "main.rhai"]);
        assert!(output.ends_with("exit code 1"), "{line}: {output}");
        parts.iter().for_each(|part| assert!(output.contains(part), "`{part}` is missing: {output}"));
    };
    says(r#"dataset("digits", #{ beside: "digits", beside_ratio: 0 })"#, &["dataset: beside_ratio is 0", "above 0"]);
    says(r#"dataset("digits", #{ beside: "digits", beside_ratio: 0.0 / 0.0 })"#, &["beside_ratio is NaN"]);
    says(r#"dataset("digits", #{ beside_ratio: 3 })"#, &["option `beside_ratio` needs `beside`"]);
    says(r#"dataset("digits", #{ beside: 3 })"#, &["option `beside` is of type int, expected the name or path"]);
    says(r#"dataset("digits", #{ beside: "digit" })"#, &["unknown data set `digit`"]);
    says(r#"dataset("digits", #{ beside: "digits", beside_limit: 5000 })"#, &["beside_limit is 5000"]);
    let mixed = r#"let data = dataset("digits", #{ train_limit: 20, beside: dataset("digits"), beside_ratio: 2, beside_limit: 30 });
        let net = sequential(data.shape, [conv2d(4, 3), relu_theta(1.0), flatten(), linear(data.classes)]);
        "#;
    let small = "for batch in data.train.batches(20) { singular_vectors(net, data.train.len()).of(batch); }";
    says(&format!("{mixed}{small}"), &["out of range, the store was made for 20 images", "data.train.places"]);
    says(
        &format!("{mixed}data.train.images([49])"),
        &["image 49 is out of range, train has 20 images", "stands beside it"],
    );
    let fine = format!(
        "{mixed}for batch in data.train.batches(20) {{ singular_vectors(net, data.train.places).of(batch); print(batch.beside); }}"
    );
    let output = Folder::new(&[("main.rhai", &fine)]).run(&["run", "main.rhai"]);
    assert!(output.contains("40") && output.ends_with("exit code 0"), "{output}");
}
