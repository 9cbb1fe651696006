//! A deadline: who waits for the others longer than that ends, since one of them is gone or hangs. A thread looks when it was that the
//! collective under way was entered.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How often it is looked at.
const LOOKS: Duration = Duration::from_millis(100);

/// What the process does at the moment, as the watching thread sees it.
#[derive(Debug)]
pub struct Watch {
    began: Instant,
    /// When the collective was entered, in milliseconds since `began`, counted from 1; 0 outside.
    entered: AtomicU64,
    /// In milliseconds.
    limit: AtomicU64,
    what: Mutex<(&'static str, String)>,
    over: AtomicBool,
}

impl Watch {
    /// Begin to watch: `end` is called once a collective takes longer than `limit`, with what it was and where.
    pub fn begin(limit: Duration, end: impl Fn(&str) + Send + 'static) -> Arc<Self> {
        let watch = Arc::new(Self {
            began: Instant::now(),
            entered: AtomicU64::new(0),
            limit: AtomicU64::new(limit.as_millis() as u64),
            what: Mutex::default(),
            over: AtomicBool::new(false),
        });
        let own = watch.clone();
        let work = move || {
            while !own.over.load(Ordering::Relaxed) {
                std::thread::sleep(LOOKS.min(limit));
                let (entered, limit) = (own.entered.load(Ordering::Relaxed), own.limit.load(Ordering::Relaxed));
                if entered != 0 && own.now().saturating_sub(entered) > limit {
                    let (what, place) = own.what.lock().map(|what| what.clone()).unwrap_or_default();
                    let place = if place.is_empty() { String::new() } else { format!(" at {place}") };
                    end(&format!(
                        "the other processes have not answered for {:?} ({what}{place}): one of them is gone or hangs, or the script does not do the same on all \
                         of them (--deadline says how long they wait)",
                        Duration::from_millis(limit)
                    ));
                }
            }
        };
        // Without the thread there is no deadline, and the training goes on.
        drop(std::thread::Builder::new().name("deadline".into()).spawn(work));
        watch
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_millis() as u64 + 1
    }

    /// Where the run stands, for the message.
    pub fn at(&self, place: String) {
        if let Ok(mut what) = self.what.lock() {
            what.1 = place;
        }
    }

    /// Do something that waits for the others.
    pub fn inside<T>(&self, what: &'static str, work: impl FnOnce() -> T) -> T {
        if let Ok(mut now) = self.what.lock() {
            now.0 = what;
        }
        self.entered.store(self.now(), Ordering::Relaxed);
        let result = work();
        self.entered.store(0, Ordering::Relaxed);
        result
    }

    /// From now on this is the limit; what it was.
    pub fn set_limit(&self, limit: Duration) -> Duration {
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.limit.swap(limit, Ordering::Relaxed))
    }

    /// Nothing is waited for any more.
    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn who_waits_too_long_is_told_for_what() {
        let (say, said) = channel();
        let watch = Watch::begin(Duration::from_millis(50), move |why| drop(say.send(why.to_string())));
        watch.at("epoch 3/20, batch 5".into());
        assert_eq!(watch.inside("sum", || 7), 7);
        assert!(said.recv_timeout(Duration::from_millis(200)).is_err(), "nothing is waited for");
        watch.inside("sum", || std::thread::sleep(Duration::from_millis(400)));
        watch.end();
        let why = said.recv_timeout(Duration::from_secs(10)).expect("a message");
        assert!(why.contains("50ms (sum at epoch 3/20, batch 5)"), "{why}");
    }
}
