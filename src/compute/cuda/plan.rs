//! One convolution of given sizes in cuDNN: described, an engine chosen for it, and ready to run
//!
//! Of the engines that cuDNN names, those count whose sums have a fixed order, so that a run repeats itself, and which compute in
//! the numbers that are asked for. Where a convolution is large enough to matter the fastest of them is found by measurement and
//! remembered ([`super::chosen`]); elsewhere it is the first.

use super::chosen;
use super::cudnn::{Descriptor, Handle, Kind, Name, Value, ok};
use crate::compute::geometry::Geometry;
use crate::compute::order::Order;
use crate::compute::precision::Precision;
use candle_core::cuda::cudarc::cudnn::sys;
use candle_core::cuda::cudarc::driver::DevicePtrMut;
use candle_core::cuda::{CudaDevice, WrapErr};
use candle_core::{Result, bail};
use std::ffi::c_void;
use std::time::Instant;

/// Which of the three maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum View {
    /// x, w to y.
    Forward,
    /// y, w to x.
    Input,
    /// x, y to w.
    Weight,
}

/// Numbers in memory, and what products of them are computed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Numbers {
    F64,
    F32(Precision),
    Bf16,
}

/// All that a plan depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub view: View,
    pub order: Order,
    pub geometry: Geometry,
    pub numbers: Numbers,
    /// Does every tensor begin at a multiple of [`ALIGNED`] bytes?
    pub aligned: bool,
}

/// What the widest accesses to memory want.
pub const ALIGNED: u64 = 16;

/// Names of the three tensors in a graph.
const X: i64 = 1;
const W: i64 = 2;
const Y: i64 = 3;

/// Workspace that an engine may take.
const MOST: usize = 1 << 30;
/// Multiply-adds below which an engine is not worth measuring.
const SMALL: usize = 50_000_000;
/// Engines that are measured at most.
const TRIED: usize = 10;

#[repr(transparent)]
#[derive(Clone, Copy, PartialEq)]
struct Note(u32);

impl Value for Note {
    const TYPE: sys::cudnnBackendAttributeType_t = sys::cudnnBackendAttributeType_t::CUDNN_TYPE_NUMERICAL_NOTE;
}

impl Note {
    const TENSOR_CORE: Self = Self(sys::cudnnBackendNumericalNote_t::CUDNN_NUMERICAL_NOTE_TENSOR_CORE as u32);
    const NARROWS: Self = Self(sys::cudnnBackendNumericalNote_t::CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS as u32);
    const SUMS_NARROW: Self =
        Self(sys::cudnnBackendNumericalNote_t::CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION as u32);
    const UNORDERED: Self = Self(sys::cudnnBackendNumericalNote_t::CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC as u32);
}

#[repr(transparent)]
#[derive(Clone, Copy, PartialEq)]
struct Behavior(u32);

impl Value for Behavior {
    const TYPE: sys::cudnnBackendAttributeType_t = sys::cudnnBackendAttributeType_t::CUDNN_TYPE_BEHAVIOR_NOTE;
}

impl Behavior {
    /// Seconds for each engine.
    const COMPILES: Self = Self(sys::cudnnBackendBehaviorNote_t::CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION as u32);
}

pub struct Plan {
    plan: Descriptor,
    /// Bytes.
    pub workspace: usize,
    view: View,
    /// What the plan refers to.
    _graph: Vec<Descriptor>,
}

