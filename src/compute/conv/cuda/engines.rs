//! The engines that cuDNN has for a convolution: which of them count, and which is the fastest
//!
//! Those count whose sums have a fixed order, and in f32 only those that keep off the tensor cores.

use super::cudnn::{Descriptor, Handle, Kind, Name, Value};
use super::graph::{Key, Numbers, View, run};
use crate::compute::precision::Precision;
use candle_core::cuda::cudarc::cudnn::sys;
use candle_core::cuda::cudarc::driver::DevicePtrMut;
use candle_core::cuda::{CudaDevice, WrapErr};
use candle_core::{Result, bail};
use std::time::Instant;

/// Workspace that an engine may take.
const MOST: usize = 1 << 30;

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

/// The engines that cuDNN names for the graph at the end, in its order, those with a fixed order of their sums before others.
pub fn engines(described: &[Descriptor], numbers: Numbers) -> Result<Vec<Descriptor>> {
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
pub fn built(handle: &Handle, engine: &Descriptor) -> Result<(Descriptor, usize)> {
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
pub fn fastest(handle: &Handle, device: &CudaDevice, key: &Key, plans: &[(Descriptor, usize)]) -> Result<usize> {
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
