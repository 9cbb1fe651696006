//! The other side: `benches/torch_peer.py --serve` in a process of its own, asked line by line.

use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

pub struct Torch {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

/// Work that is ready to be run.
#[derive(Clone, Copy)]
pub struct Job {
    pub id: usize,
    pub gflop: f64,
    pub resident_mib: f64,
}

/// What one run took.
pub struct Run {
    pub ms: f64,
    pub peak_mib: f64,
}

impl Torch {
    pub fn start() -> Self {
        let python = std::env::var("WORKBENCH_TORCH").unwrap_or_else(|_| "python3".into());
        let peer = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/torch_peer.py");
        let mut child = Command::new(&python)
            .args([peer, "--serve"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| {
                panic!("{python} cannot be started ({e}); set WORKBENCH_TORCH to a Python with PyTorch")
            });
        let (to, from) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        Self { child, to, from: BufReader::new(from) }
    }

    fn ask(&mut self, line: &str) -> Value {
        writeln!(self.to, "{line}").expect("the peer listens");
        let mut answer = String::new();
        self.from.read_line(&mut answer).expect("the peer answers");
        serde_json::from_str(&answer).unwrap_or_else(|_| panic!("the peer ended; it needs PyTorch (WORKBENCH_TORCH)"))
    }

    pub fn prepare(&mut self, job: &str) -> Job {
        let answer = self.ask(job);
        let number = |key: &str| answer[key].as_f64().expect("a number");
        Job { id: number("ready") as usize, gflop: number("gflop"), resident_mib: number("resident_mib") }
    }

    pub fn go(&mut self, id: usize) -> Run {
        let answer = self.ask(&format!("go {id}"));
        Run { ms: answer["ms"].as_f64().expect("a time"), peak_mib: answer["peak_mib"].as_f64().expect("a size") }
    }
}

impl Drop for Torch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
