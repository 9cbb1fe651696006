//! Checkpoints as other programs name, nest and number them, against what PyTorch's networks say (`others.safetensors`), and files of
//! PyTorch's older formats, whose weights are k/8 by construction.

use super::{expected_of, fixture};
use crate::common::program::Folder;
use crate::common::{Lab, tensor_of};
use candle_core::{DType, Device, Tensor};

/// The network of most files, over 1x8x8, in f64.
const NET: &str = "sequential([1, 8, 8], [normalize(), conv2d(2, 3, #{ padding: 1 }), relu(), conv2d(4, 3, #{ stride: 2, padding: 1 }), relu(), flatten(), linear(5)], #{ dtype: \"f64\" })";

struct Tried {
    lab: Lab,
}

impl Tried {
    fn new() -> Self {
        Self { lab: Lab::on(Device::Cpu) }
    }

    /// The logits of `net` with the weights of `file`, loaded with `options`.
    fn logits(&mut self, net: &str, file: &str, options: &str) -> Tensor {
        self.lab.tensor("x", &expected_of("others.safetensors")["x"]);
        let path = fixture(file);
        let options = if options.is_empty() { String::new() } else { format!(", {options}") };
        let script = format!("let net = {net}; net.load(\"{}\"{options}); net.forward(x)", path.display());
        tensor_of(&self.lab.run(&script))
    }

    /// Why it is refused.
    fn refusal(&mut self, net: &str, file: &str, options: &str) -> String {
        let options = if options.is_empty() { String::new() } else { format!(", {options}") };
        let script = format!(
            "let net = {net}; let why = \"\"; try {{ net.load(\"{}\"{options}); }} catch (e) {{ why = e.to_string(); }} why",
            fixture(file).display()
        );
        self.lab.run(&script).into_string().unwrap()
    }
}

fn near(what: &str, found: &Tensor, wanted: &Tensor, tolerance: f64) {
    let gap = (found.to_dtype(DType::F64).unwrap() - wanted).unwrap().abs().unwrap().max_all().unwrap();
    let gap = gap.to_scalar::<f64>().unwrap();
    assert!(gap <= tolerance, "{what}: {gap:e}");
}

#[test]
fn names_of_a_researchers_own() {
    let (mut tried, expected) = (Tried::new(), expected_of("others.safetensors"));
    let by_name = "#{ names: #{ \"conv1\": 1, \"conv2\": 3, \"fc1\": 6 } }";
    let by_pattern = "#{ names: #{ \"conv1\": 1, \"conv2.*\": \"3.*\", \"fc*\": 6 } }";
    let by_tensor = "#{ names: #{ \"conv1.weight\": \"1.weight\", \"conv1.bias\": 1, \"conv2\": \"3\", \"fc1\": 6, \"mean\": \"0.mean\", \"std\": 0 } }";
    for file in ["named.pth", "named.safetensors", "compiled.pth", "list.pth", "ema.pth"] {
        for options in [by_name, by_pattern, by_tensor, "#{ by: \"order\" }"] {
            near(&format!("{file}, {options}"), &tried.logits(NET, file, options), &expected["named"], 1e-12);
        }
        let why = tried.refusal(NET, file, "");
        assert!(
            why.contains("#{ names: #{ \"conv1\": 1, \"conv2\": 3, \"fc1\": 6 } }"),
            "what it advises is right: {why}"
        );
    }
    near("half", &tried.logits(NET, "half.pth", by_name), &expected["half"], 1e-12);
    // What is not there, and what would be twice.
    assert!(tried.refusal(NET, "named.pth", "#{ names: #{ \"conv3\": 1 } }").contains("did you mean `conv1"));
    let twice = tried.refusal(NET, "named.pth", "#{ names: #{ \"conv1\": 1, \"fc1\": 1 } }");
    assert!(twice.contains("two tensors") && twice.contains("1.weight"), "{twice}");
    let nobody = tried.refusal(NET, "named.pth", "#{ names: #{ \"*\": () } }");
    assert!(nobody.contains("8 parameters are left empty"), "{nobody}");
}

