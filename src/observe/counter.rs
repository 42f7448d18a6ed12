//! Pure. A counter as PromQL asks for it: a series of its own, or the count that a native histogram carries.

const COUNT_OF: &str = "histogram_count(";
const SUFFIX: &str = "_count";

/// A counter for some rows.
pub struct Counter {
    series: String,
    native: bool,
}

impl Counter {
    /// By its selector, or by what [`of_native`] makes of one; `with` puts the rows' matchers into it.
    pub fn new(counter: &str, with: &dyn Fn(&str) -> String) -> Self {
        let histogram = counter.strip_prefix(COUNT_OF).and_then(|rest| rest.strip_suffix(')'));
        Self {
            series: with(histogram.unwrap_or(counter)),
            native: histogram.is_some(),
        }
    }

    /// Its samples, for their times and how many they are.
    pub fn samples(&self) -> &str {
        &self.series
    }

    /// What it stands at.
    pub fn now(&self) -> String {
        self.count(self.series.clone())
    }

    /// What it stood at last in such a range.
    pub fn last(&self, range: &str) -> String {
        self.count(format!("last_over_time({}{range})", self.series))
    }

    /// What it stood at first in such a range; of native histograms this cannot be asked.
    pub fn first(&self, range: &str) -> Option<String> {
        (!self.native).then(|| format!("min_over_time({}{range})", self.series))
    }

    fn count(&self, samples: String) -> String {
        if self.native {
            format!("{COUNT_OF}{samples})")
        } else {
            samples
        }
    }
}

/// The native histogram whose count a selector would be: `x{a="b"}` of `x_count{a="b"}`.
pub fn histogram_of(selector: &str) -> Option<String> {
    let (name, matchers) = selector.split_at(selector.find('{').unwrap_or(selector.len()));
    let histogram = name.trim().strip_suffix(SUFFIX)?;
    (!histogram.is_empty()).then(|| format!("{histogram}{matchers}"))
}

/// The same counter where there are native histograms alone; the selector where it is no histogram's count.
pub fn of_native(selector: &str) -> String {
    match histogram_of(selector) {
        Some(histogram) => format!("{COUNT_OF}{histogram})"),
        None => selector.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_native_histograms_count_is_asked_for_in_the_same_places() {
        let with = |selector: &str| format!("{selector}+m");
        let plain = Counter::new("x_count", &with);
        assert_eq!(
            (plain.now(), plain.last("[5m]")),
            ("x_count+m".into(), "last_over_time(x_count+m[5m])".into())
        );
        let native = Counter::new(&of_native(r#"x_count{code="500"}"#), &with);
        assert_eq!(native.samples(), r#"x{code="500"}+m"#);
        assert_eq!(native.now(), r#"histogram_count(x{code="500"}+m)"#);
        assert_eq!(
            native.last("[5m]"),
            r#"histogram_count(last_over_time(x{code="500"}+m[5m]))"#
        );
        assert_eq!(of_native("requests_total"), "requests_total");
        assert_eq!(histogram_of("_count"), None);
    }
}
