//! Numbers as a person reads them: what a name says, units, tables.

pub(super) mod csv;
pub(super) mod format;
pub mod names;
pub(super) mod table;
