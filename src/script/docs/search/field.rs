//! What a word counts for, by where it stands.

/// A part of a passage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// A name of a function, a method, a page; it shares the passage with so many.
    Name(usize),
    /// A heading of the guide.
    Heading,
    /// The name of an option or of a script.
    Choice,
    /// The name of a script's setting.
    Setting,
    /// The first sentence of a description.
    Summary,
    /// Its first words, which say what a thing is.
    Begin,
    /// What an option does.
    Meaning,
    /// The whole description.
    Text,
    /// What a thing belongs to.
    Owner,
    /// What is written before a name: `lip::`, `Tensor.`.
    Qualifier,
    /// Errors and examples.
    Code,
}

/// The share of its weight that a word lends to its other names.
pub const OTHER_NAME: f64 = 0.5;
/// The share that a word counts for a longer one that begins with it.
pub const BEGINNING: f64 = 0.5;
/// The share that a near word counts for one that stands nowhere.
pub const NEAR: f64 = 0.7;
/// The share that a word counts in a part of a module: what scripts call stands in the module itself.
pub const PART: f64 = 0.6;
/// The share that a word counts in a task of the guide: what a function's own page says comes first.
pub const TASK: f64 = 0.55;
/// The share in one that has no lines of its own, and only says where they are.
pub const POINTER: f64 = 0.35;
/// What counts less than this share of the best is left out.
pub const LEAST: f64 = 0.25;

impl Field {
    /// What a word of `text` counts that stands there so many times.
    pub fn weight(self, text: &str, times: u32) -> f64 {
        match self {
            // A word of a name counts less where the name has several, or where several names share an entry.
            Field::Name(names) => {
                let part = if text.trim_matches('_').contains('_') { 8.4 } else { 12.0 };
                part / (names.max(1) as f64).powf(0.7)
            }
            Field::Heading => 10.0,
            Field::Choice => 11.0,
            Field::Setting => 5.0,
            Field::Summary => 5.0 * brevity(text),
            Field::Begin => 4.0,
            Field::Meaning => 4.0 * brevity(text),
            // Said again it counts more, but not as much again.
            Field::Text => 2.0 * (1.0 + 0.5 * f64::from(times).ln()).min(2.0),
            Field::Owner => 1.5,
            Field::Qualifier => 4.0,
            Field::Code => 0.7,
        }
    }

    /// Does `term` tell anything here? Letters and numbers do only as names, pairs of words only outside of code.
    pub fn takes(self, term: &str) -> bool {
        let slight = term.chars().count() == 1 || term.chars().all(|c| c.is_ascii_digit());
        match self {
            Field::Name(_) => true,
            Field::Code => !slight && !term.contains('_'),
            _ => !slight,
        }
    }
}

/// Among few words each counts more.
fn brevity(text: &str) -> f64 {
    let words = text.split_whitespace().count().max(1);
    (10.0 / words as f64).sqrt().clamp(0.7, 1.5)
}
