//! The guide and the reference as static HTML: a page for each chapter, each topic of the host and each module, an index of
//! all names, a search field. It opens from a folder as from a server; without scripts the field leads to all names.

use super::Docs;
use super::guide::{Chapter, chapters};
use super::page::{Entry, Form, Kind, Page};
use crate::show::highlight::{Part, parts};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use pulldown_cmark::{CodeBlockKind, CowStr, Event, Options, Parser, Tag, TagEnd};
use std::collections::BTreeSet;

/// Name and text of every file.
pub fn files(docs: &Docs) -> Vec<(String, String)> {
    let site = Site { docs, functions: docs.pages.iter().flat_map(|p| &p.entries).flat_map(Entry::names).collect() };
    let mut files = vec![("style.css".to_string(), STYLE.to_string()), ("search.js".into(), SEARCH.into())];
    files.push(("search_index.js".into(), docs.index().script()));
    files.push(("index.html".into(), site.page("workbench", "index.html", &site.index())));
    files.push(("names.html".into(), site.page("All names", "names.html", &site.names())));
    let chapters: Vec<Chapter> = chapters().collect();
    for (i, chapter) in chapters.iter().enumerate() {
        let before = i.checked_sub(1).and_then(|i| chapters.get(i));
        let content = html! { (site.chapter(chapter)) (neighbours(before, chapters.get(i + 1))) };
        files.push((chapter.address(), site.page(chapter.title(), &chapter.address(), &content)));
    }
    for page in &docs.pages {
        files.push((page.address(), site.page(&page.name, &page.address(), &site.reference(page))));
    }
    files
}

fn neighbours(before: Option<&Chapter>, after: Option<&Chapter>) -> Markup {
    let link = |chapter: &Chapter, arrow: &str| html! { a href=(chapter.address()) { (arrow) (chapter.title()) } };
    html! {
        p.neighbours {
            span { @if let Some(chapter) = before { (link(chapter, "← ")) } }
            span { @if let Some(chapter) = after { (link(chapter, "→ ")) } }
        }
    }
}

struct Site<'a> {
    docs: &'a Docs,
    functions: BTreeSet<&'a str>,
}

