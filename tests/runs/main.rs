//! What is made of runs: pages, packs, sweeps.

#[path = "../common/mod.rs"]
mod common;

mod report;
mod sharing;
mod sweep_page;
