//! Arrays of maps and maps of arrays are tables; other maps are lists of their keys.

use super::brief::brief;
use crate::show::{Screen, short, table};
use rhai::{Array, Dynamic, Map};

/// Keys that a reader looks for first; the others follow by name.
const FIRST: [&str; 5] = ["what", "layer", "name", "eps", "epoch"];

/// A number, an int taken as one.
pub fn number(value: &Dynamic) -> Option<f64> {
    value.as_float().ok().or_else(|| value.as_int().ok().map(|n| n as f64))
}

/// A cell: numbers short, words as they are.
fn cell(value: &Dynamic) -> Option<String> {
    if let Ok(x) = value.as_float() {
        return Some(short(x));
    }
    if value.is_int() || value.is_string() || value.is_bool() {
        return Some(value.to_string());
    }
    if value.is_unit() {
        return Some("-".into());
    }
    let array = value.as_array_ref().ok()?;
    let items = array.iter().map(cell).collect::<Option<Vec<_>>>()?;
    Some(items.join(" "))
}

fn order(keys: impl Iterator<Item = String>) -> Vec<String> {
    let mut keys: Vec<String> = keys.collect();
    keys.sort_by_key(|key| (FIRST.iter().position(|first| first == key).unwrap_or(FIRST.len()), key.clone()));
    keys
}

/// `[#{ layer: 0, norm: 1.5 }, ...]`: all elements are maps with the same keys and simple values.
pub fn rows(array: &Array, screen: Screen) -> Option<String> {
    let first = array.first()?.as_map_ref().ok()?;
    let head = order(first.keys().map(|key| key.to_string()));
    let mut rows = vec![];
    for item in array {
        let map = item.as_map_ref().ok()?;
        let row = head.iter().map(|key| map.get(key.as_str()).and_then(cell)).collect::<Option<Vec<_>>>()?;
        (map.len() == head.len()).then_some(())?;
        rows.push(row);
    }
    Some(table::table(&head, &rows, screen).join("\n"))
}

/// `#{ eps: [...], margin: [...] }`: several columns, all as long.
pub fn columns(map: &Map, screen: Screen) -> Option<String> {
    let length = map.values().next()?.as_array_ref().ok()?.len();
    if map.len() < 2 || length < 2 {
        return None;
    }
    let head = order(map.keys().map(|key| key.to_string()));
    let mut rows = vec![vec![]; length];
    for key in &head {
        let column = map.get(key.as_str())?.as_array_ref().ok()?;
        (column.len() == length).then_some(())?;
        for (row, value) in rows.iter_mut().zip(column.iter()) {
            value.as_array_ref().is_err().then_some(())?;
            row.push(cell(value)?);
        }
    }
    Some(table::table(&head, &rows, screen).join("\n"))
}

/// Any other map: in one line where it fits, else a line for each key.
pub fn map(map: &Map, screen: Screen, text: &dyn Fn(&Dynamic) -> String) -> String {
    let simple = map.values().all(|value| cell(value).is_some());
    let one = text(&Dynamic::from(map.clone()));
    if simple && one.chars().count() <= screen.width {
        return one;
    }
    let wide = map.keys().map(|key| key.chars().count()).max().unwrap_or(0);
    let room = screen.width.saturating_sub(wide + 4);
    let lines = map.iter().map(|(key, value)| format!("  {key:<wide$}  {}", brief(value, room, text)));
    lines.collect::<Vec<_>>().join("\n")
}
