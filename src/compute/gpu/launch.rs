//! Small kernels of our own for CUDA, and how an operation calls one
//!
//! The sources (`*.cu`) are CUDA C, compiled at run time for the device at hand, once for f32 and once for f64. An
//! operation that has one says so in three lines: room for the result, [`launch`], and the gradient by `differentiable`
//! (`compute/autograd`).
//! All arguments take eight bytes and all blocks have the same number of threads, so that a launch is a name, a number of
//! blocks and a row of words; whoever has those can run it. That is how the kernels are tested without a GPU: the tests
//! compile the same sources for the host, with fibres for threads, and install what runs them ([`with_launcher`]). So they go through
//! the same Rust code: forward, backward, a whole training.

use super::recording::is_recording;
use super::source::{Job, Source, THREADS};
use candle_core::{CpuStorage, DType, Device, Result, Shape, Storage, Tensor, bail};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Rows shorter than this are one thread's work, longer ones a block's.
const SHORT: usize = 64;

/// An argument of a kernel.
#[derive(Clone, Copy, Debug)]
pub enum Arg<'a> {
    /// Where its elements begin; it must be contiguous.
    Tensor(&'a Tensor),
    /// A pointer to nothing.
    Absent,
    Count(usize),
    Number(f64),
}

impl<'a> From<&'a Tensor> for Arg<'a> {
    fn from(tensor: &'a Tensor) -> Self {
        Self::Tensor(tensor)
    }
}

impl<'a> From<Option<&'a Tensor>> for Arg<'a> {
    fn from(tensor: Option<&'a Tensor>) -> Self {
        tensor.map_or(Self::Absent, Self::Tensor)
    }
}

impl From<usize> for Arg<'_> {
    fn from(count: usize) -> Self {
        Self::Count(count)
    }
}

impl From<f64> for Arg<'_> {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

/// How many blocks.
#[derive(Clone, Copy, Debug)]
pub enum Blocks {
    /// As many as so many elements keep busy.
    Elements(usize),
    Exactly(usize),
}

impl Blocks {
    /// Threads take further elements in turn beyond this.
    const MOST: usize = 1 << 16;

    fn count(self) -> usize {
        match self {
            Self::Elements(n) => n.div_ceil(THREADS).min(Self::MOST),
            Self::Exactly(n) => n,
        }
    }
}

/// What runs a launch where there is no GPU.
pub type Launcher = Rc<dyn Fn(&Job) -> Result<()>>;

/// How many threads have a launcher: none, in a program that installs none.
static INSTALLED: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static LAUNCHER: RefCell<Option<Launcher>> = const { RefCell::new(None) };
}

/// Run `work` with a launcher installed: whatever it does with tensors in main memory, on this thread, goes the way that it
/// would go on a GPU, each launch to `launcher`.
pub fn with_launcher<R>(launcher: Launcher, work: impl FnOnce() -> R) -> R {
    struct Restore(Option<Launcher>);
    impl Drop for Restore {
        fn drop(&mut self) {
            LAUNCHER.set(self.0.take());
            INSTALLED.fetch_sub(1, Relaxed);
        }
    }
    INSTALLED.fetch_add(1, Relaxed);
    let _restore = Restore(LAUNCHER.replace(Some(launcher)));
    work()
}

/// The launcher of this thread, if one is installed.
fn launcher() -> Option<Launcher> {
    if INSTALLED.load(Relaxed) == 0 { None } else { LAUNCHER.with_borrow(Clone::clone) }
}

/// Do tensors on this device go through the kernels?
pub fn on(device: &Device) -> bool {
    device.is_cuda() || device.is_cpu() && launcher().is_some()
}

/// Do the kernels take this tensor: by where it lies, and by its number type?
pub fn has_kernel(tensor: &Tensor) -> bool {
    matches!(tensor.dtype(), DType::F32 | DType::F64) && on(tensor.device())
}

/// Room for a result, to be written by the next launch.
pub fn room(shape: impl Into<Shape>, dtype: DType, device: &Device) -> Result<Tensor> {
    // SAFETY: numbers and bytes have no invalid values, and the launch that follows writes every element.
    unsafe { Tensor::empty(shape, dtype, device) }
}

/// Run `kernel` with T as in `like`, where that tensor lies.
pub fn launch(source: Source, kernel: &'static str, like: &Tensor, blocks: Blocks, args: &[Arg]) -> Result<()> {
    let count = blocks.count();
    if count == 0 {
        return Ok(());
    }
    let Ok(blocks) = u32::try_from(count) else { bail!("{kernel}: {count} blocks are too many for one launch") };
    let double = like.dtype() == DType::F64;
    let word = |arg: &Arg| match arg {
        Arg::Tensor(tensor) if !tensor.device().same_device(like.device()) => {
            bail!("{kernel}: its arguments live on different devices")
        }
        Arg::Tensor(tensor) => address(kernel, tensor),
        Arg::Absent => Ok(0),
        Arg::Count(n) => Ok(*n as u64),
        Arg::Number(x) => Ok(x.to_bits()),
    };
    let words = args.iter().map(word).collect::<Result<_>>()?;
    let job = Job { source, kernel, double, blocks, words };
    match like.device() {
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => crate::compute::gpu::cuda::launch(device, &job),
        Device::Cpu => match launcher() {
            Some(launcher) => launcher(&job),
            None => bail!("{kernel}: this kernel runs on CUDA devices"),
        },
        _ => bail!("{kernel}: this kernel runs on CUDA devices"),
    }
}

