//! How long the prompt makes a person wait, from the start of the program to its prompt and from Tab to what it completes, at
//! a real pseudo-terminal: `cargo bench --bench prompt`. Prints median, quartiles and the longest, in milliseconds.

#[cfg(unix)]
fn main() {
    use std::time::Instant;
    const ROUNDS: usize = 40;

    let program = env!("CARGO_BIN_EXE_workbench");
    let started = || {
        let mut command = std::process::Command::new(program);
        command.env("TERM", "xterm-256color").env("WORKBENCH_HISTORY", "/dev/null");
        let start = Instant::now();
        let mut session = rexpect::session::spawn_command(command, Some(20_000)).expect("a pseudo-terminal");
        session.exp_string("> ").expect("the prompt");
        (session, start.elapsed().as_secs_f64() * 1e3)
    };
    let mut starts: Vec<f64> = (0..ROUNDS).map(|_| started().1).collect();
    report("start to prompt", &mut starts);

    let (mut session, _) = started();
    for line in ["import \"std/local_lip\" as lip;", "let net = sequential([4], [linear(2)]);"] {
        session.send_line(line).expect("typed");
        session.exp_string("\n").expect("the line");
        session.exp_string("> ").expect("the prompt");
    }
    for (what, typed, shown) in [
        ("a function", "spectral_n", "spectral_norm("),
        ("of a module", "lip::boun", "bounds("),
        ("a method", "net.project_thr", "project_thresholds("),
        ("an option", "conv2d(1, 2, #{ strid", "stride: "),
    ] {
        let mut times = vec![];
        for _ in 0..ROUNDS {
            session.send(typed).expect("typed");
            session.flush().expect("typed");
            session.exp_string(&typed[typed.len() - 2..]).expect("the echo");
            // Let the echo of every letter pass, so that the answer to Tab alone is timed.
            std::thread::sleep(std::time::Duration::from_millis(30));
            let start = Instant::now();
            session.send("\t").expect("typed");
            session.flush().expect("typed");
            session.exp_string(shown).expect("the completion");
            times.push(start.elapsed().as_secs_f64() * 1e3);
            session.send_control('c').expect("typed");
            session.exp_string("> ").expect("the prompt");
        }
        report(&format!("Tab to {what}"), &mut times);
    }
}

#[cfg(unix)]
fn report(what: &str, times: &mut [f64]) {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
    println!("{what}: {:.1} ms ({:.1}-{:.1}, longest {:.1})", at(0.5), at(0.25), at(0.75), at(1.0));
}

#[cfg(not(unix))]
fn main() {}
