//! Work of a CUDA device that is recorded once, as a CUDA graph, and then put on its stream whole, any number of times
//!
//! What is recorded are the calls with their addresses and numbers, so that all which changes from one time to the next must stand in
//! memory that was there before, and stays where it is: it is written there ahead of a launch. What the work makes for itself lies in memory of the graph, and
//! is given back before the recording ends. Nothing may be given back that was there before it, read by the processor, or waited for:
//! such work is refused, and nothing has happened on the device.

use candle_core::{Device, Result, Tensor};
use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering};

/// How often memory that lives on has been replaced, see [`moved`].
static MOVED: AtomicU64 = AtomicU64::new(0);

/// Memory that lives on from step to step has been replaced by other memory: what was recorded before may read and write where it was, and
/// is not to be launched any more.
pub fn moved() {
    MOVED.fetch_add(1, Ordering::SeqCst);
}

/// A number that stays the same as long as no such memory is replaced.
pub fn place() -> u64 {
    MOVED.load(Ordering::SeqCst)
}

thread_local! {
    static RECORDING: Cell<bool> = const { Cell::new(false) };
    static AT_END: RefCell<Vec<Box<dyn FnOnce()>>> = const { RefCell::new(vec![]) };
}

/// What is kept for the recording at hand is given back by `work` at its end, inside it.
pub fn at_end(work: impl FnOnce() + 'static) {
    AT_END.with_borrow_mut(|all| all.push(Box::new(work)));
}

/// Is work of this thread being recorded, so that nothing can be read back?
pub fn is_recording() -> bool {
    RECORDING.get()
}

struct Guard;

impl Guard {
    fn new() -> Self {
        RECORDING.set(true);
        Self
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        AT_END.take().into_iter().for_each(|work| work());
        RECORDING.set(false);
    }
}

/// How the message begins where work keeps a tensor that the next launch would write over.
pub const KEEPS: &str = "it keeps a tensor that the next step would write over";

/// Recorded work.
#[derive(Debug)]
pub struct Recording(graph::Graph);

impl Recording {
    /// Record what `work` asks of the device. It must have run before, plainly, by way of [`remembering_uploads`].
    pub fn new(device: &Device, work: impl FnOnce() -> Result<()>) -> Result<Self> {
        let recorded = || {
            let _recording = Guard::new();
            work()
        };
        graph::Graph::new(device, recorded).map(Self)
    }

    /// Put it on the device's stream.
    pub fn launch(&self) -> Result<()> {
        self.0.launch()
    }
}

/// Run `work` plainly. What it uploads beside tensors' values, such as the shapes of strided operations, stays on the device, by what it is, for an upload cannot
/// be recorded.
pub fn remembering_uploads<R>(device: &Device, work: impl FnOnce() -> R) -> R {
    #[cfg(feature = "cuda")]
    let _kept = match device {
        Device::Cuda(device) => Some(device.enable_cuda_graph_htod_cache()),
        _ => None,
    };
    #[cfg(not(feature = "cuda"))]
    let _ = device;
    work()
}

/// Write the values of `from` into `to`, of the same size, number type and device, both contiguous.
pub fn write(to: &Tensor, from: &Tensor) -> Result<()> {
    to.flatten_all()?.slice_set(&from.detach().flatten_all()?.contiguous()?, 0, 0)
}

#[cfg(feature = "cuda")]
mod graph {
    use candle_core::cuda::WrapErr;
    use candle_core::cuda::cudarc::driver::{CudaGraph, sys};
    use candle_core::{Device, Result, bail};

    pub struct Graph(CudaGraph);

    impl std::fmt::Debug for Graph {
        fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
            f.write_str("Graph")
        }
    }

    impl Graph {
        pub fn new(device: &Device, work: impl FnOnce() -> Result<()>) -> Result<Self> {
            let Device::Cuda(device) = device else { bail!("a recording is for CUDA devices") };
            let stream = device.cuda_stream();
            let _kept = device.enable_cuda_graph_htod_cache();
            stream.begin_capture(sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).w()?;
            let done = work();
            let flags = sys::CUgraphInstantiate_flags_enum::CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH;
            let graph = stream.end_capture(flags);
            // What a recording refused is told here, and must not come up at a later call.
            let beside = stream.context().check_err();
            let graph = match graph.w() {
                Ok(Some(graph)) => graph,
                Ok(None) => return done.and_then(|()| bail!("the recording holds nothing")),
                // What the work says is nearer to the cause.
                Err(refused) => return done.and(Err(refused)),
            };
            match done.and(beside.w()).and_then(|()| balanced(&graph)) {
                Ok(()) => Ok(Self(graph)),
                Err(e) => {
                    // Something may still lie in its memory.
                    std::mem::forget(graph);
                    Err(e)
                }
            }
        }

        pub fn launch(&self) -> Result<()> {
            self.0.launch().w()
        }
    }

    /// Has all memory that the work took been given back inside? What somebody keeps would be written over by the next launch.
    fn balanced(graph: &CudaGraph) -> Result<()> {
        let mut count = 0;
        // SAFETY: the graph lives; without room for nodes their number is asked for.
        unsafe { sys::cuGraphGetNodes(graph.cu_graph(), std::ptr::null_mut(), &raw mut count) }.result().w()?;
        let mut nodes = vec![std::ptr::null_mut(); count];
        // SAFETY: there is room for so many.
        unsafe { sys::cuGraphGetNodes(graph.cu_graph(), nodes.as_mut_ptr(), &raw mut count) }.result().w()?;
        let (mut taken, mut given) = (0, 0);
        for node in nodes.into_iter().take(count) {
            let mut kind = sys::CUgraphNodeType::CU_GRAPH_NODE_TYPE_EMPTY;
            // SAFETY: a node of the graph.
            unsafe { sys::cuGraphNodeGetType(node, &raw mut kind) }.result().w()?;
            taken += usize::from(kind == sys::CUgraphNodeType::CU_GRAPH_NODE_TYPE_MEM_ALLOC);
            given += usize::from(kind == sys::CUgraphNodeType::CU_GRAPH_NODE_TYPE_MEM_FREE);
        }
        if taken != given {
            bail!("{}: {taken} made, {given} given back", super::KEEPS);
        }
        Ok(())
    }
}

#[cfg(not(feature = "cuda"))]
mod graph {
    use candle_core::{Device, Result, bail};

    #[derive(Debug)]
    pub enum Graph {}

    impl Graph {
        pub fn new(_: &Device, _: impl FnOnce() -> Result<()>) -> Result<Self> {
            bail!("a recording is for CUDA devices")
        }

        pub fn launch(&self) -> Result<()> {
            match *self {}
        }
    }
}