impl Site<'_> {
    fn page(&self, title: &str, own: &str, content: &Markup) -> String {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (title) }
                    link rel="stylesheet" href="style.css";
                    script defer src="search_index.js" {}
                    script defer src="search.js" {}
                }
                body {
                    (field())
                    (self.contents(own))
                    main { (content) }
                }
            }
        };
        page.into_string()
    }

    /// What leads from every page to every other.
    fn contents(&self, own: &str) -> Markup {
        let link = |address: &str, name: &str| {
            let class = (address == own).then_some("here");
            html! { li { a class=[class] href=(address) { (name) } } }
        };
        let pages = |modules: bool| {
            let own = self.docs.pages.iter().filter(move |page| page.is_module() == modules);
            own.map(move |page| link(&page.address(), &page.name.replace('_', if modules { "_" } else { " " })))
        };
        html! {
            nav #contents {
                h2 { "Guide" }
                ol { @for chapter in chapters() { (link(&chapter.address(), chapter.title())) } }
                h2 { "Always there" }
                ul { @for link in pages(false) { (link) } }
                h2 { "Modules" }
                ul { @for link in pages(true) { (link) } }
                p { a href="names.html" { "All names" } }
            }
        }
    }

    fn index(&self) -> Markup {
        html! {
            h1 { "workbench" }
            p {
                "A research workbench for certifiably robust neural networks: networks, bounds, losses and training loops as \
                 short scripts. The guide goes the way of a week's work, and its \"How do I ...\" goes by tasks; the \
                 reference has every function with its shapes, its errors and an example that runs."
            }
            h2 { "Guide" }
            ol { @for chapter in chapters() { li { a href=(chapter.address()) { (chapter.title()) } } } }
            h2 { "Reference" }
            dl {
                @for page in &self.docs.pages {
                    dt { a href=(page.address()) { (page.name) } }
                    dd { (self.inline(page.title())) }
                }
            }
        }
    }

    fn names(&self) -> Markup {
        let mut names: Vec<(String, String)> = vec![];
        for page in &self.docs.pages {
            for form in page.entries.iter().flat_map(|entry| &entry.forms) {
                let name = match (form.owner(), page.is_module()) {
                    (_, true) => format!("{}::{}", page.alias(), form.name),
                    ("", _) => form.name.clone(),
                    (owner, _) => format!("{owner}.{}", form.name),
                };
                let link = page.address_of(&form.name);
                if !names.iter().any(|(known, _)| *known == name) {
                    names.push((name, link));
                }
            }
        }
        names.sort_by_key(|(name, _)| name.to_lowercase());
        html! {
            h1 { "All names" }
            ul.names { @for (name, link) in &names { li { a href=(link) { (name) } } } }
        }
    }

    fn chapter(&self, chapter: &Chapter) -> Markup {
        html! {
            @for section in chapter.sections() {
                @let (heading, anchor) = (self.inline(&section.heading), section.anchor());
                @match section.level {
                    1 => h1 id=(anchor) { (heading) },
                    2 => h2 id=(anchor) { (heading) },
                    _ => h3 id=(anchor) { (heading) },
                }
                (self.markdown(&section.text))
            }
        }
    }

    fn reference(&self, page: &Page) -> Markup {
        html! {
            h1 { (page.name) }
            (self.markdown(&page.about.join("\n\n")))
            @if page.is_module() { (self.code(&format!("import \"{}\" as {};", page.name, page.alias()))) }
            @for entry in &page.entries { (self.entry(entry, page)) }
        }
    }

    fn entry(&self, entry: &Entry, page: &Page) -> Markup {
        let path = if page.is_module() { format!("{}::", page.alias()) } else { String::new() };
        let told = [("Shapes", &entry.shapes), ("Values", &entry.values), ("Errors", &entry.errors)];
        html! {
            section {
                @for name in entry.names() { a id=(name) {} }
                pre.forms {
                    @for (i, form) in entry.forms.iter().enumerate() {
                        @if i > 0 { "\n" }
                        (shown(&path, form))
                    }
                }
                (self.markdown(&entry.about.join("\n\n")))
                @if !entry.options.is_empty() {
                    div.wide {
                        table {
                            tr { th { "option" } th { "default" } th {} }
                            @for option in &entry.options {
                                tr {
                                    td { code { (option.name) } }
                                    td { (option.default) }
                                    td { (self.inline(&option.about)) }
                                }
                            }
                        }
                    }
                }
                @for (label, part) in told.into_iter().filter(|(_, part)| !part.is_empty()) {
                    p { span.label { (label) } " " (self.inline(part)) }
                }
                @if !entry.example.is_empty() { (self.code(&entry.example)) }
            }
        }
    }

    /// One paragraph without its `<p>`.
    fn inline(&self, text: &str) -> Markup {
        let PreEscaped(html) = self.markdown(text);
        PreEscaped(html.trim().trim_start_matches("<p>").trim_end_matches("</p>").to_string())
    }

    fn code(&self, text: &str) -> Markup {
        let text = text.lines().collect::<Vec<_>>().join("\n");
        html! {
            pre {
                code {
                    @for (part, text) in parts(&text, |word| self.functions.contains(word)) {
                        @match class(part) {
                            Some(class) => span class=(class) { (text) },
                            None => (text),
                        }
                    }
                }
            }
        }
    }

    /// Markdown as HTML. It is not escaped once more: it comes with the program, and pulldown-cmark escapes its texts.
    fn markdown(&self, text: &str) -> Markup {
        // `[B, C]` is a shape here and no link: no reference has a definition.
        let raw = |text: &str| Event::Html(CowStr::from(text.to_string()));
        let mut events = vec![];
        let mut block: Option<String> = None;
        for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
            match (event, &mut block) {
                (Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))), None) if &*language == "rhai" => {
                    block = Some(String::new());
                }
                (Event::Text(part), Some(code)) => code.push_str(&part),
                (Event::End(TagEnd::CodeBlock), Some(code)) => {
                    events.push(raw(&self.code(code).0));
                    block = None;
                }
                // A table that is wider than the page scrolls in its own box.
                (event @ Event::Start(Tag::Table(_)), None) => events.extend([raw("<div class=\"wide\">"), event]),
                (event @ Event::End(TagEnd::Table), None) => events.extend([event, raw("</div>\n")]),
                (event, None) => events.push(event),
                _ => {}
            }
        }
        let mut page = String::new();
        pulldown_cmark::html::push_html(&mut page, events.into_iter());
        PreEscaped(page)
    }
}

/// A form as one writes it, with its name in bold; `path` stands before it.
fn shown(path: &str, form: &Form) -> Markup {
    let text = format!("{path}{}", form.shown());
    let is_named = !matches!(form.kind, Kind::Operator | Kind::Constant);
    match text.split_once(&form.name).filter(|_| is_named) {
        Some((before, after)) => html! { (before) b { (form.name) } (after) },
        None => html! { (text) },
    }
}

/// The class of a part of code.
fn class(part: Part) -> Option<&'static str> {
    match part {
        Part::Keyword => Some("k"),
        Part::Text => Some("s"),
        Part::Number => Some("n"),
        Part::Comment => Some("c"),
        Part::Function => Some("f"),
        Part::Command => Some("m"),
        Part::Other => None,
    }
}

/// The field finds with scripts; without them it leads to all names.
fn field() -> Markup {
    html! {
        header {
            a href="index.html" { b { "workbench" } }
            form role="search" action="names.html" {
                input type="search" name="q" placeholder="Search ( / )" aria-label="Search" autocomplete="off"
                    spellcheck="false" role="combobox" aria-expanded="false" aria-controls="found" aria-autocomplete="list";
                noscript { button { "All names" } }
                ul #found role="listbox" aria-label="Found" hidden {}
            }
            a.narrow href="#contents" { "Contents" }
        }
    }
}

const STYLE: &str = include_str!("../../../docs/style.css");
const SEARCH: &str = include_str!("../../../docs/search.js");
