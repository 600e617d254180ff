//! How many plain entries come next, asked once for each stretch of them.

/// The plain entries that are left in the direction of travel.
pub(crate) struct Plain {
    left: usize,
    /// Nobody asks again before the next entry that was searched for.
    asked: bool,
}

impl Plain {
    /// None, and none to ask for.
    pub(crate) fn none() -> Plain {
        Plain { left: 0, asked: true }
    }

    /// Not known yet.
    pub(crate) fn unknown() -> Plain {
        Plain { left: 0, asked: false }
    }

    /// Takes one, if one is left; `ask` says how many there are, when it is not known.
    #[inline]
    pub(crate) fn take(&mut self, ask: impl FnOnce() -> usize) -> bool {
        if self.left == 0 {
            if self.asked {
                return false;
            }
            *self = Plain { left: ask(), asked: true };
        }
        let some = self.left > 0;
        self.left -= usize::from(some);
        some
    }
}
