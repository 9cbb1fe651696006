//! The options of a script that say what is done to pictures of a folder.

use crate::data::{Fit, Pictures};
use crate::script::language::error::{Res, fail};
use crate::script::language::options::Options;
use rhai::Dynamic;

/// The height and width that pictures are brought to, if any, and what else is done to them.
pub fn looks(options: &mut Options) -> Res<(Option<[usize; 2]>, Pictures)> {
    let fit = match options.string("fit")? {
        None => None,
        Some(name) => {
            let wrong = || fail(format!("dataset: option `fit` is `{name}`; expected {}", Fit::NAMES));
            Some(Fit::parse(&name).ok_or_else(wrong)?)
        }
    };
    let size = match options.dynamic("size") {
        None => None,
        Some(value) => Some(match numbers(&value).as_deref() {
            Some(&[side]) if side > 0 => [side; 2],
            Some(&[height, width]) if height > 0 && width > 0 => [height, width],
            _ => return Err(fail(format!("dataset: option `size` is {value}; expected a side, or [height, width]"))),
        }),
    };
    let channels = match options.usize("channels", 0, ..)? {
        0 => None,
        n @ (1 | 3) => Some(n),
        n => return Err(fail(format!("dataset: option `channels` is {n}; expected 1 (grey) or 3 (colour)"))),
    };
    let background = match options.dynamic("background") {
        None => None,
        Some(value) => {
            let bytes: Option<Vec<u8>> =
                numbers(&value).and_then(|all| all.into_iter().map(|n| u8::try_from(n).ok()).collect());
            Some(match bytes.as_deref() {
                Some(&[grey]) => [grey; 3],
                Some(&[red, green, blue]) => [red, green, blue],
                _ => {
                    return Err(fail(format!(
                        "dataset: option `background` is {value}; expected a number from 0 to 255, or [red, green, blue]"
                    )));
                }
            })
        }
    };
    let depth = Some(options.usize("depth", 0, ..)?).filter(|n| *n > 0);
    let exif = options.bool("exif", false)?;
    Ok((size, Pictures { fit, channels, background, depth, exif }))
}

/// A number, or an array of them.
fn numbers(value: &Dynamic) -> Option<Vec<usize>> {
    let number = |n: &Dynamic| usize::try_from(n.as_int().ok()?).ok();
    match value.read_lock::<rhai::Array>() {
        Some(array) => array.iter().map(number).collect(),
        None => Some(vec![number(value)?]),
    }
}
