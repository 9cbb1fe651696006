//! The guide and the README tell the truth: their code runs, their commands are commands, their links lead somewhere, what they
//! name is there. And README stays short.

mod common;

use common::program::Folder;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn chapters() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(root().join("docs/guide")).expect("the guide").flatten().map(|entry| entry.path()).collect();
    files.sort();
    files
}

/// The code blocks of a Markdown text in one language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut found = vec![];
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() == format!("```{language}") {
            found.push(lines.by_ref().take_while(|line| line.trim() != "```").collect::<Vec<_>>().join("\n"));
        } else if line.starts_with("```") {
            lines.by_ref().find(|line| line.trim() == "```");
        }
    }
    found
}

/// Typed at the prompt, one block after the other, every input of a chapter works.
#[test]
fn every_block_of_the_guide_runs() {
    for path in chapters() {
        let text = std::fs::read_to_string(&path).expect("a chapter");
        let input = blocks(&text, "rhai").join("\n\n");
        assert!(!input.is_empty(), "{}", path.display());
        let output = Folder::new(&[]).feed(&(input + "\n"));
        assert!(output.ends_with("exit code 0"), "{}:\n{output}", path.display());
    }
}

#[test]
fn the_own_bound_of_the_guide_is_sound_and_differentiable() {
    let path = chapters().into_iter().find(|path| path.ends_with("07_own_bound.md")).expect("the chapter");
    let text = std::fs::read_to_string(path).expect("the chapter");
    let output = Folder::new(&[]).feed(&(blocks(&text, "rhai").join("\n\n") + "\n"));
    let lines: Vec<&str> = output.lines().collect();
    let sound = lines.iter().position(|line| *line == "true").expect("the comparison with the attack");
    let gradient: f64 = lines[sound + 1].split_whitespace().next().and_then(|x| x.parse().ok()).expect("a norm");
    assert!(gradient > 0.0, "{output}");
}

/// The README's script is whole: it runs as it stands, here on fewer images.
#[test]
fn every_block_of_the_readme_runs() {
    let text = std::fs::read_to_string(root().join("README.md")).expect("README.md");
    let code = blocks(&text, "rhai").join("\n\n");
    let less = code.replace("dataset(\"digits\")", "dataset(\"digits\", #{ train_limit: 16 })");
    assert!(code.contains("for epoch in run.epochs") && less != code);
    let output = Folder::new(&[]).feed(&format!("{less}\n"));
    assert!(output.ends_with("exit code 0"), "{output}");
}

/// Commands in README and guide: the script is there and passes the check, the settings exist, `doc` finds the name.
#[test]
fn every_command_is_one() {
    let mut commands: Vec<String> = vec![];
    for path in chapters().into_iter().chain([root().join("README.md")]) {
        let text = std::fs::read_to_string(&path).expect("a text");
        // Indented code, and blocks for a shell.
        let shell = blocks(&text, "sh").join("\n");
        let indented = text.lines().filter_map(|line| line.strip_prefix("    "));
        let lines = indented.chain(shell.lines()).filter(|line| line.starts_with("workbench "));
        commands.extend(lines.map(|line| line.split("  ").next().unwrap_or(line).to_string()));
    }
    assert!(commands.len() >= 5, "{commands:?}");
    let folder = Folder::new(&[]);
    for command in &commands {
        let words: Vec<&str> = command.split_whitespace().skip(1).collect();
        match words[0] {
            "run" | "check" | "repl" if words.get(1).is_some_and(|script| script.starts_with("scripts/")) => {
                let script = root().join(words[1]).display().to_string();
                assert!(folder.run(&["check", &script]).ends_with("exit code 0"), "{command}");
            }
            "doc" if words.len() > 1 && !words[1].starts_with("--") => {
                assert!(folder.run(&words).ends_with("exit code 0"), "{command}");
            }
            _ => {
                let with_help: Vec<&str> = words
                    .iter()
                    .take(2)
                    .copied()
                    .filter(|w| !w.starts_with('-') && !w.contains(['/', '.']))
                    .chain(["--help"])
                    .collect();
                assert!(folder.run(&with_help).ends_with("exit code 0"), "{command}");
            }
        }
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Every page, README first.
fn pages() -> Vec<PathBuf> {
    let mut found = vec![root().join("README.md")];
    for folder in ["docs", "docs/guide", "benches", "benches/parity", "pretrained", "tests/cases", "."] {
        let entries = std::fs::read_dir(root().join(folder)).expect(folder).flatten().map(|entry| entry.path());
        let mut texts: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
        texts.sort();
        found.extend(texts);
    }
    found
}

fn events(text: &str) -> Parser<'_> {
    Parser::new_ext(text, Options::ENABLE_TABLES)
}

/// Where links and pictures lead.
fn links(text: &str) -> Vec<String> {
    let target = |event| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => Some(dest_url.to_string()),
        _ => None,
    };
    events(text).filter_map(target).collect()
}

