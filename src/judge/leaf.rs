//! Pure. One comparison of a condition, made: plainly, surely, and what it was made of.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::{
    condition::{Missing, Truth},
    meter::Read,
    share::Count,
};

/// One comparison, made.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// Over the whole window.
    pub plain: Truth,
    /// As `plain`; where exact bounds are asked for and possible: whether it surely holds over some of the last readings.
    pub sure: Truth,
    /// Exact bounds were asked for and possible.
    pub tested: bool,
    /// It would surely hold, but the newest reading by itself is within the limit: what it was may be over.
    pub passing: bool,
    /// Where exact bounds were asked for: it is beyond the limit also without the two readings that say so loudest; Unknown
    /// where the window holds no others.
    pub lasting: Truth,
    pub quantile: Option<f64>,
    pub missing: Option<Missing>,
    pub value: Option<f64>,
    pub limit: Option<f64>,
    /// What the value was counted from.
    pub count: Option<Count>,
    /// What the evidence meter says, where it has tripped.
    pub odds: Option<Odds>,
}

/// What an evidence meter says.
#[derive(Clone, Copy, Debug)]
pub struct Odds {
    /// The logarithm of so many to one.
    pub log: f64,
    pub read: Read,
}

impl Odds {
    /// So many to one, at most 1e12.
    pub fn to_one(self) -> f64 {
        self.log.exp().min(1e12)
    }
}

impl Leaf {
    /// Whether it holds, plainly or surely.
    pub fn holds(&self) -> bool {
        self.plain == Truth::True || self.sure == Truth::True
    }
}
