//! The guide and the reference as static HTML: a page for each chapter, each topic of the host and each module, an index of
//! all names, a search field. It opens from a folder as from a server; without scripts the field leads to all names.

use super::Docs;
use super::guide::{Chapter, chapters};
use super::page::{Entry, Kind, Page};
use crate::show::escaped;
use crate::show::highlight::{Part, painted};
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
        let content = format!("{}{}", site.chapter(chapter), neighbours(before, chapters.get(i + 1)));
        files.push((chapter.address(), site.page(chapter.title(), &chapter.address(), &content)));
    }
    for page in &docs.pages {
        files.push((page.address(), site.page(&page.name, &page.address(), &site.reference(page))));
    }
    files
}

fn neighbours(before: Option<&Chapter>, after: Option<&Chapter>) -> String {
    let link = |chapter: Option<&Chapter>, arrow: &str| {
        let link =
            |chapter: &Chapter| format!("<a href=\"{}\">{arrow}{}</a>", chapter.address(), escaped(chapter.title()));
        chapter.map_or(String::new(), link)
    };
    format!("<p class=\"neighbours\"><span>{}</span><span>{}</span></p>", link(before, "← "), link(after, "→ "))
}

struct Site<'a> {
    docs: &'a Docs,
    functions: BTreeSet<&'a str>,
}

