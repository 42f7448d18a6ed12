//! The kubelet's restart delay, pure: at once after the first end, then 10 s, 20 s, 40 s … 300 s after each end; forgotten when a
//! container has run for ten minutes.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(300);
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BackOff {
    current: Option<Duration>,
}

impl BackOff {
    /// How long to wait after a container that ran so long has ended.
    pub(crate) fn after_end(&mut self, ran: Duration) -> Duration {
        let wait = match self.current {
            Some(current) if ran <= FORGOTTEN_AFTER => current,
            _ => Duration::ZERO,
        };
        self.current = Some(if wait.is_zero() { FIRST } else { (wait * 2).min(LONGEST) });
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_from_ten_seconds_after_a_first_restart_at_once() {
        let mut back_off = BackOff::default();
        let waits: Vec<_> = (0..9)
            .map(|_| back_off.after_end(Duration::from_secs(1)).as_secs())
            .collect();
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(back_off.after_end(Duration::from_secs(601)).as_secs(), 0);
        assert_eq!(back_off.after_end(Duration::from_secs(1)).as_secs(), 10);
    }
}
