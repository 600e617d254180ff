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

    /// So many.
    pub(crate) fn counted(left: usize) -> Plain {
        Plain { left, asked: true }
    }

    /// Whether nobody has counted them.
    #[inline]
    pub(crate) fn is_unknown(&self) -> bool {
        !self.asked
    }

    /// Takes one, if it is known that one is left.
    #[inline]
    pub(crate) fn take_known(&mut self) -> bool {
        let some = self.left > 0;
        self.left -= usize::from(some);
        some
    }
}
