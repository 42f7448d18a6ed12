//! Pure. Numbers, times, hashes and states as people read them; the same words on every page.

use jiff::{SignedDuration, Timestamp};

use crate::model::{
    guard::{Mode, State, Unit},
    incident::{IncidentState, StateRef},
};

/// What stands where a number is missing.
pub const MISSING: &str = "–";

/// `31 %`, `182 ms`, `1.5 GiB`, `12 /s`; a missing or infinite number is a dash.
pub fn number(value: Option<f64>, unit: Unit) -> String {
    let Some(value) = value.filter(|v| v.is_finite()) else {
        return MISSING.to_owned();
    };
    match unit {
        Unit::Ratio if (0.9995..1.0).contains(&value) => format!("{:.3} %", value * 100.0),
        Unit::Ratio => format!("{} %", short(value * 100.0)),
        Unit::Seconds if value.abs() == 0.0 => "0 s".to_owned(),
        Unit::Seconds if value.abs() < 0.000_999_5 => format!("{} µs", short(value * 1e6)),
        Unit::Seconds if value.abs() < 0.9995 => format!("{} ms", short(value * 1e3)),
        Unit::Seconds => format!("{} s", short(value)),
        Unit::Bytes => bytes(value),
        Unit::Count => short(value),
        Unit::Rate => format!("{} /s", short(value)),
    }
}

/// Three digits that count, without trailing zeros; from 1000 on whole numbers.
fn short(value: f64) -> String {
    let size = value.abs();
    let text = if size >= 99.95 || size == 0.0 {
        format!("{value:.0}")
    } else if size >= 9.995 {
        format!("{value:.1}")
    } else if size >= 0.1 {
        format!("{value:.2}")
    } else if size >= 0.0001 {
        format!("{value:.4}")
    } else {
        return format!("{value:.1e}");
    };
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

fn bytes(value: f64) -> String {
    let mut size = value;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if size.abs() < 1023.5 {
            return format!("{} {unit}", short(size));
        }
        size /= 1024.0;
    }
    format!("{} TiB", short(size))
}

/// `03:01:12 UTC` on the day of `now`, else with the date.
pub fn clock(at: Timestamp, now: Timestamp) -> String {
    let day = |t: Timestamp| t.strftime("%Y-%m-%d").to_string();
    if day(at) == day(now) {
        at.strftime("%H:%M:%S UTC").to_string()
    } else {
        at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
    }
}

/// `4 min ago`, `in 11 min`, `now`.
pub fn relative(at: Timestamp, now: Timestamp) -> String {
    let distance = now.duration_since(at);
    if distance.abs() < SignedDuration::from_secs(1) {
        "now".to_owned()
    } else if distance.is_negative() {
        format!("in {}", length(distance.abs()))
    } else {
        format!("{} ago", length(distance))
    }
}

/// `03:01:12 UTC (4 min ago)`.
pub fn when(at: Timestamp, now: Timestamp) -> String {
    format!("{} ({})", clock(at, now), relative(at, now))
}

/// `45 s`, `4 min`, `2 h 5 min`, `3 days`: as exact as a person needs it.
pub fn length(d: SignedDuration) -> String {
    let seconds = d.as_secs();
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => match seconds % 3_600 / 60 {
            0 => format!("{} h", seconds / 3_600),
            minutes => format!("{} h {minutes} min", seconds / 3_600),
        },
        _ => format!("{} days", seconds / 86_400),
    }
}

/// `2 min 40 s`: how long something took, to the second where that says something.
pub fn took(d: SignedDuration) -> String {
    let seconds = d.as_secs();
    match (seconds, seconds % 60) {
        (120..3_600, 1..) => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => length(d),
    }
}

/// The first four characters, as people say a hash.
pub fn hash(full: &str) -> String {
    full.chars().take(4).collect()
}

/// Without registry and path; a digest shortened: `orders:1.4.2`, `orders@sha256:9f86d081`.
pub fn image(full: &str) -> String {
    let last = full.rsplit('/').next().unwrap_or(full);
    match last.split_once("@sha256:") {
        Some((name, digest)) => format!("{name}@sha256:{}", digest.chars().take(8).collect::<String>()),
        None => last.to_owned(),
    }
}

/// `orders:1.4.2, sidecar:3`.
pub fn images(all: &[String]) -> String {
    all.iter().map(|i| image(i)).collect::<Vec<_>>().join(", ")
}

/// `6f9c (orders:1.4.2)`.
pub fn named(full_hash: &str, all: &[String]) -> String {
    if all.is_empty() {
        hash(full_hash)
    } else {
        format!("{} ({})", hash(full_hash), images(all))
    }
}

/// `put orders BACK to 6f9c (orders:1.4.2)`: the verb `rollback`.
pub fn back(guard: &str, to: &StateRef) -> String {
    format!("put {guard} BACK to {}", named(&to.hash, &to.images))
}

