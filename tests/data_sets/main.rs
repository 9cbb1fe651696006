//! Data sets: formats, folders, parts, batches, augmentation, the hub, the store. In one program, which builds in a fraction of the time of
//! as many programs as files.

#[path = "../common/mod.rs"]
mod common;

mod augmentation;
mod batches;
mod beside;
mod cifar;
mod described;
mod digits;
mod elsewhere;
mod files;
mod folders;
mod hub;
mod npy;
mod own;
mod parquet;
mod parquet_kinds;
mod parts;
mod real;
mod store;
