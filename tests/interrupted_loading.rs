//! Ctrl-C while a data set is loaded. A single test, in a process of its own: there is one flag for all threads.

mod common;

use common::data::{all, cifar, labels, load, pictures, put};
use workbench::base::interrupt;
use workbench::data::{self, BatchOrder, Dataset, Options};

#[test]
fn loading_stops_and_can_be_done_again() {
    let (records, folders) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    cifar::write(records.path());
    pictures::write(folders.path());
    for class in ["ape", "bee"] {
        put(folders.path(), &format!("own/{class}/1.jpg"), &pictures::jpeg(1, 5, 4));
        put(folders.path(), &format!("own/{class}/2.jpg"), &pictures::jpeg(2, 5, 4));
    }
    let own = folders.path().join("own").display().to_string();
    let loads = || {
        let digits = Dataset::load("digits", &Options::default());
        let own = Dataset::load(&own, &Options::default());
        [("own", own), ("records", load(records.path())), ("folders", load(folders.path())), ("rows", digits)]
    };
    interrupt::request();
    let stopped = loads();
    interrupt::clear();
    for (name, result) in stopped {
        assert!(matches!(result, Err(data::Error::Interrupted)), "{name}: {result:?}");
    }
    for (name, result) in loads() {
        let train = result.unwrap_or_else(|e| panic!("{name}: {e}")).train;
        assert_eq!(train.batches(2, BatchOrder::Sequential).unwrap().count(), all(&train).len().div_ceil(2), "{name}");
        assert_eq!(labels(&train).len(), train.len());
    }
}
