//! Text timelines: `8x 0/75 200ms` is eight readings of 75 requests, none bad, with a 95th percentile of 200 ms.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use jiff::Timestamp;

use crate::{
    judge::{
        Context, Facts, Memory, Status, Verdict, judge,
        policy::{Policy, Source},
    },
    model::{
        guard::{Baseline, BaselineCounts, GuardSpec},
        preset::Preset,
        reading::{Because, Measured, Reading},
    },
};

/// One guard and all that the judge needs to know of its world.
pub struct World {
    pub policy: Policy,
    pub memory: Memory,
    pub now: Timestamp,
    pub since: Timestamp,
    pub baseline: Option<Baseline>,
    pub facts: Facts,
    pub rolled_out: bool,
    /// Seconds from one reading to the next.
    pub every: u64,
    /// What quantiles reach back over.
    pub over: Duration,
    pub newest: Timestamp,
    /// All readings so far.
    pub readings: Vec<Reading>,
}

/// Time zero of all stories.
pub fn start() -> Timestamp {
    "2026-03-01T03:00:00Z".parse().unwrap()
}

pub fn plus(at: Timestamp, seconds: u64) -> Timestamp {
    at + Duration::from_secs(seconds)
}

pub fn seconds(length: Duration) -> u64 {
    length.as_secs()
}

/// The smallest guard with these further lines of its spec.
pub fn policy(more: &str) -> Policy {
    let yaml = format!("targets: [{{kind: Deployment, name: orders}}]\nmetrics: {{preset: prometheus-http}}\n{more}\n");
    let spec: GuardSpec = serde_saphyr::from_str(&yaml).unwrap_or_else(|why| panic!("{why}"));
    Policy::compile("shop", &spec, &Preset::shipped()).unwrap_or_else(|all| panic!("{all:?}"))
}

pub fn baseline(values: &[(&str, f64)]) -> Baseline {
    let values: BTreeMap<_, _> = values
        .iter()
        .map(|(name, value)| ((*name).to_owned(), *value))
        .collect();
    Baseline {
        taken_at: start(),
        hash: "6f9c".into(),
        counts: BTreeMap::new(),
        values,
    }
}

/// A day of 20 requests a second, that share of them bad, as the Guard's status has it.
pub fn counted(share: f64, dispersion: f64) -> BTreeMap<String, BaselineCounts> {
    let counts = BaselineCounts {
        requests: 1_728_000.0,
        bad: (1_728_000.0 * share).round(),
        dispersion,
        per_step: 1200.0,
        seconds: 86_400.0,
        slower_than: None,
        earlier: None,
    };
    [("error_rate".to_owned(), counts)].into()
}

/// A guard with one trigger.
pub fn one_trigger(condition: &str, more: &str) -> World {
    let action = if more.contains("action:") {
        ""
    } else {
        ", action: automatic_rollback"
    };
    World::new(&format!(
        "triggers: [{{name: t, condition: '{condition}'{action}, {more}}}]"
    ))
}

impl World {
    pub fn new(more: &str) -> Self {
        let policy = policy(more);
        Self {
            memory: Memory::new(&policy),
            policy,
            now: start(),
            since: start().checked_sub(Duration::from_secs(60)).unwrap(),
            baseline: Some(baseline(&[
                ("response_time", 0.2),
                ("error_rate", 0.002),
                ("success_rate", 0.998),
                ("request_rate", 5.0),
            ])),
            facts: Facts::default(),
            rolled_out: true,
            every: 15,
            over: Duration::from_secs(60),
            newest: start(),
            readings: Vec::new(),
        }
    }

