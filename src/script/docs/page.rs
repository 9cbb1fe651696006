//! A page of the documentation: what it is about, and an entry for each function or group of functions.

use super::sentence::first_sentence;
use std::ops::Range;

/// One page: a topic of the host, or a module.
#[derive(Clone, Debug)]
pub struct Page {
    /// `tensors`, or `std/local_lip`.
    pub name: String,
    /// What it is about, in paragraphs; the first is the heading.
    pub about: Vec<String>,
    /// The functions, in the order of the text.
    pub entries: Vec<Entry>,
}

impl Page {
    /// Is it a module that scripts import?
    pub fn is_module(&self) -> bool {
        self.name.contains('/')
    }

    /// The name that a script usually imports the module under.
    pub fn alias(&self) -> &str {
        match self.name.rsplit('/').next().unwrap_or(&self.name) {
            "local_lip" => "lip",
            name => name.trim_end_matches(".rhai"),
        }
    }

    /// Its page in the HTML.
    pub fn address(&self) -> String {
        format!("{}.html", self.name.replace('/', "_"))
    }

    /// Where a name stands on that page.
    pub fn address_of(&self, name: &str) -> String {
        format!("{}#{name}", self.address())
    }

    /// The heading: the first paragraph's first sentence.
    pub fn title(&self) -> &str {
        self.about.first().map_or(self.name.as_str(), |text| first_sentence(text))
    }
}

/// One or several functions that are described together.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// The page that it stands on.
    pub page: String,
    /// What it does, in paragraphs.
    pub about: Vec<String>,
    /// The keys of `#{...}`.
    pub options: Vec<Choice>,
    /// Shapes of tensors, in and out.
    pub shapes: String,
    /// What values are allowed, and in which units.
    pub values: String,
    /// What goes wrong, and when.
    pub errors: String,
    /// Code that runs.
    pub example: String,
    /// What is described.
    pub forms: Vec<Form>,
    /// Line of the first form, from 1.
    pub line: usize,
    /// Lines of its code, from 1, where it has any.
    pub code: Vec<Range<usize>>,
}

/// One option: name, default in words, meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The key.
    pub name: String,
    /// What it is when it is not given.
    pub default: String,
    /// What it does.
    pub about: String,
}

/// What kind of thing a form is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `name(...)`
    Function,
    /// `value.name(...)`
    Method,
    /// `value.name`
    Property,
    /// `a + b`
    Operator,
    /// A constant that is there from the start.
    Constant,
}

/// One way to call a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// Its kind.
    pub kind: Kind,
    /// The bare name.
    pub name: String,
    /// Name and type of each parameter; for methods and properties the value before the dot comes first. Types of
    /// functions written in Rhai are not known.
    pub parameters: Vec<(String, String)>,
    /// What it gives; empty where nothing, or nothing known.
    pub gives: String,
}

impl Form {
    /// The type before the dot, of methods and properties.
    pub fn owner(&self) -> &str {
        match self.kind {
            Kind::Method | Kind::Property => self.parameters.first().map_or("", |(_, kind)| kind.as_str()),
            _ => "",
        }
    }

    /// The form as a script's author reads it: `Tensor.reshape(shape: array) -> Tensor`.
    pub fn shown(&self) -> String {
        let one = |(name, kind): &(String, String)| {
            if kind.is_empty() { name.clone() } else { format!("{name}: {kind}") }
        };
        let list = |parameters: &[(String, String)]| parameters.iter().map(one).collect::<Vec<_>>().join(", ");
        let gives = if self.gives.is_empty() { String::new() } else { format!(" -> {}", self.gives) };
        let name = &self.name;
        match self.kind {
            Kind::Function => format!("{name}({}){gives}", list(&self.parameters)),
            Kind::Method => format!("{}.{name}({}){gives}", self.owner(), list(&self.parameters[1..])),
            Kind::Property => format!("{}.{name}{gives}", self.owner()),
            Kind::Constant => format!("{name}: {}", self.gives),
            Kind::Operator => {
                let sides: Vec<&str> = self.parameters.iter().map(|(_, kind)| kind.as_str()).collect();
                match (name.as_str(), &sides[..]) {
                    ("[]", [value, place]) => format!("{value}[{place}]{gives}"),
                    (_, [one]) => format!("{name}{one}{gives}"),
                    (_, [left, right]) => format!("({left}) {name} ({right}){gives}"),
                    _ => name.clone(),
                }
            }
        }
    }
}

impl Entry {
    /// Names of all forms, once each, in order.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = vec![];
        for form in &self.forms {
            if !names.contains(&form.name.as_str()) {
                names.push(&form.name);
            }
        }
        names
    }

    /// What it does, in one line.
    pub fn summary(&self) -> &str {
        first_sentence(self.about.first().map_or("", String::as_str))
    }

    /// What the description lacks.
    pub fn lacks(&self) -> Vec<&'static str> {
        let parts = [
            ("what it does", self.about.is_empty()),
            ("`Shapes:` or `Values:`", self.shapes.is_empty() && self.values.is_empty()),
            ("`Errors:`", self.errors.is_empty()),
            ("`Example:`", self.example.is_empty()),
        ];
        parts.into_iter().filter(|(_, lacking)| *lacking).map(|(what, _)| what).collect()
    }
}

/// The description as Markdown.
pub fn markdown(entry: &Entry) -> String {
    let mut text = entry.about.join("\n\n");
    if !entry.options.is_empty() {
        text += "\n\nOptions:\n";
        for option in &entry.options {
            text += &format!("\n- `{}` ({}): {}", option.name, option.default, option.about);
        }
    }
    for (label, part) in [("Shapes", &entry.shapes), ("Values", &entry.values), ("Errors", &entry.errors)] {
        if !part.is_empty() {
            text += &format!("\n\n**{label}**: {part}");
        }
    }
    if !entry.example.is_empty() {
        text += &format!("\n\n```rhai\n{}\n```", entry.example);
    }
    text
}
