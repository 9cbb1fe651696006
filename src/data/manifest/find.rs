//! Manifests as text: YAML, which is known here alone. `datasets/*.yaml` are built into the program and show all keys; a manifest of
//! one's own is loaded by its path.

use super::built_in;
use super::check::check;
use super::description::Manifest;
use crate::base::text;
use crate::data::digest;
use crate::data::error::{Error, Result};
use crate::data::file_error::FileError;
use crate::data::read::open_file;
use std::io::Read;
use std::path::Path;

/// A manifest longer than this is none.
const MANIFEST_BYTES: u64 = 1 << 20;

/// Is `name`, as given to `Dataset::load`, the path of a manifest and not the name of a known data set?
pub fn is_path(name: &str) -> bool {
    name.contains(['/', '\\']) || name.ends_with(".yaml") || name.ends_with(".yml")
}

impl Manifest {
    /// The manifest called `name`, or the one at the path `name` (see [`is_path`]).
    pub fn find(name: &str) -> Result<Self> {
        if is_path(name) {
            return Ok(Self { asked: name.into(), ..Self::parse(&read(Path::new(name))?, name)? });
        }
        let built_in = built_in::find(name)?;
        let mut manifest = Self::parse(built_in.yaml, &format!("{name}.yaml (built in)"))?;
        manifest.embedded = built_in.files;
        Ok(manifest)
    }

    /// The manifest written in `yaml`; `file` names it in errors.
    pub fn parse(yaml: &str, file: &str) -> Result<Self> {
        let mut manifest: Self = serde_yaml::from_str(yaml).map_err(|e| {
            let at = e.location().map(|l| (l.line(), l.column()));
            let mut message = e.to_string();
            if let Some((line, column)) = at {
                // serde_yaml writes the place behind its message; ours stands in front.
                message = message.replace(&format!(" at line {line} column {column}"), "");
            }
            Error::Manifest { file: file.into(), at, message }
        })?;
        if manifest.title.is_empty() {
            manifest.title = manifest.name.as_str().into();
        }
        check(&manifest).map_err(|message| Error::Manifest { file: file.into(), at: None, message })?;
        Ok(Self { key: digest::of_bytes(yaml.as_bytes()), asked: manifest.name.as_str().into(), ..manifest })
    }
}

/// The text of the manifest at `path`.
fn read(path: &Path) -> Result<String> {
    let file = path.display().to_string();
    let io = |source| FileError::Io { file: file.clone(), source };
    let mut bytes = Vec::new();
    open_file(path, &file)?.take(MANIFEST_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
    let fail = |message: String| Error::Manifest { file: file.clone(), at: None, message };
    if bytes.len() as u64 > MANIFEST_BYTES {
        return Err(fail(format!("longer than {MANIFEST_BYTES} bytes; is this a manifest?")));
    }
    text::utf8(bytes).map(|text| text::plain(&text).to_string()).map_err(fail)
}
