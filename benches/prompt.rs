//! How long the prompt makes a person wait, from the start of the program to its prompt and from Tab to what it completes, at
//! a real pseudo-terminal: `cargo bench --bench prompt`. Prints median, quartiles and the longest, in milliseconds.

#[cfg(unix)]
fn main() {
    unix::run();
}

#[cfg(not(unix))]
fn main() {}

#[cfg(unix)]
mod unix {
    use rexpect::process::PtyProcess;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::process::Command;
    use std::time::{Duration, Instant};

    const ROUNDS: usize = 40;

    pub fn run() {
        let mut starts: Vec<f64> = (0..ROUNDS).map(|_| Sitting::new().1).collect();
        report("start to prompt", &mut starts);
        let mut sitting = Sitting::new().0;
        for line in ["import \"std/local_lip\" as lip;\r", "let net = sequential([4], [linear(2)]);\r"] {
            sitting.send(line);
            sitting.until("\n> ");
        }
        for (what, typed, shown) in [
            ("a function", "spectral_n", "spectral_norm("),
            ("a function of a module", "lip::boun", "bounds("),
            ("a method", "net.project_thr", "project_thresholds("),
            ("an option", "conv2d(1, 2, #{ strid", "stride: "),
        ] {
            let mut times = vec![];
            for _ in 0..ROUNDS {
                sitting.send(typed);
                sitting.until(typed);
                // Let what is typed be drawn, so that the answer to Tab alone is timed.
                std::thread::sleep(Duration::from_millis(20));
                let start = Instant::now();
                sitting.send("\t");
                sitting.until(shown);
                times.push(start.elapsed().as_secs_f64() * 1e3);
                sitting.send("\x03");
                sitting.until("\n");
            }
            report(&format!("Tab to {what}"), &mut times);
        }
    }

    /// The prompt, and its end of the terminal.
    struct Sitting {
        _process: PtyProcess,
        terminal: File,
    }

    impl Sitting {
        /// Started, with the time to its prompt in milliseconds.
        fn new() -> (Self, f64) {
            let mut command = Command::new(env!("CARGO_BIN_EXE_workbench"));
            command.env("TERM", "xterm").env("NO_COLOR", "1").env("WORKBENCH_HISTORY", "/dev/null");
            let start = Instant::now();
            let process = PtyProcess::new(command).expect("a pseudo-terminal");
            let terminal = process.get_file_handle().expect("its other end");
            let mut sitting = Self { _process: process, terminal };
            sitting.until("> ");
            (sitting, start.elapsed().as_secs_f64() * 1e3)
        }

        fn send(&mut self, text: &str) {
            self.terminal.write_all(text.as_bytes()).expect("typed");
        }

        /// Read until `text` has come. Nothing waits here but the read itself.
        fn until(&mut self, text: &str) {
            let (mut got, mut buffer) = (String::new(), [0; 4096]);
            while !plain(&got).contains(text) {
                let n = self.terminal.read(&mut buffer).expect("the program's answer");
                got += &String::from_utf8_lossy(&buffer[..n]);
            }
        }
    }

    /// Without control sequences.
    fn plain(text: &str) -> String {
        let (mut out, mut inside) = (String::new(), false);
        for c in text.chars() {
            match c {
                '\x1b' => inside = true,
                c if inside => inside = !c.is_ascii_alphabetic(),
                '\r' => {}
                c => out.push(c),
            }
        }
        out
    }

    fn report(what: &str, times: &mut [f64]) {
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
        println!("{what}: {:.1} ms ({:.1}-{:.1}, longest {:.1})", at(0.5), at(0.25), at(0.75), at(1.0));
    }
}