/// `KEEP 8b21 (orders:1.5.0) running`: the verb `keep`.
pub fn keep(bad: &StateRef) -> String {
    format!("KEEP {} running", named(&bad.hash, &bad.images))
}

/// The name of a mode, as it is written in a guard.
pub const fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Observe => "observe",
        Mode::Ask => "ask",
        Mode::Enforce => "enforce",
    }
}

/// The name of a guard's state, as `kubectl` prints it.
pub const fn state_name(state: State) -> &'static str {
    match state {
        State::NotReady => "NotReady",
        State::Steady => "Steady",
        State::Probation => "Probation",
        State::Suspect => "Suspect",
        State::AwaitingDecision => "AwaitingDecision",
        State::RollingBack => "RollingBack",
        State::Verifying => "Verifying",
        State::Frozen => "Frozen",
        State::Escalated => "Escalated",
    }
}

/// What a guard's state means.
pub const fn state_means(state: State) -> &'static str {
    match state {
        State::NotReady => "not guarded: it cannot be watched as it is written",
        State::Steady => "nothing changed lately, nothing hurts",
        State::Probation => "a change is being watched",
        State::Suspect => "something looks bad; modosu makes sure before it acts",
        State::AwaitingDecision => "modosu waits for your decision",
        State::RollingBack => "the last proven state is being put back",
        State::Verifying => "put back; being proven that it helped",
        State::Frozen => "frozen: modosu writes nothing here",
        State::Escalated => "modosu has stopped; nothing more happens until you act",
    }
}

/// The name of an incident's state, as `kubectl` prints it.
pub const fn incident_state_name(state: IncidentState) -> &'static str {
    match state {
        IncidentState::AwaitingDecision => "AwaitingDecision",
        IncidentState::RollingBack => "RollingBack",
        IncidentState::Verifying => "Verifying",
        IncidentState::Recovered => "Recovered",
        IncidentState::RecoveredByHand => "RecoveredByHand",
        IncidentState::Escalated => "Escalated",
        IncidentState::Kept => "Kept",
        IncidentState::Passed => "Passed",
        IncidentState::Superseded => "Superseded",
        IncidentState::Abandoned => "Abandoned",
        IncidentState::Observed => "Observed",
    }
}

/// The colour class of an incident's state: `bad` asks for a person, `busy` goes on by itself, `fine` is over.
pub const fn incident_tone(state: IncidentState) -> &'static str {
    match state {
        IncidentState::AwaitingDecision | IncidentState::Escalated => "bad",
        IncidentState::RollingBack | IncidentState::Verifying => "busy",
        IncidentState::Observed | IncidentState::Kept | IncidentState::Abandoned => "warn",
        IncidentState::Recovered
        | IncidentState::RecoveredByHand
        | IncidentState::Passed
        | IncidentState::Superseded => "fine",
    }
}

/// `1 guard`, `3 guards`.
pub fn counted(n: usize, noun: &str) -> String {
    if n == 1 {
        format!("1 {noun}")
    } else {
        format!("{n} {noun}s")
    }
}

/// With a capital letter in front; modosu itself is always written small.
pub fn first_upper(text: &str) -> String {
    if text.starts_with("modosu") {
        return text.to_owned();
    }
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_never_invented() {
        let shown = |value, unit| number(Some(value), unit);
        assert_eq!(shown(0.31, Unit::Ratio), "31 %");
        assert_eq!(shown(0.002, Unit::Ratio), "0.2 %");
        assert_eq!(shown(0.999_97, Unit::Ratio), "99.997 %");
        assert_eq!(shown(0.1824, Unit::Seconds), "182 ms");
        assert_eq!(shown(1.5, Unit::Seconds), "1.5 s");
        assert_eq!(shown(0.0, Unit::Seconds), "0 s");
        assert_eq!(shown(1_610_612_736.0, Unit::Bytes), "1.5 GiB");
        assert_eq!(shown(12.0, Unit::Rate), "12 /s");
        assert_eq!(shown(f64::NAN, Unit::Count), MISSING);
        assert_eq!(number(None, Unit::Ratio), MISSING);
    }

    #[test]
    fn times_are_clock_and_distance() {
        let now: Timestamp = "2026-11-22T03:05:00Z".parse().unwrap();
        assert_eq!(
            when("2026-11-22T03:01:00Z".parse().unwrap(), now),
            "03:01:00 UTC (4 min ago)"
        );
        assert_eq!(relative("2026-11-22T03:16:30Z".parse().unwrap(), now), "in 11 min");
        assert_eq!(
            clock("2026-11-21T23:00:00Z".parse().unwrap(), now),
            "2026-11-21 23:00:00 UTC"
        );
    }

    #[test]
    fn an_image_is_what_people_call_it() {
        assert_eq!(image("ghcr.io/team/orders:1.4.2"), "orders:1.4.2");
        assert_eq!(
            image("registry:5000/orders@sha256:9f86d081884c7d65"),
            "orders@sha256:9f86d081"
        );
    }
}
