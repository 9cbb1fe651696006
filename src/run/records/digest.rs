//! What shows that records are as they were written: a digest in each row, and one over all of them
//!
//! ```text
//! header   SHA-256 of records.json as one line of JSON, without `closing` and `shard`
//! row      the first 32 hexadecimal digits of SHA-256(header \n row), the row as its line holds it, without `digest`
//! closing  SHA-256(header, then for each row by its index: \n index row-digest)
//! ```
//!
//! JSON is as this program writes it: keys sorted, no spaces. A row says which image it is of, so it cannot stand for another, nor
//! in other records. Shards of an evaluation have the same digests as the whole. None of this is a signature: whoever changes a row
//! and knows these lines can write a digest that fits; only doing the evaluation again (`workbench recheck`) shows that.

use super::row::{Row, index, named};
use crate::base::hex::hex;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The version of the form, in the header.
pub const FORM: u64 = 3;

/// What the digests of rows begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal(String);

impl Seal {
    /// That of a header.
    pub fn of(header: &Row) -> Self {
        let mut header = header.clone();
        header.remove("closing");
        header.remove("shard");
        Self(hex(&Sha256::digest(Value::Object(header).to_string())))
    }

    fn digest(&self, row: &Row) -> String {
        let mut row = row.clone();
        row.remove("digest");
        hex(&Sha256::digest(format!("{}\n{}", self.0, Value::Object(row))))[..32].to_string()
    }

    /// The row with its digest.
    pub fn sealed(&self, mut row: Row) -> Row {
        let digest = self.digest(&row);
        row.insert("digest".into(), digest.into());
        row
    }

    /// The row without its digest; an error where that is not its own.
    pub fn opened(&self, mut row: Row) -> Result<Row, String> {
        let own = self.digest(&row);
        match row.remove("digest") {
            Some(Value::String(digest)) if digest == own => Ok(row),
            Some(_) => Err(format!("{} is not as it was written: its digest is another one", named(&row))),
            None => Err(format!("{} has no digest", named(&row))),
        }
    }

    /// What closes records of these rows, which have no digests.
    pub fn closing(&self, rows: &[Row]) -> Value {
        let mut all: Vec<(i64, String)> = rows.iter().map(|row| (index(row), self.digest(row))).collect();
        all.sort();
        let lines: String = all.iter().map(|(index, digest)| format!("\n{index} {digest}")).collect();
        let images = ranges(all.iter().map(|(index, _)| *index));
        json!({ "rows": rows.len(), "images": images, "digest": hex(&Sha256::digest(format!("{}{lines}", self.0))) })
    }

    /// An error unless `closing` closes these rows, which says what is missing or twice there.
    pub fn check(&self, closing: &Value, rows: &[Row]) -> Result<(), String> {
        if *closing == self.closing(rows) {
            return Ok(());
        }
        let mut there: Vec<i64> = rows.iter().map(index).collect();
        there.sort_unstable();
        if let Some(pair) = there.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("the row of image {} is there twice", pair[0]));
        }
        let missing = closing["images"].as_str().and_then(|images| first_missing(images, &there));
        Err(match missing {
            Some(image) => format!("the row of image {image} is missing"),
            None => {
                format!("it holds {} rows, which are not the {} that it was closed with", rows.len(), closing["rows"])
            }
        })
    }
}

/// Numbers in increasing order as text: "0-9,20-29".
fn ranges(numbers: impl Iterator<Item = i64>) -> String {
    let mut found: Vec<(i64, i64)> = vec![];
    for number in numbers {
        match found.last_mut() {
            Some((_, end)) if *end + 1 == number => *end = number,
            _ => found.push((number, number)),
        }
    }
    let parts = found.iter().map(|(from, to)| if from == to { from.to_string() } else { format!("{from}-{to}") });
    parts.collect::<Vec<_>>().join(",")
}

/// The first number of the ranges that is not among those there, which are in increasing order.
fn first_missing(ranges: &str, there: &[i64]) -> Option<i64> {
    ranges.split(',').find_map(|part| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to) = (from.parse::<i64>().ok()?, to.parse::<i64>().ok()?);
        // What is there is found in steps of one, so the search ends with it.
        (from..=to).find(|number| there.binary_search(number).is_err())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(value: Value) -> Row {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn a_digest_is_of_its_row_and_its_header_alone() {
        let header = map(json!({ "eps": 0.5, "shard": "1/1" }));
        let shard = map(json!({ "eps": 0.5, "shard": "2/3", "closing": 1 }));
        let other = map(json!({ "eps": 0.6, "shard": "1/1" }));
        let seal = Seal::of(&header);
        assert_eq!(seal, Seal::of(&shard));
        let row = map(json!({ "index": 3, "margin": 0.1, "verdict": "open" }));
        let sealed = seal.sealed(row.clone());
        assert_eq!(seal.opened(sealed.clone()), Ok(row.clone()));
        assert!(Seal::of(&other).opened(sealed.clone()).is_err(), "of another evaluation");
        for (key, value) in
            [("index", json!(4)), ("margin", json!(0.2)), ("verdict", json!("certified")), ("more", json!(1))]
        {
            let mut changed = sealed.clone();
            changed.insert(key.into(), value);
            assert!(seal.opened(changed).is_err_and(|e| e.contains("is not as it was written")), "{key}");
        }
        assert!(seal.opened(row.clone()).is_err_and(|e| e == "the row of image 3 has no digest"));
        // By their indexes, in whatever order.
        let next = map(json!({ "index": 12, "margin": 0.3, "verdict": "open" }));
        let closing = seal.closing(&[row.clone(), next.clone()]);
        assert_eq!(closing, seal.closing(&[next.clone(), row.clone()]));
        assert_ne!(closing["digest"], seal.closing(&[row.clone(), row])["digest"]);
    }
}
