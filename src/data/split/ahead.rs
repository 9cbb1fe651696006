//! An iterator whose items are made on a thread of their own, a few ahead of whoever takes them. Dropping it ends the
//! thread; a panic there goes on in the loop.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Builder, JoinHandle};

/// The items of an iterator, in order. Dropping it ends the thread after the item that it is making.
#[derive(Debug)]
pub(in crate::data) struct Ahead<T> {
    /// Both are there until the drop; the receiver goes first, which makes the thread's next `send` fail.
    receiver: Option<Receiver<T>>,
    worker: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Ahead<T> {
    /// Start to make `items`, at most `depth` (1 or more) ahead.
    pub fn start(depth: usize, items: impl Iterator<Item = T> + Send + 'static) -> std::io::Result<Self> {
        // One item waits in the worker's hand until there is room, so that the channel holds one less.
        let (sender, receiver) = sync_channel(depth.saturating_sub(1));
        let work = move || {
            for item in items {
                if sender.send(item).is_err() {
                    return;
                }
            }
        };
        let worker = Builder::new().name("batches".into()).spawn(work)?;
        Ok(Self { receiver: Some(receiver), worker: Some(worker) })
    }
}

impl<T> Iterator for Ahead<T> {
    type Item = T;

    /// A panic on the thread goes on here, as if there were no thread.
    fn next(&mut self) -> Option<T> {
        let item = self.receiver.as_ref()?.recv().ok();
        if item.is_none()
            && let Some(Err(panic)) = self.worker.take().map(JoinHandle::join)
        {
            std::panic::resume_unwind(panic);
        }
        item
    }
}

impl<T> Drop for Ahead<T> {
    fn drop(&mut self) {
        self.receiver = None;
        if let Some(worker) = self.worker.take() {
            // What it may have panicked over is an item that nobody asked for.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn items_come_in_order_and_no_more_than_the_depth_ahead() {
        let made = Arc::new(AtomicUsize::new(0));
        let count = made.clone();
        let items = (0..50_usize).inspect(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
        });
        let mut ahead = Ahead::start(2, items).unwrap();
        for taken in 0..50 {
            assert_eq!(ahead.next(), Some(taken));
            std::thread::sleep(std::time::Duration::from_millis(1));
            let made = made.load(Ordering::SeqCst);
            assert!(made <= taken + 3, "{made} made, {} taken", taken + 1);
        }
        assert_eq!((ahead.next(), ahead.next()), (None, None));
    }

    #[test]
    fn dropping_it_early_ends_the_thread() {
        let alive = Arc::new(());
        let held = alive.clone();
        let mut ahead = Ahead::start(2, (0_usize..).inspect(move |_| _ = &held)).unwrap();
        assert_eq!(ahead.next(), Some(0));
        drop(ahead);
        assert_eq!(Arc::strong_count(&alive), 1, "the thread has let go of what it held");
        // Also before anything was taken.
        drop(Ahead::start(1, 0_usize..).unwrap());
    }

    #[test]
    fn a_panic_comes_out_where_the_item_is_taken() {
        let items = (0..5).inspect(|i| assert!(*i < 2, "no item {i}"));
        let mut ahead = Ahead::start(2, items).unwrap();
        assert_eq!((ahead.next(), ahead.next()), (Some(0), Some(1)));
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ahead.next())).unwrap_err();
        assert_eq!(panic.downcast_ref::<String>().map(String::as_str), Some("no item 2"));
        assert_eq!(ahead.next(), None);
    }
}
