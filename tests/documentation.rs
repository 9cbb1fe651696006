//! The documentation is complete and true: every function has an entry with shapes, errors and an example, every example
//! runs, every option is named.

use std::sync::Mutex;
use workbench::script::Session;
use workbench::script::docs::{Docs, Entry, audit};
use workbench::script::session::Config;
use workbench::script::settings::Overrides;

/// What every example finds: a small network, four images with their labels, the data set, their bounds.
const PRELUDE: &str = r#"
import "std/local_lip" as lip;
let data = dataset("digits");
let net = sequential([1, 8, 8], [conv2d(4, 3), relu_theta(1.0), flatten(), linear(10)]);
let x = data.test.images([0, 1]);
let y = data.test.labels([0, 1]);
let bounds = lip::bounds(net, x, 0.1, fresh_vectors(net, 2), 10);
"#;

/// Examples write files: they run in a folder of their own, and the folder is the process's.
static FOLDER: Mutex<Option<tempfile::TempDir>> = Mutex::new(None);

fn session() -> Session {
    let mut folder = FOLDER.lock().unwrap();
    if folder.is_none() {
        let made = tempfile::tempdir().unwrap();
        std::env::set_current_dir(made.path()).unwrap();
        *folder = Some(made);
    }
    Session::new(Config {
        device: candle_core::Device::Cpu,
        seed: 0,
        threads: 1,
        data_dir: None,
        overrides: Overrides::default(),
        script: None,
        recording: workbench::script::session::Recording::default(),
        source: Default::default(),
        allowed: Default::default(),
        ranks: Default::default(),
        limits: Default::default(),
    })
}

/// `import "std/x" as x;` for an entry of a module.
fn import(entry: &Entry, docs: &Docs) -> String {
    let page = docs.page(&entry.page).expect("the entry's page");
    // The cascade works on what `std/certify` prepares.
    let more = if page.name == "std/cascade" { "import \"std/certify\" as certify;\n" } else { "" };
    if page.is_module() { format!("{more}import \"{}\" as {};\n", page.name, page.alias()) } else { String::new() }
}

#[test]
fn nothing_is_missing() {
    let missing = audit::missing(session().engine(), &Docs::new());
    // Printed and not in the panic's message: sessions of other tests may have silenced that.
    println!("{}", missing.join("\n"));
    assert!(missing.is_empty(), "{} missing", missing.len());
}

#[test]
fn every_example_runs() {
    let docs = Docs::new();
    let mut failed = vec![];
    let mut session = session();
    session.eval(PRELUDE).expect("the prelude");
    let entries: Vec<&Entry> = docs.pages.iter().flat_map(|page| &page.entries).collect();
    for entry in &entries {
        if entry.names() == ["exit"] {
            continue;
        }
        // In a block of its own, so that no example lives on another's variables.
        let input = format!("{}{{\n{}\n}}", import(entry, &docs), entry.example);
        if let Err(failure) = session.eval(&input) {
            failed.push(format!("{}:{}\n{}", entry.page, entry.line, failure.render(false)));
        }
    }
    assert!(entries.len() > 80);
    assert!(failed.is_empty(), "{} examples fail:\n\n{}", failed.len(), failed.join("\n\n"));
}

