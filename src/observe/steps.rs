//! Pure. Moments at even distances, as range queries take them.

use std::time::Duration;

use super::query::Moment;

/// Moments at even distances, in whole seconds since 1970: both ends and what lies between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Steps {
    pub first: i64,
    pub last: i64,
    pub step: u64,
}

impl Steps {
    /// The most that one range query may ask for.
    pub const MOST: u64 = 11_000;

    /// The multiples of `step` at whose end a whole step lies within `(from, to]`; `None` where there is none.
    pub fn within(from: Moment, to: Moment, step: Duration) -> Option<Self> {
        let step = step.as_secs().max(1);
        let length = i64::try_from(step).ok()?;
        let begin = from.after(Duration::from_secs(step)).before(Duration::from_millis(1));
        let first = begin.whole_seconds().div_euclid(length) * length + length;
        let last = to.whole_seconds().div_euclid(length) * length;
        (first <= last).then_some(Self { first, last, step })
    }

    /// How many there are.
    pub fn count(self) -> u64 {
        u64::try_from(self.last - self.first).map_or(0, |length| length / self.step + 1)
    }

    /// The same in parts that are each short enough to be asked, oldest first.
    pub fn parts(self) -> impl Iterator<Item = Self> {
        let part = Self::MOST * self.step;
        let length = u64::try_from(self.last - self.first).unwrap_or(0);
        (0..=length / part).map(move |place| {
            let first = self.first.saturating_add_unsigned(place * part);
            Self {
                first,
                last: self.last.min(first.saturating_add_unsigned(part - self.step)),
                step: self.step,
            }
        })
    }

    /// The moments, oldest first.
    pub fn moments(self) -> impl Iterator<Item = Moment> {
        let seconds = (0..self.count()).map(move |place| self.first.saturating_add_unsigned(place * self.step));
        seconds.map(Moment::from_whole_seconds)
    }

    /// The beginning of the first step.
    pub fn begin(self) -> Moment {
        Moment::from_whole_seconds(self.first.saturating_sub_unsigned(self.step))
    }

    /// The end of the last step.
    pub fn end(self) -> Moment {
        Moment::from_whole_seconds(self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(seconds: f64) -> Moment {
        Moment::from_seconds(seconds).unwrap()
    }

    fn within(from: f64, to: f64, step: u64) -> Option<(i64, i64)> {
        let steps = Steps::within(moment(from), moment(to), Duration::from_secs(step))?;
        Some((steps.first, steps.last))
    }

    #[test]
    fn every_step_lies_within_and_is_whole() {
        assert_eq!(within(100.0, 160.0, 15), Some((120, 150)), "100 is no multiple of 15");
        assert_eq!(within(90.0, 150.0, 15), Some((105, 150)), "both ends are");
        assert_eq!(within(90.001, 149.999, 15), Some((120, 135)), "neither end is");
        assert_eq!(within(90.0, 104.9, 15), None, "no step fits");
        assert_eq!(within(150.0, 90.0, 15), None, "the wrong way round");
        let steps = Steps::within(moment(90.0), moment(150.0), Duration::from_secs(15)).unwrap();
        let seconds: Vec<i64> = steps.moments().map(Moment::whole_seconds).collect();
        assert_eq!(seconds, [105, 120, 135, 150]);
        assert_eq!((steps.begin(), steps.end()), (moment(90.0), moment(150.0)));
    }

    #[test]
    fn no_part_is_longer_than_one_query_may_ask_for_and_together_they_are_the_whole() {
        for count in [1, 2, Steps::MOST - 1, Steps::MOST, Steps::MOST + 1, 3 * Steps::MOST + 7] {
            let steps = Steps {
                first: 60,
                last: 60 * i64::try_from(count).unwrap(),
                step: 60,
            };
            assert_eq!(steps.count(), count);
            let parts: Vec<Steps> = steps.parts().collect();
            assert!(
                parts.iter().all(|part| (1..=Steps::MOST).contains(&part.count())),
                "{parts:?}"
            );
            let all = parts.iter().flat_map(|part| part.moments());
            assert!(all.eq(steps.moments()), "{count}: {parts:?}");
        }
    }
}
