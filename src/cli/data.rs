//! `workbench data`: what is there, fetching, taking over, checking, showing

use super::arguments::Data;
use crate::base::output;
use crate::data::sheet::{self, Sheet};
use crate::data::source::fetch::Place;
use crate::data::source::{fetch, recognise};
use crate::data::{self, Dataset, Error, Manifest, Options};
use crate::repl::terminal::{complain, shows_colours, width};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Do it, and say how it went.
pub fn run(what: &Data, data_dir: Option<&Path>) -> ExitCode {
    let result = match what {
        Data::List => list(data_dir),
        Data::Info { name } => info(name, data_dir),
        Data::Fetch { names } => names.iter().try_for_each(|name| fetch::fetch(name, &say)),
        Data::Verify { name } => fetch::verify(name, data_dir, &say),
        Data::Path { name } => path(name, data_dir),
        Data::Import { what } => import(what),
        Data::Show { name, split, columns, png } => show(name, split, usize::from(*columns), png.as_deref(), data_dir),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Error::Interrupted) => {
            let kept = matches!(what, Data::Fetch { .. });
            complain(if kept {
                "interrupted; what has been downloaded is kept for the next time"
            } else {
                "interrupted"
            });
            ExitCode::from(crate::base::interrupt::exit_code())
        }
        Err(error) => {
            complain(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Take over what is at a path, under a name or as what it is recognised as.
fn import(what: &[PathBuf]) -> data::Result<()> {
    let [name, path] = what else { return recognise::import(&what[0], &say) };
    let done = fetch::import(&name.display().to_string(), path, &say);
    if let Err(Error::NotFound { .. }) = &done {
        recognise::lines(path)?.iter().for_each(|line| say(line));
    }
    done
}

fn say(line: &str) {
    output::line(line);
}

fn list(data_dir: Option<&Path>) -> data::Result<()> {
    let mut rows = vec![];
    for name in data::names() {
        let manifest = Manifest::find(name)?;
        let place = whereabouts(&fetch::place(name, data_dir));
        rows.push([name.to_owned(), manifest.title.clone(), place, first(&manifest.licence)]);
    }
    let widths: Vec<usize> = (0..3).map(|i| rows.iter().map(|r| r[i].chars().count()).max().unwrap_or(0)).collect();
    let wide = widths.iter().sum::<usize>() + 30 <= width();
    for [name, title, place, licence] in rows {
        if wide {
            say(format!("{name:w$}  {title:t$}  {place:p$}  {licence}", w = widths[0], t = widths[1], p = widths[2])
                .trim_end());
        } else {
            say(&format!("{name}\n    {title}\n    {place}\n    {licence}"));
        }
    }
    Ok(())
}

/// The licence in a few words; `info` has all of it.
fn first(text: &str) -> String {
    text.split([',', ';']).next().unwrap_or_default().into()
}

fn whereabouts(place: &data::Result<Place>) -> String {
    match place {
        Ok(Place::BuiltIn) => "comes with the program".into(),
        Ok(Place::Files(folder, bytes)) => format!("{}, {}", megabytes(*bytes), folder.display()),
        Ok(Place::Part(folder, missing)) => format!("a part in {}: {missing} is missing", folder.display()),
        Ok(Place::Kept(paths, bytes)) => {
            let folder = paths.first().and_then(|p| p.parent()).map(|p| p.display().to_string());
            format!("{} decoded, {}", megabytes(*bytes), folder.unwrap_or_default())
        }
        Ok(Place::Absent) => "not here".into(),
        Err(_) => "incomplete or broken; try `verify`".into(),
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1_000_000))
}

fn info(name: &str, data_dir: Option<&Path>) -> data::Result<()> {
    let manifest = Manifest::find(name)?;
    let [c, h, w] = manifest.shape();
    say(&format!("{}: {}", manifest.name.as_str(), manifest.title));
    say(&format!("  images     {c} x {h} x {w}, {} classes", manifest.classes));
    for (split, files) in manifest.splits() {
        let digest = files.digest.as_ref().map_or("not known", |d| d.as_str());
        let size = files.size.map_or("all".to_string(), |n| n.to_string());
        say(&format!("  {split:<9}  {size} images; digest {digest}"));
    }
    if let Some(n) = &manifest.normalisation {
        say(&format!("  mean, std  {:?}, {:?}", n.mean, n.std));
    }
    let place = fetch::place(name, data_dir);
    say(&format!("  where      {}", whereabouts(&place)));
    if let Ok(Place::Kept(paths, _)) = place {
        for path in paths {
            let source = fetch::source_of(&path).unwrap_or_else(|| "damaged".into());
            say(&format!("             {}: {source}", path.display()));
        }
    }
    if let Some(hub) = &manifest.hub {
        say(&format!("  hub        {} at {}", hub.repository, hub.revision));
    }
    say(&format!("  licence    {}", manifest.licence));
    say(&format!("  citation   {}", manifest.citation.trim()));
    if let Some(home) = &manifest.homepage {
        say(&format!("  homepage   {home}"));
    }
    Ok(())
}

fn path(name: &str, data_dir: Option<&Path>) -> data::Result<()> {
    match fetch::place(name, data_dir)? {
        Place::Files(folder, _) | Place::Part(folder, _) => say(&folder.display().to_string()),
        Place::Kept(paths, _) => paths.iter().for_each(|p| say(&p.display().to_string())),
        Place::BuiltIn => return refuse(name, "comes with the program and has no path"),
        Place::Absent => return refuse(name, "is not on this machine; `workbench data fetch` or `import` brings it"),
    }
    Ok(())
}

fn refuse(name: &str, message: &str) -> data::Result<()> {
    Err(Error::Store { dataset: name.into(), message: message.into() })
}

fn show(name: &str, split: &str, columns: usize, png: Option<&Path>, data_dir: Option<&Path>) -> data::Result<()> {
    let found = Dataset::load(name, &Options { data_dir: data_dir.map(Path::to_owned), ..Options::default() })?;
    let split = match split {
        "train" => found.training()?,
        "validation" => found.validation()?,
        _ => &found.test,
    };
    let sheet = Sheet::new(split, columns)?;
    if shows_colours() {
        sheet::blocks(&sheet, width()).iter().for_each(|line| say(line));
    } else {
        say(&format!("{}: {} x {} images, a row for each class", found.name, sheet.rows, sheet.columns));
    }
    let png = png.map_or_else(|| PathBuf::from(format!("{}.png", found.name)), Path::to_owned);
    sheet.save(&png)?;
    say(&format!("written to {}", png.display()));
    Ok(())
}