/// The names that GitHub gives a page's headings: small letters, hyphens for blanks, no other signs.
fn headings(text: &str) -> Vec<String> {
    let mut found = vec![];
    let mut heading: Option<String> = None;
    for event in events(text) {
        match (event, &mut heading) {
            (Event::Start(Tag::Heading { .. }), _) => heading = Some(String::new()),
            (Event::Text(part) | Event::Code(part), Some(text)) => *text += &part,
            (Event::End(TagEnd::Heading(_)), _) => {
                let kept = |c: &char| c.is_alphanumeric() || ['-', '_', ' '].contains(c);
                let name: String = heading.take().unwrap_or_default().to_lowercase().chars().filter(kept).collect();
                found.push(name.replace(' ', "-"));
            }
            _ => {}
        }
    }
    found
}

#[test]
fn every_link_leads_somewhere() {
    let mut count = 0;
    for page in pages() {
        for link in links(&read(&page)).iter().filter(|link| !link.contains("://")) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().expect("a folder").join(file) };
            assert!(target.is_file(), "{}: {link} leads nowhere", page.display());
            if !heading.is_empty() {
                let known = headings(&read(&target));
                assert!(known.iter().any(|name| name == heading), "{}: {link}; headings: {known:?}", page.display());
            }
            count += 1;
        }
    }
    assert!(count > 20, "{count} links");
    assert!(root().join("docs/guide").read_dir().expect("the guide").count() > 0);
    let text = "# A `b`: c, d-e\n\n## A bound of one's own\n\n[x](y.md#z) ![p](q.svg)\n";
    assert_eq!(headings(text), ["a-b-c-d-e", "a-bound-of-ones-own"]);
    assert_eq!(links(text), ["y.md#z", "q.svg"]);
}

/// What README and guide name in code as a path of the repository is there.
#[test]
fn every_path_exists() {
    let folders = ["docs/", "scripts/", "stdlib/", "tests/", "tools/", "benches/", "datasets/", "pretrained/", "src/"];
    let mut count = 0;
    for page in pages()
        .into_iter()
        .filter(|page| page.ends_with("README.md") || page.parent().is_some_and(|p| p.ends_with("guide")))
    {
        for event in events(&read(&page)) {
            let (Event::Code(code) | Event::Text(code)) = event else { continue };
            let words = code.split_whitespace().map(|word| word.trim_end_matches([',', ';', ':', '.']));
            for word in words.filter(|word| folders.iter().any(|folder| word.starts_with(folder))) {
                assert!(root().join(word).exists(), "{}: `{word}` does not exist", page.display());
                count += 1;
            }
        }
    }
    assert!(count > 20, "{count} paths");
}

#[test]
fn readme_is_read_to_its_end() {
    let text = read(&root().join("README.md"));
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() <= 130, "README.md has {} lines: what does not fit goes to docs/guide", lines.len());
    for (i, line) in lines.iter().enumerate() {
        assert!(line.chars().count() <= 140, "README.md:{}: {} characters", i + 1, line.chars().count());
    }
}

/// The scripts that the tables of README and of the chapter on recipes name come with the program.
#[test]
fn every_recipe_is_there() {
    let folder = Folder::new(&[]);
    for page in ["README.md", "docs/guide/11_recipes.md"] {
        let text = read(&root().join(page));
        let (mut names, mut cell) = (vec![], false);
        for event in events(&text) {
            match event {
                Event::Start(Tag::TableCell) => cell = true,
                Event::End(TagEnd::TableCell) => cell = false,
                Event::Code(code) if cell && !code.contains(' ') => names.push(code.to_string()),
                _ => {}
            }
        }
        assert!(names.len() > 10, "{page}: {names:?}");
        for name in names {
            let said = folder.run(&["check", &name]);
            assert!(said.ends_with("exit code 0"), "{page}: {name}: {said}");
        }
    }
}
