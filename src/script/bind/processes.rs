//! What a script has made, on several processes: the same parameters at the start, means of what no gradient moves, a fingerprint.

use super::host::Host;
use super::objects::Live;
use crate::base::error::message;
use crate::base::hex::hex;
use crate::compute::collective::Group;
use crate::compute::variables::assign;
use candle_core::{DType, Device, Tensor, TensorId, Var};
use safetensors::View;
use sha2::{Digest, Sha256};
use std::collections::HashSet;

/// All parameters that are there, each once.
fn parameters(host: &Host) -> Vec<Var> {
    let mut seen: HashSet<TensorId> = HashSet::new();
    let all =
        host.objects.borrow().live().flat_map(|(_, live)| live.parameters()).map(|(_, var)| var).collect::<Vec<_>>();
    all.into_iter().filter(|var| seen.insert(var.as_tensor().id())).collect()
}

/// Those that no gradient moves, such as running statistics.
fn untrained(host: &Host) -> Vec<Var> {
    let mut found = vec![];
    for (_, live) in host.objects.borrow().live() {
        let Live::Model(model) = live else { continue };
        let trained: HashSet<TensorId> = model.trained().iter().map(|(_, var)| var.as_tensor().id()).collect();
        found.extend(
            model.parameters().iter().map(|(_, var)| var.clone()).filter(|v| !trained.contains(&v.as_tensor().id())),
        );
    }
    found
}

fn bytes_of(var: &Var) -> Vec<u8> {
    View::data(var.as_tensor()).into_owned()
}

/// All processes have the parameters of process 0.
pub fn share(host: &Host, group: &Group) -> Result<(), String> {
    let all = parameters(host);
    let shapes: Vec<String> = all.iter().map(|var| format!("{:?} {:?}", var.dtype(), var.dims())).collect();
    let same = if group.of_first(shapes.clone())? == shapes {
        Ok(())
    } else {
        Err(String::from("the script makes other networks than on process 0; it has to make the same on all processes"))
    };
    group.all_well(same)?;
    for var in all {
        let mut bytes = bytes_of(&var);
        group.broadcast(&mut bytes)?;
        if !group.is_first() {
            let value = Tensor::from_raw_buffer(&bytes, var.dtype(), var.dims(), var.device());
            value.and_then(|value| assign(&var, &value)).map_err(|e| message(&e))?;
        }
    }
    Ok(())
}

/// Parameters that no gradient moves become their means over the processes, where they differ.
pub fn settle(host: &Host, group: &Group) -> Result<(), String> {
    for var in untrained(host) {
        let prints = group.of_all(hex(&Sha256::digest(bytes_of(&var))))?;
        if prints.iter().all(|print| *print == prints[0]) {
            continue;
        }
        let values = var.as_tensor().detach().to_dtype(DType::F64).and_then(|v| v.flatten_all()?.to_vec1::<f64>());
        let mut values = values.map_err(|e| message(&e))?;
        group.sum(&mut values)?;
        values.iter_mut().for_each(|x| *x /= group.world() as f64);
        let mean = Tensor::from_vec(values, var.shape(), &Device::Cpu);
        let mean = mean.and_then(|mean| mean.to_dtype(var.dtype())?.to_device(var.device()));
        mean.and_then(|mean| assign(&var, &mean)).map_err(|e| message(&e))?;
    }
    Ok(())
}

/// What all parameters are, in short.
pub fn fingerprint(host: &Host) -> String {
    let mut sum = Sha256::new();
    parameters(host).iter().for_each(|var| sum.update(bytes_of(var)));
    hex(&sum.finalize())
}
