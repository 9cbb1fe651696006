//! What a person reads about a sweep, and about several runs beside each other.

use crate::common::program::Folder;

/// Two epochs of numbers, then a result; fails where `a` is 3. `note` is a text that a page must not believe.
const SCRIPT: &str = r#"
let cfg = settings(#{ a: 1, lr: 0.1, note: "x" });
for epoch in run.epochs(2, "net") {
    run.log(#{ loss: 1.0 / (epoch + cfg.a), "val/certified 0.1": 0.125 * cfg.a, lr: cfg.lr });
    if cfg.a == 3 && epoch == 1 { throw "three <i>is</i> not to be had"; }
}
run.result(#{ network: "<u>net</u>", eps: 0.1, clean: 0.25 * cfg.a + 0.01 * seed, loss: 0.5 / cfg.a });
"#;

fn read(folder: &Folder, file: &str) -> String {
    let path = folder.path().join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[track_caller]
fn ends(output: &str, code: i32) {
    assert!(output.ends_with(&format!("exit code {code}")), "{output}");
}

fn swept(arguments: &[&str]) -> (Folder, String) {
    let folder = Folder::new(&[("net.rhai", SCRIPT)]);
    let output = folder.run(&[&["sweep", "net.rhai", "--into", "s", "--threads", "1"], arguments].concat());
    (folder, output)
}

#[track_caller]
fn harmless(page: &str) {
    let lower = page.to_lowercase();
    for tag in [
        "<script",
        "<i>is",
        "<u>",
        "<img",
        "<iframe",
        "<link rel=\"stylesheet",
        "@import",
        "url(",
        " src=",
        "http:",
        "https:",
    ] {
        // Plots name the namespace of SVG, which nobody fetches.
        let text = lower.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
        assert!(!text.contains(tag), "{tag} in the page");
    }
}

#[test]
fn a_sweep_has_a_page_with_its_plan_means_plots_and_points() {
    let note = "note=<script>alert('x')</script>,plain";
    let (folder, output) = swept(&["--set", "a=1,2,3", "--set", note, "--set", "lr=1e-2", "--seeds", "2"]);
    ends(&output, 1);
    assert!(output.contains("written: s/report.html, s/sweep.csv, s/summary.csv"), "{output}");
    assert!(output.contains("25.50 %") && output.contains("0.71 %"), "shares are in per cent: {output}");
    let page = read(&folder, "s/report.html");
    harmless(&page);
    for text in [
        // How it stands, and what was planned.
        "8 finished</span>, <span class=\"status bad\">4 failed</span>",
        "<dt>a</dt><dd>1, 2, 3</dd>",
        "<dt>note</dt><dd>&lt;script&gt;alert('x')&lt;/script&gt;, plain</dd>",
        "<dt>lr</dt><dd>1e-2</dd>",
        "<dt>seeds</dt><dd>0, 1</dd>",
        // What varies is a column, what does not is none; the best mean is marked.
        "<tr><th>a</th><th>note</th><th>seeds</th><th>clean (eps 0.1, &lt;u&gt;net&lt;/u&gt;)</th>",
        "<td>plain</td><td>2</td><td>25.50 ± 0.71 %</td><td>0.5 ± 0</td>",
        "<td>plain</td><td>2</td><td><mark>50.50 ± 0.71 %</mark></td><td><mark>0.25 ± 0</mark></td>",
        "<td>3</td><td>plain</td><td>0</td><td>–</td>",
        // The points.
        "<td><a href=\"point-01/report.html\">point-01</a></td><td>1</td>",
        "<td class=\"good\">finished</td>",
        "<code>error: three &lt;i&gt;is&lt;/i&gt; not to be had</code><br>",
        "<a href=\"point-12.txt\">point-12</a>",
        "--set a=1,2,3 --set 'note=",
    ] {
        assert!(page.contains(text), "{text} in {page}");
    }
    assert!(folder.path().join("s/point-01/report.html").is_file(), "links lead somewhere");
    // A plot for each result over the numeric setting, curves of all points, also of those that failed.
    for (file, series, drawn) in [
        ("clean_eps_0.1_u_net_u_by_a", 2, "polygon"),
        ("curve_loss", 6, "polyline"),
        ("curve_val_certified_0.1", 6, "polyline"),
    ] {
        let plot = read(&folder, &format!("s/plots/{file}.svg"));
        assert!(plot.contains("note plain") && !plot.contains("<script"), "{file}: {plot}");
        assert_eq!(plot.matches("note").count(), series, "{file}: {plot}");
        assert!(plot.contains(&format!("<{drawn}")), "{file}");
    }
    assert!(read(&folder, "s/plots/curve_val_certified_0.1.svg").contains("estimate"));
    let names: Vec<String> = std::fs::read_dir(folder.path().join("s/plots"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(!names.iter().any(|name| name.contains("by_note") || name.contains("by_lr")), "{names:?}");
}

#[test]
fn a_page_of_a_sweep_is_made_again_at_any_time_and_elsewhere_without_links() {
    let (folder, output) = swept(&["--seeds", "2"]);
    ends(&output, 0);
    let page = read(&folder, "s/report.html");
    assert!(page.contains("curve_") || page.contains("seed 1"), "seeds have colours of their own");
    std::fs::remove_file(folder.path().join("s/report.html")).unwrap();
    std::fs::remove_file(folder.path().join("s/sweep.csv")).unwrap();
    ends(&folder.run(&["report", "s", "--html", "page.html"]), 0);
    assert!(!folder.path().join("s/report.html").exists(), "--html leaves the folder alone");
    let elsewhere = read(&folder, "page.html");
    assert!(elsewhere.contains("<td>point-1</td>") && !elsewhere.contains("href=\"point"), "{elsewhere}");
    ends(&folder.run(&["report", "s"]), 0);
    assert_eq!(read(&folder, "s/report.html"), page);
    assert!(read(&folder, "s/sweep.csv").starts_with("seed,run,status,"));
    // Killed before the first point, or with a point whose record is damaged: there is a page all the same.
    std::fs::write(folder.path().join("s/point-1/run.json"), "{").unwrap();
    std::fs::remove_dir_all(folder.path().join("s/point-2")).unwrap();
    std::fs::remove_file(folder.path().join("s/point-2.txt")).unwrap();
    ends(&folder.run(&["report", "s"]), 0);
    let page = read(&folder, "s/report.html");
    for text in ["1 damaged</span>", "1 not run</span>", "No point has come to a result.", "run.json is damaged"] {
        assert!(page.contains(text), "{text} in {page}");
    }
    std::fs::write(folder.path().join("s/sweep.json"), "{").unwrap();
    let output = folder.run(&["report", "s"]);
    assert!(output.contains("sweep.json is damaged or of another version"), "{output}");
    ends(&output, 2);
}

/// A script that cannot be loaded leaves no folder, only what it said.
#[test]
fn points_that_never_began_are_rows_too() {
    let folder = Folder::new(&[("broken.rhai", "let x = ;")]);
    ends(&folder.run(&["sweep", "broken.rhai", "--seeds", "2", "--into", "s"]), 1);
    assert_eq!(read(&folder, "s/sweep.csv"), "seed,run,status\n0,point-1,failed\n1,point-2,failed\n");
    assert!(read(&folder, "s/report.html").contains("<a href=\"point-2.txt\">point-2</a>"));
}

#[test]
fn a_file_called_sweep_json_makes_no_sweep_of_a_run() {
    let script = "run.csv(\"sweep.json\", [\"a\"], []);\nfor e in run.epochs(1) { run.log(#{ loss: 0.5 }); }";
    let folder = Folder::new(&[("main.rhai", script)]);
    ends(&folder.run(&["run", "main.rhai", "--into", "run"]), 0);
    assert!(read(&folder, "run/report.html").contains("<h2>The last epochs</h2>"));
}

#[test]
fn runs_are_compared_on_a_page_in_per_cent_with_their_curves() {
    let folder = Folder::new(&[("net.rhai", SCRIPT)]);
    for (a, note, into) in [("1", "note=<i>is</i>", "one"), ("2", "note=x", "two")] {
        ends(&folder.run(&["run", "net.rhai", "--set", &format!("a={a}"), "--set", note, "--into", into]), 0);
    }
    let told = folder.run(&["compare", "one", "two", "--html", "c.html"]);
    ends(&told, 0);
    let cells = |line: &str| line.split("  ").map(str::trim).filter(|c| !c.is_empty()).collect::<Vec<_>>().join("|");
    assert!(told.lines().any(|line| cells(line) == "clean (eps 0.1, <u>net</u>)|25.00 %|50.00 %"), "{told}");
    let page = read(&folder, "c.html");
    harmless(&page);
    for text in [
        "<td>a</td><td>1</td><td>2</td>",
        "&lt;i&gt;is&lt;/i&gt;",
        "<td>25.00 %</td><td><mark>50.00 %</mark></td>",
        "<td>0.5</td><td><mark>0.25</mark></td>",
        "val certified 0.1, estimate",
    ] {
        assert!(page.contains(text), "{text} in {page}");
    }
}
