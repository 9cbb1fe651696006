//! The sources of our kernels for CUDA: CUDA C, compiled at run time for the device at hand, once for f32 and once for f64.

/// Stands before every source.
pub const PRELUDE: &str = include_str!("kernels/prelude.cuh");

/// Threads of a block, as in the prelude.
pub const THREADS: usize = 256;

/// Warps of a block.
pub const WARPS: usize = THREADS / 32;

/// A file of kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    Elementwise,
    Power,
    Passes,
    Region,
    Sorted,
    Worst,
    Train,
    Rows,
    Pictures,
    Losses,
    Order,
    Inverse,
    Relaxed,
}

impl Source {
    pub const ALL: [Self; 13] = [
        Self::Elementwise,
        Self::Power,
        Self::Passes,
        Self::Region,
        Self::Sorted,
        Self::Worst,
        Self::Train,
        Self::Rows,
        Self::Pictures,
        Self::Losses,
        Self::Order,
        Self::Inverse,
        Self::Relaxed,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Elementwise => "elementwise",
            Self::Power => "power",
            Self::Passes => "passes",
            Self::Region => "region",
            Self::Sorted => "sorted",
            Self::Worst => "worst",
            Self::Train => "train",
            Self::Rows => "rows",
            Self::Pictures => "pictures",
            Self::Losses => "losses",
            Self::Order => "order",
            Self::Inverse => "inverse",
            Self::Relaxed => "relaxed",
        }
    }

    /// The file's text, without the prelude.
    pub fn text(self) -> &'static str {
        match self {
            Self::Elementwise => include_str!("kernels/elementwise.cu"),
            Self::Power => include_str!("kernels/power.cu"),
            Self::Passes => include_str!("kernels/passes.cu"),
            Self::Region => include_str!("kernels/region.cu"),
            Self::Sorted => include_str!("kernels/sorted.cu"),
            Self::Worst => include_str!("kernels/worst.cu"),
            Self::Train => include_str!("kernels/train.cu"),
            Self::Rows => include_str!("kernels/rows.cu"),
            Self::Pictures => include_str!("kernels/pictures.cu"),
            Self::Losses => include_str!("kernels/losses.cu"),
            Self::Order => include_str!("kernels/order.cu"),
            Self::Inverse => include_str!("kernels/inverse.cu"),
            Self::Relaxed => include_str!("kernels/relaxed.cu"),
        }
    }

    /// What a compiler gets for the number type float, or double.
    pub fn program(self, double: bool) -> String {
        let number = if double { "double" } else { "float" };
        let common = match self {
            Self::Region | Self::Sorted => include_str!("kernels/region.cuh"),
            Self::Passes | Self::Rows => include_str!("kernels/halves.cuh"),
            Self::Elementwise | Self::Power | Self::Worst | Self::Train | Self::Pictures => "",
            Self::Losses | Self::Order | Self::Inverse | Self::Relaxed => "",
        };
        format!("typedef {number} T;\n{PRELUDE}\n{common}\n{}", self.text())
    }

    /// The names of its kernels.
    pub fn kernels(self) -> Vec<&'static str> {
        let name = |line: &'static str| line.strip_prefix("KERNEL ").and_then(|l| l.split('(').next());
        self.text().lines().filter_map(name).collect()
    }
}

/// A launch as a device sees it.
#[derive(Clone, Debug)]
pub struct Job {
    pub source: Source,
    pub kernel: &'static str,
    /// Is T double?
    pub double: bool,
    pub blocks: u32,
    /// The arguments' bits.
    pub words: Vec<u64>,
}
