//! Pure. Numbers as people read them: `31.2 %`, `250 ms`, `64 MiB`, `120/s`, `12 s`.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use super::condition::Dimension;
use crate::model::guard::Unit;

/// The number with its unit, in three significant digits.
pub fn number(value: f64, unit: Dimension) -> String {
    digits(value, unit, 3)
}

/// Two numbers that are to be compared: with more digits where three would make them look the same.
pub fn pair(left: f64, right: f64, unit: Dimension) -> (String, String) {
    let short = (number(left, unit), number(right, unit));
    if short.0 == short.1 {
        (digits(left, unit, 6), digits(right, unit, 6))
    } else {
        short
    }
}

/// A length of time: `0 s`, `12 s`, `1.5 s`, `7.5 min`, `3 h`.
pub fn length(length: Duration) -> String {
    let seconds = length.as_secs_f64();
    if seconds < 120.0 {
        format!("{} s", significant(seconds, 3))
    } else if seconds < 7200.0 {
        format!("{} min", significant(seconds / 60.0, 3))
    } else {
        format!("{} h", significant(seconds / 3600.0, 3))
    }
}

/// `10,000 : 1`, in two digits that matter.
pub fn odds(to_one: f64) -> String {
    let step = 10_f64.powf((to_one.max(1.0).log10() - 1.0).floor()).max(1.0);
    let digits = whole((to_one / step + 1e-9).floor() * step).to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{grouped} : 1")
}

/// A count as a whole number; nothing that is no count is made one.
pub fn whole(count: f64) -> u64 {
    Duration::try_from_secs_f64(count.round()).map_or(0, |seconds| seconds.as_secs())
}

fn digits(value: f64, unit: Dimension, wanted: i32) -> String {
    let scaled = |steps: &[(f64, &str)]| {
        let (step, name) = steps
            .iter()
            .find(|(step, _)| value.abs() >= *step)
            .or(steps.last())
            .copied()
            .unwrap_or((1.0, ""));
        format!("{} {name}", significant(value / step, wanted))
    };
    match unit {
        Dimension::Plain | Dimension::Of(Unit::Count) => significant(value, wanted),
        Dimension::Of(Unit::Ratio) => format!("{} %", significant(value * 100.0, wanted)),
        Dimension::Of(Unit::Seconds) => scaled(&[(1.0, "s"), (1e-3, "ms"), (1e-6, "µs")]),
        Dimension::Of(Unit::Bytes) => scaled(&[
            (1_073_741_824.0, "GiB"),
            (1_048_576.0, "MiB"),
            (1024.0, "KiB"),
            (1.0, "B"),
        ]),
        Dimension::Of(Unit::Rate) => format!("{}/s", significant(value, wanted)),
    }
}

/// Rounded to that many digits that matter, whole digits always kept.
fn significant(value: f64, wanted: i32) -> String {
    let mut decimals: usize = 0;
    let mut reach = value.abs();
    let enough = 10_f64.powi(wanted - 1);
    while reach < enough && reach > 0.0 && decimals < 9 {
        reach *= 10.0;
        decimals += 1;
    }
    let text = format!("{value:.decimals$}");
    let trimmed = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    if trimmed == "-0" {
        "0".to_owned()
    } else {
        trimmed.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let ratio = Dimension::Of(Unit::Ratio);
        let told: Vec<_> = [0.312, 0.05, 0.002, 0.0, 1.0, 0.99963, 1e-5]
            .map(|v| number(v, ratio))
            .into();
        assert_eq!(told, ["31.2 %", "5 %", "0.2 %", "0 %", "100 %", "100 %", "0.001 %"]);
        assert_eq!(pair(0.050_04, 0.05, ratio), ("5.004 %".into(), "5 %".into()));
        let seconds = Dimension::Of(Unit::Seconds);
        assert_eq!(
            [0.25, 1.346, 0.0, 4e-5].map(|v| number(v, seconds)),
            ["250 ms", "1.35 s", "0 µs", "40 µs"]
        );
        assert_eq!(number(67_108_864.0, Dimension::Of(Unit::Bytes)), "64 MiB");
        assert_eq!(number(120.0, Dimension::Of(Unit::Rate)), "120/s");
        assert_eq!(number(12_345.0, Dimension::Of(Unit::Count)), "12345");
        assert_eq!(
            [0, 12, 450, 10_800].map(|s| length(Duration::from_secs(s))),
            ["0 s", "12 s", "7.5 min", "3 h"]
        );
        assert_eq!(
            [0.2, 7.9, 10_000.0, 23_456.0, 1e12].map(odds),
            ["0 : 1", "7 : 1", "10,000 : 1", "23,000 : 1", "1,000,000,000,000 : 1"]
        );
        assert_eq!([412.0, -1.0, f64::NAN].map(whole), [412, 0, 0]);
    }
}
