//! What is on the screen: a live line on a terminal, one plain line per epoch anywhere else. Notes and what the script prints
//! stand above the live line.

use super::pace::Pace;
use super::place::Place;
use super::shown;
use crate::base::output;
use crate::run::numbers::duration;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::cell::Cell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// How often values are read back from the device and shown.
const INTERVAL: Duration = Duration::from_millis(500);

/// The screen, as a run uses it.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    pace: Cell<Pace>,
    shown: Cell<Option<Instant>>,
    is_mute: bool,
}

impl Progress {
    /// On the terminal, if there is one.
    pub fn new() -> Self {
        let live = std::io::stderr().is_terminal();
        let target = if live { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        Self { bar, pace: Cell::default(), shown: Cell::default(), is_mute: false }
    }

    /// Nothing is shown: another process has the screen.
    pub fn mute() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        Self { bar, pace: Cell::default(), shown: Cell::default(), is_mute: true }
    }

    /// A line of the script's output, to stdout.
    pub fn print(&self, text: &str) {
        if !self.is_mute {
            self.bar.suspend(|| output::line(text));
        }
    }

    /// A line to whoever runs the script, on stderr.
    pub fn note(&self, text: &str) {
        if !self.is_mute {
            self.bar.suspend(|| output::note(text));
        }
    }

    /// Show `text` as the live line, until something else is shown.
    pub fn status(&self, text: &str) {
        if self.bar.is_hidden() {
            return;
        }
        if self.bar.is_finished() {
            self.bar.reset();
        }
        self.set_style("{wide_msg}");
        self.bar.set_message(text.to_string());
        self.bar.tick();
    }

    /// A loop begins.
    pub fn begin_loop(&self) {
        self.pace.set(Pace::begin());
        self.shown.set(None);
    }

    /// It begins with epoch `first`.
    pub fn begun_at(&self, first: usize) {
        self.pace.set(self.pace.get().begun_at(first));
    }

    /// An epoch begins.
    pub fn begin_epoch(&self) {
        self.pace.set(self.pace.get().begin_epoch());
    }

    /// Is it time to show something? Then it counts as shown.
    pub fn is_due(&self) -> bool {
        let due = self.shown.get().is_none_or(|t| t.elapsed() >= INTERVAL);
        if due {
            self.shown.set(Some(Instant::now()));
        }
        due
    }

    /// Draw the live line, with the values of the epoch at hand if there is one.
    pub fn draw(&self, place: &Place, epoch: Option<&[(String, f64)]>) {
        if self.bar.is_hidden() || place.batches == 0 {
            return;
        }
        let share = place.batch as f64 / place.batches as f64;
        let (prefix, message) = match epoch {
            Some(values) => {
                let left = self.pace.get().left(place.epochs, place.epoch, share);
                let left = left.map(|l| format!("  left {}", duration(l))).unwrap_or_default();
                (format!("{}  batch", place.head()), format!("{}{left}", shown::line(values)))
            }
            None => ("batch".into(), String::new()),
        };
        // Each setter may draw: the texts come first, so that no frame mixes an old one with new numbers.
        self.bar.set_prefix(prefix);
        self.bar.set_message(message);
        if self.bar.is_finished() {
            self.bar.reset();
        }
        self.set_style("{prefix} {pos}/{len}  {wide_msg}");
        self.bar.set_length(place.batches as u64);
        self.bar.set_position(place.batch as u64);
        self.bar.tick();
    }

    /// The line of an epoch that is over, with the time that is left if the loop goes on.
    pub fn epoch_line(&self, place: &Place, values: &[(String, f64)], goes_on: bool) -> String {
        let pace = self.pace.get();
        let mut line = format!("{}  {}  {}", place.head(), shown::line(values), duration(pace.epoch()));
        if let Some(left) = pace.left(place.epochs, place.epoch + 1, 0.0).filter(|_| goes_on) {
            line += &format!("  left {}", duration(left));
        }
        line
    }

    /// Take the live line away.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }

    fn set_style(&self, template: &str) {
        let style = ProgressStyle::with_template(template);
        self.bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    }
}