impl Plan {
    pub fn new(handle: &Handle, device: &CudaDevice, key: &Key) -> Result<Self> {
        let described = describe(handle, key)?;
        let engines = engines(&described, key.numbers)?;
        let mut plans = engines.iter().filter_map(|engine| built(handle, engine).ok());
        let g = &key.geometry;
        let work = g.batch * g.output_len() * g.weight_len() / g.channels_out.max(1);
        let chosen = if work < SMALL || !chosen::wanted() {
            plans.next()
        } else {
            let mut plans: Vec<_> = plans.take(TRIED).collect();
            let at = chosen::or_measured(device, key, || fastest(handle, device, key, &plans))?;
            (at < plans.len()).then(|| plans.swap_remove(at))
        };
        match chosen {
            Some((plan, workspace)) => {
                let graph = described.into_iter().chain(engines).collect();
                Ok(Self { plan, workspace, view: key.view, _graph: graph })
            }
            None => bail!("conv2d: cuDNN has no engine for {key:?}"),
        }
    }

    /// Put it on the handle's stream: `a` and `b` to `to`, in the order that [`View`] names.
    ///
    /// # Safety
    /// The three are device addresses of as many numbers as the plan's sizes say, of its number type and alignment; `workspace`
    /// is one of at least [`Plan::workspace`] bytes.
    pub unsafe fn launch(&self, handle: &Handle, places: [u64; 3], workspace: u64) -> Result<()> {
        // SAFETY: as promised by the caller.
        unsafe { run(handle, &self.plan, self.view, places, workspace) }
    }
}

/// # Safety
/// See [`Plan::launch`].
unsafe fn run(handle: &Handle, plan: &Descriptor, view: View, places: [u64; 3], workspace: u64) -> Result<()> {
    let names = match view {
        View::Forward => [X, W, Y],
        View::Input => [Y, W, X],
        View::Weight => [X, Y, W],
    };
    let tensors = Descriptor::new(Kind::CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR)?
        .with(Name::CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, &names)?
        .with(Name::CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, &places.map(|at| at as *const c_void))?
        .with(Name::CUDNN_ATTR_VARIANT_PACK_WORKSPACE, &[workspace as *const c_void])?
        .sealed("the tensors of a convolution")?;
    // SAFETY: as promised by the caller.
    ok("a convolution", unsafe { sys::cudnnBackendExecute(handle.raw, plan.0, tensors.0) })
}

