//! Files from the Hugging Face hub: `hf://owner/repo/path/in/repo[@revision]`, downloaded once into the hub's own cache
//!
//! HF_HOME, HF_TOKEN and HF_ENDPOINT are read as the hub's other clients read them, and the cache is shared with them.
//! HF_HUB_OFFLINE=1 reads the cache alone. A revision may be a branch, a tag or a commit; a commit pins the content.

use std::path::PathBuf;

/// A file in a repository of the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubFile {
    /// `owner/name`.
    pub repository: String,
    /// Path inside the repository.
    pub path: String,
    /// Branch, tag or commit.
    pub revision: String,
}

impl HubFile {
    /// Is this an address on the hub rather than a path?
    pub fn is_address(text: &str) -> bool {
        text.starts_with("hf://")
    }

    /// Read an address.
    pub fn parse(address: &str) -> Result<Self, String> {
        let wrong = || format!("`{address}` is no address on the hub; write hf://OWNER/REPOSITORY/PATH@REVISION");
        let rest = address.strip_prefix("hf://").ok_or_else(wrong)?;
        let (rest, revision) = rest.rsplit_once('@').unwrap_or((rest, "main"));
        let mut parts = rest.splitn(3, '/');
        let mut next = || parts.next().filter(|p| !p.is_empty() && !p.split('/').any(|s| s == ".."));
        match (next(), next(), next()) {
            (Some(owner), Some(name), Some(path)) if !revision.is_empty() => {
                Ok(Self { repository: format!("{owner}/{name}"), path: path.into(), revision: revision.into() })
            }
            _ => Err(wrong()),
        }
    }

    /// The file on this machine, downloaded if it is not in the cache.
    pub fn fetch(&self) -> Result<PathBuf, String> {
        let repository =
            || hf_hub::Repo::with_revision(self.repository.clone(), hf_hub::RepoType::Model, self.revision.clone());
        if std::env::var("HF_HUB_OFFLINE").is_ok_and(|v| !matches!(v.as_str(), "" | "0")) {
            return hf_hub::Cache::from_env().repo(repository()).get(&self.path).ok_or_else(|| {
                format!(
                    "{self}: not in the cache, and HF_HUB_OFFLINE keeps from downloading it; unset it, or copy the file"
                )
            });
        }
        let api = hf_hub::api::sync::ApiBuilder::from_env().build().map_err(|e| format!("{self}: {e}"))?;
        api.repo(repository())
            .get(&self.path)
            .map_err(|e| format!("{self}: cannot be downloaded: {e}; is the address right, and the machine connected?"))
    }
}

impl std::fmt::Display for HubFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "hf://{}/{}@{}", self.repository, self.path, self.revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_strictly() {
        let file = HubFile::parse("hf://ada/nets/mnist/a.safetensors@v1").expect("an address");
        assert_eq!((file.repository.as_str(), file.path.as_str()), ("ada/nets", "mnist/a.safetensors"));
        assert_eq!(file.to_string(), "hf://ada/nets/mnist/a.safetensors@v1");
        assert_eq!(HubFile::parse("hf://a/b/c").expect("an address").revision, "main");
        for bad in ["hf://a/b", "hf:///b/c", "hf://a/b/../c", "hf://a/b/c@", "a/b/c"] {
            assert!(HubFile::parse(bad).is_err(), "{bad}");
        }
    }
}
