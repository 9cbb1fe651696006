//! What can be found: functions, options, pages, sections of the guide, scripts that come with the program and their settings.

use super::field::{self, Field};
use crate::script::docs::Docs;
use crate::script::docs::guide::{self, Chapter, Task};
use crate::script::docs::page::{Choice, Entry, Page};
use crate::script::docs::sentence::first_sentence;
use crate::script::stdlib::Modules;

/// One thing that can be found.
#[derive(Clone, Debug)]
pub struct Passage {
    /// `adam`, or `guide training: Stop early`.
    pub title: String,
    /// Its first sentence.
    pub summary: String,
    /// How to see more.
    pub more: More,
    /// Where it stands in the HTML, if it does.
    pub address: Option<String>,
    /// The share that its words count.
    pub(super) share: f64,
    /// What is searched, part by part.
    pub(super) texts: Vec<(Field, String)>,
}

/// How to see more of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum More {
    /// The documentation of this name.
    Name(String),
    /// This command of the program.
    Command(String),
}

/// Everything that can be found in `docs`, the guide and the `scripts`.
pub(super) fn passages(docs: &Docs, scripts: Modules) -> Vec<Passage> {
    let mut found = vec![];
    for page in &docs.pages {
        let share = if docs.is_part(page) { field::PART } else { 1.0 };
        found.push(Passage { share, ..of_page(page) });
        found.extend(page.entries.iter().map(|entry| Passage { share, ..of_entry(entry, page) }));
    }
    found.extend(of_options(docs));
    found.extend(of_guide());
    found.extend(scripts.iter().map(|(name, text)| of_script(name, text)));
    found.extend(of_settings(scripts));
    found
}

fn of_page(page: &Page) -> Passage {
    Passage {
        title: page.name.clone(),
        summary: page.title().to_string(),
        more: More::Name(page.name.clone()),
        address: Some(page.address()),
        share: 1.0,
        texts: vec![
            (Field::Name(1), page.name.clone()),
            (Field::Summary, page.title().to_string()),
            (Field::Text, page.about.join("\n")),
        ],
    }
}

fn of_entry(entry: &Entry, page: &Page) -> Passage {
    let names = entry.names();
    let owner = entry.forms.first().map_or("", |form| form.owner());
    let (first, next) = match (page.is_module(), owner.is_empty()) {
        (true, _) => (format!("{}::", page.alias()), ", "),
        (_, true) => (String::new(), ", "),
        _ => (format!("{owner}."), ", ."),
    };
    let shown = names.iter().take(5).copied().collect::<Vec<_>>().join(next);
    let more = if names.len() > 5 { ", ..." } else { "" };
    let mut texts: Vec<(Field, String)> =
        names.iter().map(|name| (Field::Name(names.len()), name.to_string())).collect();
    texts.extend([
        (Field::Owner, format!("{owner} {}", page.name)),
        (Field::Qualifier, first.clone()),
        (Field::Summary, entry.summary().to_string()),
        (Field::Begin, entry.summary().split_whitespace().take(4).collect::<Vec<_>>().join(" ")),
        (Field::Text, entry.about.join("\n")),
        (Field::Text, [entry.shapes.as_str(), &entry.values].join("\n")),
        (Field::Code, [entry.errors.as_str(), &entry.example].join("\n")),
    ]);
    Passage {
        title: format!("{first}{shown}{more}"),
        summary: entry.summary().to_string(),
        more: More::Name(format!("{first}{}", names.first().unwrap_or(&""))),
        address: Some(page.address_of(names.first().unwrap_or(&""))),
        share: 1.0,
        texts,
    }
}

/// Options, those of one name and meaning together.
fn of_options(docs: &Docs) -> Vec<Passage> {
    let mut groups: Vec<(&Choice, Vec<Passage>)> = vec![];
    for page in &docs.pages {
        for entry in &page.entries {
            // `see x` says it elsewhere.
            for option in entry.options.iter().filter(|option| !option.about.starts_with("see ")) {
                let owner = of_entry(entry, page);
                match groups.iter_mut().find(|(o, _)| o.name == option.name && o.about == option.about) {
                    Some((_, owners)) => owners.push(owner),
                    None => groups.push((option, vec![owner])),
                }
            }
        }
    }
    groups.into_iter().filter_map(|(option, owners)| of_option(option, &owners)).collect()
}

fn of_option(option: &Choice, owners: &[Passage]) -> Option<Passage> {
    let first = owners.first()?;
    let names: Vec<&str> = owners.iter().map(|owner| owner.title.as_str()).collect();
    Some(Passage {
        title: format!("option {} of {}", option.name, listed(&names)),
        summary: first_sentence(&option.about).to_string(),
        more: first.more.clone(),
        address: first.address.clone(),
        share: 1.0,
        texts: vec![
            (Field::Choice, option.name.clone()),
            (Field::Owner, format!("option {}", names.join(" "))),
            (Field::Meaning, format!("{} {}", option.default, option.about)),
        ],
    })
}

