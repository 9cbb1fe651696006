//! The index as a script that the HTML pages load: it works from a folder as from a server, since nothing is fetched.

use super::{Index, field, words};
use serde_json::{Map, Value, json};

impl Index {
    /// `const SEARCH = ...`, for `docs/search.js`. What has no page in the HTML is left out.
    pub fn script(&self) -> String {
        let mut places = vec![None; self.passages.len()];
        let mut passages = vec![];
        for (place, passage) in self.passages.iter().enumerate() {
            if let Some(address) = &passage.address {
                places[place] = Some(passages.len());
                passages.push(json!([passage.title, passage.summary, address]));
            }
        }
        let mut terms = Map::new();
        for (term, counts) in &self.terms {
            let own = counts.iter().filter_map(|(place, count)| Some([places[*place]? as u64, u64::from(*count)]));
            let own: Vec<u64> = own.flatten().collect();
            if !own.is_empty() {
                terms.insert(term.clone(), Value::from(own));
            }
        }
        let data = json!({
            "small": &words::SMALL[..], "beginning": field::BEGINNING, "least": field::LEAST, "near": field::NEAR,
            "passages": passages, "terms": terms,
        });
        format!("const SEARCH = {data};\n")
    }
}
