//! Which passages have which words, and what an answer is.

use super::passages::{Passage, passages};
use super::{field, words};
use crate::base::suggest;
use crate::script::docs::Docs;
use crate::script::shipped::shipped;
use crate::script::stdlib::Modules;
use std::collections::BTreeMap;

/// How much each word counts for each passage.
#[derive(Clone, Debug)]
pub struct Index {
    /// What can be found.
    pub passages: Vec<Passage>,
    /// For each word, and each pair of words joined by `_`: places in `passages`, and what the word counts there.
    pub terms: BTreeMap<String, Vec<(usize, u32)>>,
}

/// What a search found.
#[derive(Clone, Debug, Default)]
pub struct Answer<'a> {
    /// The best first.
    pub hits: Vec<&'a Passage>,
    /// Words that stand nowhere, each with the near one that was looked for in its place, if there is any.
    pub unknown: Vec<(String, Option<String>)>,
}

impl Docs {
    /// The index of all that can be found in these pages, the guide and the scripts that come with the program.
    pub fn index(&self) -> Index {
        Index::new(self, shipped())
    }
}

impl Index {
    /// The index of all that can be found in `docs`, the guide and the `scripts`.
    pub fn new(docs: &Docs, scripts: Modules) -> Self {
        let passages = passages(docs, scripts);
        let mut counts: BTreeMap<String, Vec<(usize, f64)>> = BTreeMap::new();
        let names = words::other_names();
        for (place, passage) in passages.iter().enumerate() {
            for (term, weight) in weighted(passage, &names) {
                counts.entry(term).or_default().push((place, passage.share * weight));
            }
        }
        let all = passages.len() as f64;
        let scaled = |places: Vec<(usize, f64)>| {
            let rarity = (1.0 + all / places.len() as f64).ln();
            places.into_iter().map(|(place, weight)| (place, (8.0 * weight * rarity).round() as u32)).collect()
        };
        let terms = counts.into_iter().map(|(term, places)| (term, scaled(places))).collect();
        Self { passages, terms }
    }

    /// Is the word written anywhere, exactly so?
    pub fn writes(&self, word: &str) -> bool {
        let parts = |c: char| !c.is_alphanumeric() && c != '_';
        let mut texts = self.passages.iter().flat_map(|passage| &passage.texts);
        texts.any(|(_, text)| text.split(parts).any(|part| part == word))
    }

    /// The passages that fit `query` best.
    pub fn search(&self, query: &str) -> Answer<'_> {
        let mut unknown = vec![];
        let mut wanted: Vec<(String, f64)> = vec![];
        for word in spoken(query) {
            let stem = words::stem(&word);
            if !self.counts(&stem).is_empty() {
                wanted.push((stem, 1.0));
                continue;
            }
            let near = self.near(&word);
            wanted.extend(near.as_deref().map(|near| (words::stem(near), field::NEAR)));
            unknown.push((word, near));
        }
        let mut scores: BTreeMap<usize, (f64, usize)> = BTreeMap::new();
        for (word, share) in &wanted {
            for (place, count) in self.counts(word) {
                let (score, met) = scores.entry(place).or_default();
                (*score, *met) = (*score + share * count, *met + 1);
            }
        }
        for pair in wanted.windows(2) {
            let [(first, _), (second, _)] = pair else { continue };
            for term in [format!("{first}_{second}"), format!("{first}{second}")] {
                for (place, count) in self.terms.get(&term).into_iter().flatten() {
                    scores.entry(*place).or_default().0 += f64::from(*count);
                }
            }
        }
        let share = |met: usize| (met as f64 / wanted.len().max(1) as f64).powi(2);
        let mut ranked: Vec<(f64, usize)> =
            scores.into_iter().map(|(place, (score, met))| (score * share(met), place)).collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let best = ranked.first().map_or(0.0, |(score, _)| *score);
        let hits = ranked.into_iter().filter(|(score, _)| *score > 0.0 && *score >= field::LEAST * best);
        Answer { hits: hits.map(|(_, place)| &self.passages[place]).collect(), unknown }
    }

    /// What a word counts for which passage: the word itself, or a longer one that begins with it.
    fn counts(&self, word: &str) -> BTreeMap<usize, f64> {
        let mut found: BTreeMap<usize, f64> = BTreeMap::new();
        let begins = word.chars().count() >= 3;
        let terms = self.terms.range(word.to_string()..).take_while(|(term, _)| term.starts_with(word));
        for (term, places) in terms.filter(|(term, _)| *term == word || begins && !term.contains('_')) {
            let share = if term == word { 1.0 } else { field::BEGINNING };
            for (place, count) in places {
                let here = found.entry(*place).or_default();
                *here = here.max(share * f64::from(*count));
            }
        }
        found
    }

    /// The nearest word that stands somewhere, as it is written there.
    fn near(&self, word: &str) -> Option<String> {
        let known = self.terms.keys().filter(|term| !term.contains('_')).map(String::as_str);
        let near = suggest::nearest(&words::stem(word), known)?;
        let texts = self.passages.iter().flat_map(|passage| &passage.texts);
        let mut written = texts.flat_map(|(_, text)| text.split(|c: char| !c.is_alphanumeric()));
        written.find(|word| words::stem(word) == near).map(str::to_lowercase)
    }
}

/// The words of a query that say something.
fn spoken(query: &str) -> Vec<String> {
    query
        .split(|c: char| !(c.is_alphanumeric() || c == '\''))
        .map(str::to_lowercase)
        .filter(|word| !word.is_empty() && !words::SMALL.contains(&word.as_str()))
        .collect()
}

/// The terms of a passage, and what each counts for it.
fn weighted(passage: &Passage, names: &[(String, Vec<String>)]) -> BTreeMap<String, f64> {
    let mut found: BTreeMap<String, f64> = BTreeMap::new();
    for (field, text) in &passage.texts {
        let mut times: BTreeMap<String, u32> = BTreeMap::new();
        for term in words::terms(text).into_iter().filter(|term| field.takes(term)) {
            *times.entry(term).or_default() += 1;
        }
        for (term, times) in times {
            *found.entry(term).or_default() += field.weight(text, times);
        }
    }
    let said: Vec<(f64, &Vec<String>)> =
        names.iter().filter_map(|(name, others)| Some((*found.get(name)?, others))).collect();
    for (weight, others) in said {
        for other in others {
            let here = found.entry(other.clone()).or_default();
            *here = here.max(field::OTHER_NAME * weight);
        }
    }
    found
}