/// The graph of the one operation, last, and what it refers to.
fn describe(handle: &Handle, key: &Key) -> Result<Vec<Descriptor>> {
    use sys::cudnnDataType_t::{CUDNN_DATA_BFLOAT16, CUDNN_DATA_DOUBLE, CUDNN_DATA_FLOAT};
    let (g, order) = (&key.geometry, key.order);
    let (stored, sums) = match key.numbers {
        Numbers::F64 => (CUDNN_DATA_DOUBLE, CUDNN_DATA_DOUBLE),
        Numbers::F32(_) => (CUDNN_DATA_FLOAT, CUDNN_DATA_FLOAT),
        Numbers::Bf16 => (CUDNN_DATA_BFLOAT16, CUDNN_DATA_FLOAT),
    };
    let bytes = match key.numbers {
        Numbers::F64 => 8,
        Numbers::F32(_) => 4,
        Numbers::Bf16 => 2,
    };
    let tensor = |name: i64, sizes: [usize; 4]| {
        let [n, c, h, w] = sizes.map(|size| size as i64);
        let strides = match order {
            Order::Planes => [c * h * w, h * w, w, 1],
            Order::Last => [h * w * c, 1, w * c, c],
        };
        Descriptor::new(Kind::CUDNN_BACKEND_TENSOR_DESCRIPTOR)?
            .with(Name::CUDNN_ATTR_TENSOR_DATA_TYPE, &[stored])?
            .with(Name::CUDNN_ATTR_TENSOR_DIMENSIONS, &[n, c, h, w])?
            .with(Name::CUDNN_ATTR_TENSOR_STRIDES, &strides)?
            .with(Name::CUDNN_ATTR_TENSOR_UNIQUE_ID, &[name])?
            .with(Name::CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, &[if key.aligned { ALIGNED as i64 } else { bytes }])?
            .sealed("a tensor of a convolution")
    };
    let x = tensor(X, [g.batch, g.channels_in, g.input.0, g.input.1])?;
    let w = tensor(W, [g.channels_out, g.channels_in, g.kernel.0, g.kernel.1])?;
    let y = tensor(Y, [g.batch, g.channels_out, g.output.0, g.output.1])?;
    let (stride, padding) = ([g.window.stride as i64; 2], [g.window.padding as i64; 2]);
    let window = Descriptor::new(Kind::CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR)?
        .with(Name::CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, &[2i64])?
        .with(Name::CUDNN_ATTR_CONVOLUTION_COMP_TYPE, &[sums])?
        .with(Name::CUDNN_ATTR_CONVOLUTION_CONV_MODE, &[sys::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION])?
        .with(Name::CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, &padding)?
        .with(Name::CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, &padding)?
        .with(Name::CUDNN_ATTR_CONVOLUTION_DILATIONS, &[1i64, 1])?
        .with(Name::CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, &stride)?
        .sealed("the window of a convolution")?;
    macro_rules! operation {
        ($Kind:ident, $Window:ident, $X:ident, $W:ident, $Y:ident, $Alpha:ident, $Beta:ident) => {{
            let operation = Descriptor::new(Kind::$Kind)?
                .with(Name::$Window, &[window.0])?
                .with(Name::$X, &[x.0])?
                .with(Name::$W, &[w.0])?
                .with(Name::$Y, &[y.0])?;
            match key.numbers {
                Numbers::F64 => operation.with(Name::$Alpha, &[1f64])?.with(Name::$Beta, &[0f64])?,
                _ => operation.with(Name::$Alpha, &[1f32])?.with(Name::$Beta, &[0f32])?,
            }
        }};
    }
    let operation = match key.view {
        View::Forward => operation!(
            CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA
        ),
        View::Input => operation!(
            CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA
        ),
        View::Weight => operation!(
            CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA
        ),
    }
    .sealed("the operation of a convolution")?;
    let graph = Descriptor::new(Kind::CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR)?
        .with(Name::CUDNN_ATTR_OPERATIONGRAPH_HANDLE, &[handle.raw])?
        .with(Name::CUDNN_ATTR_OPERATIONGRAPH_OPS, &[operation.0])?
        .sealed("the graph of a convolution")?;
    Ok(vec![x, w, y, window, operation, graph])
}

/// The engines that cuDNN names for the graph at the end, in its order, those with a fixed order of their sums before others.
fn engines(described: &[Descriptor], numbers: Numbers) -> Result<Vec<Descriptor>> {
    use sys::cudnnBackendHeurMode_t::{CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK};
    const WANTED: usize = 24;
    let Some(graph) = described.last() else { bail!("conv2d: no graph") };
    let (mut ordered, mut others) = (vec![], vec![]);
    for mode in [CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK] {
        let heuristic = Descriptor::new(Kind::CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR)?
            .with(Name::CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, &[graph.0])?
            .with(Name::CUDNN_ATTR_ENGINEHEUR_MODE, &[mode])?
            .sealed("the engines of a convolution");
        // There may be none of a kind.
        let Ok(heuristic) = heuristic else { continue };
        let room: Result<Vec<_>> =
            (0..WANTED).map(|_| Descriptor::new(Kind::CUDNN_BACKEND_ENGINECFG_DESCRIPTOR)).collect();
        let room = room?;
        let mut raw: Vec<_> = room.iter().map(|engine| engine.0).collect();
        let count = heuristic.read(Name::CUDNN_ATTR_ENGINEHEUR_RESULTS, &mut raw)?;
        for engine in room.into_iter().take(count) {
            let Ok((notes, behaviors)) = notes(&engine) else { continue };
            let narrow = match numbers {
                Numbers::F32(Precision::F32) => {
                    [Note::TENSOR_CORE, Note::NARROWS, Note::SUMS_NARROW].iter().any(|note| notes.contains(note))
                }
                _ => [Note::NARROWS, Note::SUMS_NARROW].iter().any(|note| notes.contains(note)),
            };
            if !narrow && !behaviors.contains(&Behavior::COMPILES) {
                if notes.contains(&Note::UNORDERED) { &mut others } else { &mut ordered }.push(engine);
            }
        }
    }
    // Engines whose sums vary only where there are no others.
    if ordered.is_empty() {
        ordered = others;
    }
    Ok(ordered)
}

