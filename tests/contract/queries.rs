//! The same pages scraped by the real Prometheus and the embedded one, and the same queries over what they stored.
//!
//! Both scrape every second, at phases of their own: the pages change in steps that both have long seen when they are asked, and
//! queries over a range are asked of counters that rise evenly, within what the phase explains.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use modosu_cluster::Cluster;
use modosu_world::{World, WorldOptions};
use serde_json::Value;

/// The pages of all targets, by their number; `None` refuses.
type Pages = Arc<Mutex<BTreeMap<u16, Option<String>>>>;

/// Both servers and what they scrape.
struct Both {
    namespace: &'static str,
    cluster: &'static Cluster,
    world: World,
    pages: Pages,
    addresses: BTreeMap<u16, String>,
    differences: Vec<String>,
}

impl Both {
    async fn start(namespace: &'static str) -> Self {
        let cluster = Cluster::shared().await.unwrap();
        let world = World::start(WorldOptions {
            epoch: jiff::Timestamp::now(),
            scrape_interval: Duration::from_secs(1),
            ..WorldOptions::default()
        });
        let pages = Pages::default();
        Both {
            namespace,
            cluster,
            world,
            pages,
            addresses: BTreeMap::new(),
            differences: Vec::new(),
        }
    }

    /// A target with these labels on both.
    async fn target(&mut self, number: u16, job: &str, page: &str) {
        self.page(number, Some(page));
        let pages = self.pages.clone();
        let page = move || pages.lock().unwrap().get(&number).cloned().flatten();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let served = page.clone();
        let answer = axum::routing::get(async move || served().ok_or(axum::http::StatusCode::INTERNAL_SERVER_ERROR));
        tokio::spawn(async move { axum::serve(listener, axum::Router::new().route("/metrics", answer)).await });
        let instance = format!("{job}-{number}");
        let labels = [("namespace", self.namespace), ("job", job), ("instance", &*instance)];
        self.cluster.prometheus().add_target(&labels, &address).unwrap();
        self.world.add_target(&labels, move |_| page());
        self.addresses.insert(number, address);
    }

    fn page(&self, number: u16, page: Option<&str>) {
        self.pages.lock().unwrap().insert(number, page.map(str::to_owned));
    }

