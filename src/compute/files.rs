//! Tensors in files: safetensors and npy; and where files of this program's own lie.
//!
//! A file is written beside its final name, synced and renamed, so that a killed process or a full disk leaves the old
//! one. Errors name the file and what is wrong with it.

use super::error::message;
use candle_core::{Device, Error, Result, Tensor};
use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A word of a command line, in quotes where a shell needs them.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.into() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

/// The same of a path.
pub fn quoted_path(path: &Path) -> String {
    quoted(&path_word(path))
}

/// A path as a word of a command line, where what begins with a dash is a flag.
pub fn path_word(path: &Path) -> String {
    let shown = path.display().to_string();
    if shown.starts_with('-') { format!("./{shown}") } else { shown }
}

/// Named tensors of a file.
pub type Tensors = HashMap<String, Tensor>;

/// Write tensors to a safetensors file, all or nothing.
pub fn write_safetensors(
    path: &Path,
    tensors: Vec<(String, Tensor)>,
    metadata: Option<HashMap<String, String>>,
) -> Result<()> {
    let bytes = safetensors::serialize(tensors, metadata).map_err(|e| failed("save", path, &e))?;
    replace(path, &bytes).map_err(|e| failed("save", path, &e))
}

/// All tensors of a safetensors file.
pub fn read_safetensors(path: &Path, device: &Device) -> Result<Tensors> {
    Ok(parse_safetensors(path, &read_bytes(path)?, device)?.0)
}

/// The tensors and the metadata in the bytes of a safetensors file; `path` is named in errors.
pub fn parse_safetensors(path: &Path, bytes: &[u8], device: &Device) -> Result<(Tensors, HashMap<String, String>)> {
    // The header is checked first: candle's own reader gives the same message for every kind of damage.
    let check = || -> std::result::Result<_, safetensors::SafeTensorError> {
        safetensors::SafeTensors::deserialize(bytes)?;
        safetensors::SafeTensors::read_metadata(bytes)
    };
    let (_, header) = check().map_err(|e| {
        Error::Msg(format!(
            "load: {} is no readable safetensors file ({e}); it is cut off, damaged, or of another format",
            path.display()
        ))
    })?;
    let tensors =
        candle_core::safetensors::load_buffer(bytes, device).map_err(|e| failed("load", path, &message(&e)))?;
    Ok((tensors, header.metadata().clone().unwrap_or_default()))
}

/// A whole file.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| failed("load", path, &e))
}

/// Write one tensor to an npy file, all or nothing.
pub fn write_npy(path: &Path, tensor: &Tensor) -> Result<()> {
    let folder = folder_of(path);
    let beside = temporary().suffix(".npy").tempfile_in(folder).map_err(|e| failed("save", path, &e))?;
    tensor.detach().to_device(&Device::Cpu)?.contiguous()?.write_npy(beside.path())?;
    beside.persist(path).map(|_| ()).map_err(|e| failed("save", path, &e.error))
}

/// Read a tensor from an npy file.
pub fn read_npy(path: &Path, device: &Device) -> Result<Tensor> {
    let read = || Tensor::read_npy(path)?.to_device(device);
    read().map_err(|e| failed("load", path, &message(&e)))
}

/// Write a file, all or nothing.
pub fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    put(path, bytes, true)
}

/// The same without waiting for the disk, for what can be made again: a killed process leaves the old file, a power cut may
/// leave neither.
pub fn replace_unsynced(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    put(path, bytes, false)
}

fn put(path: &Path, bytes: &[u8], sync: bool) -> std::io::Result<()> {
    std::fs::create_dir_all(folder_of(path))?;
    let mut file = temporary().tempfile_in(folder_of(path))?;
    file.write_all(bytes)?;
    if sync {
        file.as_file().sync_all()?;
    }
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}

/// A maker of files that will get another name. Who may read them is what the umask says, as of any other file: a temporary
/// file by itself is its owner's alone.
pub fn temporary() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder
}

/// The folder of this program in the user's cache; the XDG specification has relative paths ignored.
pub fn cache_folder(env: &dyn Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let base = env("XDG_CACHE_HOME").filter(|p| p.is_absolute()).or_else(|| env("HOME").map(|h| h.join(".cache")));
    base.map(|p| p.join("workbench"))
}

/// An environment variable as a path; one that is set to nothing counts as not set.
pub fn variable(key: &str) -> Option<PathBuf> {
    std::env::var_os(key).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn failed(op: &str, path: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::Msg(format!("{op}: {}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        assert_eq!(quoted("lr=1e-3"), "lr=1e-3");
        assert_eq!(quoted("a b's"), "'a b'\\''s'");
        assert_eq!((quoted_path(Path::new("-a b")), quoted_path(Path::new("a-b"))), ("'./-a b'".into(), "a-b".into()));
        assert_eq!((quoted(""), quoted("*.rhai"), quoted("$x")), ("''".into(), "'*.rhai'".into(), "'$x'".into()));
    }

    #[cfg(unix)]
    #[test]
    fn files_follow_the_umask() -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir()?;
        let mode = |name: &str| std::fs::metadata(folder.path().join(name)).map(|m| m.permissions().mode());
        std::fs::write(folder.path().join("any"), b"x")?;
        replace(&folder.path().join("replaced"), b"x")?;
        write_npy(&folder.path().join("t.npy"), &Tensor::zeros(1, candle_core::DType::F32, &Device::Cpu)?)?;
        assert_eq!([mode("replaced")?, mode("t.npy")?], [mode("any")?; 2]);
        Ok(())
    }

    #[test]
    fn what_is_written_is_read_and_damage_is_named() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("a.safetensors");
        let t = Tensor::arange(0f64, 6.0, &Device::Cpu)?.reshape((2, 3))?;
        write_safetensors(&path, vec![("t".into(), t.clone())], None)?;
        assert_eq!(read_safetensors(&path, &Device::Cpu)?["t"].to_vec2::<f64>()?, t.to_vec2::<f64>()?);
        let bytes = read_bytes(&path)?;
        std::fs::write(&path, &bytes[..bytes.len() - 8])?;
        let error = read_safetensors(&path, &Device::Cpu).expect_err("the file is cut off");
        assert!(error.to_string().contains("no readable safetensors file"), "{error}");
        let npy = folder.path().join("t.npy");
        write_npy(&npy, &t)?;
        assert_eq!(read_npy(&npy, &Device::Cpu)?.to_vec2::<f64>()?, t.to_vec2::<f64>()?);
        Ok(())
    }
}