fn of_guide() -> Vec<Passage> {
    let mut found = vec![];
    for chapter in guide::chapters() {
        let name = chapter.name();
        for section in chapter.sections() {
            found.extend(section.tasks().into_iter().map(|task| of_task(task, &chapter)));
            let (prose, code) = section.prose_and_code();
            let summary = prose.first().map_or("", |text| first_sentence(text)).to_string();
            found.push(Passage {
                title: format!("{}: {}", name.replace('/', " "), section.heading),
                more: More::Name(name.clone()),
                address: Some(format!("{}#{}", chapter.address(), section.anchor())),
                share: 1.0,
                texts: vec![
                    (Field::Heading, section.heading),
                    (Field::Owner, chapter.title().to_string()),
                    (Field::Summary, summary.clone()),
                    (Field::Text, prose.join("\n")),
                    (Field::Code, code),
                ],
                summary,
            });
        }
    }
    found
}

/// A task of "How do I ...": what is shown of it is the lines that do it.
fn of_task(task: Task, chapter: &Chapter) -> Passage {
    let (prose, code) = task.prose_and_code();
    let first = prose.first().map_or("", |text| first_sentence(text)).to_string();
    let lines: Vec<&str> = code.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let summary = if lines.is_empty() { first } else { lines.join("  ") };
    Passage {
        title: format!("{} {}: {}", chapter.name().replace('/', " "), task.number, task.title),
        more: More::Name(chapter.name()),
        address: Some(chapter.address()),
        share: if code.is_empty() { field::POINTER } else { field::TASK },
        texts: vec![
            (Field::Heading, task.title),
            (Field::Owner, format!("{} {} {}", chapter.title(), chapter.name(), task.number)),
            (Field::Summary, summary.clone()),
            (Field::Text, prose.join("\n")),
            (Field::Code, code),
        ],
        summary,
    }
}

fn of_script(name: &str, text: &str) -> Passage {
    let about: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
    let about = about.split(|line| line.is_empty()).map(|lines| lines.join(" ")).collect::<Vec<_>>();
    let summary = about.first().map_or("", |text| first_sentence(text)).to_string();
    Passage {
        title: format!("script {name}"),
        more: More::Command(format!("workbench new NAME --from {name}")),
        address: None,
        share: 1.0,
        texts: vec![
            (Field::Choice, name.to_string()),
            (Field::Owner, "script".into()),
            (Field::Summary, summary.clone()),
            (Field::Text, about.join("\n")),
        ],
        summary,
    }
}

/// Settings of the scripts that a comment explains, those of one name and comment together.
fn of_settings(scripts: Modules) -> Vec<Passage> {
    let mut groups: Vec<(String, &str, Vec<&str>)> = vec![];
    for (script, text) in scripts {
        let lines = text.lines().skip_while(|line| !line.contains("settings(#{")).skip(1);
        for line in lines.take_while(|line| line.starts_with(' ')) {
            let Some((code, about)) = line.split_once(" // ") else { continue };
            let keys = settings(code);
            match groups.iter_mut().find(|(known, why, _)| *known == keys && *why == about) {
                Some((.., owners)) => owners.push(script),
                None => groups.push((keys, about, vec![script])),
            }
        }
    }
    let passage = |(keys, about, owners): (String, &str, Vec<&str>)| Passage {
        title: format!("{keys}: {} of {}", if keys.contains(',') { "settings" } else { "setting" }, listed(&owners)),
        summary: about.to_string(),
        more: More::Command(format!("workbench new NAME --from {}", owners.first().unwrap_or(&""))),
        address: None,
        share: 1.0,
        texts: vec![
            (Field::Setting, keys),
            (Field::Owner, format!("setting {}", owners.join(" "))),
            (Field::Text, about.to_string()),
        ],
    };
    groups.into_iter().map(passage).collect()
}

/// The keys in a line of settings: `lr: 1e-3, lr_end: 1e-6,` has `lr, lr_end`.
fn settings(code: &str) -> String {
    let keys = code.split([' ', '{']).filter_map(|word| word.strip_suffix(':'));
    keys.filter(|key| key.chars().all(|c| c.is_alphanumeric() || c == '_')).collect::<Vec<_>>().join(", ")
}

/// Up to three names.
fn listed(names: &[&str]) -> String {
    let more = if names.len() > 3 { ", ..." } else { "" };
    format!("{}{more}", names[..names.len().min(3)].join(", "))
}
