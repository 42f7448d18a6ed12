//! Pure but for its lock. Conditions of guards that change all at once, as when Prometheus goes down, are written at a
//! bounded pace; everything else is written at once.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use crate::decide::between;

/// So many guards a second.
const A_SECOND: f64 = 20.0;

/// What may be written now.
#[derive(Debug, Default)]
pub struct Quota(Mutex<Option<(f64, Timestamp)>>);

impl Quota {
    /// Takes one; false: not now.
    pub fn take(&self, now: Timestamp) -> bool {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, at) = kept.unwrap_or((A_SECOND, now));
        let left = (left + between(at, now).as_secs_f64() * A_SECOND).min(A_SECOND);
        let allowed = left >= 1.0;
        *kept = Some((if allowed { left - 1.0 } else { left }, now.max(at)));
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_a_second_and_no_more() {
        let quota = Quota::default();
        let at = |milliseconds: i64| Timestamp::from_millisecond(1_800_000_000_000 + milliseconds).unwrap();
        let taken = |now: Timestamp| (0..1000).filter(|_| quota.take(now)).count();
        assert_eq!(
            (taken(at(0)), taken(at(0)), taken(at(500)), taken(at(60_000))),
            (20, 0, 10, 20)
        );
    }
}
