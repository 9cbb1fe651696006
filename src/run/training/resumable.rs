//! Whether a run that stops inside the epoch at hand can go on there.
//!
//! It can between two batches of the epoch's one pass over the training images, if the script comes to that pass in the
//! same way again: what it uses before is done anew, with the networks of a later time. The text of the script says
//! what it carries from batch to batch (`script/check/loop_state`); what it reads before the pass is watched while it
//! runs.

/// What is known of the epoch at hand.
#[derive(Debug)]
pub enum Cut {
    /// The pass has not begun, and nothing speaks against it yet.
    Awaited,
    /// The pass has begun, and its batches count.
    Counted,
    /// The run can go on at the epoch's beginning alone. Has the pass begun?
    Never { why: String, begun: bool },
}

impl Cut {
    /// An epoch begins; `why` speaks against it from the start.
    pub fn begin(why: Option<&str>) -> Self {
        why.map_or(Self::Awaited, |why| Self::Never { why: why.into(), begun: false })
    }

    /// Does it matter what the script uses now?
    pub fn is_watched(&self) -> bool {
        matches!(self, Self::Awaited)
    }

    /// The script has used something that changes while it trains.
    pub fn used_before_pass(self, what: &str) -> Self {
        let begun = matches!(self, Self::Counted | Self::Never { begun: true, .. });
        Self::Never { why: format!("{what} is used in it before the first batch"), begun }
    }

    /// A pass over the training images begins. Is it the epoch's one?
    pub fn begin_pass(self) -> (Self, bool) {
        match self {
            Self::Awaited => (Self::Counted, true),
            Self::Never { why, begun: false } => (Self::Never { why, begun: true }, true),
            other => (other, false),
        }
    }

    /// The run cannot, for this reason, whatever was before.
    pub fn never(self, why: String) -> Self {
        match self {
            Self::Never { .. } => self,
            _ => Self::Never { why, begun: true },
        }
    }

    /// Why the run cannot go on inside the epoch.
    pub fn why_never(&self) -> Option<&str> {
        match self {
            Self::Never { why, .. } => Some(why),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_pass_of_an_epoch_counts() {
        let (cut, first) = Cut::begin(None).begin_pass();
        assert!(first && matches!(cut, Cut::Counted) && !cut.is_watched());
        let (cut, again) = cut.begin_pass();
        assert!(!again && matches!(cut, Cut::Counted));
    }

    #[test]
    fn what_is_used_before_the_pass_speaks_against_it_for_the_whole_epoch() {
        let cut = Cut::begin(None);
        assert!(cut.is_watched());
        let cut = cut.used_before_pass("`model`");
        assert_eq!(cut.why_never(), Some("`model` is used in it before the first batch"));
        assert!(!cut.is_watched());
        let (cut, first) = cut.begin_pass();
        assert!(first && cut.why_never().is_some());
        assert!(!cut.begin_pass().1);
        assert_eq!(Cut::begin(Some("a sum changes")).why_never(), Some("a sum changes"));
    }
}
