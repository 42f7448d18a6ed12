//! Every request is counted exactly once: on a real Prometheus that scrapes slow, young, restarting and failing
//! targets, and on the embedded one.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a test may stop at the first surprise"
)]

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, extract::Path, http::StatusCode, routing::get};
use jiff::Timestamp;
use modosu::{
    judge::policy::{Policy, Signal, Source},
    model::{
        guard::{Mode, Scheme, Unit},
        reading::{Because, Measured, Reading},
        units::Length,
    },
    observe::{
        poll::Poller,
        prometheus::{Prometheus, Settings},
    },
};
use modosu_world::{World, WorldOptions};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    process::{Child, Command},
    time::sleep,
};

/// One exporter: what it counts, how long it takes to say so, and whether it can.
#[derive(Clone, Debug, Default)]
struct Exporter {
    job: &'static str,
    counters: BTreeMap<&'static str, u64>,
    delay_ms: u64,
    broken: bool,
    extra: &'static str,
}

impl Exporter {
    fn page(&self) -> String {
        let mut page = "# TYPE requests_total counter\n".to_owned();
        for (code, value) in &self.counters {
            writeln!(page, "requests_total{{code=\"{code}\"}} {value}").unwrap();
        }
        page + self.extra
    }
}

/// A real Prometheus and the exporters that it scrapes every two seconds.
struct Real {
    exporters: Arc<Mutex<BTreeMap<String, Exporter>>>,
    folder: TempDir,
    listen: String,
    metrics: String,
    process: Option<Child>,
}