#[test]
fn one_of_several_dictionaries() {
    let (mut tried, expected) = (Tried::new(), expected_of("others.safetensors"));
    let names = "names: #{ \"conv1\": 1, \"conv2\": 3, \"fc1\": 6 }";
    let half = tried.logits(NET, "ema.pth", &format!("#{{ take: \"state_dict_ema\", {names} }}"));
    assert!((half - &expected["named"]).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap() > 1e-3);
    near(
        "first",
        &tried.logits(NET, "lists.pth", &format!("#{{ take: \"state_dict[0]\", {names} }}")),
        &expected["named"],
        1e-12,
    );
    let why = tried.refusal(NET, "lists.pth", &format!("#{{ {names} }}"));
    assert!(why.contains("`state_dict[0]` (8 tensors), `state_dict[1]` (8 tensors)") && why.contains("take:"), "{why}");
    assert!(tried.refusal(NET, "ema.pth", "#{ take: \"best\" }").contains("holds no `best`"));
    // Which was taken is said.
    let script = format!("let net = {NET}; net.load(\"ema.pth\", #{{ {names} }});");
    let folder = Folder::new(&[("main.rhai", &script)]);
    std::fs::copy(fixture("ema.pth"), folder.path().join("ema.pth")).unwrap();
    let said = folder.run(&["run", "main.rhai"]);
    assert!(said.contains("`state_dict` of ema.pth is taken; it holds") && said.contains("`state_dict_ema`"), "{said}");
    assert!(said.contains("conv1 -> 1, conv2 -> 3"), "pairs are printed: {said}");
    let listed = folder.run(&["weights", "ema.pth"]);
    assert!(
        listed.contains("conv1.weight  [2, 1, 3, 3]  F32") && listed.contains("ema.pth, `state_dict_ema`: 8 tensors"),
        "{listed}"
    );
}

/// A file says how its images were normalised; a network that fixes it must say the same.
#[test]
fn a_normalisation_of_the_file() {
    let (mut tried, expected) = (Tried::new(), expected_of("others.safetensors"));
    let names = "#{ by: \"order\" }";
    let fixed = NET.replace("normalize()", "normalize([0.3], [0.4])");
    near("fixed", &tried.logits(&fixed, "named.pth", names), &expected["named"], 1e-7);
    let other = tried.refusal(&NET.replace("normalize()", "normalize([0.3], [0.5])"), "named.pth", names);
    assert!(other.contains("normalize([0.3") && other.contains("[0.5]") && other.contains("normalize()"), "{other}");
    let none = tried.refusal(&NET.replace("normalize(), ", ""), "named.pth", names);
    assert!(none.contains("normalize() as the first layer"), "{none}");
    // It stays with the network: in its files, and in what bounds see of it.
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "let net = {NET}; net.load(\"{}\", #{{ by: \"order\" }}); let path = \"{}\"; net.save(path);
         let again = load_model(path); [again.digest == net.digest, again.layers[0].row_norms().flatten().to_array()[0]]",
        fixture("named.pth").display(),
        folder.path().join("n.safetensors").display()
    );
    let shown = tried.lab.run(&script).into_array().unwrap();
    assert!(shown[0].as_bool().unwrap());
    assert!((shown[1].as_float().unwrap() - 2.5).abs() < 1e-6, "{shown:?}");
}

