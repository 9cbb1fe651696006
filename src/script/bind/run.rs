//! The run as a script sees it: `settings`, epochs, logging, its folder; tables.

use super::args;
use super::host::host;
use super::json;
use crate::run::{self, Run, Stop, Value};
use crate::script::language::error::{Res, candle, fail, interrupted};
use crate::script::language::signatures::a_value_of;
use crate::script::values::{Model, Split, Tensor, int};
use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, EvalAltResult, INT, Map, NativeCallContext};
use std::rc::Rc;

pub fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Rc<Run>>("Run");
    engine.register_type_with_name::<Epochs>("Epochs");
    engine.register_iterator_result::<Epochs, INT>();
    engine.register_fn("to_string", |_: &mut Rc<Run>| {
        "run: epochs, log, metrics, checkpoint, keep, kept, result, save, best, csv, path".to_string()
    });
    engine.register_fn("to_debug", |_: &mut Rc<Run>| {
        "run: epochs, log, metrics, checkpoint, keep, kept, result, save, best, csv, path".to_string()
    });
    engine.register_global_module(rhai::exported_module!(run_api).into());
}

/// `for epoch in run.epochs(n)`.
#[derive(Clone)]
pub struct Epochs(run::Epochs);

impl Iterator for Epochs {
    type Item = Res<INT>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|epoch| epoch.map(int).map_err(stopped))
    }
}

/// A loop does not go on.
pub fn stopped(why: Stop) -> Box<EvalAltResult> {
    match why {
        Stop::Interrupted => interrupted(),
        Stop::Failed(message) => fail(message),
    }
}

fn looped(run: &Rc<Run>, count: INT, label: &str) -> Res<Epochs> {
    let count = args::count("run.epochs", "the number of epochs", count)?;
    run::Epochs::begin(run, count, label).map(Epochs).map_err(fail)
}

fn best_of(run: &Rc<Run>, model: &Model, split: &Split, score: &Dynamic, file: Option<&str>) -> Res<bool> {
    let score = args::number("run.best: the score", score)?;
    let save = |path: &std::path::Path| model.0.save(path).map_err(|e| crate::base::error::message(&e));
    run.best(split.0.name(), score, file, save).map_err(fail)
}

fn cells(op: &str, row: &Dynamic) -> Res<Vec<String>> {
    let Ok(array) = row.as_array_ref() else {
        return Err(fail(format!("{op}: a row is an array, got {}", a_value_of(row.type_name()))));
    };
    Ok(array.iter().map(ToString::to_string).collect())
}

#[export_module]
mod run_api {
    #[rhai_fn(return_raw)]
    pub fn settings(context: NativeCallContext, defaults: Map) -> Res<Map> {
        let host = host(&context);
        let settings = host.overrides.borrow_mut().resolve(defaults)?;
        host.run.set_settings(host.overrides.borrow().resolved()).map_err(fail)?;
        Ok(settings)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn epochs(run: &mut Rc<Run>, count: INT) -> Res<Epochs> {
        looped(run, count, "")
    }
    #[rhai_fn(name = "epochs", pure, return_raw)]
    pub fn epochs_named(run: &mut Rc<Run>, count: INT, label: &str) -> Res<Epochs> {
        looped(run, count, label)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn log(run: &mut Rc<Run>, values: Map) -> Res<()> {
        let mut list = vec![];
        for (name, value) in values {
            let value = match value.clone().try_cast::<Tensor>() {
                Some(t) => Value::Tensor(t.0),
                None => Value::Number(args::number(&format!("run.log: `{name}`"), &value)?),
            };
            list.push((name.to_string(), value));
        }
        run.log(list).map_err(fail)
    }
    #[rhai_fn(pure)]
    pub fn status(run: &mut Rc<Run>, text: &str) {
        run.status(text);
    }
    #[rhai_fn(get = "metrics", pure, return_raw)]
    pub fn metrics(run: &mut Rc<Run>) -> Res<Map> {
        let values = run.metrics().map_err(fail)?;
        Ok(values.into_iter().map(|(n, v)| (n.into(), Dynamic::from(v))).collect())
    }
    #[rhai_fn(pure, return_raw)]
    pub fn checkpoint(run: &mut Rc<Run>) -> Res<()> {
        run.checkpoint().map_err(fail)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn keep(run: &mut Rc<Run>, name: &str, value: Dynamic) -> Res<()> {
        run.keep(name, json::json("run.keep", &value)?);
        Ok(())
    }
    #[rhai_fn(pure, return_raw)]
    pub fn kept(run: &mut Rc<Run>, name: &str, default: Dynamic) -> Res<Dynamic> {
        run.kept(name).map_or(Ok(default), |value| json::dynamic(&value))
    }
    #[rhai_fn(pure, return_raw)]
    pub fn result(run: &mut Rc<Run>, result: Map) -> Res<()> {
        run.result(json::json("run.result", &Dynamic::from(result))?).map_err(fail)
    }
    #[rhai_fn(get = "recorded", pure)]
    pub fn recorded(run: &mut Rc<Run>) -> bool {
        run.is_recorded()
    }
    #[rhai_fn(pure, return_raw)]
    pub fn path(run: &mut Rc<Run>, file: &str) -> Res<String> {
        run.file(file).map(|p| p.display().to_string()).map_err(fail)
    }
    #[rhai_fn(name = "save", pure, return_raw)]
    pub fn save_model(run: &mut Rc<Run>, model: Model, file: &str) -> Res<String> {
        let path = run.file(file).map_err(fail)?;
        model.0.save(&path).map_err(candle)?;
        run.saved_weights(path.clone(), model.0.describe());
        Ok(path.display().to_string())
    }
    #[rhai_fn(pure, return_raw)]
    pub fn best(run: &mut Rc<Run>, model: Model, split: Split, score: Dynamic) -> Res<bool> {
        super::best_of(run, &model, &split, &score, None)
    }
    #[rhai_fn(name = "best", pure, return_raw)]
    pub fn best_as(run: &mut Rc<Run>, model: Model, split: Split, score: Dynamic, file: &str) -> Res<bool> {
        super::best_of(run, &model, &split, &score, Some(file))
    }
    #[rhai_fn(pure, return_raw)]
    pub fn csv(run: &mut Rc<Run>, file: &str, head: Array, rows: Array) -> Res<String> {
        let rows = rows.iter().map(|row| cells("run.csv", row)).collect::<Res<Vec<_>>>()?;
        let path = run.file(file).map_err(fail)?;
        crate::run::csv(&path, &cells("run.csv", &Dynamic::from(head))?, &rows).map_err(fail)?;
        Ok(path.display().to_string())
    }
    #[rhai_fn(return_raw)]
    pub fn table(head: Array, rows: Array) -> Res<String> {
        let rows = rows.iter().map(|row| cells("table", row)).collect::<Res<Vec<_>>>()?;
        crate::run::table(&cells("table", &Dynamic::from(head))?, &rows).map_err(fail)
    }
    #[rhai_fn(return_raw)]
    pub fn fixed(x: Dynamic, digits: INT) -> Res<String> {
        Ok(format!("{:.*}", digits.clamp(0, 20) as usize, args::number("fixed", &x)?))
    }
}
