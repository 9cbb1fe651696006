//! What surrounds a certificate is as true as it: the weights of the file, random numbers that nobody knew, a copy of the network, radii
//! that were certified, digits that do not depend on the batch.

use crate::common::program::Folder;
use crate::{printed, run};

/// The class 5 wins by 1e-8 of a sum, class 3 by 1e-9: in f32 the first is not there.
const F64_NETWORK: &str = "
let net = sequential([1, 8, 8], [flatten(), linear(10)], #{ dtype: \"f64\" });
let w = zeros([10, 64]).to_dtype(\"f64\"); let b = zeros([10]).to_dtype(\"f64\").to_array();
let rows = w.to_array();
for i in 0..64 { rows[3][i] = 1.0; rows[5][i] = 1.0 + 1e-8; }
b[3] = 1e-9;
net.set_param(\"1.weight\", tensor(rows, \"f64\")); net.set_param(\"1.bias\", tensor(b, \"f64\"));
";

#[test]
fn the_network_of_the_file_is_certified() {
    let certify = |name: &str| {
        format!(
            "import \"std/certify\" as certify; import \"std/cascade\" as cascade;
let x = dataset(\"digits\").test.images([0, 1]);
for how in [#{{}}, #{{ dtype: \"f32\" }}] {{
    let net = load_model(\"{name}\", how);
    for kind in [\"probabilistic\", \"rigorous\", \"audit\"] {{
        let p = certify::prepare(net, kind);
        let said = [];
        for class in 0..10 {{
            let y = tensor([class, class]).to_dtype(\"u32\");
            if certify::margins_within(p, x, y, 1e-12, [0, 1], 0, true).margins.min().item() > 0.0 {{ said.push(class); }}
        }}
        print(`${{net.dtype}} ${{kind}}: ${{said}}`);
    }}
}}"
        )
    };
    let make = format!("{F64_NETWORK} print(run.save(net, \"m.safetensors\"));");
    let folder = Folder::new(&[("make.rhai", &make)]);
    assert!(folder.run(&["run", "make.rhai", "--into", "made"]).ends_with("exit code 0"));
    std::fs::write(folder.path().join("certify.rhai"), certify("made/m.safetensors")).unwrap();
    let output = folder.run(&["run", "certify.rhai"]);
    for kind in ["probabilistic", "rigorous", "audit"] {
        assert!(output.contains(&format!("f64 {kind}: [5]")), "{output}");
        // Asked for, and said: another network.
        assert!(output.contains(&format!("f32 {kind}: [3]")), "{output}");
    }
    let note = "made/m.safetensors holds numbers in f64, of which 65 are rounded to the network's f32: it is not the network of the file";
    assert_eq!(output.matches(note).count(), 1, "{output}");
}

#[test]
fn weights_keep_their_type_or_it_is_said() {
    let output = run(&format!(
        "{F64_NETWORK}
let path = run.path(\"m.safetensors\"); net.save(path);
let narrow = sequential([1, 8, 8], [flatten(), linear(10)]);
narrow.load(path);                                           // rounded, with a note
net.set_param(\"1.weight\", net.param(\"1.weight\").to_dtype(\"f32\").to_dtype(\"f64\")); net.set_param(\"1.bias\", net.param(\"1.bias\") * 0.0);
net.save(path); narrow.load(path);                           // nothing to round, no note
print([load_model(path).dtype, load_model(path, #{{ dtype: \"f32\" }}).digest == load_model(path).digest]);
// Halves widen exactly, and a number beyond f32 never becomes infinite.
let halves = #{{ \"1.weight\": randn([10, 64]).to_dtype(\"f16\"), \"1.bias\": randn([10]).to_dtype(\"bf16\") }};
save_tensors(run.path(\"h.safetensors\"), halves);
for dtype in [\"f32\", \"f64\"] {{
    let wide = sequential([1, 8, 8], [flatten(), linear(10)], #{{ dtype: dtype }}); wide.load(run.path(\"h.safetensors\"));
    for name in halves.keys() {{ if (wide.param(name) - halves[name].to_dtype(dtype)).abs().max().item() != 0.0 {{ throw name; }} }}
}}
net.set_param(\"1.bias\", net.param(\"1.bias\") + 1e300); net.save(path);
for way in [|| narrow.load(path), || load_model(path, #{{ dtype: \"f32\" }}), || net.to_dtype(\"f32\")] {{
    try {{ way.call(); print(\"taken\"); }} catch (e) {{ print(e); }}
}}
print(narrow.param(\"1.bias\").abs().max().item());
load_model(path, #{{ dtype: \"f16\" }});"
    ));
    assert_eq!(output.matches("are rounded to the network's f32").count(), 1, "{output}");
    assert!(output.contains("[f64, true]") || output.contains("[\"f64\", true]"), "{output}");
    assert_eq!(output.matches("beyond the largest number of f32; keep the network in f64").count(), 3, "{output}");
    assert!(output.contains("`1.bias` holds 1e300 at element 0 of 10") && output.contains("\n0.0\n"), "{output}");
    assert!(output.contains("load_model: the parameters cannot be f16") && !output.contains("taken"), "{output}");
}

#[test]
fn a_prepared_network_is_a_copy() {
    let text = "import \"std/certify\" as certify; import \"std/cascade\" as cascade;
let data = dataset(\"digits\", #{ train_limit: 300, test_limit: 20 });
let net = sequential(data.shape, [flatten(), linear(16), relu(), linear(data.classes)]);
let before = net.digest; let kinds = [\"estimate\", \"rigorous\"];
let prepared = kinds.map(|kind| certify::prepare(net, kind));
let rows = prepared.map(|p| cascade::evaluate_certified(p, data.test, 0.01, #{ steps: 0 }));
let opt = adam(net, #{ lr: 1e-2 });
for b in data.train.batches(64) { opt.step(cross_entropy(net.forward(b.x), b.y)); }
if net.digest == before { throw \"nothing was trained\"; }
for (p, i) in prepared {
    let folder = run.path(`rec${i}`);
    print(rows[i] == cascade::evaluate_certified(p, data.test, 0.01, #{ steps: 0, records: folder }));
    print(read_records(folder).header.model == before);
}";
    let output = Folder::new(&[("main.rhai", text)]).run(&["run", "main.rhai", "--into", "r"]);
    assert_eq!(output.matches("true").count(), 4, "{output}");
}

/// An affine network whose label changes far away, a constant one, a label that nothing certifies.
#[test]
fn radii_were_certified() {
    let output = printed(
        "import \"std/certify\" as certify;
let layers = []; for i in 0..7 { layers.push(linear(1)); } layers.push(linear(2));
let far = sequential([1], layers);
for i in 0..7 { far.set_param(`${i}.weight`, ones([1, 1]) * 1e-43); far.set_param(`${i}.bias`, zeros([1])); }
far.set_param(\"7.weight\", tensor([[-1e38], [1e38]])); far.set_param(\"7.bias\", tensor([1e9, 0.0]));
let constant = sequential([1], [linear(2), relu(), linear(2)]);
constant.set_param(\"0.weight\", zeros([2, 1])); constant.set_param(\"0.bias\", zeros([2]));
constant.set_param(\"2.weight\", ones([2, 2])); constant.set_param(\"2.bias\", tensor([1e8, 0.0]));
// Products of the norms are infinite.
let steep = sequential([1], layers);
for i in 0..7 { steep.set_param(`${i}.weight`, ones([1, 1]) * 3e38); steep.set_param(`${i}.bias`, zeros([1])); }
steep.set_param(\"7.weight\", tensor([[-1e38], [1e38]])); steep.set_param(\"7.bias\", tensor([1e9, 0.0]));
let unequal = sequential([1], [linear(2)]);
unequal.set_param(\"0.weight\", tensor([[1.0], [-1.0]])); unequal.set_param(\"0.bias\", zeros([2]));
for net in [far, constant, steep, unequal] { for kind in [\"estimate\", \"probabilistic\", \"rigorous\"] {
    let p = certify::prepare(net, kind);
    let x = tensor([[0.5]]); let y = tensor([0]).to_dtype(\"u32\");
    let r = certify::radius_of(p, x, y);
    if !(r >= 0.0 && r <= 1e12) { throw `${kind}: ${r}`; }
    if r > 0.0 && !(certify::margins_within(p, x, y, r, [0], 9, true).margins.item() > 0.0) { throw `${kind}: ${r} is not certified`; }
    print(r);
} }",
    );
    let radii: Vec<f64> = output.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(radii[..6], [1e12; 6], "{output}");
    assert_eq!(radii[6..9], [0.0; 3], "{output}");
    assert!(radii[9..].iter().all(|r| (0.49..=0.5001).contains(r)), "{output}");
}

#[test]
fn a_row_does_not_depend_on_who_shares_the_batch() {
    let text = "import \"std/certify\" as certify; import \"std/cascade\" as cascade;
let data = dataset(\"digits\", #{ train_limit: 500, test_limit: 23 });
let flat = sequential(data.shape, [flatten(), linear(77), relu_theta(1.0), linear(34), maxmin(), linear(10)]);
let convolved = sequential(data.shape, [normalize([0.3], [0.4]), conv2d(5, 3, #{ padding: 1 }), avg_pool2d(2), relu(), flatten(), linear(30), relu(), linear(10)]);
for net in [flat, convolved] {
    let opt = adam(net, #{ lr: 1e-2 });
    for e in 0..3 { for b in data.train.batches(50) { opt.step(cross_entropy(net.forward(b.x), b.y)); } }
    let p = certify::prepare(net, \"rigorous\"); let first = ();
    for batch in [23, 1, 2, 9] {
        let rows = cascade::evaluate_certified(p, data.test, 0.15, #{ steps: 10, batch: batch, radii: batch > 2 });
        for i in 0..rows.len() { rows[i].radius = (); }
        first = first ?? rows;
        for (row, i) in rows { if row != first[i] { throw `batch ${batch}: ${row} and ${first[i]}`; } }
    }
    print(cascade::summary(first).certified > 0.2);
}";
    assert_eq!(printed(text), "true\ntrue");
}

/// Random numbers come from the operating system, once per evaluation.
#[test]
fn probabilities_are_over_numbers_that_nobody_knew() {
    let main = "import \"std/certify\" as certify; import \"std/cascade\" as cascade;
let cfg = settings(#{ entropy: \"\", shard: \"1/1\", records: \"records\", limit: 0, radii: false });
let data = dataset(\"digits\", #{ train_limit: 100, test_limit: 12 });
let net = sequential(data.shape, [conv2d(6, 5, #{ padding: 2 }), relu(), flatten(), linear(10)]);
let how = #{ entropy: cfg.entropy, samples: 12 };
let p = certify::prepare(net, \"probabilistic\", how);
p.ways[0] = \"lanczos\";                                        // as layers that are too large to factorise
let options = #{ steps: 0, attack_steps: 0, batch: 3, shard: cfg.shard, records: run.path(cfg.records), radii: cfg.radii };
let rows = cascade::evaluate_certified(p, data.test, 0.02, options);
let again = certify::prepare(net, \"probabilistic\", how);
print(`another one: ${again.entropy != p.entropy}`);
print(certify::describe_kind(p));
print(`found: ${rows.map(|r| [r.index, r.local, r.certified_margin, r.radius])}`);
run.result(#{ bound: \"probabilistic\", eps: 0.02, sum: rows.map(|r| r.local ?? 0.0).reduce(|a, b| a + b, 0.0) });";
    let folder = Folder::new(&[("main.rhai", main)]);
    let header = |run: &str| -> serde_json::Value {
        let text = std::fs::read_to_string(folder.path().join(run).join("records/records.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let found = |output: &str| output.lines().find(|line| line.starts_with("found: ")).unwrap_or_default().to_string();
    let one = folder.run(&["run", "main.rhai", "--into", "one"]);
    let two = folder.run(&["run", "main.rhai", "--into", "two"]);
    assert!(one.contains("over random numbers of the operating system") && one.contains("another one: true"), "{one}");
    assert_ne!((found(&one), &header("one")["entropy"]), (found(&two), &header("two")["entropy"]));
    assert_eq!(header("one")["drawn"], "now");
    // The same again where it goes on, and where it is repeated, which is said.
    let on = folder.run(&["run", "--resume", "one"]);
    assert_eq!(found(&on), found(&one), "{on}");
    let replayed = folder.run(&["replay", "one", "--into", "three"]);
    assert_eq!(found(&replayed), found(&one), "{replayed}");
    assert!(replayed.contains("all 1 results are those of one"), "{replayed}");
    assert!(replayed.contains("if the network was made before the run that is replayed"), "{replayed}");
    assert_eq!(header("three")["drawn"], "before");
    // Given by hand.
    let key = header("one")["entropy"].as_str().unwrap().to_string();
    let given = folder.run(&["run", "main.rhai", "--into", "four", "--set", &format!("entropy={key}")]);
    assert_eq!(found(&given), found(&one), "{given}");
    assert!(given.contains("if the random numbers, which were given, were chosen after the network"), "{given}");
    let wrong = folder.run(&["run", "main.rhai", "--set", "entropy=12"]);
    assert!(wrong.contains("entropy: \"12\" is no entropy; give 64 hexadecimal digits"), "{wrong}");
    // A later shard does not draw numbers of its own.
    let second = folder.run(&["run", "main.rhai", "--set", "shard=2/2"]);
    assert!(second.contains("needs the random numbers of the first"), "{second}");
    // Verdicts and radii share one probability: there are more turns, each with less of it.
    folder.run(&["run", "main.rhai", "--into", "five", "--set", "radii=true"]);
    assert_eq!((&header("one")["turns"], &header("five")["turns"]), (&2.into(), &258.into()));
}

/// What rounds outward stays outward where the box is cut, and is cut to something that holds.
#[test]
fn a_cut_region_keeps_its_rounding() {
    let output = printed(
        "let net = sequential([6], [linear(8), relu_theta(0.4), linear(8), maxmin(), linear(3)], #{ dtype: \"f64\" });
let x = uniform(0.0, 1.0, [5, 6]).to_dtype(\"f64\"); let least = 1e300;
for cut in [false, true] {
    let region = ball_and_box(x, 0.3, #{ outward: true });
    for i in 0..4 {
        let layer = net.layers[i];
        region = if layer.is_affine { region.affine(layer, norm_bound(layer, (), ()).upper) } else { region.activation(layer, #{ cut: cut }) };
        if region.rounding == () { throw `layer ${i} lost its rounding`; }
        for j in 0..50 {
            let way = randn([5, 6]).to_dtype(\"f64\"); let length = (way * way).sum(1).sqrt().reshape([5, 1]);
            let a = x + way * (length.ones_like() * 0.2999999 / length);
            for k in 0..=i { a = net.layers[k].forward(a); }
            least = min(least, min((a - region.lower).min().item(), (region.upper - a).min().item()));
        }
    }
    certified_margins(net, #{ region: region, radius: region.radius }, zeros([5]).to_dtype(\"u32\"));
}
print(least >= 0.0);",
    );
    assert_eq!(output, "true");
}

/// Images of f32 and a network of f64: what is evaluated is the network.
#[test]
fn a_network_of_f64_is_evaluated_attacked_and_certified() {
    let output = printed(
        "import \"std/evaluate\" as evaluate; import \"std/certify\" as certify; import \"std/cascade\" as cascade;
let data = dataset(\"digits\", #{ train_limit: 300, test_limit: 40 });
let net = sequential(data.shape, [flatten(), linear(16), relu(), linear(10)]);
let opt = adam(net, #{ lr: 1e-2 });
for e in 0..4 { for b in data.train.batches(50) { opt.step(cross_entropy(net.forward(b.x), b.y)); } }
let wide = net.to_dtype(\"f64\");
let found = [net, wide].map(|m| {
    let e = evaluate::accuracies(m, data.test, 0.1, #{ steps: 10 });
    let s = cascade::certified_report(certify::prepare(m, \"rigorous\"), data.test, 0.1, #{ steps: 10, falsify: 4, restarts: 1 }).summary;
    [e.clean, e.certified, s.clean, s.certified]
});
print(found[0] == found[1] && found[0][3] > 0.3);",
    );
    assert!(output.ends_with("true"), "{output}");
}
