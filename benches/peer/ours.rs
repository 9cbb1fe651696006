//! Our side: single convolutions through the tensor operations; whole steps through the script host, as a user runs them.

use candle_core::{Device, Tensor};
use workbench::compute::conv::{Window, conv2d, conv2d_input, conv2d_weight};
use workbench::script::Session;
use workbench::script::session::Config;
use workbench::script::settings::Overrides;

/// One direction of one convolution.
pub struct Convolution {
    x: Tensor,
    w: Tensor,
    y: Tensor,
    window: Window,
    direction: &'static str,
}

impl Convolution {
    pub fn new([c, o, k, stride, padding, side]: [usize; 6], batch: usize, direction: &'static str) -> Self {
        let draw = |shape: [usize; 4]| Tensor::randn(0f32, 1.0, &shape, &Device::Cpu).expect("a tensor");
        let window = Window::new(stride, padding);
        let (x, w) = (draw([batch, c, side, side]), draw([o, c, k, k]));
        let y = conv2d(&x, &w, window).expect("shapes that fit");
        Self { x, w, y, window, direction }
    }

    pub fn run(&self) {
        let (_, _, side, _) = self.x.dims4().expect("four axes");
        let (_, _, k, _) = self.w.dims4().expect("four axes");
        let result = match self.direction {
            "forward" => conv2d(&self.x, &self.w, self.window),
            "input" => conv2d_input(&self.y, &self.w, self.window, (side, side)),
            _ => conv2d_weight(&self.x, &self.y, self.window, (k, k)),
        };
        std::hint::black_box(result.expect("shapes that fit"));
    }
}

/// A network with all that a step needs, inside the script host.
pub struct Training {
    session: Session,
    call: String,
}

impl Training {
    /// `what` is `ce`, `step` or `certify`, with the number of iterations behind it unless it is the peer's.
    pub fn new(net: &str, batch: usize, width: usize, what: &str, dtype: &str) -> Self {
        let config = Config {
            device: Device::Cpu,
            seed: 0,
            threads: rayon::current_num_threads(),
            data_dir: None,
            overrides: Overrides::default(),
            script: None,
            recording: workbench::script::session::Recording::default(),
            source: Default::default(),
            allowed: Default::default(),
            ranks: Default::default(),
            limits: Default::default(),
        };
        let (what, own) = what.split_once(' ').map_or((what, None), |(what, n)| (what, n.parse().ok()));
        let iterations: usize = own.unwrap_or(if what == "certify" { 200 } else { 2 });
        let function = match what {
            "ce" => "cross",
            "step" => "train",
            other => other,
        };
        let mut training = Self { session: Session::new(config), call: format!("{function}(state);") };
        training.eval(include_str!("step.rhai"));
        training.eval(&format!(
            "let state = prepare(\"{net}\", {batch}, {width}, {iterations}, \"{}\");",
            if dtype == "bf16" { "bf16" } else { "own" }
        ));
        training
    }

    pub fn run(&mut self) {
        let call = self.call.clone();
        self.eval(&call);
    }

    fn eval(&mut self, input: &str) {
        if let Err(failure) = self.session.eval(input) {
            panic!("{}", failure.render(false));
        }
    }
}

/// What the script and the calls themselves cost: a step with all the calls of 6C2F and next to no numbers. An upper limit,
/// since waking threads for each call is in it.
pub fn script_time() {
    let time = |net: &str, batch: usize, count: usize| {
        let mut step = Training::new(net, batch, 1, "step", "f32");
        (0..3).for_each(|_| step.run());
        super::median(&(0..count).map(|_| super::timed(|| step.run())).collect::<Vec<_>>())
    };
    let (empty, whole) = (time("empty_6c2f", 1, 200), time("cifar10_6c2f", 64, 7));
    println!("\na step of 6C2F: {whole:.1} ms; its calls alone: {empty:.2} ms, {:.2} %", empty / whole * 100.0);
}

fn status(name: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = text.lines().find(|l| l.starts_with(name)).expect("a known name");
    line.split_whitespace().nth(1).and_then(|n| n.parse::<f64>().ok()).expect("a size") / 1024.0
}

/// Five steps in this process; prints how far the peak lies above what was held before the first.
pub fn memory(mut arguments: impl Iterator<Item = String>) {
    let net = arguments.next().expect("a network");
    let mut number = || arguments.next().and_then(|n| n.parse().ok()).expect("a number");
    let (batch, threads): (usize, usize) = (number(), number());
    workbench::base::memory::keep_freed_memory();
    workbench::base::threads::start(Some(threads)).expect("the thread pool");
    let mut step = Training::new(&net, batch, 1, "step", "f32");
    let before = status("VmRSS:");
    (0..5).for_each(|_| step.run());
    println!("{}", status("VmHWM:") - before);
}

pub fn memory_in_own_process(net: &str, batch: usize, threads: usize) -> f64 {
    let own = std::env::current_exe().expect("this program");
    let (batch, threads) = (batch.to_string(), threads.to_string());
    let out = std::process::Command::new(own).args(["--memory-of", net, &batch, &threads]).output();
    let out = out.expect("this program again");
    String::from_utf8_lossy(&out.stdout).trim().parse().unwrap_or_else(|_| {
        panic!("the measurement failed: {}", String::from_utf8_lossy(&out.stderr));
    })
}
