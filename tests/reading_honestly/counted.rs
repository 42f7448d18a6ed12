//! A poller, and the sums of what it counted.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use modosu::{
    judge::policy::{Policy, Signal, Source},
    model::{
        grade::Scheme,
        guard::{Mode, Unit, Worse},
        reading::{Measured, Reading},
    },
    observe::{
        past::{Stretch, Wanted},
        poll::Poller,
        prometheus::Prometheus,
    },
};
use tokio::time::sleep;

/// What a poller counted so far, by job.
pub struct Counted {
    pub poller: Poller<String>,
    pub guards: BTreeMap<String, Arc<Policy>>,
    pub sums: BTreeMap<String, (f64, f64)>,
    pub last: BTreeMap<String, Reading>,
    pub turns: u64,
}

impl Counted {
    pub fn new(prometheus: Prometheus, jobs: &[&str], metric: &str) -> Self {
        let guards = jobs
            .iter()
            .map(|job| ((*job).to_owned(), Arc::new(policy(job, metric))))
            .collect();
        Self {
            poller: Poller::new(prometheus),
            guards,
            sums: BTreeMap::new(),
            last: BTreeMap::new(),
            turns: 0,
        }
    }

    pub async fn turn(&mut self, now: Timestamp) {
        self.turns += 1;
        let polled = self.poller.turn(&self.guards, now).await;
        for (job, reading) in &polled.readings {
            self.add(job, reading);
        }
        self.last.extend(polled.readings);
    }

    fn add(&mut self, job: &str, reading: &Reading) {
        if let Measured::Counts { bad, total } = reading.signals[0] {
            let sum = self.sums.entry(job.to_owned()).or_default();
            *sum = (sum.0 + bad, sum.1 + total);
        }
    }

    /// The readings since then, in steps of two seconds; live readings go on from there.
    pub async fn past(&mut self, from: Timestamp, now: Timestamp) -> Option<BTreeMap<String, Vec<Reading>>> {
        let stretches = vec![Stretch {
            from,
            to: None,
            step: Duration::from_secs(2),
        }];
        let wanted = |policy: &Arc<Policy>| Wanted {
            policy: policy.clone(),
            stretches: stretches.clone(),
            closely: false,
        };
        let wanted = self.guards.iter().map(|(job, policy)| (job.clone(), wanted(policy)));
        self.poller.past(&wanted.collect(), now, 3).await
    }

    /// A new daemon: it knows nothing, and reads again what happened since then.
    pub async fn restart(&mut self, prometheus: Prometheus, since: Timestamp) {
        self.poller = Poller::new(prometheus);
        self.sums.clear();
        self.last.clear();
        let now = Timestamp::now();
        for (job, readings) in self.past(since, now).await.unwrap() {
            assert!(readings.len() > 5, "{job}: {} readings", readings.len());
            let gaps = readings
                .windows(2)
                .filter(|pair| pair[1].at - pair[1].span != pair[0].at);
            assert_eq!(gaps.count(), 0, "{job}: windows touch and do not overlap");
            let behind = now.duration_since(readings[readings.len() - 1].at);
            assert!(behind < SignedDuration::from_secs(7), "{job}: {behind:#} are left out");
            readings.iter().for_each(|reading| self.add(&job, reading));
        }
    }

    /// The sums, which must be whole numbers.
    pub fn whole(&self) -> BTreeMap<String, (u64, u64)> {
        let whole = |n: f64| n.to_string().parse::<u64>().unwrap_or_else(|_| panic!("{n} requests"));
        let pair = |(job, (bad, total)): (&String, &(f64, f64))| (job.clone(), (whole(*bad), whole(*total)));
        self.sums.iter().map(pair).collect()
    }

    /// Turns at uneven distances for that long.
    pub async fn turns_for(&mut self, seconds: u64) {
        let end = tokio::time::Instant::now() + Duration::from_secs(seconds);
        while tokio::time::Instant::now() < end {
            self.turn(Timestamp::now()).await;
            sleep(Duration::from_millis(400 + self.turns * 137 % 700)).await;
        }
    }
}

pub fn policy(job: &str, metric: &str) -> Policy {
    let hour = Duration::from_secs(3600);
    let bad = format!(r#"{metric}{{code=~"5.."}}"#);
    let ratio = Source::Bad {
        bad,
        total: metric.to_owned(),
    };
    let quantile = Source::Quantile {
        histogram: "duration_seconds".into(),
        q: 0.5,
        scale: 1.0,
    };
    Policy {
        mode: Mode::Enforce,
        matching: [("job", job), ("namespace", "shop")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into(),
        signals: vec![
            Signal {
                name: "error_rate".into(),
                unit: Unit::Ratio,
                worse: Worse::Up,
                source: ratio,
            },
            Signal {
                name: "response_time".into(),
                unit: Unit::Seconds,
                worse: Worse::Up,
                source: quantile,
            },
        ],
        names: Arc::default(),
        triggers: vec![],
        hard_facts: None,
        scheme: Scheme::default().into(),
        window: Duration::from_secs(8),
        baseline_window: hour,
        reference: modosu::judge::policy::Reference::Healthy,
        evidence: None,
        watch_for: hour,
        automatic_for: hour,
        known_good_after: hour,
        cooldown: hour,
        retry_lock: hour,
        lock_fields: Vec::new(),
        within: hour,
        steps: vec![],
        stages: Vec::new(),
        jobs: true,
        before: vec![],
        verify: vec![],
        hold: hour,
    }
}