impl Real {
    async fn start() -> Self {
        let exporters: Arc<Mutex<BTreeMap<String, Exporter>>> = Arc::default();
        let known = exporters.clone();
        let page = move |Path(name): Path<String>| {
            let exporter = known.lock().unwrap().get(&name).cloned().unwrap_or_default();
            async move {
                sleep(Duration::from_millis(exporter.delay_ms)).await;
                let status = if exporter.broken {
                    StatusCode::INTERNAL_SERVER_ERROR
                } else {
                    StatusCode::OK
                };
                (status, exporter.page())
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let metrics = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/metrics/{name}", get(page))).await });
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let mut real = Self {
            exporters,
            folder: TempDir::new().unwrap(),
            listen: free.to_string(),
            metrics,
            process: None,
        };
        let config = json!({
            "global": {"scrape_interval": "2s", "scrape_timeout": "2s"},
            "scrape_configs": [{"job_name": "any", "file_sd_configs": [
                {"files": [real.folder.path().join("targets.json")], "refresh_interval": "1s"}]}],
        });
        std::fs::write(real.folder.path().join("prometheus.yaml"), config.to_string()).unwrap();
        real.targets();
        real.launch().await;
        real
    }

    async fn launch(&mut self) {
        let binaries = std::env::var_os("MODOSU_CLUSTER_BIN").expect("MODOSU_CLUSTER_BIN: run `tests/run`");
        let at = |name: &str| self.folder.path().join(name).display().to_string();
        let child = Command::new(PathBuf::from(binaries).join("prometheus"))
            .args([
                "--config.file",
                &at("prometheus.yaml"),
                "--storage.tsdb.path",
                &at("data"),
            ])
            .args(["--web.listen-address", &self.listen, "--log.level", "error"])
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        self.process = Some(child);
        while self.prometheus().query("time()", None).await.is_err() {
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Ends Prometheus as a power cut does; its data stays.
    async fn cut(&mut self) {
        self.process.as_mut().unwrap().kill().await.unwrap();
    }

    fn prometheus(&self) -> Prometheus {
        let url = format!("http://{}", self.listen);
        Prometheus::http(&Settings {
            url,
            timeout: Length::seconds(5),
            ..Settings::default()
        })
        .unwrap()
    }

    fn set(&self, name: &str, change: impl FnOnce(&mut Exporter)) {
        change(self.exporters.lock().unwrap().entry(name.to_owned()).or_default());
    }

    /// Tells Prometheus of all exporters.
    fn targets(&self) {
        let group = |(name, exporter): (&String, &Exporter)| {
            let labels = json!({"instance": name, "job": exporter.job, "namespace": "shop", "__metrics_path__": format!("/metrics/{name}")});
            json!({"targets": [self.metrics], "labels": labels})
        };
        let groups: Vec<_> = self.exporters.lock().unwrap().iter().map(group).collect();
        let file = self.folder.path().join("targets.json");
        let draft = self.folder.path().join("targets.draft");
        std::fs::write(&draft, serde_json::to_vec(&groups).unwrap()).unwrap();
        std::fs::rename(draft, file).unwrap();
    }
}

/// What a poller counted so far, by job.
struct Counted {
    poller: Poller<String>,
    guards: BTreeMap<String, Arc<Policy>>,
    sums: BTreeMap<String, (f64, f64)>,
    last: BTreeMap<String, Reading>,
    turns: u64,
}

impl Counted {
    fn new(prometheus: Prometheus, jobs: &[&str], metric: &str) -> Self {
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

    async fn turn(&mut self, now: Timestamp) {
        self.turns += 1;
        let polled = self.poller.turn(&self.guards, now).await;
        for (job, reading) in &polled.readings {
            if let Measured::Counts { bad, total } = reading.signals[0] {
                let sum = self.sums.entry(job.clone()).or_default();
                *sum = (sum.0 + bad, sum.1 + total);
            }
        }
        self.last.extend(polled.readings);
    }

    /// Turns at uneven distances for that long.
    async fn turns_for(&mut self, seconds: u64) {
        let end = tokio::time::Instant::now() + Duration::from_secs(seconds);
        while tokio::time::Instant::now() < end {
            self.turn(Timestamp::now()).await;
            sleep(Duration::from_millis(400 + self.turns * 137 % 700)).await;
        }
    }
}

fn policy(job: &str, metric: &str) -> Policy {
    let hour = Duration::from_secs(3600);
    let bad = format!(r#"{metric}{{code=~"5.."}}"#);
    let ratio = Source::Bad {
        bad,
        total: metric.to_owned(),
    };
    let quantile = Source::Quantile {
        histogram: "duration_seconds".into(),
        q: 0.5,
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
                source: ratio,
            },
            Signal {
                name: "response_time".into(),
                unit: Unit::Seconds,
                source: quantile,
            },
        ],
        triggers: vec![],
        hard_facts: None,
        scheme: Scheme::Severities,
        window: Duration::from_secs(8),
        baseline_window: hour,
        watch_for: hour,
        automatic_for: hour,
        known_good_after: hour,
        cooldown: hour,
        within: hour,
        steps: vec![],
        verify: vec![],
        hold: hour,
    }
}

#[tokio::test]
async fn every_request_is_counted_exactly_once() {
    let mut real = Real::start().await;
    let jobs = [("quick", 50), ("usual", 400), ("slow", 1500)];
    let names = |job: &str| (0..6).map(|n| format!("{job}-{n}")).collect::<Vec<_>>();
    for (job, delay_ms) in jobs {
        for name in names(job) {
            real.set(&name, |e| {
                *e = Exporter {
                    job,
                    counters: [("200", 1000)].into(),
                    delay_ms,
                    ..Exporter::default()
                }
            });
        }
    }
    real.targets();
    // Prometheus takes up to five seconds to read the file.
    sleep(Duration::from_secs(12)).await;
    let mut counted = Counted::new(real.prometheus(), &jobs.map(|(job, _)| job), "requests_total");
    counted.turns_for(5).await;

    // Requests come in while Prometheus scrapes and modosu reads, each at its own time.
    let mut grown = BTreeMap::from(jobs.map(|(job, _)| (job, (0_u64, 0_u64))));
    for round in 0..20 {
        for (job, _) in jobs {
            for (place, name) in names(job).iter().enumerate() {
                let more = 3 + (round + u64::try_from(place).unwrap()) % 5;
                real.set(name, |e| *e.counters.entry("200").or_default() += more);
                grown.get_mut(job).unwrap().1 += more;
            }
        }
        counted.turns_for(1).await;
    }
    counted.turns_for(3).await;
    // The first errors ever; a new pod with its first requests; a restart that keeps nothing.
    for (job, delay_ms) in jobs {
        real.set(&format!("{job}-0"), |e| *e.counters.entry("500").or_default() += 30);
        let counters = [("200", 7), ("500", 2)].into();
        real.set(&format!("{job}-new"), |e| {
            *e = Exporter {
                job,
                counters,
                delay_ms,
                ..Exporter::default()
            }
        });
        real.set(&format!("{job}-1"), |e| e.counters = [("200", 5)].into());
        let (bad, total) = grown.get_mut(job).unwrap();
        (*bad, *total) = (*bad + 32, *total + 30 + 9 + 5);
    }
    real.targets();
    counted.turns_for(8).await;
    // Scrapes that fail for a while: what happened meanwhile counts when they succeed again.
    for (job, _) in jobs {
        real.set(&format!("{job}-2"), |e| {
            (e.broken, *e.counters.entry("200").or_default()) = (true, 2000)
        });
    }
    counted.turns_for(5).await;
    for (job, _) in jobs {
        let name = format!("{job}-2");
        let before = 1000 + (0..20_u64).map(|round| 3 + (round + 2) % 5).sum::<u64>();
        real.set(&name, |e| e.broken = false);
        grown.get_mut(job).unwrap().1 += 2000 - before;
    }
    counted.turns_for(8).await;
    // Prometheus itself dies and comes back with its data.
    real.cut().await;
    counted.turns_for(3).await;
    for (job, _) in jobs {
        real.set(&format!("{job}-3"), |e| *e.counters.entry("200").or_default() += 11);
        grown.get_mut(job).unwrap().1 += 11;
    }
    real.launch().await;
    counted.turns_for(12).await;

    for (job, (bad, total)) in grown {
        let whole = |n: u64| f64::from(u32::try_from(n).unwrap());
        let (counted_bad, counted_total) = counted.sums[job];
        assert!(
            (counted_bad - whole(bad)).abs() < 1e-6 && (counted_total - whole(total)).abs() < 1e-6,
            "{job}: {counted_bad} bad of {counted_total} counted in {} turns, {bad} of {total} happened",
            counted.turns
        );
    }
}

#[tokio::test]
async fn a_prometheus_that_lost_its_data_counts_nobodys_history() {
    let mut real = Real::start().await;
    for n in 0..8 {
        let counters = [("200", 100_000), ("500", 9_000)].into();
        real.set(&format!("old-{n}"), |e| {
            *e = Exporter {
                job: "old",
                counters,
                delay_ms: 20,
                ..Exporter::default()
            }
        });
    }
    real.targets();
    sleep(Duration::from_secs(5)).await;
    let mut counted = Counted::new(real.prometheus(), &["old"], "requests_total");
    counted.turns_for(3).await;
    real.cut().await;
    std::fs::remove_dir_all(real.folder.path().join("data")).unwrap();
    real.launch().await;
    counted.turns_for(10).await;
    assert_eq!(counted.sums["old"], (0.0, 0.0));
    assert!(
        matches!(counted.last["old"].signals[0], Measured::Counts { .. }),
        "{:?}",
        counted.last
    );
}

#[tokio::test]
async fn one_services_malformed_buckets_blind_that_service_alone() {
    let real = Real::start().await;
    let sound = "# TYPE duration_seconds histogram\nduration_seconds_bucket{le=\"0.1\"} 5\nduration_seconds_bucket{le=\"+Inf\"} 5\nduration_seconds_sum 0.2\nduration_seconds_count 5\n";
    let malformed = "duration_seconds_bucket{le=\"fast\"} 5\nduration_seconds_bucket{le=\"+Inf\"} 5\n";
    for (job, extra) in [("a", sound), ("b", sound), ("c", malformed), ("d", sound), ("e", sound)] {
        let counters = [("200", 10)].into();
        real.set(job, |e| {
            *e = Exporter {
                job,
                counters,
                extra,
                ..Exporter::default()
            }
        });
    }
    real.targets();
    sleep(Duration::from_secs(10)).await;
    let mut counted = Counted::new(real.prometheus(), &["a", "b", "c", "d", "e"], "requests_total");
    for _ in 0..2 {
        counted.turns_for(2).await;
        let time = |job: &str| counted.last[job].signals[1].clone();
        assert!(
            matches!(time("c"), Measured::Unknown(Because::Partial(why)) if why.contains("le")),
            "{:?}",
            time("c")
        );
        // Nothing happens between the scrapes, so the others have no quantile; but they have an answer.
        assert_eq!(
            [time("a"), time("e")],
            [
                Measured::Unknown(Because::NotANumber),
                Measured::Unknown(Because::NotANumber)
            ]
        );
        assert!(matches!(counted.last["c"].signals[0], Measured::Counts { .. }));
    }
}

#[tokio::test(start_paused = true)]
async fn the_embedded_prometheus_counts_alike() {
    for delay in [50, 400, 1500] {
        let world = World::start(WorldOptions {
            scrape_interval: Duration::from_secs(4),
            ..WorldOptions::default()
        });
        let env = [
            ("METRICS_DELAY_MS", &*delay.to_string()),
            ("ERROR_SHARE", "0.1"),
            ("RPS", "37"),
        ];
        world
            .create_deployment("shop", "orders", &env, &json!({"spec": {"replicas": 3}}))
            .unwrap();
        sleep(Duration::from_secs(30)).await;
        let prometheus = Prometheus::from_service(world.prometheus(), Duration::from_secs(5));
        let mut counted = Counted::new(prometheus, &["orders"], "http_requests_total");
        let mut ends = Vec::new();
        for turn in 0..60_u64 {
            counted.turn(world.now()).await;
            ends.push(counted.last["orders"].at);
            sleep(Duration::from_millis(1700 + turn * 13)).await;
        }
        let value = async |code: &str, at: Timestamp| {
            let query = format!("sum(http_requests_total{{{code}job=\"orders\"}})");
            let answer = world.prometheus().query(&query, Some(at)).await.unwrap();
            answer["data"]["result"][0]["value"][1]
                .as_str()
                .unwrap()
                .parse::<f64>()
                .unwrap()
        };
        let (bad, total) = counted.sums["orders"];
        for (code, sum) in [("", total), ("code=\"500\",", bad)] {
            let grown = value(code, ends[59]).await - value(code, ends[0]).await;
            assert!(
                (grown - sum).abs() < 1e-6 && sum > 100.0,
                "delay {delay}: {sum} counted, {grown} happened"
            );
        }
    }
}
