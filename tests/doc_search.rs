//! `workbench doc WORDS` leads from the words that people have to the place that answers.

mod common;

use common::program::Folder;
use workbench::script::docs::answer::{Asked, answer};
use workbench::script::docs::search::{Index, More};
use workbench::script::docs::{Docs, guide};
use workbench::script::shipped::shipped;
use workbench::show::Screen;

/// What is asked, and the beginnings of titles that must be among the first five.
const ASKED: &[(&str, &[&str])] = &[
    ("clip", &["option clip_norm of adam", "relu_theta"]),
    ("gradient clipping", &["option clip_norm of adam"]),
    ("clip_norm", &["option clip_norm of adam"]),
    ("ema", &["guide training: Average the weights"]),
    ("exponential moving average", &["guide training: Average the weights"]),
    ("cosine", &["schedule::cosine_rate"]),
    ("one cycle", &["schedule::one_cycle_rate"]),
    ("lookahead", &["lookahead"]),
    ("cosine annealing learning rate", &["schedule::cosine_rate"]),
    ("warm-up", &["guide training: A schedule of one's own"]),
    ("weight decay", &["option weight_decay of adam"]),
    ("weight_decay", &["option weight_decay of adam"]),
    ("load pytorch", &["Model.load"]),
    ("load a torch checkpoint", &["Model.load"]),
    ("learning rate", &["schedule::learning_rate"]),
    ("lr", &["option lr of adam"]),
    ("early stopping", &["guide training: Keep the best epoch, stop early"]),
    ("patience", &["guide training: Keep the best epoch, stop early"]),
    ("freeze", &["guide training: Freeze layers", "Model.frozen"]),
    ("freezing layers", &["guide training: Freeze layers"]),
    ("fine-tuning", &["guide training: Freeze layers"]),
    ("gradient accumulation", &["guide training: Accumulate gradients"]),
    ("checkpoint", &["Run.checkpoint"]),
    ("certified radius", &["certify::radius_of", "probe::largest_radius"]),
    ("largest certified radius", &["certify::radius_of"]),
    ("misspelt words nearby", &["guide scripts"]),
    ("momentum", &["option momentum of sgd"]),
    ("data augmentation", &["guide data: "]),
    ("rotation", &["option rotation of dataset"]),
    ("adversarial attack", &["pgd"]),
    ("spectral norm", &["spectral_norm"]),
    ("power iteration", &["SpectralNorm.sigma", "singular_vectors"]),
    ("softmax", &["Tensor.softmax"]),
    ("save weights", &["Model.save"]),
    ("random seed", &["seed"]),
    ("mixed precision", &["precision"]),
    ("custom bound", &["guide own_bound"]),
    ("my own data set", &["guide data: A data set of your own"]),
    ("validate_every", &["train::validate", "option validate_every of train::fit"]),
    ("hyperparameters", &["settings"]),
    ("lip bounds", &["lip::bounds"]),
    ("tensor reshape", &["Tensor.reshape"]),
];

fn titles(index: &Index, query: &str) -> Vec<String> {
    index.search(query).hits.iter().map(|passage| passage.title.clone()).collect()
}

