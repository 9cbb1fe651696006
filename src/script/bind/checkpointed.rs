//! A checkpoint of what a script has made ([`Objects`](super::objects::Objects)): a script that is run again makes the
//! same in the same order, and their values are put back. [`watch`] sees at run time whether something that training
//! changes was read in an epoch before its pass: then the run goes on at the beginning of an epoch only.

use super::host::Host;
use super::objects::Live;
use super::processes;
use crate::base::error::message;
use crate::compute::collective::Group;
use crate::compute::variables::assign;
use crate::run::{Holder, Piece, Run};
use crate::script::values::{Dataset, Split};
use crate::train::{Part, Vectors};
use candle_core::safetensors::Load;
use candle_core::{DType, Tensor, TensorId};
use rhai::{Array, Dynamic, EvalContext, FnPtr, Map};
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

impl Holder for Host {
    fn made(&self) -> u64 {
        self.objects.borrow().made
    }

    fn counters(&self) -> Value {
        json!({
            "random": self.random.position().to_string(),
            "passes": self.passes.get(),
            "stores": self.stores.get(),
            "objects": self.objects.borrow().made,
        })
    }

    fn set_counters(&self, counters: &Value) -> Result<(), String> {
        let number = |key: &str| counters[key].as_u64().ok_or_else(|| format!("the checkpoint lacks `{key}`"));
        let position = counters["random"].as_str().and_then(|text| text.parse().ok());
        self.random.set_position(position.ok_or("the checkpoint lacks the generator's position")?);
        self.passes.set(number("passes")?);
        self.stores.set(number("stores")?);
        self.objects.borrow_mut().made = number("objects")?;
        Ok(())
    }

    fn pieces(&self, made: u64, vectors: bool) -> Result<(Value, Vec<Piece>), String> {
        let (mut described, mut pieces) = (vec![], vec![]);
        // The parameters of an optimiser are mostly those of a network: once is enough.
        let mut seen: HashSet<TensorId> = HashSet::new();
        for (number, live) in self.objects.borrow().live().filter(|(number, _)| *number < made) {
            let kept = vectors || !matches!(live, Live::Vectors(_));
            described.push(json!({ "number": number, "is": live.describe(), "count": live.count(), "kept": kept }));
            for (name, var) in live.parameters() {
                if seen.insert(var.as_tensor().id()) {
                    pieces.push(Piece::of_tensor(format!("{number}/{name}"), var.as_tensor().detach()));
                }
            }
            match live {
                Live::Model(_) => {}
                Live::Optimizer(optimizer) => {
                    let state = optimizer.borrow().state().map_err(|e| message(&e))?;
                    pieces.extend(state.into_iter().map(|(n, t)| Piece::of_tensor(format!("{number}/{n}"), t)));
                }
                Live::Vectors(vectors) => {
                    if kept {
                        pieces.extend(of_shard(number, &vectors, 0)?);
                    }
                }
            }
        }
        Ok((Value::Array(described), pieces))
    }

    fn pieces_of_shard(&self, made: u64, shard: usize) -> Result<Vec<Piece>, String> {
        let mut pieces = vec![];
        for (number, live) in self.objects.borrow().live().filter(|(number, _)| *number < made) {
            if let Live::Vectors(vectors) = live {
                pieces.extend(of_shard(number, &vectors, shard)?);
            }
        }
        Ok(pieces)
    }

    fn restore_shard(&self, objects: &Value, place: (usize, usize), tensors: &SafeTensors) -> Result<(), String> {
        let there: HashMap<u64, Live> = self.objects.borrow().live().collect();
        for number in objects.as_array().into_iter().flatten().filter_map(|object| object["number"].as_u64()) {
            if let Some(Live::Vectors(vectors)) = there.get(&number) {
                let read = self.read_vectors(number, vectors, place, tensors);
                read.map_err(|e| format!("object {number}: {}", message(&e)))?;
            }
        }
        Ok(())
    }

    fn share(&self, group: &Group) -> Result<(), String> {
        processes::share(self, group)
    }

    fn settle(&self, group: &Group) -> Result<(), String> {
        processes::settle(self, group)
    }

    fn fingerprint(&self) -> String {
        processes::fingerprint(self)
    }

