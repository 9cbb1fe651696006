//! Where tensors live: `cpu`, `cuda` or `cuda:n`, chosen once on the command line and handed down from there.

use crate::base::memory::available_memory;
use candle_core::Device;

/// The device named by `spec`, or a message that says what is wrong and how to go on.
pub fn parse(spec: &str) -> Result<Device, String> {
    let ordinal = match spec {
        "cpu" => return Ok(Device::Cpu),
        "cuda" => 0,
        _ => spec
            .strip_prefix("cuda:")
            .and_then(|n| n.parse::<usize>().ok())
            .ok_or_else(|| format!("unknown device `{spec}`; use `cpu`, `cuda` or `cuda:N` with N = 0, 1, ..."))?,
    };
    cuda(spec, ordinal)
}

#[cfg(feature = "cuda")]
fn cuda(spec: &str, ordinal: usize) -> Result<Device, String> {
    crate::compute::gpu::cuda::open(ordinal).map_err(|e| {
        format!(
            "device `{spec}` cannot be used: {}; go on with `--device cpu`, or see whether `nvidia-smi` lists the GPU and \
             whether LD_LIBRARY_PATH names the folders of the CUDA libraries",
            crate::base::error::message(&e)
        )
    })
}

#[cfg(not(feature = "cuda"))]
fn cuda(spec: &str, _ordinal: usize) -> Result<Device, String> {
    Err(format!(
        "device `{spec}` cannot be used: this workbench was built without CUDA; go on with `--device cpu`, or build \
         with `cargo build --release --features cuda` on a machine with a CUDA toolkit"
    ))
}

/// The device's name as a script and a report show it: `cpu`, `cuda:0`.
pub fn name(device: &Device) -> String {
    match device.location() {
        candle_core::DeviceLocation::Cpu => "cpu".into(),
        candle_core::DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
        candle_core::DeviceLocation::Metal { gpu_id } => format!("metal:{gpu_id}"),
    }
}

/// Bytes that can still be taken where `device` keeps its tensors.
pub fn available_memory_on(device: &Device) -> u64 {
    #[cfg(feature = "cuda")]
    if let Device::Cuda(device) = device
        && let Ok((free, _)) = device.cuda_stream().context().mem_get_info()
    {
        return free as u64;
    }
    let _ = device;
    available_memory()
}