    /// Plays the timeline: parts separated by `;`, each `[Nx] READING`, where a reading is `BAD/ALL [RESPONSE_TIME]`, `?` (no
    /// answer) or `=` (nothing new). Answers with one line per reading; lines that only repeat become `…`.
    pub fn play(&mut self, timeline: &str) -> String {
        let mut picture = String::new();
        let mut before = String::new();
        for part in timeline.split(';').map(str::trim) {
            let (times, reading) = match part.split_once("x ") {
                Some((times, reading)) => (times.parse().unwrap(), reading.trim()),
                None => (1, part),
            };
            for _ in 0..times {
                let verdict = self.read(reading);
                let told = tell(&verdict);
                if told != before {
                    let second = self.now.duration_since(start()).as_secs();
                    writeln!(picture, "{second:>5} s  {reading:<14} {told}").unwrap();
                } else if !picture.ends_with("…\n") {
                    picture.push_str("         …\n");
                }
                before = told;
            }
        }
        picture
    }

    /// One reading later.
    pub fn read(&mut self, text: &str) -> Verdict {
        self.now = plus(self.now, self.every);
        let mut words = text.split_whitespace();
        let first = words.next().unwrap();
        let (bad, all) = first.split_once('/').unwrap_or(("0", "0"));
        let counts = (bad.parse().unwrap(), all.parse().unwrap());
        let time = words
            .next()
            .map(|w| w.strip_suffix("ms").unwrap().parse::<f64>().unwrap() / 1000.0);
        if first != "=" && first != "?" {
            self.newest = self.now;
        }
        let because = (first == "?").then(|| Because::NoAnswer("connection refused".into()));
        self.turn(counts, time, because)
    }

    /// One turn with these numbers.
    pub fn turn(&mut self, (bad, total): (f64, f64), time: Option<f64>, because: Option<Because>) -> Verdict {
        let over = self.over;
        let signals = self
            .policy
            .signals
            .iter()
            .map(|signal| match (&because, &signal.source) {
                (Some(because), _) => Measured::Unknown(because.clone()),
                (None, Source::Bad { .. } | Source::Good { .. }) => Measured::Counts { bad, total },
                (None, Source::Rate { .. }) => Measured::Events(total),
                (None, Source::Quantile { .. }) => time.map_or(Measured::Unknown(Because::NoData), |value| {
                    Measured::Value { value, over }
                }),
                (None, Source::Gauge { .. } | Source::Alerts { .. }) => Measured::Value {
                    value: bad,
                    over: Duration::ZERO,
                },
                (None, Source::Complement { .. }) => Measured::Unknown(Because::NoData),
            });
        let reading = Reading {
            at: self.now,
            span: Duration::from_secs(self.every),
            newest: because.is_none().then_some(self.newest),
            signals: signals.collect(),
        };
        self.judge(Some(&reading))
    }

    /// Marks the next turn's data as new.
    pub fn new_data(&mut self) {
        self.newest = plus(self.now, self.every);
    }

    /// The judge, asked.
    pub fn judge(&mut self, reading: Option<&Reading>) -> Verdict {
        let context = Context {
            now: self.now,
            since: self.since,
            baseline: self.baseline.as_ref(),
            facts: &self.facts,
            rolled_out: self.rolled_out,
        };
        self.readings.extend(reading.cloned());
        judge(&self.policy, &mut self.memory, reading, &context)
    }
}

/// The verdict in one line: overall, then every trigger that is not quiet.
pub fn tell(verdict: &Verdict) -> String {
    let mut told = verdict.overall.word().text().to_owned();
    for finding in verdict.firing.iter().filter(|finding| finding.hard_fact) {
        write!(told, " | {} FIRES: {}", finding.name, finding.evidence.sentence).unwrap();
    }
    for (name, trigger) in verdict.named_triggers() {
        match &trigger.status {
            Status::Quiet => {}
            Status::NotArmed(why) => write!(told, " | {name} not armed: {why}").unwrap(),
            Status::Unknown(because) => write!(told, " | {name}: {because}").unwrap(),
            Status::Suspect { .. } => write!(told, " | {name} suspect: {}", trigger.sentence).unwrap(),
            Status::Firing { .. } => write!(told, " | {name} FIRES: {}", trigger.sentence).unwrap(),
        }
    }
    told
}