#[test]
fn what_people_ask_leads_to_the_right_place() {
    let index = Docs::new().index();
    let mut missed = vec![];
    for (query, places) in ASKED {
        let found: Vec<String> = titles(&index, query).into_iter().take(5).collect();
        for place in places.iter().filter(|place| !found.iter().any(|title| title.starts_with(**place))) {
            missed.push(format!("{query}: {place} is not among {found:#?}"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// Whoever remembers the first sentence of something, or its name, finds it.
#[test]
fn everything_is_found_by_its_own_words() {
    let docs = Docs::new();
    let index = docs.index();
    let mut missed = vec![];
    for passage in index.passages.iter().filter(|passage| passage.address.is_some()) {
        // A task is shown by its lines of code, and these are found on the pages of their functions.
        let is_task = passage.title.starts_with("guide how_do_i ");
        let summary = Some(&passage.summary).filter(|summary| !is_task && summary.split_whitespace().count() > 3);
        // `some` and `all` are words of every sentence; each alone is a name.
        let title = Some(&passage.title).filter(|title| title.contains(char::is_alphabetic) && *title != "some, all");
        for query in [title, summary].into_iter().flatten().filter(|query| docs.find(query, |_| None).is_none()) {
            let found = index.search(query).hits;
            if !found.iter().take(5).any(|hit| hit.more == passage.more || hit.summary == passage.summary) {
                missed.push(format!("{}: {query}", passage.title));
            }
        }
    }
    assert!(docs.find("some", |_| None).is_some() && docs.find("all", |_| None).is_some());
    assert!(missed.is_empty(), "{} of {}:\n{}", missed.len(), index.passages.len(), missed.join("\n"));
}

/// What is shown under a place works when it is typed.
#[test]
fn every_place_says_how_to_see_more() {
    let docs = Docs::new();
    let index = docs.index();
    for passage in &index.passages {
        match &passage.more {
            More::Name(name) => assert!(docs.find(name, |_| None).is_some(), "{}: {name}", passage.title),
            More::Command(command) => {
                let script = command.strip_prefix("workbench new NAME --from ").expect("the way to a script");
                assert!(shipped().iter().any(|(name, _)| *name == script), "{command}");
            }
        }
    }
    for kind in ["option lr of", "guide training: ", "script quickstart", "validation, validate_every: settings of"] {
        assert!(index.passages.iter().any(|passage| passage.title.starts_with(kind)), "{kind}");
    }
}

#[test]
fn misspelt_words_are_looked_for_nearby() {
    let index = Docs::new().index();
    for (query, meant, word, near) in [
        ("weigth decay", "weight decay", "weigth", "weight"),
        ("lerning rate", "learning rate", "lerning", "learning"),
        ("erly stopping", "early stopping", "erly", "early"),
    ] {
        // The first ones; a near word counts a little less than the word, which may turn two places that are as good.
        let first = |query: &str| titles(&index, query).into_iter().take(3).collect::<Vec<_>>();
        assert_eq!(first(query), first(meant), "{query}");
        let unknown = index.search(query).unknown;
        assert_eq!(unknown, [(word.to_string(), Some(near.to_string()))], "{query}");
    }
    let nothing = index.search("xqzjkwv decay");
    assert_eq!(nothing.unknown, [("xqzjkwv".to_string(), None)]);
    assert!(!nothing.hits.is_empty());
}

#[test]
fn an_answer_fits_the_screen() {
    let index = Docs::new().index();
    for width in [30, 40, 60, 80, 120] {
        for (query, _) in ASKED {
            let text = answer(&index, query, "", Asked::CommandLine, Screen { width, colours: false }).expect(query);
            for line in text.lines() {
                let words = line.split_whitespace().count();
                assert!(line.chars().count() <= width || words == 1, "{query} at {width}: {line}");
            }
            assert!(text.lines().filter(|line| !line.is_empty() && !line.starts_with(' ')).count() <= 24, "{text}");
        }
    }
}

#[test]
fn the_command_takes_names_and_words() {
    let folder = Folder::new(&[]);
    let adam = folder.run(&["doc", "adam"]);
    assert!(adam.starts_with("adam(target: Model | array)") && adam.ends_with("exit code 0"), "{adam}");
    let words = folder.run(&["doc", "weight", "decay"]);
    assert_eq!(words, folder.run(&["doc", "weight decay"]));
    for part in [
        "option weight_decay of adam, nadam, sgd\n    weight of the parameters' squares.\n    workbench doc adam\n",
        "exit code 0",
    ] {
        assert!(words.contains(part), "{words}");
    }
    let near = folder.run(&["doc", "conv2"]);
    assert!(near.starts_with("`conv2` is no name; did you mean `conv2d`?\n\nconv2d\n"), "{near}");
    let ema = folder.run(&["doc", "ema"]);
    assert!(
        ema.starts_with("`ema` is no name; did you mean `emma`?\n\nguide training: Average the weights\n"),
        "{ema}"
    );
    for nothing in ["xqzjkwv", "how to"] {
        let said = format!("error: nothing is known about `{nothing}`\nexit code 1");
        assert_eq!(folder.run(&["doc", nothing]), said);
    }
}

/// `workbench doc guide/training` is the chapter: its headings, its prose, its code.
#[test]
fn the_guide_is_read_in_the_terminal() {
    let folder = Folder::new(&[]);
    for chapter in guide::chapters() {
        let text = folder.run(&["doc", &chapter.name()]);
        for section in chapter.sections() {
            assert!(text.lines().any(|line| line == section.heading), "{}: {}", chapter.name(), section.heading);
            for line in section.prose_and_code().1.lines() {
                assert!(text.contains(line), "{}: {line}", chapter.name());
            }
        }
        assert!(!text.contains("```") && text.ends_with("exit code 0"), "{text}");
    }
    let list = folder.run(&["doc", "guide"]);
    assert!(list.contains("guide/training      A training loop"), "{list}");
    assert!(folder.run(&["doc"]).contains(list[..list.find("exit code").expect("the end")].trim_end()));
}

#[test]
fn the_prompt_searches_for_what_is_no_name() {
    let output = Folder::new(&[]).feed("?weight decay\n?early stopping\nhelp warm-up\n?relu_thet\n?xqzjkwv\n");
    for part in [
        "option weight_decay of adam, nadam, sgd\n    weight of the parameters' squares.\n    ?adam\n",
        "guide training: Keep the best epoch, stop early\n",
        "guide training: A schedule of one's own\n",
        "`relu_thet` is no name; did you mean `relu_theta`?",
        "nothing is known about `xqzjkwv`",
    ] {
        assert!(output.contains(part), "{part}\n{output}");
    }
}
