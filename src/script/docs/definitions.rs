//! `.d.rhai` files for editors: the Rhai language server reads them for completion and for what it shows beside a name.

use super::Docs;
use super::page::{Entry, Form, Kind, Page};

/// Name and text of each file: one for the host, one for each module of the stdlib.
pub fn files(docs: &Docs) -> Vec<(String, String)> {
    let mut host = String::from("module static;\n");
    for entry in docs.host_entries() {
        host += &format!("\n{}", definition(entry));
    }
    let modules = docs.pages.iter().filter(|page| page.is_module());
    let mut files = vec![("workbench.d.rhai".to_string(), host)];
    files.extend(modules.map(|page| (format!("{}.d.rhai", page.name), module(page))));
    files
}

fn module(page: &Page) -> String {
    let mut text = format!("module \"{}\";\n", page.name);
    for entry in &page.entries {
        text += &format!("\n{}", definition(entry));
    }
    text
}

/// The description before every form: the language server shows the comment of one form only.
fn definition(entry: &Entry) -> String {
    let comment: String =
        super::page::markdown(entry).lines().map(|line| format!("/// {line}").trim_end().to_string() + "\n").collect();
    entry.forms.iter().map(|form| format!("{comment}{}\n", declaration(form))).collect()
}

fn declaration(form: &Form) -> String {
    let kind = |kind: &str| if kind.is_empty() { "?".to_string() } else { kind.replace("()", "void") };
    let name = |name: &str, of: &str| if name == "self" { of.to_lowercase() } else { name.to_string() };
    let parameters: Vec<String> = form.parameters.iter().map(|(n, k)| format!("{}: {}", name(n, k), kind(k))).collect();
    let sides: Vec<String> = form.parameters.iter().map(|(_, k)| kind(k)).collect();
    let gives = if form.gives.is_empty() { "?".to_string() } else { kind(&form.gives) };
    match form.kind {
        Kind::Constant => format!("const {}: {};", form.name, form.gives),
        Kind::Operator if form.name == "[]" => format!("fn index$get$({}) -> {gives};", sides.join(", ")),
        Kind::Operator => format!("op {}({}) -> {gives};", form.name, sides.join(", ")),
        Kind::Property => format!("fn get {}({}) -> {gives};", form.name, parameters.join(", ")),
        _ => format!("fn {}({}) -> {gives};", form.name, parameters.join(", ")),
    }
}
