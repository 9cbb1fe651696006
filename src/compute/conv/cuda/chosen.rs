//! Which engine a convolution takes: measured once for each GPU, version of cuDNN and shape, and remembered
//!
//! Two engines round differently. A run repeats itself, and a resumed one goes on as it began, only if every process takes the same
//! one: so the first choice stays, in a file of the user's cache folder. With `WORKBENCH_CUDNN=first` nothing is measured and
//! cuDNN's first suggestion is taken.

use super::graph::Key;
use crate::base::files;
use candle_core::Result;
use candle_core::cuda::cudarc::cudnn::sys;
use candle_core::cuda::{CudaDevice, WrapErr};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

/// For each GPU and shape which of the engines.
type Choices = BTreeMap<String, usize>;

static CHOICES: LazyLock<Mutex<Choices>> = LazyLock::new(|| Mutex::new(file().map(|f| read(&f)).unwrap_or_default()));

/// Is an engine worth measuring at all? Asked of the environment once.
pub fn wanted() -> bool {
    static WANTED: LazyLock<bool> =
        LazyLock::new(|| !std::env::var("WORKBENCH_CUDNN").is_ok_and(|choice| choice == "first"));
    *WANTED
}

fn file() -> Option<PathBuf> {
    files::cache_folder(&files::variable).map(|folder| folder.join("cudnn_engines.json"))
}

/// A file that is not there, or cannot be read, holds no choices: they are made again.
fn read(file: &Path) -> Choices {
    std::fs::read(file).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// Nobody else reads and writes the file meanwhile, where its folder allows to say so.
fn turn(file: &Path) -> Option<File> {
    std::fs::create_dir_all(file.parent()?).ok()?;
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(file.with_extension("lock")).ok()?;
    lock.lock().ok().map(|()| lock)
}

/// What was chosen before, or what the measurement says now, from now on.
pub fn or_measured(device: &CudaDevice, key: &Key, measure: impl FnOnce() -> Result<usize>) -> Result<usize> {
    let gpu = device.cuda_stream().context().name().w()?;
    // SAFETY: asks for a number.
    let version = unsafe { sys::cudnnGetVersion() };
    let name = format!("{gpu}, cuDNN {version}: {key:?}");
    if let Some(known) = CHOICES.lock().unwrap_or_else(PoisonError::into_inner).get(&name) {
        return Ok(*known);
    }
    let found = measure()?;
    let mut choices = CHOICES.lock().unwrap_or_else(PoisonError::into_inner);
    // Another process may have chosen meanwhile; its choices stand. Of several that measure at the same time the first to come here decides.
    let _turn = file().and_then(|file| turn(&file));
    let stored = file().map(|f| read(&f)).unwrap_or_default();
    choices.extend(stored);
    let chosen = *choices.entry(name).or_insert(found);
    if let (Some(file), Ok(text)) = (file(), serde_json::to_vec_pretty(&*choices)) {
        // A cache that cannot be written to costs the measurement again, nothing else.
        let _ = files::replace_unsynced(&file, &text);
    }
    Ok(chosen)
}