    /// Long enough for both to have found all targets and seen their pages twice.
    async fn settle(&self) {
        let query = format!("count(up{{namespace=\"{}\"}})", self.namespace);
        let all = self.addresses.len().to_string();
        let counted = |answer: &Value| answer["data"]["result"][0]["value"][1] == *all;
        let patience = Instant::now() + Duration::from_secs(180);
        loop {
            let real = self.cluster.prometheus().query_raw(&query).await.unwrap();
            let embedded = self.world.prometheus().query(&query, None).await.unwrap();
            if counted(&real) && counted(&embedded) {
                break;
            }
            assert!(
                Instant::now() < patience,
                "not all targets are found: {real} {embedded}"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        tokio::time::sleep(Duration::from_millis(3500)).await;
    }

    /// Asks both now and compares; values may differ by this share.
    async fn ask(&mut self, query: &str, tolerance: f64) -> Value {
        let at = jiff::Timestamp::now();
        let seconds = format!("{:.3}", at.as_millisecond() as f64 / 1000.0);
        let url = format!("{}/api/v1/query", self.cluster.prometheus().url());
        let form = [("query", query), ("time", &seconds)];
        let real = reqwest::Client::new().post(url).form(&form).send().await.unwrap();
        let real: Value = real.json().await.unwrap();
        let embedded = self.world.prometheus().query(query, Some(at)).await.unwrap();
        if !alike(&real, &embedded, tolerance) {
            self.differences
                .push(format!("{query}\n    real     {real}\n    embedded {embedded}"));
        }
        real
    }

    /// Alike at one of twenty moments. The servers scrape at different times, and on a busy machine unevenly: a wrong
    /// formula differs at each of them, a late scrape only at some.
    async fn alike_once(&mut self, query: &str, tolerance: f64) {
        let known = self.differences.len();
        for _ in 0..20 {
            self.differences.truncate(known);
            self.ask(query, tolerance).await;
            if self.differences.len() == known {
                return;
            }
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
    }

    /// The same now, exactly.
    async fn same(&mut self, query: &str) -> Value {
        self.ask(query, 1e-9).await
    }

    /// A query at even distances, asked of both; `of` is what must be alike.
    async fn range(
        &mut self,
        query: &str,
        [start, end, step]: [f64; 3],
        of: fn(&Value) -> BTreeMap<String, Vec<f64>>,
    ) -> Value {
        let url = format!("{}/api/v1/query_range", self.cluster.prometheus().url());
        let [from, to, width] = [start, end, step].map(|seconds| seconds.to_string());
        let form = [("query", query), ("start", &from), ("end", &to), ("step", &width)];
        let real = reqwest::Client::new().post(url).form(&form).send().await.unwrap();
        let real: Value = real.json().await.unwrap();
        let embedded = self
            .world
            .prometheus()
            .query_range(query, start, end, step)
            .await
            .unwrap();
        let kind = |answer: &Value| {
            let warned = answer["warnings"].as_array().is_some_and(|all| !all.is_empty());
            let kind = [&answer["status"], &answer["errorType"], &answer["data"]["resultType"]];
            (kind.map(Clone::clone), warned, of(answer))
        };
        if kind(&real) != kind(&embedded) {
            self.differences.push(format!(
                "{query} {from}..{to} by {width}\n    real     {real}\n    embedded {embedded}"
            ));
        }
        real
    }

    /// A range as it is: the same series, each a second apart.
    async fn same_matrix(&mut self, query: &str) {
        let real = self.cluster.prometheus().query_raw(query).await.unwrap();
        let embedded = self.world.prometheus().query(query, None).await.unwrap();
        let series = |answer: &Value| {
            let rows = answer["data"]["result"].as_array().cloned().unwrap_or_default();
            let ones = |row: &Value| {
                row["values"]
                    .as_array()
                    .is_some_and(|all| all.iter().all(|one| one[1] == "1"))
            };
            let rows = rows.iter().map(|row| (row["metric"].to_string(), ones(row)));
            (answer["data"]["resultType"].clone(), rows.collect::<BTreeMap<_, _>>())
        };
        if series(&real) != series(&embedded) {
            self.differences
                .push(format!("{query}\n    real     {real}\n    embedded {embedded}"));
        }
    }

    fn finish(self) {
        for address in self.addresses.values() {
            self.cluster.prometheus().remove_target(address).unwrap();
        }
        assert!(
            self.differences.is_empty(),
            "the servers differ:\n{}",
            self.differences.join("\n")
        );
    }
}

/// Whether the answers say the same: the sentences of errors and warnings aside.
fn alike(real: &Value, embedded: &Value, tolerance: f64) -> bool {
    let warned = |answer: &Value| answer["warnings"].as_array().is_some_and(|all| !all.is_empty());
    let kind = |answer: &Value| {
        (
            answer["status"].clone(),
            answer["errorType"].clone(),
            answer["data"]["resultType"].clone(),
            warned(answer),
        )
    };
    kind(real) == kind(embedded) && {
        let (real, embedded) = (rows(real), rows(embedded));
        real.keys().eq(embedded.keys())
            && real
                .values()
                .zip(embedded.values())
                .all(|(one, other)| near(*one, *other, tolerance))
    }
}

/// Values by labels.
fn rows(answer: &Value) -> BTreeMap<String, f64> {
    let value = |value: &Value| value.as_str().unwrap_or("NaN").replace("+Inf", "inf").parse().unwrap();
    let result = &answer["data"]["result"];
    match answer["data"]["resultType"].as_str() {
        Some("scalar") => BTreeMap::from([(String::new(), value(&result[1]))]),
        _ => {
            let rows = result.as_array().cloned().unwrap_or_default();
            rows.iter()
                .map(|row| (row["metric"].to_string(), value(&row["value"][1])))
                .collect()
        }
    }
}

/// Times and values by labels, of an answer to a range query.
fn runs(answer: &Value) -> BTreeMap<String, Vec<f64>> {
    let rows = answer["data"]["result"].as_array().cloned().unwrap_or_default();
    let number = |value: &Value| {
        value
            .as_f64()
            .or_else(|| value.as_str()?.parse().ok())
            .unwrap_or(f64::MAX)
    };
    let run = |row: &Value| {
        let values = row["values"].as_array().cloned().unwrap_or_default();
        let pairs = values.iter().flat_map(|pair| [number(&pair[0]), number(&pair[1])]);
        (row["metric"].to_string(), pairs.collect())
    };
    rows.iter().map(run).collect()
}

/// What the values of a range come to together.
fn sums(answer: &Value) -> BTreeMap<String, Vec<f64>> {
    let sum = |run: Vec<f64>| vec![run.iter().skip(1).step_by(2).sum()];
    runs(answer)
        .into_iter()
        .map(|(labels, run)| (labels, sum(run)))
        .collect()
}

fn near(one: f64, other: f64, tolerance: f64) -> bool {
    one.total_cmp(&other).is_eq()
        || one.is_nan() && other.is_nan()
        || (one - other).abs() <= tolerance * one.abs().max(other.abs())
}

fn counters(good: u64, bad: Option<u64>) -> String {
    let bad = bad
        .map(|bad| format!("http_requests_total{{code=\"500\"}} {bad}\n"))
        .unwrap_or_default();
    format!("http_requests_total{{code=\"200\"}} {good}\n{bad}")
}

fn histogram(buckets: &[(&str, u64)]) -> String {
    let lines = buckets
        .iter()
        .map(|(le, count)| format!("http_request_duration_seconds_bucket{{le=\"{le}\"}} {count}\n"));
    lines.collect()
}

fn since(change: Instant) -> u64 {
    u64::try_from(change.elapsed().as_millis()).unwrap()
}

/// The growth of a counter in a disjoint window: once as modosu's design has it, once as its queries have it.
fn growth(namespace: &str, x: &str, millis: u64) -> [String; 2] {
    let back = format!("offset {millis}ms");
    let up = format!("up{{namespace=\"{namespace}\"}}");
    let x = x.replace('}', &format!(",namespace=\"{namespace}\"}}"));
    [
        format!(
            "sum by (namespace, job) (clamp_min({x} - {x} {back}, 0) or ({x} unless {x} {back}) and on (job, instance) \
             ({up} {back} == 1) or ({x} unless {x} {back}) unless on (job, instance) (max_over_time({up}[1h] {back}) == 1) \
             and on (job) ({up} {back} == 1))"
        ),
        format!(
            "sum by (namespace, job) (clamp_min({x} - ((last_over_time({x_open}[5m] {back}) <= {x} * 2) or ({x} * 0 and on \
             (job, namespace, instance) ((max_over_time({up}[5m] {back}) == 1) or (({up} unless on (job, namespace, instance) \
             (max_over_time({up}[1h] {back}) == 1)) and on (job, namespace) (max_over_time({up}[1h] offset {long}ms) == 1))))), 0))",
            x_open = x,
            long = millis + 1000,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_come_to_the_same_alike() {
    const NAMESPACE: &str = "contract-queries";
    let mut both = Both::start(NAMESPACE).await;
    both.target(1, "steady", &counters(100, None)).await;
    both.target(2, "steady", &counters(50, Some(5))).await;
    both.target(3, "other", &counters(7, None)).await;
    let even = [("0.1", 50), ("0.5", 90), ("1.0", 99), ("+Inf", 100)];
    both.target(4, "latency", &histogram(&even)).await;
    both.target(5, "broken", &histogram(&[("0.1", 50), ("soon", 60), ("+Inf", 100)]))
        .await;
    both.target(6, "edges", &histogram(&[("0.1", 0), ("0.5", 0), ("+Inf", 10)]))
        .await;
    both.target(7, "edges", &histogram(&[("0.1", 4), ("0.5", 9)])).await;
    both.settle().await;

    let m = &format!("namespace=\"{NAMESPACE}\"");
    for query in [
        "http_requests_total{M}",
        "up{M}",
        "sum(http_requests_total{M})",
        "sum by (job) (http_requests_total{M})",
        "sum by (job, code) (http_requests_total{M})",
        "count(http_requests_total{M})",
        "max by (job) (http_requests_total{M})",
        "min(http_requests_total{M})",
        "avg by (job) (http_requests_total{M})",
        "sum by (nothing) (up{M})",
        "http_requests_total{code=~\"5..\",M}",
        "http_requests_total{code!~\"2.+\",M}",
        "http_requests_total{job=~\"steady|other\",M}",
        "http_requests_total{job!=\"steady\",M}",
        "http_requests_total{pod=\"\",M}",
        "http_requests_total{job=~\"st.*y\",code=\"200\",M}",
        "up{job=~\"\",M}",
        "sum(http_requests_total{job=\"nobody\",M})",
        "1 + 2 * 3 - 4 / 8",
        "-2 * 3",
        "7 / 0",
        "2 * -3",
        "http_requests_total{M} * 2",
        "100 - http_requests_total{M}",
        "http_requests_total{M} > 49",
        "50 < http_requests_total{M}",
        "http_requests_total{M} == 100",
        "http_requests_total{M} != 100",
        "http_requests_total{M} >= 50 <= 100",
        "sum(http_requests_total{code=\"500\",M}) / sum(http_requests_total{M})",
        "sum(http_requests_total{code=\"404\",M}) / sum(http_requests_total{M})",
        "http_requests_total{code=\"500\",M} / on (instance) http_requests_total{code=\"200\",M}",
        "http_requests_total{M} - http_requests_total{M}",
        "http_requests_total{M} / on (job) up{M}",
        "http_requests_total{M} and on (job, instance) (up{M} == 1)",
        "up{M} unless on (instance) http_requests_total{code=\"500\",M}",
        "(http_requests_total{M} * 0 + 1) * on (job, instance) group_left () max by (job, instance) (up{M})",
        "min by (job) ((last_over_time(http_requests_total{M}[60s]) * 0 + 1) * on (job, instance) group_left () max by (job, instance) (up))",
        "sum by (job) (http_requests_total{M}) or label_replace(max by (job) (up{M}), \"newest\", \"mark\", \"\", \"\")",
        "histogram_quantile(0.95, sum by (job, le) (rate(nothing_bucket{M}[60s]))) or up{M}",
        "http_requests_total{code=\"500\",M} or http_requests_total{M}",
        "up{M} or http_requests_total{M}",
        "up{M} or on (job) http_requests_total{M}",
        "clamp_min(http_requests_total{M}, 60)",
        "clamp_max(http_requests_total{M}, 60)",
        "abs(0 - http_requests_total{M})",
        "max_over_time(http_requests_total{M}[1m])",
        "count(count_over_time(up{M}[1m]))",
        "last_over_time(http_requests_total{M}[1m])",
        "http_requests_total{M} offset 10m",
        "sum by (job) (up{M} == 1)",
        "timestamp(http_requests_total{M}) > 0 unless http_requests_total{M}",
        "count(timestamp(up{M}))",
        "rate(http_requests_total{M}[30s])",
        "increase(http_requests_total{M}[30s])",
        "rate(http_requests_total{M}[1ms])",
        "histogram_quantile(0.95, http_request_duration_seconds_bucket{job=\"latency\",M})",
        "histogram_quantile(0.5, sum by (job, le) (http_request_duration_seconds_bucket{job=\"latency\",M}))",
        "histogram_quantile(0.05, http_request_duration_seconds_bucket{job=\"latency\",M})",
        "histogram_quantile(0.999, http_request_duration_seconds_bucket{job=\"latency\",M})",
        "histogram_quantile(0, http_request_duration_seconds_bucket{job=\"latency\",M})",
        "histogram_quantile(1, http_request_duration_seconds_bucket{job=\"latency\",M})",
        "histogram_quantile(2, http_request_duration_seconds_bucket{job=\"latency\",M})",
        "histogram_quantile(0.5, http_request_duration_seconds_bucket{job=\"broken\",M})",
        "histogram_quantile(0.5, http_request_duration_seconds_bucket{job=\"edges\",M})",
        "histogram_quantile(0.5, sum by (job, le) (rate(http_request_duration_seconds_bucket{job=\"latency\",M}[30s])))",
        "histogram_quantile(0.5, sum by (job, le) (rate(http_request_duration_seconds_bucket{M}[30s])))",
        // Refused.
        "sum(",
        "x{a=1}",
        "rate(up)",
        "",
        "nonsense(up)",
        "up{job=~\"(\"}",
        "up offset",
        "1 and 2",
        "up + on (job) 1",
        "1 > 2",
        "time(",
        "sum by (job) (1)",
        "http_requests_total{M} - on (job) http_requests_total{M}",
        "up and up[1m]",
    ] {
        both.same(&query.replace('M', m)).await;
    }
    both.same_matrix(&format!("up{{{m}}}[1m]")).await;

    // Births, resets and quiet: everything happened in steps that both have seen.
    let changed = Instant::now();
    both.page(1, Some(&counters(160, Some(3))));
    both.page(2, Some(&counters(20, Some(5))));
    both.target(8, "other", &counters(11, Some(2))).await;
    both.settle().await;
    for before in [1000, 2500] {
        for x in [
            "http_requests_total{code=~\".+\"}",
            "http_requests_total{code=~\"5..\"}",
        ] {
            for query in growth(NAMESPACE, x, since(changed) + before) {
                both.same(&query).await;
            }
        }
    }
    // A target that is down: stale at once, and seen again without being born.
    both.page(1, None);
    both.settle().await;
    both.same(&format!("up{{{m}}}")).await;
    both.same(&format!("http_requests_total{{{m}}}")).await;
    let changed = Instant::now();
    both.page(1, Some(&counters(200, Some(9))));
    both.settle().await;
    for x in [
        "http_requests_total{code=~\".+\"}",
        "http_requests_total{code=~\"5..\"}",
    ] {
        for query in growth(NAMESPACE, x, since(changed) + 1000) {
            both.same(&query).await;
        }
    }
    both.finish();
}

fn seconds_now() -> f64 {
    f64::from(u32::try_from(jiff::Timestamp::now().as_second()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_come_to_the_same_alike() {
    let mut both = Both::start("contract-ranges").await;
    both.target(41, "steady", &counters(100, None)).await;
    both.target(42, "steady", &counters(50, Some(5))).await;
    both.target(43, "other", &counters(7, None)).await;
    both.target(44, "broken", &histogram(&[("0.1", 50), ("soon", 60), ("+Inf", 100)]))
        .await;
    both.settle().await;
    let m = "namespace=\"contract-ranges\"";
    let now = seconds_now();
    for query in [
        "http_requests_total{M}",
        "sum by (job) (http_requests_total{M})",
        "http_requests_total{code=\"500\",M}",
        "sum(http_requests_total{code=\"404\",M}) / sum(http_requests_total{M})",
        "count(timestamp(up{M}))",
        "max by (job) (count_over_time(up{M}[1s]))",
        "histogram_quantile(0.5, http_request_duration_seconds_bucket{job=\"broken\",M})",
        "1 + 2",
        "up{M} + on (job) up{M}",
        "up{M}[1m]",
        "sum(",
    ] {
        both.range(&query.replace('M', m), [now - 2.0, now, 1.0], runs).await;
    }
    for asked in [
        [now, now - 1.0, 1.0],
        [now, now, 0.0],
        [now - 11_001.0, now, 1.0],
        [now - 11_000.0, now, 1.0],
        [now - 3.0, now, 2.0],
    ] {
        both.range(&format!("up{{{m}}} * 0"), asked, |_| BTreeMap::new()).await;
    }

    // A birth, a reset, a target that refuses, and one that is new: each counts once, in whichever step the server saw it.
    let before = seconds_now();
    tokio::time::sleep(Duration::from_secs(2)).await;
    both.page(41, Some(&counters(160, Some(3))));
    both.page(42, Some(&counters(20, Some(5))));
    both.target(48, "other", &counters(11, Some(2))).await;
    both.settle().await;
    both.page(43, None);
    both.settle().await;
    both.page(43, Some(&counters(9, None)));
    both.settle().await;
    // What was scraped last lies before the end of what is asked.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut counted = BTreeMap::new();
    for x in [
        "http_requests_total{code=~\".+\"}",
        "http_requests_total{code=~\"5..\"}",
    ] {
        let [_, query] = growth("contract-ranges", x, 1000);
        let real = both.range(&query, [before, seconds_now() - 2.0, 1.0], sums).await;
        counted.insert(x, sums(&real));
    }
    let counts: Vec<Vec<f64>> = counted.into_values().flat_map(BTreeMap::into_values).collect();
    // Of all: 13 of the new target and 2 of the one that refused, 63 and 20 of the others; then of the bad.
    assert_eq!(counts, [[15.0], [83.0], [2.0], [3.0]]);
    both.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn rates_of_an_even_counter_come_to_the_same_alike() {
    let mut both = Both::start("contract-rates").await;
    both.target(21, "even", &counters(0, None)).await;
    let (pages, began) = (both.pages.clone(), std::time::Instant::now());
    let rising = tokio::spawn(async move {
        loop {
            let count = u64::try_from(began.elapsed().as_millis() / 10).unwrap();
            let page = counters(count, None) + &histogram(&[("0.1", count / 2), ("0.5", count), ("+Inf", count)]);
            pages.lock().unwrap().insert(21, Some(page));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    both.settle().await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let m = "namespace=\"contract-rates\",job=\"even\"";
    let queries = [
        (format!("rate(http_requests_total{{{m}}}[10s])"), 0.03),
        (format!("increase(http_requests_total{{{m}}}[5s])"), 0.05),
        (
            format!("http_requests_total{{{m}}} - http_requests_total{{{m}}} offset 5000ms"),
            0.05,
        ),
        (
            format!(
                "histogram_quantile(0.95, sum by (job, le) (rate(http_request_duration_seconds_bucket{{{m}}}[10s])))"
            ),
            0.03,
        ),
        ("time()".to_owned(), 1e-9),
    ];
    for (query, tolerance) in queries {
        both.alike_once(&query, tolerance).await;
    }
    rising.abort();
    both.finish();
}
