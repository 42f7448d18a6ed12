//! Pure. Traffic that is gone: counted, scraped and Ready, and nobody comes any more.
//!
//! Gone is what fell at once. The rate, over steps as long as the guard's window, is compared with the baseline and with
//! the median of the fifteen steps before it fell; below a tenth of both it is low. A night comes slowly: the median
//! follows it. What is low for two whole steps, and for so long that at least twenty requests should have come, is gone, if
//! Prometheus says that every target is up and that what left did not arrive elsewhere in the namespace (a switch from blue
//! to green). Where the series themselves are missing (a renamed metric, a scrape that fails) nothing is known.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::{collections::VecDeque, time::Duration};

use super::words;

/// Less than this share of before.
const GONE: f64 = 0.1;
/// So many steps are remembered, and so many are needed.
const STEPS: usize = 15;
const NEEDED: usize = 5;
/// At least so many requests should have come.
const EXPECTED: f64 = 20.0;
/// After so long the low rate is the usual one.
const USUAL: f64 = 3600.0;
/// Where so much of what left arrived elsewhere, it moved.
const MOVED: f64 = 0.5;

/// What the targets and the neighbours say while the rate is low.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Told {
    /// Every target of the guard's rows is up.
    pub up: bool,
    /// Requests per second of the whole namespace, before it fell and now; nothing where that cannot be told.
    pub around: Option<(f64, f64)>,
}

/// The rate of one guard, remembered.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// How long a step is, in seconds.
    length: f64,
    /// Requests per second of whole steps, the newest last. They outlive a change: a release may lose the traffic.
    steps: VecDeque<f64>,
    /// Requests and seconds of the step that is not whole yet.
    begun: (f64, f64),
    /// Requests and seconds since it is low.
    low: Option<(f64, f64)>,
    told: Option<Told>,
    /// A step ended since they were asked.
    stale: bool,
}

impl Traffic {
    /// Nothing remembered yet; steps are as long as the guard's window.
    pub fn new(window: Duration) -> Self {
        Self {
            length: window.as_secs_f64(),
            steps: VecDeque::new(),
            begun: (0.0, 0.0),
            low: None,
            told: None,
            stale: false,
        }
    }

    /// Counted by a reading with new data.
    pub fn count(&mut self, requests: f64, seconds: f64) {
        self.begun = (self.begun.0 + requests, self.begun.1 + seconds);
        let (requests, seconds) = self.begun;
        if seconds < self.length {
            return;
        }
        self.begun = (0.0, 0.0);
        let usual = self.usual();
        if usual.is_some_and(|usual| requests / seconds < usual * GONE) {
            let (sum, length) = self.low.unwrap_or_default();
            self.low = Some((sum + requests, length + seconds));
            self.stale = true;
            if length + seconds < USUAL {
                return;
            }
            self.steps.clear();
        }
        self.rises();
        self.steps.push_back(requests / seconds);
        if self.steps.len() > STEPS {
            self.steps.pop_front();
        }
    }

    /// Nothing is known: what was low may not be any more.
    pub const fn lose(&mut self) {
        self.begun = (0.0, 0.0);
        self.rises();
    }

    const fn rises(&mut self) {
        self.low = None;
        self.told = None;
    }

    /// The median before it fell.
    fn usual(&self) -> Option<f64> {
        let mut sorted: Vec<f64> = self.steps.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().filter(|_| sorted.len() >= NEEDED)
    }

    /// For how long it is low, where that is for the targets and the neighbours to explain.
    pub fn asks(&self, baseline: Option<f64>) -> Option<Duration> {
        let ((requests, seconds), usual, baseline) = (self.low?, self.usual()?, baseline?);
        let long = seconds >= self.length * 2.0 && usual * seconds >= EXPECTED;
        let low = requests / seconds < baseline * GONE && long;
        low.then(|| Duration::try_from_secs_f64(seconds).unwrap_or_default())
    }

    /// The same, where they are to be asked now.
    pub fn asks_now(&self, baseline: Option<f64>) -> Option<Duration> {
        self.asks(baseline).filter(|_| self.stale || self.told.is_none())
    }

    /// What they say; where they do not answer, what they said before does not hold any more.
    pub const fn tell(&mut self, told: Option<Told>) {
        self.told = told;
        self.stale = false;
    }