/// An option that does not exist is refused with the list of those that do: the documentation must name them all, and a
/// function that takes options must say so.
#[test]
fn every_option_is_named() {
    let docs = Docs::new();
    let mut faults = vec![];
    let mut session = session();
    session.eval(PRELUDE).expect("the prelude");
    for entry in docs.pages.iter().flat_map(|page| &page.entries) {
        let takes = entry.forms.iter().any(|form| form.parameters.iter().any(|(name, _)| name == "options"));
        let elsewhere = entry.about.iter().chain([&entry.values]).any(|text| text.contains("options are those of `"));
        if takes && entry.options.is_empty() && !elsewhere {
            faults.push(format!("{}:{}: takes options and names none", entry.page, entry.line));
        }
        if entry.options.is_empty() {
            continue;
        }
        let place = format!("{}:{} {:?}", entry.page, entry.line, entry.names());
        let Some(at) = entry.example.find("#{") else {
            faults.push(format!("{place}: the example has no `#{{...}}` with options"));
            continue;
        };
        let input = format!(
            "{}{{\n{} no_such_option: 1, {}\n}}",
            import(entry, &docs),
            &entry.example[..at + 2],
            &entry.example[at + 2..]
        );
        let message = match session.eval(&input) {
            Ok(_) => "it is accepted".to_string(),
            Err(failure) => failure.reports.first().map_or(String::new(), |report| report.message.clone()),
        };
        let Some((_, list)) = message.split_once("no_such_option") else {
            faults.push(format!("{place}: an unknown option is not refused: {message}"));
            continue;
        };
        let known = list.split(['`', '[', ']', ',', '"', ' ']).filter(|word| !word.is_empty());
        let known: Vec<&str> = known
            .filter(|w| !["options", "are", "known:", "the", ";", "The", "did", "you", "mean"].contains(w))
            .collect();
        for name in known.iter().filter(|name| !entry.options.iter().any(|option| option.name == **name)) {
            faults.push(format!("{place}: the option `{name}` is not described"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// No summary ends where an abbreviation does, or inside of brackets or code.
#[test]
fn every_summary_is_a_whole_sentence() {
    let docs = Docs::new();
    let entries = docs.pages.iter().flat_map(|page| &page.entries);
    let mut shown: Vec<String> = entries.map(|entry| entry.summary().to_string()).collect();
    shown.extend(docs.pages.iter().map(|page| page.title().to_string()));
    shown.extend(docs.index().passages.iter().map(|passage| passage.summary.clone()));
    assert!(shown.len() > 300, "{}", shown.len());
    let abbreviations = ["Eq", "Eqs", "al", "e.g", "i.e", "Fig", "Figs", "vs", "cf", "Sec", "No", "no", "pp", "Thm"];
    for summary in &shown {
        assert!(!summary.is_empty());
        let last = summary.trim_end_matches('.').rsplit([' ', '(', '[']).next().unwrap_or("");
        let initial = last.len() == 1 && last.chars().all(char::is_uppercase);
        assert!(!summary.ends_with('.') || !abbreviations.contains(&last) && !initial, "{summary}");
        // Of any kind, for [low, high) is half open.
        let count = |any: &[char]| summary.matches(any).count();
        assert!(count(&['`']).is_multiple_of(2) && count(&['(', '[', '{']) == count(&[')', ']', '}']), "{summary}");
    }
    let of = |name: &str| {
        let entry = docs.pages.iter().flat_map(|page| &page.entries).find(|entry| entry.names().contains(&name));
        entry.unwrap_or_else(|| panic!("{name}")).summary().to_string()
    };
    for (name, end) in [
        ("sparsity", "for a neuron to be constant."),
        ("gloro_logits", "(Leino et al. 2021)."),
        ("relu_theta", "max(min(x, theta), 0)."),
        ("varying", "have a width above 0."),
        ("conv2d", "with a square kernel."),
    ] {
        assert!(of(name).ends_with(end), "{name}: {}", of(name));
    }
}

/// Every link of the HTML leads somewhere, every function of the host and the stdlib is on a page.
#[test]
fn the_html_is_whole() {
    let docs = Docs::new();
    let files = workbench::script::docs::html::files(&docs);
    let text = |name: &str| files.iter().find(|(file, _)| file == name).map(|(_, text)| text.as_str());
    for (file, page) in files.iter().filter(|(file, _)| file.ends_with(".html")) {
        let links = page.split("href=\"").skip(1).chain(page.split("src=\"").skip(1));
        for link in links.filter_map(|rest| rest.split('"').next()) {
            let (target, anchor) = link.split_once('#').unwrap_or((link, ""));
            if target.starts_with("http") {
                continue;
            }
            let found = if target.is_empty() { Some(page.as_str()) } else { text(target) };
            let found = found.unwrap_or_else(|| panic!("{file}: {link}"));
            assert!(anchor.is_empty() || found.contains(&format!("id=\"{anchor}\"")), "{file}: {link}");
        }
        assert!(!page.contains("```") && page.contains("</html>"), "{file}");
    }
    for address in docs.index().passages.iter().filter_map(|passage| passage.address.as_deref()) {
        let (file, anchor) = address.split_once('#').unwrap_or((address, ""));
        let found = text(file).unwrap_or_else(|| panic!("{address}"));
        let id = anchor.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        assert!(anchor.is_empty() || found.contains(&format!("id=\"{id}\"")), "{address}");
    }
    let names = text("names.html").expect("the index");
    for name in ["worst_logits", "Tensor.reshape", "lip::bounds", "probe::where_lost"] {
        assert!(names.contains(&format!(">{name}<")), "{name}");
    }
}

/// What the search field of the HTML reads: every word leads to places that are there, and what can be found in the terminal
/// and has a page can be found in the HTML.
#[test]
fn the_html_carries_the_index() {
    let docs = Docs::new();
    let index = docs.index();
    let script = index.script();
    let text = script.strip_prefix("const SEARCH = ").and_then(|text| text.trim_end().strip_suffix(';'));
    let data: serde_json::Value = serde_json::from_str(text.expect("one constant")).expect("JSON");
    let passages = data["passages"].as_array().expect("passages");
    let titles: Vec<&str> = passages.iter().filter_map(|passage| passage[0].as_str()).collect();
    let wanted = index.passages.iter().filter(|passage| passage.address.is_some());
    assert_eq!(titles, wanted.map(|passage| passage.title.as_str()).collect::<Vec<_>>());
    for (term, places) in data["terms"].as_object().expect("terms") {
        let places: Vec<usize> = places.as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
        assert!(!places.is_empty() && places.len().is_multiple_of(2), "{term}");
        for pair in places.chunks(2) {
            assert!(pair[0] < passages.len() && pair[1] > 0, "{term}");
            // The same count as in the terminal.
            let passage = &passages[pair[0]];
            let same = |(place, count): &(usize, u32)| {
                index.passages[*place].title == passage[0].as_str().unwrap() && *count as usize == pair[1]
            };
            assert!(index.terms[term].iter().any(same), "{term}");
        }
    }
    let files = workbench::script::docs::html::files(&docs);
    assert!(files.iter().any(|(name, text)| name == "search_index.js" && *text == script));
}

/// The definitions for editors: every form is declared once, with its comment; what comes before `;` is balanced.
#[test]
fn the_definitions_declare_every_form() {
    let docs = Docs::new();
    let files = workbench::script::docs::definitions::files(&docs);
    let declared = |text: &str| {
        let starts = |line: &&str| ["fn ", "op ", "const "].iter().any(|word| line.starts_with(word));
        text.lines().filter(starts).map(str::to_string).collect::<Vec<_>>()
    };
    let forms: usize = docs.pages.iter().flat_map(|page| &page.entries).map(|entry| entry.forms.len()).sum();
    let all: Vec<String> = files.iter().flat_map(|(_, text)| declared(text)).collect();
    assert_eq!(all.len(), forms);
    for line in &all {
        assert!(line.ends_with(';') && line.matches('(').count() == line.matches(')').count(), "{line}");
        assert!(!line.contains("self"), "{line}");
    }
    assert!(
        files
            .iter()
            .any(|(name, text)| name == "std/local_lip.d.rhai" && text.starts_with("module \"std/local_lip\";"))
    );
}
