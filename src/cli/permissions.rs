//! What a script may touch and take, on the command line: `--allow-read`, `--max-memory` and their kin.

use crate::base::files::path_word;
use crate::script::access::Allowed;
use crate::script::language::limits::Limits;
use clap::Args;
use std::ffi::OsString;
use std::path::PathBuf;

/// What a script may touch and take beside the usual.
///
/// A script reads its own folder, data sets and what --set names; it writes its run's folder.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Permissions and limits")]
pub struct Permissions {
    /// Let the script read this file, or this folder and what lies below; may be given several times.
    #[arg(long, value_name = "PATH")]
    pub allow_read: Vec<PathBuf>,
    /// Let the script write this file, or into this folder; may be given several times.
    #[arg(long, value_name = "PATH")]
    pub allow_write: Vec<PathBuf>,
    /// Let the script fetch from the hub what begins so: hf://OWNER/REPOSITORY; may be given several times.
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub allow_fetch: Vec<String>,
    /// How deep functions may call each other [default: 64].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub max_calls: Option<u32>,
    /// The longest string, in MiB [default: 16].
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub max_string: Option<u32>,
    /// The longest array, in elements, and the largest map, in keys [default: ten million, and one million].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    pub max_array: Option<u64>,
    /// The most memory, in GiB [default: four fifths of the machine's].
    #[arg(long, value_name = "GIB", value_parser = gib)]
    pub max_memory: Option<f64>,
}

fn address(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("hf://").filter(|rest| !rest.is_empty());
    rest.map(|_| text.to_string()).ok_or_else(|| "write it as hf://OWNER/REPOSITORY, or longer".into())
}

fn gib(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(gib) if (0.01..=1e6).contains(&gib) => Ok(gib),
        _ => Err("give a number of GiB, such as 8 or 0.5".into()),
    }
}

impl Permissions {
    /// What may be touched.
    pub fn allowed(&self) -> Allowed {
        let (read, write) = (self.allow_read.clone(), self.allow_write.clone());
        Allowed { read, write, fetch: self.allow_fetch.clone() }
    }

    /// What may be taken.
    pub fn limits(&self) -> Limits {
        let usual = Limits::default();
        let array = self.max_array.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        Limits {
            calls: self.max_calls.map_or(usual.calls, |n| n as usize),
            string: self.max_string.map_or(usual.string, |mib| (mib as usize) << 20),
            array: array.unwrap_or(usual.array),
            map: array.unwrap_or(usual.map),
            memory: self.max_memory.map(|gib| (gib * f64::from(1 << 30)) as u64),
        }
    }

    /// The same as arguments for another process.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut out: Vec<OsString> = vec![];
        let mut add = |flag: &str, value: OsString| out.extend([OsString::from(flag), value]);
        self.allow_read.iter().for_each(|path| add("--allow-read", path_word(path).into()));
        self.allow_write.iter().for_each(|path| add("--allow-write", path_word(path).into()));
        self.allow_fetch.iter().for_each(|address| add("--allow-fetch", address.into()));
        let numbers = [
            ("--max-calls", self.max_calls.map(|n| n.to_string())),
            ("--max-string", self.max_string.map(|n| n.to_string())),
            ("--max-array", self.max_array.map(|n| n.to_string())),
            ("--max-memory", self.max_memory.map(|n| n.to_string())),
        ];
        numbers.into_iter().for_each(|(flag, value)| value.into_iter().for_each(|value| add(flag, value.into())));
        out
    }
}