    /// Whether it is gone, in a sentence.
    pub fn gone(&self, baseline: Option<f64>, ready: bool) -> Option<String> {
        let length = self.asks(baseline).filter(|_| ready)?;
        let ((requests, seconds), usual, told) = (self.low?, self.usual()?, self.told?);
        if !told.up {
            return None;
        }
        let left = usual - requests / seconds;
        if let Some((before, now)) = told.around
            && left - (before - now) >= left * MOVED
        {
            return None;
        }
        Some(format!(
            "{} requests in {}, {} a second came before; its targets are up and its pods Ready",
            words::whole(requests),
            words::length(length),
            words::whole(usual.round()),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASELINE: Option<f64> = Some(50.0);
    const UP: Told = Told {
        up: true,
        around: Some((120.0, 70.0)),
    };

    /// A minute of this rate, in readings of 15 s.
    fn minutes(traffic: &mut Traffic, rates: &[f64]) {
        for rate in rates {
            (0..4).for_each(|_| traffic.count(rate * 15.0, 15.0));
        }
    }

    fn busy() -> Traffic {
        let mut traffic = Traffic::new(Duration::from_secs(60));
        minutes(&mut traffic, &[50.0; 10]);
        traffic
    }

    #[test]
    fn what_falls_at_once_is_gone_when_its_targets_are_up() {
        let mut traffic = busy();
        assert_eq!(traffic.asks(BASELINE), None);
        minutes(&mut traffic, &[0.0]);
        assert_eq!(
            traffic.asks(BASELINE),
            None,
            "what left may arrive elsewhere a moment later"
        );
        minutes(&mut traffic, &[0.0]);
        assert_eq!(traffic.asks(BASELINE), Some(Duration::from_secs(120)));
        assert_eq!(traffic.gone(BASELINE, true), None, "nobody said anything yet");
        traffic.tell(Some(UP));
        assert_eq!(
            traffic.gone(BASELINE, true).unwrap(),
            "0 requests in 2 min, 50 a second came before; its targets are up and its pods Ready"
        );
        assert_eq!(traffic.gone(BASELINE, false), None, "its pods are not Ready");
        assert_eq!(traffic.gone(None, true), None, "no baseline");
        traffic.tell(Some(Told { up: false, ..UP }));
        assert_eq!(traffic.gone(BASELINE, true), None, "it is not scraped");
        traffic.tell(Some(UP));
        minutes(&mut traffic, &[50.0]);
        assert_eq!(traffic.gone(BASELINE, true), None, "it is back");
    }

    #[test]
    fn a_night_comes_slowly() {
        let mut traffic = busy();
        let mut rate = 50.0;
        while rate > 0.05 {
            minutes(&mut traffic, &[rate; 10]);
            assert_eq!(traffic.asks(BASELINE), None, "at {rate}/s");
            rate *= 0.4;
        }
    }

    #[test]
    fn what_moved_elsewhere_is_not_gone() {
        let mut traffic = busy();
        minutes(&mut traffic, &[0.0, 0.0]);
        for (around, gone) in [
            (Some((120.0, 119.0)), false),
            (Some((120.0, 96.0)), false),
            (Some((120.0, 80.0)), true),
            (None, true),
        ] {
            traffic.tell(Some(Told { up: true, around }));
            assert_eq!(traffic.gone(BASELINE, true).is_some(), gone, "{around:?}");
        }
    }

    #[test]
    fn one_minute_of_many_requests_makes_the_usual_no_fall() {
        let mut traffic = Traffic::new(Duration::from_secs(60));
        minutes(&mut traffic, &[4.0, 4.0, 4.0, 4.0, 4.0, 90.0, 4.0]);
        assert_eq!(traffic.asks(BASELINE), None);
    }

    #[test]
    fn a_quiet_service_is_given_the_time_that_it_needs() {
        let mut traffic = Traffic::new(Duration::from_secs(60));
        minutes(&mut traffic, &[0.1; 15]);
        let baseline = Some(0.1);
        minutes(&mut traffic, &[0.0, 0.0, 0.0]);
        assert_eq!(traffic.asks(baseline), None, "18 requests should have come");
        minutes(&mut traffic, &[0.0]);
        assert!(traffic.asks(baseline).is_some());
    }

    #[test]
    fn what_is_not_known_is_not_gone_and_after_an_hour_it_is_the_usual() {
        let mut traffic = busy();
        minutes(&mut traffic, &[0.0, 0.0]);
        traffic.lose();
        assert_eq!(traffic.asks(BASELINE), None);
        let mut traffic = busy();
        minutes(&mut traffic, &[0.0; 61]);
        assert_eq!(traffic.asks(BASELINE), None);
    }
}
