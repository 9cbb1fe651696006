//! Records of an evaluation, one row per sample, in a folder of their own.

use super::host::host;
use crate::run::records::{self, Row};
use crate::script::language::signatures::{a_value_of, short_type};
use crate::script::language::{Res, fail};
use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, INT, Map, NativeCallContext};
use std::cell::RefCell;
use std::rc::Rc;

pub fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Records>("Records");
    let shown = |r: &mut Records| {
        let r = r.0.borrow();
        format!("Records in {}: {} rows", r.folder().display(), r.rows().len())
    };
    engine.register_fn("to_string", shown);
    engine.register_fn("to_debug", shown);
    engine.register_global_module(rhai::exported_module!(records_api).into());
}

/// The records of one evaluation.
#[derive(Clone)]
pub struct Records(Rc<RefCell<records::Records>>);

/// A script's map as a row: numbers that are not finite become null.
fn row(op: &str, map: &Map) -> Res<Row> {
    let mut row = Row::new();
    for (name, value) in map {
        let value = rhai::serde::from_dynamic::<serde_json::Value>(value).map_err(|_| {
            fail(format!(
                "{op}: `{name}` is one {}; a row holds numbers, texts, truth values and ()",
                short_type(value.type_name())
            ))
        })?;
        row.insert(name.to_string(), value);
    }
    Ok(row)
}

fn map(row: &Row) -> Res<Map> {
    let value = |v: &serde_json::Value| rhai::serde::to_dynamic(v);
    row.iter().map(|(name, v)| Ok((name.as_str().into(), value(v)?))).collect()
}

#[export_module]
mod records_api {
    #[rhai_fn(name = "records", return_raw)]
    pub fn open(context: NativeCallContext, folder: &str, header: Map) -> Res<Records> {
        let folder = host(&context).access.write("records", folder).map_err(fail)?;
        let mut header = row("records", &header)?;
        // Another version may come to another verdict.
        header.insert("program".into(), concat!("workbench ", env!("CARGO_PKG_VERSION")).into());
        let opened = records::Records::open(&folder, header).map_err(fail)?;
        host(&context).run.add_records(&folder).map_err(fail)?;
        Ok(Records(Rc::new(RefCell::new(opened))))
    }
    #[rhai_fn(return_raw)]
    pub fn read_records(context: NativeCallContext, folder: &str) -> Res<Map> {
        let folder = host(&context).access.read("read_records", folder).map_err(fail)?;
        let found = records::read(&folder).map_err(fail)?;
        let rows = found.rows.iter().map(|row| map(row).map(Dynamic::from)).collect::<Res<Array>>()?;
        Ok([
            ("header".into(), Dynamic::from(map(&found.header)?)),
            ("rows".into(), Dynamic::from(rows)),
            ("sealed".into(), found.is_sealed.into()),
            ("closed".into(), found.closing.is_some().into()),
        ]
        .into())
    }
    #[rhai_fn(name = "len", pure)]
    pub fn count(records: &mut Records) -> INT {
        crate::script::values::int(records.0.borrow().rows().len())
    }
    #[rhai_fn(get = "rows", pure, return_raw)]
    pub fn rows(records: &mut Records) -> Res<Array> {
        records.0.borrow().rows().iter().map(|row| map(row).map(Dynamic::from)).collect()
    }
    #[rhai_fn(pure, return_raw)]
    pub fn keep(records: &mut Records, count: INT) -> Res<()> {
        let count = usize::try_from(count).map_err(|_| fail(format!("keep: {count} rows; at least 0 are kept")))?;
        records.0.borrow_mut().truncate(count).map_err(fail)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn add(records: &mut Records, rows: Array, timing: Map) -> Res<()> {
        let list = |value: &Dynamic| match value.read_lock::<Map>() {
            Some(map) => row("add", &map),
            None => Err(fail(format!("add: a row is a map, got {}", a_value_of(value.type_name())))),
        };
        let rows = rows.iter().map(list).collect::<Res<Vec<_>>>()?;
        records.0.borrow_mut().add(rows, &row("add", &timing)?).map_err(fail)
    }
    #[rhai_fn(get = "closed", pure)]
    pub fn closed(records: &mut Records) -> bool {
        records.0.borrow().is_closed()
    }
    #[rhai_fn(pure, return_raw)]
    pub fn close(records: &mut Records) -> Res<()> {
        records.0.borrow_mut().close().map_err(fail)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn parquet(records: &mut Records) -> Res<String> {
        records.0.borrow().parquet().map(|p| p.display().to_string()).map_err(fail)
    }
}