#[test]
fn a_batch_normalisation_stays_or_is_folded() {
    let (mut tried, expected) = (Tried::new(), expected_of("others.safetensors"));
    let kept = "sequential([1, 8, 8], [conv2d(2, 3, #{ padding: 1 }), batch_norm2d(), relu(), flatten(), linear(5)], #{ dtype: \"f64\" }).frozen()";
    near("kept", &tried.logits(kept, "bn.pth", ""), &expected["bn"], 1e-12);
    let folded = kept.replace("batch_norm2d(), ", "").replace(".frozen()", "");
    near("folded", &tried.logits(&folded, "bn.pth", "#{ fold: true }"), &expected["bn"], 1e-6);
    // The first convolution of the file has no bias; ours takes what the folding makes of it.
    let found = tried.logits(NET, "bn_named.pth", "#{ fold: true, by: \"order\" }");
    near("bn_named", &found, &expected["bn_named"], 1e-6);
    // Safetensors have no order of definitions: what stands before what is not known.
    let why = tried.refusal(NET, "bn_named.safetensors", "#{ fold: true, by: \"order\" }");
    assert!(why.contains("as far as the file tells") && why.contains("fold: #{"), "{why}");
    for file in ["bn_named.pth", "bn_named.safetensors"] {
        let found = tried.logits(NET, file, "#{ fold: #{ \"bn1\": \"conv1\", \"bn2\": \"conv2\" }, by: \"order\" }");
        near(file, &found, &expected["bn_named"], 1e-6);
    }
    let why = tried.refusal(&folded, "bn.pth", "");
    assert!(why.contains("#{ fold: true }") && why.contains("batch_norm2d()"), "{why}");
    let wrong = tried.refusal(NET, "bn_named.pth", "#{ fold: #{ \"bn1\": \"fc1\" }, by: \"order\" }");
    assert!(wrong.contains("no convolution or linear layer of as many outputs"), "{wrong}");
    assert!(tried.refusal(NET, "bn_named.pth", "#{ eps: 1e-3 }").contains("goes with `fold`"));
}

