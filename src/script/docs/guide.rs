//! The guide's chapters, which are inside the program.

use crate::base::embedded::GUIDE;

/// One chapter of the guide.
#[derive(Clone, Copy, Debug)]
pub struct Chapter {
    /// The name of its file, without `.md`.
    pub file: &'static str,
    /// Its Markdown.
    pub text: &'static str,
}

/// What stands under one heading.
#[derive(Clone, Debug)]
pub struct Section {
    /// The heading, without `#`.
    pub heading: String,
    /// 1 for the chapter's own heading.
    pub level: usize,
    /// The Markdown below it.
    pub text: String,
}

/// One task of a numbered list: `18. **Clip gradients.**`, with what stands below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its number in the chapter.
    pub number: String,
    /// What is done, without the full stop.
    pub title: String,
    /// The Markdown behind the title and below it.
    pub text: String,
}

/// The chapters, in order.
pub fn chapters() -> impl Iterator<Item = Chapter> {
    GUIDE.iter().map(|(file, text)| Chapter { file, text })
}

/// The chapter of this name: `guide/training`, or that of its file.
pub fn chapter(name: &str) -> Option<Chapter> {
    let bare = name.strip_prefix("guide/").unwrap_or(name);
    chapters().find(|chapter| chapter.file == bare || name == chapter.name())
}

impl Chapter {
    /// What it is called where its number does not matter: `guide/training`.
    pub fn name(&self) -> String {
        format!("guide/{}", self.file.trim_start_matches(|c: char| c.is_ascii_digit() || c == '_'))
    }

    /// Its heading.
    pub fn title(&self) -> &'static str {
        self.text.lines().next().unwrap_or("").trim_start_matches("# ")
    }

    /// Its page in the HTML.
    pub fn address(&self) -> String {
        format!("guide_{}.html", self.file)
    }

    /// Its parts, each with its heading.
    pub fn sections(&self) -> Vec<Section> {
        let mut found: Vec<Section> = vec![];
        let mut fenced = false;
        for line in self.text.lines() {
            fenced ^= line.starts_with("```");
            let level = line.chars().take_while(|c| *c == '#').count();
            if !fenced && level > 0 {
                let heading = line[level..].trim().to_string();
                found.push(Section { heading, level, text: String::new() });
            } else if let Some(section) = found.last_mut() {
                section.text += line;
                section.text.push('\n');
            }
        }
        found
    }
}

impl Section {
    /// The name that a link to it has.
    pub fn anchor(&self) -> String {
        let words: Vec<String> = self
            .heading
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect();
        words.join("-")
    }

    /// The tasks of its numbered lists.
    pub fn tasks(&self) -> Vec<Task> {
        let mut found: Vec<Task> = vec![];
        for line in self.text.lines() {
            let begins = line.split_once(". **").and_then(|(number, rest)| Some((number, rest.split_once("**")?)));
            match begins.filter(|(number, _)| !number.is_empty() && number.chars().all(|c| c.is_ascii_digit())) {
                Some((number, (title, rest))) => found.push(Task {
                    number: number.into(),
                    title: title.trim_end_matches('.').into(),
                    text: format!("{}\n", rest.trim_start_matches([':', ',', ' '])),
                }),
                None => {
                    if let Some(task) = found.last_mut() {
                        task.text += line;
                        task.text.push('\n');
                    }
                }
            }
        }
        found
    }

    /// Its prose, paragraph by paragraph, and its code.
    pub fn prose_and_code(&self) -> (Vec<String>, String) {
        prose_and_code(&self.text)
    }
}

impl Task {
    /// What stands below its title: prose, paragraph by paragraph, and code.
    pub fn prose_and_code(&self) -> (Vec<String>, String) {
        prose_and_code(&self.text)
    }
}

fn prose_and_code(text: &str) -> (Vec<String>, String) {
    let (mut prose, mut code, mut fenced, mut fresh) = (Vec::<String>::new(), String::new(), false, true);
    for line in text.lines() {
        if line.starts_with("```") {
            (fenced, fresh) = (!fenced, true);
        } else if fenced || line.starts_with("    ") {
            code += line;
            code.push('\n');
        } else if line.is_empty() {
            fresh = true;
        } else if let Some(last) = prose.last_mut().filter(|_| !fresh) {
            last.push(' ');
            *last += line;
        } else {
            prose.push(line.to_string());
            fresh = false;
        }
    }
    (prose, code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chapter_is_made_of_sections() {
        let text = "# One\n\nSome\ntext.\n\n```rhai\n# no heading\n```\n\nMore.\n\n## Two `x`, three\n\nLast.\n";
        let chapter = Chapter { file: "4_a_name", text };
        let [one, two] = &chapter.sections()[..] else { panic!("two sections") };
        assert_eq!((chapter.name().as_str(), chapter.title()), ("guide/a_name", "One"));
        assert_eq!(one.prose_and_code(), (vec!["Some text.".into(), "More.".into()], "# no heading\n".into()));
        assert_eq!((two.level, two.anchor().as_str(), two.text.as_str()), (2, "two-x-three", "\nLast.\n"));
    }

    #[test]
    fn tasks_are_the_items_of_numbered_lists() {
        let text = "# Do\n\n1. **Clip it.** By a norm.\n\n```rhai\nclip(1)\n```\n\n12. **Go on**: copy\n    a folder\n";
        let chapter = Chapter { file: "do", text };
        let [one, two] = &chapter.sections()[0].tasks()[..] else { panic!("two tasks") };
        assert_eq!((one.number.as_str(), one.title.as_str()), ("1", "Clip it"));
        assert_eq!(one.prose_and_code(), (vec!["By a norm.".into()], "clip(1)\n".into()));
        assert_eq!((two.number.as_str(), two.title.as_str()), ("12", "Go on"));
    }

    #[test]
    fn chapters_are_found_by_name_and_by_file() {
        for name in ["guide/training", "guide/05_training", "05_training"] {
            assert_eq!(chapter(name).map(|chapter| chapter.file), Some("05_training"), "{name}");
        }
        assert!(chapter("training").is_none(), "the reference has a page of that name");
    }
}