/// How many numbers a kernel may read and write at once: 4 where rows of `n` numbers of these tensors begin at sixteen bytes.
pub fn width(n: usize, tensors: &[&Tensor]) -> Result<usize> {
    for tensor in tensors {
        if !n.is_multiple_of(4) || !address("a kernel", tensor)?.is_multiple_of(16) {
            return Ok(1);
        }
    }
    Ok(4)
}

/// The form of a kernel for this [`width`].
pub fn by_width(width: usize, [one, four]: [&'static str; 2]) -> &'static str {
    if width == 4 { four } else { one }
}

/// Blocks for a row of `n` numbers, of which each thread takes `width` at once, several times in a long row.
pub fn pieces(n: usize, width: usize) -> usize {
    n.div_ceil(THREADS * 4 * width.max(2)).max(1)
}

/// Numbers of a tensor that one block of [`launch_over`] works on, as in its kernels.
const SPAN: usize = THREADS * 4;

/// Run a kernel once over many tensors: each of `rows` holds the parts of one, of the same length. They must be on the device
/// of the first, contiguous, and of one number type; nobody else may change them.
pub fn launch_over(source: Source, kernel: &'static str, rows: &[Vec<&Tensor>], rest: &[Arg]) -> Result<()> {
    let Some(like) = rows.first().and_then(|row| row.first()) else { return Ok(()) };
    let (mut table, mut blocks) = (vec![], 0);
    for row in rows {
        for tensor in row {
            if !tensor.device().same_device(like.device()) || tensor.dtype() != like.dtype() {
                bail!("{kernel}: its arguments live on different devices, or have different number types");
            }
            table.push(address(kernel, tensor)? as i64);
        }
        let n = row.first().map_or(0, |tensor| tensor.elem_count());
        table.extend([n as i64, blocks as i64]);
        blocks += n.div_ceil(SPAN);
    }
    let words = table.len();
    let table = match is_recording() {
        false => Tensor::from_vec(table, words, like.device())?,
        true => written(&table, like)?,
    };
    launch(source, kernel, like, Blocks::Exactly(blocks), &[&[(&table).into(), rows.len().into()][..], rest].concat())
}

/// A table that is written by launches, their arguments: where an upload cannot be recorded.
fn written(table: &[i64], like: &Tensor) -> Result<Tensor> {
    const WORDS: usize = 8;
    let to = room(table.len(), DType::I64, like.device())?;
    for (at, words) in table.chunks(WORDS).enumerate() {
        let own = (0..WORDS).map(|i| Arg::Count(words.get(i).map_or(0, |word| *word as usize)));
        let args: Vec<Arg> =
            [(&to).into(), Arg::Count(at * WORDS), Arg::Count(words.len())].into_iter().chain(own).collect();
        launch(Source::Train, "store_words", like, Blocks::Exactly(1), &args)?;
    }
    Ok(to)
}

/// Where a contiguous tensor's elements begin.
fn address(kernel: &str, tensor: &Tensor) -> Result<u64> {
    let (storage, layout) = tensor.storage_and_layout();
    let Some((from, _)) = layout.contiguous_offsets() else { bail!("{kernel}: a contiguous tensor is wanted") };
    match &*storage {
        Storage::Cpu(storage) => {
            fn at<T>(values: &[T], from: usize) -> u64 {
                values[from..].as_ptr() as u64
            }
            match storage {
                CpuStorage::U8(v) => Ok(at(v, from)),
                CpuStorage::U32(v) => Ok(at(v, from)),
                CpuStorage::I64(v) => Ok(at(v, from)),
                CpuStorage::F16(v) => Ok(at(v, from)),
                CpuStorage::F32(v) => Ok(at(v, from)),
                CpuStorage::F64(v) => Ok(at(v, from)),
                _ => bail!("{kernel}: {:?} is no type of its arguments", tensor.dtype()),
            }
        }
        #[cfg(feature = "cuda")]
        Storage::Cuda(storage) => crate::compute::gpu::cuda::address(kernel, storage, from),
        _ => bail!("{kernel}: this kernel runs on CUDA devices"),
    }
}

/// Launch the form of a kernel for short rows, or the one with a block for each row.
pub fn by_rows(
    source: Source,
    [short, long]: [&'static str; 2],
    like: &Tensor,
    (rows, n): (usize, usize),
    args: &[Arg],
) -> Result<()> {
    if n < SHORT {
        launch(source, short, like, Blocks::Elements(rows), args)
    } else {
        launch(source, long, like, Blocks::Exactly(rows), args)
    }
}
