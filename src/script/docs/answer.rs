//! What a search found, as a terminal shows it.

use super::search::{Answer, Index, More, Passage};
use crate::show::Screen;

/// So many places are shown.
const SHOWN: usize = 8;

/// Where a question is asked: how the answer says what to type next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// At the prompt: `?name`.
    Prompt,
    /// On the command line: `workbench doc name`.
    CommandLine,
}

/// Where `index` finds `query`, which is no name: the best places, or an error if there is none. `hint` says
/// what was perhaps meant where the query is nearly a name.
pub fn answer(index: &Index, query: &str, hint: &str, asked: Asked, screen: Screen) -> Result<String, String> {
    let answer = index.search(query);
    // A word that is written in the documentation is no slip of the hand.
    let hint = if index.writes(query) { "" } else { hint };
    if answer.hits.is_empty() {
        return Err(format!("nothing is known about `{query}`{hint}"));
    }
    let mut lines = match hint {
        _ if query.contains(char::is_whitespace) => vec![],
        "" => screen.wrap(&format!("`{query}` is no name; it is found here:"), 0),
        hint => screen.wrap(&format!("`{query}` is no name{hint}"), 0),
    };
    for (word, near) in &answer.unknown {
        let instead = near.as_ref().map_or(String::new(), |near| format!("; looked for `{near}` instead"));
        lines.extend(screen.wrap(&format!("`{word}` is found nowhere{instead}"), 0));
    }
    for passage in answer.hits.iter().take(SHOWN) {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.extend(shown(passage, asked, screen));
    }
    lines.extend(rest(&answer, screen));
    Ok(lines.join("\n"))
}

/// Title, first sentence, and what to type to see more.
fn shown(passage: &Passage, asked: Asked, screen: Screen) -> Vec<String> {
    let more = match (&passage.more, asked) {
        (More::Command(command), _) => command.clone(),
        (More::Name(name), Asked::Prompt) => format!("?{name}"),
        (More::Name(name), Asked::CommandLine) => format!("workbench doc {}", quoted(name)),
    };
    let mut lines = screen.wrap(&passage.title, 4);
    if let Some(first) = lines.first_mut() {
        *first = first[4..].to_string();
    }
    let mut lines: Vec<String> = lines.iter().map(|line| screen.code(line)).collect();
    lines.extend(screen.wrap(&passage.summary, 4));
    lines.extend(screen.wrap(&more, 4).iter().map(|line| screen.dim(line)));
    lines
}

/// How many more there are.
fn rest(answer: &Answer, screen: Screen) -> Vec<String> {
    let more = answer.hits.len().saturating_sub(SHOWN);
    if more == 0 {
        return vec![];
    }
    let places = if more == 1 { "1 more place".into() } else { format!("{more} more places") };
    let mut lines = vec![String::new()];
    lines.extend(screen.wrap(&format!("{places}; add a word to see fewer"), 0).iter().map(|line| screen.dim(line)));
    lines
}

/// A name as a shell takes it.
fn quoted(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_alphanumeric() || "_.:/-".contains(c));
    if plain { name.to_string() } else { format!("'{name}'") }
}