impl Site<'_> {
    fn page(&self, title: &str, own: &str, content: &str) -> String {
        let link = |address: &str, name: &str| {
            let class = if address == own { " class=\"here\"" } else { "" };
            format!("<li><a{class} href=\"{address}\">{}</a></li>", escaped(name))
        };
        let guide: String = chapters().map(|chapter| link(&chapter.address(), chapter.title())).collect();
        let pages = |modules: bool| -> String {
            let own = self.docs.pages.iter().filter(|page| page.is_module() == modules);
            own.map(|page| link(&page.address(), &page.name.replace('_', if modules { "_" } else { " " }))).collect()
        };
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n\
             <link rel=\"stylesheet\" href=\"style.css\">\n<script defer src=\"search_index.js\"></script>\n\
             <script defer src=\"search.js\"></script>\n</head>\n<body>\n{FIELD}\n<nav id=\"contents\">\n\
             <h2>Guide</h2><ol>{guide}</ol>\n<h2>Always there</h2><ul>{}</ul>\n<h2>Modules</h2><ul>{}</ul>\n\
             <p><a href=\"names.html\">All names</a></p>\n</nav>\n<main>\n{content}\n</main>\n</body>\n</html>\n",
            escaped(title),
            pages(false),
            pages(true),
        )
    }

    fn index(&self) -> String {
        let mut text = String::from(
            "<h1>workbench</h1>\n<p>A research workbench for certifiably robust neural networks: networks, bounds, losses and \
             training loops as short scripts. The guide goes from the quickstart to a bound of one's own; the reference has \
             every function with its shapes, its errors and an example that runs.</p>\n<h2>Guide</h2>\n<ol>\n",
        );
        for chapter in chapters() {
            text += &format!("<li><a href=\"{}\">{}</a></li>\n", chapter.address(), escaped(chapter.title()));
        }
        text += "</ol>\n<h2>Reference</h2>\n<dl>\n";
        for page in &self.docs.pages {
            let about = self.inline(page.title());
            text += &format!("<dt><a href=\"{}\">{}</a></dt><dd>{about}</dd>\n", page.address(), escaped(&page.name));
        }
        text + "</dl>\n"
    }

    fn names(&self) -> String {
        let mut names: Vec<(String, String)> = vec![];
        for page in &self.docs.pages {
            for form in page.entries.iter().flat_map(|entry| &entry.forms) {
                let name = match (form.owner(), page.is_module()) {
                    (_, true) => format!("{}::{}", page.alias(), form.name),
                    ("", _) => form.name.clone(),
                    (owner, _) => format!("{owner}.{}", form.name),
                };
                let link = escaped(&page.address_of(&form.name));
                if !names.iter().any(|(known, _)| *known == name) {
                    names.push((name, link));
                }
            }
        }
        names.sort_by_key(|(name, _)| name.to_lowercase());
        let items: String =
            names.iter().map(|(name, link)| format!("<li><a href=\"{link}\">{}</a></li>\n", escaped(name))).collect();
        format!("<h1>All names</h1>\n<ul class=\"names\">\n{items}</ul>\n")
    }

    fn chapter(&self, chapter: &Chapter) -> String {
        let section = |section: super::guide::Section| {
            let heading = self.inline(&section.heading);
            let (level, anchor) = (section.level, section.anchor());
            format!("<h{level} id=\"{anchor}\">{heading}</h{level}>\n{}", self.markdown(&section.text))
        };
        chapter.sections().into_iter().map(section).collect()
    }

    fn reference(&self, page: &Page) -> String {
        let mut text = format!("<h1>{}</h1>\n", escaped(&page.name));
        text += &self.markdown(&page.about.join("\n\n"));
        if page.is_module() {
            text += &self.code(&format!("import \"{}\" as {};", page.name, page.alias()));
        }
        for entry in &page.entries {
            text += &self.entry(entry, page);
        }
        text
    }

    fn entry(&self, entry: &Entry, page: &Page) -> String {
        let anchors: String = entry.names().iter().map(|name| format!("<a id=\"{}\"></a>", escaped(name))).collect();
        let path = if page.is_module() { format!("{}::", page.alias()) } else { String::new() };
        let forms: Vec<String> = entry
            .forms
            .iter()
            .map(|form| {
                let shown = format!("{path}{}", form.shown());
                match form.kind {
                    Kind::Operator | Kind::Constant => escaped(&shown),
                    _ => escaped(&shown).replacen(&form.name, &format!("<b>{}</b>", form.name), 1),
                }
            })
            .collect();
        let mut text = format!("<section>{anchors}<pre class=\"forms\">{}</pre>\n", forms.join("\n"));
        text += &self.markdown(&entry.about.join("\n\n"));
        if !entry.options.is_empty() {
            text += "<div class=\"wide\"><table><tr><th>option</th><th>default</th><th></th></tr>\n";
            for option in &entry.options {
                text += &format!(
                    "<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>\n",
                    escaped(&option.name),
                    escaped(&option.default),
                    self.inline(&option.about)
                );
            }
            text += "</table></div>\n";
        }
        for (label, part) in [("Shapes", &entry.shapes), ("Values", &entry.values), ("Errors", &entry.errors)] {
            if !part.is_empty() {
                text += &format!("<p><span class=\"label\">{label}</span> {}</p>\n", self.inline(part));
            }
        }
        if !entry.example.is_empty() {
            text += &self.code(&entry.example);
        }
        text + "</section>\n"
    }

    /// One paragraph without its `<p>`.
    fn inline(&self, text: &str) -> String {
        let html = self.markdown(text);
        html.trim().trim_start_matches("<p>").trim_end_matches("</p>").to_string()
    }

    fn code(&self, text: &str) -> String {
        let known = |word: &str| self.functions.contains(word);
        let paint = |part: Part, text: &str| {
            let class = match part {
                Part::Keyword => "k",
                Part::Text => "s",
                Part::Number => "n",
                Part::Comment => "c",
                Part::Function => "f",
                Part::Command => "m",
                Part::Other => return escaped(text),
            };
            format!("<span class=\"{class}\">{}</span>", escaped(text))
        };
        let text = text.lines().collect::<Vec<_>>().join("\n");
        format!("<pre><code>{}</code></pre>\n", painted(&text, known, paint))
    }

    fn markdown(&self, text: &str) -> String {
        // `[B, C]` is a shape here and no link: no reference has a definition.
        let html = |text: &str| Event::Html(CowStr::from(text.to_string()));
        let mut events = vec![];
        let mut block: Option<String> = None;
        for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
            match (event, &mut block) {
                (Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))), None) if &*language == "rhai" => {
                    block = Some(String::new());
                }
                (Event::Text(part), Some(code)) => code.push_str(&part),
                (Event::End(TagEnd::CodeBlock), Some(code)) => {
                    events.push(html(&self.code(code)));
                    block = None;
                }
                // A table that is wider than the page scrolls in its own box.
                (event @ Event::Start(Tag::Table(_)), None) => events.extend([html("<div class=\"wide\">"), event]),
                (event @ Event::End(TagEnd::Table), None) => events.extend([event, html("</div>\n")]),
                (event, None) => events.push(event),
                _ => {}
            }
        }
        let mut page = String::new();
        pulldown_cmark::html::push_html(&mut page, events.into_iter());
        page
    }
}

/// The field finds with scripts; without them it leads to all names.
const FIELD: &str = "<header>\n<a href=\"index.html\"><b>workbench</b></a>\n\
    <form role=\"search\" action=\"names.html\">\n\
    <input type=\"search\" name=\"q\" placeholder=\"Search ( / )\" aria-label=\"Search\" autocomplete=\"off\" spellcheck=\"false\" \
    role=\"combobox\" aria-expanded=\"false\" aria-controls=\"found\" aria-autocomplete=\"list\">\n\
    <noscript><button>All names</button></noscript>\n\
    <ul id=\"found\" role=\"listbox\" aria-label=\"Found\" hidden></ul>\n</form>\n\
    <a class=\"narrow\" href=\"#contents\">Contents</a>\n</header>";
const STYLE: &str = include_str!("../../../docs/style.css");
const SEARCH: &str = include_str!("../../../docs/search.js");