    fn restore(&self, objects: &Value, tensors: &SafeTensors) -> Result<(), String> {
        let there: HashMap<u64, Live> = self.objects.borrow().live().collect();
        for object in objects.as_array().map(Vec::as_slice).unwrap_or_default() {
            let number = object["number"].as_u64().ok_or("an object of the checkpoint has no number")?;
            let was = object["is"].as_str().unwrap_or_default();
            let Some(live) = there.get(&number) else {
                return Err(format!("the script no longer makes object {number}, which was: {was}"));
            };
            if live.describe() != was {
                let is = live.describe();
                return Err(format!(
                    "object {number} of the script was: {was}\nand is now: {is}\nresume with the script and settings of the run"
                ));
            }
            self.put_back(number, live, object, tensors).map_err(|e| format!("object {number}: {}", message(&e)))?;
        }
        Ok(())
    }
}

impl Host {
    fn put_back(&self, number: u64, live: &Live, object: &Value, tensors: &SafeTensors) -> candle_core::Result<()> {
        let stored = |name: &str| tensors.tensor(&format!("{number}/{name}")).ok();
        let tensor = |name: &str| stored(name).map(|view| view.load(&self.device)).transpose();
        for (name, var) in live.parameters() {
            if let Some(value) = tensor(&name)? {
                assign(&var, &value)?;
            }
        }
        let count = object["count"].as_u64().unwrap_or(0);
        match live {
            Live::Model(_) => {}
            Live::Optimizer(optimizer) => {
                let names: Vec<String> = optimizer.borrow().state()?.into_iter().map(|(name, _)| name).collect();
                let mut state: HashMap<String, Tensor> = HashMap::new();
                for name in names {
                    state.extend(tensor(&name)?.map(|value| (name, value)));
                }
                optimizer.borrow_mut().set_state(count as usize, &state)?;
            }
            Live::Vectors(vectors) => {
                vectors.set_draws(count);
                self.read_vectors(number, vectors, (0, 1), tensors)?;
            }
        }
        Ok(())
    }

    fn read_vectors(
        &self,
        number: u64,
        vectors: &Vectors,
        place: (usize, usize),
        tensors: &SafeTensors,
    ) -> candle_core::Result<()> {
        let start = format!("{number}/");
        for (name, view) in tensors.tensors() {
            if let Some(part) = name.strip_prefix(&start) {
                vectors.read_part(place, part, view.data(), || view.load(&self.device))?;
            }
        }
        Ok(())
    }
}

/// What a store has of one of this process's shards.
fn of_shard(number: u64, vectors: &Vectors, shard: usize) -> Result<Vec<Piece>, String> {
    let piece = |part: Part| {
        let (own, name) = (vectors.clone(), part.name.clone());
        Ok(Piece {
            name: format!("{number}/{}", part.name),
            dtype: stored(part.dtype)?,
            shape: part.shape,
            write: Box::new(move |out| own.write_part(shard, &name, out)),
        })
    };
    vectors.parts(shard).into_iter().map(piece).collect()
}

/// A script reads its variable `name`. Before the first batch of an epoch the run has to know whether that may hold, or be
/// made from, what changes while it trains.
pub fn watch(name: &str, context: &EvalContext) {
    let Some(host) = context.tag().read_lock::<Rc<Host>>() else { return };
    if host.run.is_watched() && context.scope().get(name).is_some_and(changes) {
        host.run.used_before_pass(&format!("`{name}`"));
    }
}

/// Plain values and images do not change by themselves; for all others it is assumed.
fn changes(value: &Dynamic) -> bool {
    let value = value.flatten_clone();
    if let Some(items) = value.read_lock::<Array>() {
        return items.iter().any(changes);
    }
    if let Some(entries) = value.read_lock::<Map>() {
        return entries.values().any(changes);
    }
    if let Some(function) = value.read_lock::<FnPtr>() {
        return function.curry().iter().any(changes);
    }
    let plain = value.is_unit() || value.is_bool() || value.is_int() || value.is_float() || value.is_string();
    !plain && !value.is::<Dataset>() && !value.is::<Split>() && !value.is::<Rc<Run>>() && !value.is_char()
}

fn stored(dtype: DType) -> Result<Dtype, String> {
    Ok(match dtype {
        DType::F16 => Dtype::F16,
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
        DType::U8 => Dtype::U8,
        other => return Err(format!("vectors of {} cannot be kept", other.as_str())),
    })
}