/// What cuDNN says of an engine's numbers, and of how it is made.
fn notes(configured: &Descriptor) -> Result<(Vec<Note>, Vec<Behavior>)> {
    let engine = Descriptor::new(Kind::CUDNN_BACKEND_ENGINE_DESCRIPTOR)?;
    configured.read(Name::CUDNN_ATTR_ENGINECFG_ENGINE, &mut [engine.0])?;
    let (mut notes, mut behaviors) = (vec![Note(u32::MAX); 16], vec![Behavior(u32::MAX); 16]);
    let found = engine.read(Name::CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, &mut notes)?;
    notes.truncate(found);
    let found = engine.read(Name::CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, &mut behaviors)?;
    behaviors.truncate(found);
    Ok((notes, behaviors))
}

/// A plan for an engine, and its workspace in bytes.
fn built(handle: &Handle, engine: &Descriptor) -> Result<(Descriptor, usize)> {
    let plan = Descriptor::new(Kind::CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)?
        .with(Name::CUDNN_ATTR_EXECUTION_PLAN_HANDLE, &[handle.raw])?
        .with(Name::CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, &[engine.0])?
        .sealed("the plan of a convolution")?;
    let mut bytes = [0i64];
    plan.read(Name::CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, &mut bytes)?;
    let bytes = bytes[0].max(0) as usize;
    if bytes > MOST {
        bail!("conv2d: an engine that takes {bytes} bytes");
    }
    Ok((plan, bytes))
}

/// Which plan takes the least time, on memory of its own.
fn fastest(handle: &Handle, device: &CudaDevice, key: &Key, plans: &[(Descriptor, usize)]) -> Result<usize> {
    const RUNS: usize = 8;
    let (g, stream) = (&key.geometry, device.cuda_stream());
    let bytes = if key.numbers == Numbers::F64 { 8 } else { 4 };
    let [x, w, y] = [g.batch * g.input_len(), g.weight_len(), g.batch * g.output_len()].map(|n| n * bytes);
    let sizes = match key.view {
        View::Forward => [x, w, y],
        View::Input => [y, w, x],
        View::Weight => [x, y, w],
    };
    let largest = plans.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
    let mut rooms = vec![];
    for size in sizes.into_iter().chain([largest.max(1)]) {
        rooms.push(device.alloc_zeros::<u8>(size)?);
    }
    let mut address = |at: usize| rooms[at].device_ptr_mut(&stream).0;
    let (places, workspace) = ([address(0), address(1), address(2)], address(3));
    // SAFETY: memory as large as the descriptors say.
    let once = |plan: &Descriptor| unsafe { run(handle, plan, key.view, places, workspace) };
    let mut best = (f64::INFINITY, 0);
    for (at, (plan, _)) in plans.iter().enumerate() {
        let time = || -> Result<f64> {
            once(plan)?;
            stream.synchronize().w()?;
            let began = Instant::now();
            for _ in 0..RUNS {
                once(plan)?;
            }
            stream.synchronize().w()?;
            Ok(began.elapsed().as_secs_f64())
        };
        // An engine that does not run after all is passed over.
        let Ok(first) = time() else { continue };
        let taken = if first < 2.0 * best.0 { time().map_or(first, |second| first.min(second)) } else { first };
        if taken < best.0 {
            best = (taken, at);
        }
    }
    if best.0 == f64::INFINITY {
        bail!("conv2d: none of cuDNN's engines runs {key:?}");
    }
    Ok(best.1)
}