#[test]
fn what_could_change_places_is_refused() {
    let mut tried = Tried::new();
    let folder = tempfile::tempdir().unwrap();
    let net = "sequential([4], [linear(4), relu(), linear(4), relu(), linear(2)])";
    let script = format!(
        "let net = {net}; let all = #{{}}; for (name, i) in [\"a\", \"b\", \"c\"] {{ all[name + \".weight\"] = net.param(`${{2 * i}}.weight`); all[name + \".bias\"] = net.param(`${{2 * i}}.bias`); }}
         let path = \"{}\"; save_tensors(path, all); let why = \"\"; let other = {net};
         try {{ other.load(path, #{{ by: \"order\" }}); }} catch (e) {{ why = e.to_string(); }}
         other.load(path, #{{ names: #{{ \"a\": 0, \"b\": 2, \"c\": 4 }} }}); [why, other.digest == net.digest]",
        folder.path().join("alike.safetensors").display()
    );
    let shown = tried.lab.run(&script).into_array().unwrap();
    let why = shown[0].clone().into_string().unwrap();
    assert!(why.contains("could change places: `a`, `b`"), "{why}");
    assert!(shown[1].as_bool().unwrap());
}

/// Numbers of layers that only differ by what has no parameters are no obstacle, whoever has more of it.
#[test]
fn normalisation_dropout_and_flatten_shift_nothing() {
    let mut tried = Tried::new();
    let expected = expected_of("expected.safetensors");
    let tiny = "sequential([1, 4, 4], [normalize([0.0], [1.0]), conv2d(2, 3, #{ padding: 1 }), relu_theta(1.0), flatten(), linear(4), clipped_maxmin(1.0, -1.0), linear(3)], #{ dtype: \"f64\" })";
    tried.lab.tensor("x", &expected["x"].to_dtype(DType::F64).unwrap());
    let script = format!("let net = {tiny}; net.load(\"{}\"); net.forward(x)", fixture("plain.pth").display());
    let found = tensor_of(&tried.lab.run(&script));
    near("plain", &found, &expected["plain"], 1e-12);
}

#[test]
fn files_of_older_versions() {
    let mut tried = Tried::new();
    for file in ["old_views.pth", "oldest.pth"] {
        let script = format!(
            "let net = sequential([2], [linear(3), relu(), linear(2, #{{ bias: false }})], #{{ dtype: \"f64\" }}); net.load(\"{}\");
             let all = []; for name in [\"0.weight\", \"0.bias\", \"2.weight\"] {{ all += (net.param(name) * 8).flatten().to_array(); }} all",
            fixture(file).display()
        );
        let numbers: Vec<f64> = tried.lab.run(&script).into_typed_array().unwrap();
        assert_eq!(numbers, (0..15).map(f64::from).collect::<Vec<_>>(), "{file}");
    }
    let script = format!(
        "let net = sequential([4], [linear(2, #{{ bias: false }})]); net.load(\"{}\"); net.param(\"0.weight\").sum().item()",
        fixture("legacy.pth").display()
    );
    assert_eq!(tried.lab.run(&script).as_float().unwrap(), 8.0);
}

#[test]
fn tied_tensors_and_tensors_of_any_file() {
    let (mut tried, expected) = (Tried::new(), expected_of("others.safetensors"));
    let net = "sequential([5], [linear(5, #{ bias: false }), linear(5, #{ bias: false })], #{ dtype: \"f64\" })";
    let script = format!(
        "let net = {net}; net.load(\"{}\"); let x = tensor([[0.0, 0.25, 0.5, 0.75, 1.0]]).to_dtype(\"f64\"); net.forward(x).flatten(0)",
        fixture("tied.safetensors").display()
    );
    near("tied", &tensor_of(&tried.lab.run(&script)), &expected["tied"], 1e-12);
    let script = format!(
        "let all = load_tensors(\"{}\"); let ema = load_tensors(\"{}\", #{{ take: \"state_dict_ema\" }});
         [all.keys().len(), all[\"1.num_batches_tracked\"].item(), (2 * ema[\"fc1.weight\"] - load_tensors(\"{}\")[\"fc1.weight\"]).abs().max().item()]",
        fixture("bn.pth").display(),
        fixture("ema.pth").display(),
        fixture("named.pth").display()
    );
    let shown = tried.lab.run(&script).into_array().unwrap();
    let numbers: Vec<f64> =
        shown.iter().map(|v| v.as_float().or_else(|_| v.as_int().map(|n| n as f64)).unwrap()).collect();
    assert_eq!(numbers, [9.0, 4.0, 0.0]);
}

/// A published network, trained by convex adversarial polytopes: its file has names of its own and numbers besides, and holds how images
/// were normalised.
#[test]
fn a_published_network_keeps_its_accuracy() {
    let folder = |key| std::env::var_os(key).map(std::path::PathBuf::from);
    let (Some(golden), Some(data)) = (folder("WORKBENCH_GOLDEN"), folder("WORKBENCH_DATA")) else {
        return println!("skipped: WORKBENCH_GOLDEN or WORKBENCH_DATA is not set");
    };
    let file = golden.join("baselines/cap_cifar_small_36px.safetensors");
    if !file.exists() || !data.join("cifar10").exists() {
        return println!("skipped: the network or CIFAR-10 is not there");
    }
    let script = format!(
        "let net = sequential([3, 32, 32], [normalize(), conv2d(16, 4, #{{ stride: 2, padding: 1 }}), relu(), conv2d(32, 4, #{{ stride: 2, padding: 1 }}), relu(), flatten(), linear(100), relu(), linear(10)]);
         net.load(\"{}\", #{{ names: #{{ \"param/0\": 1, \"param/2\": 3, \"param/5\": 6, \"param/7\": 8, \"mean\": 0, \"std\": 0, \"*\": () }} }});
         let test = dataset(\"cifar10\", #{{ train_limit: 10, test_limit: 40 }}).test;
         let all = []; for i in 0..40 {{ all.push(i); }}
         print(`right: ${{(accuracy(net.forward(test.images(all)), test.labels(all)).item() * 40).round()}}`);",
        file.display()
    );
    let folder = Folder::new(&[("main.rhai", &script)]);
    let said = folder.run(&[
        "run",
        "main.rhai",
        "--data-dir",
        data.to_str().unwrap(),
        "--allow-read",
        golden.to_str().unwrap(),
    ]);
    assert!(said.contains("right: 26"), "{said}");
}

/// The average is not taken for the weights because something else stands among these; PyTorch's own average comes with a count.
#[test]
fn what_else_stands_among_weights() {
    let mut tried = Tried::new();
    let net = "sequential([4], [linear(3), relu(), linear(2)])";
    let script = format!(
        "let raw = load_tensors(\"{}\")[\"0.weight\"]; let all = []; for file in [\"{}\", \"{}\"] {{ let net = {net}; net.load(file); all.push((net.param(\"0.weight\") - raw).abs().max().item()); }} all",
        fixture("extra.safetensors").display(),
        fixture("extra.pth").display(),
        fixture("averaged.pth").display()
    );
    let gaps: Vec<f64> = tried.lab.run(&script).into_typed_array().unwrap();
    assert_eq!(gaps, [0.0, 0.0]);
    let why = tried.refusal("sequential([4], [linear(2, #{ bias: false })])", "repeated.pth", "");
    assert!(why.contains("more often than is taken"), "{why}");
}

/// What would put weights into other layers than a script or a file says.
#[test]
fn nothing_is_put_where_it_was_not_said() {
    let mut tried = Tried::new();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    // Two layers of ours that are alike, one of the file; names that are not those of layers; a normalisation before its layer.
    let script = format!(
        r#"
        let net = sequential([4], [linear(4), relu(), linear(4)]);
        let said = [];
        save_tensors("{a}", #{{ "x.weight": uniform(0, 1, [4, 4]), "x.bias": uniform(0, 1, [4]), "y.weight": uniform(0, 1, [10, 4]), "y.bias": uniform(0, 1, [10]) }});
        try {{ net.load("{a}", #{{ by: "order" }}); said.push("loaded"); }} catch (e) {{ said.push(e.to_string()); }}
        save_tensors("{b}", #{{ "a.weight": uniform(0, 1, [4, 4]), "a.bias": uniform(0, 1, [4]), "5.weight": uniform(0, 1, [4, 4]), "5.bias": uniform(0, 1, [4]) }});
        try {{ net.load("{b}", #{{ names: #{{ "a": 2 }} }}); said.push("loaded"); }} catch (e) {{ said.push(e.to_string()); }}
        try {{ net.load("{b}", #{{ names: #{{ "a": 1, "5": 3 }} }}); said.push("loaded"); }} catch (e) {{ said.push(e.to_string()); }}
        net.load("{b}", #{{ names: #{{ "a": 2, "5": 0 }} }});
        said.push((net.param("2.weight") - load_tensors("{b}")["a.weight"]).abs().max().item().to_string());
        let normal = sequential([1, 2, 2], [normalize([0.5], [0.25]), flatten(), linear(2)]);
        normal.save("{c}");
        let other = sequential([1, 2, 2], [normalize([0.5], [2.0]), flatten(), linear(2)]);
        try {{ other.load("{c}"); said.push("loaded"); }} catch (e) {{ said.push(e.to_string()); }}
        let bare = sequential([1, 2, 2], [flatten(), linear(2)]);
        try {{ bare.load("{c}"); said.push("loaded"); }} catch (e) {{ said.push(e.to_string()); }}
        save_tensors("{d}", #{{ "0.mean": zeros([1]), "0.std": zeros([1]), "2.weight": zeros([2, 4]), "2.bias": zeros([2]) }});
        let open = sequential([1, 2, 2], [normalize(), flatten(), linear(2)]);
        try {{ open.load("{d}"); said.push("loaded"); }} catch (e) {{ said.push(e.to_string()); }}
        let made = sequential([4], [linear(2, #{{ weight: |w| w * 2.0 }})]);
        try {{ made.export("{e}"); said.push("written"); }} catch (e) {{ said.push(e.to_string()); }}
        said
        "#,
        a = path("a.safetensors"),
        b = path("b.safetensors"),
        c = path("c.safetensors"),
        d = path("d.safetensors"),
        e = path("e.pth"),
    );
    let said: Vec<String> = tried.lab.run(&script).into_typed_array().unwrap();
    for (said, wanted) in said.iter().zip([
        "layers of the network of one shape could change places: `0`, `2`",
        "2 of its tensors have no place; 2 parameters are left empty",
        "4 of its tensors have no place; 4 parameters are left empty",
        "0.0",
        "normalised by normalize([0.5], [0.25]), this one has normalize([0.5], [2.0])",
        "normalised by normalize([0.5], [0.25]), this one has none",
        "`0.std` holds a deviation of 0e0",
        "export to .onnx, which has the weight that it makes",
    ]) {
        assert!(said.contains(wanted), "{said}\nnot: {wanted}");
    }
}
