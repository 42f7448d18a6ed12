//! What a turn costs: queries, for ten thousand guards of each preset.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    mem,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::body::Bytes;
use jiff::Timestamp;
use modosu::{
    judge::policy::Policy,
    model::{guard::GuardSpec, preset::Preset},
    observe::{poll::Poller, prometheus::Prometheus},
};
use serde_json::{Value, json};

const GUARDS: u32 = 10_000;

/// The guards of one preset, each with values of its own for all labels.
fn guards(preset: &str) -> BTreeMap<u32, Arc<Policy>> {
    let presets = Preset::shipped();
    let labels = &presets[preset].labels;
    let own = [&labels.namespace, &labels.workload].into_iter().flatten();
    let own: Vec<_> = own.chain(&labels.matching).map(|label| format!("{label}: x")).collect();
    let yaml = format!(
        "targets: [{{kind: Deployment, name: orders}}]\nmetrics: {{preset: {preset}, match: {{{}}}}}\n",
        own.join(", ")
    );
    let spec: GuardSpec = serde_saphyr::from_str(&yaml).unwrap();
    let policy = Policy::compile("shop", &spec, &presets).unwrap();
    let guard = |n: u32| {
        let mut own = policy.clone();
        own.matching.values_mut().for_each(|value| *value = name(n));
        (n, Arc::new(own))
    };
    (0..GUARDS).map(guard).collect()
}

fn name(n: u32) -> String {
    format!("service-{n}-with-a-name")
}

/// Every query but the clock's has rows for some of the guards; `on_targets`: targets have the labels.
fn answer(names: &[String], on_targets: bool, clock: f64, start: &str) -> Value {
    if start.starts_with("query=time") {
        return json!({"resultType": "scalar", "result": [clock, clock.to_string()]});
    }
    let at = clock;
    if start.contains("max_over_time%28scrape_duration_seconds%7B") && !on_targets {
        return json!({"resultType": "vector", "result": []});
    }
    let row = |n: u32| {
        let labels = names.iter().map(|label| (label.clone(), Value::from(name(n))));
        let metric: serde_json::Map<_, _> = labels.collect();
        json!({"metric": metric, "value": [at, "4"]})
    };
    let rows: Vec<_> = (0..GUARDS).step_by(100).map(row).collect();
    json!({"resultType": "vector", "result": rows})
}

/// The most queries of one turn, and what they are: of the first, and of one that counts and also asks how often targets are scraped.
pub async fn most_queries(preset: &str, on_targets: bool) -> (u32, Vec<String>) {
    let guards = guards(preset);
    let names: Vec<String> = guards[&0].matching.keys().cloned().collect();
    let calls = Arc::new(AtomicU32::new(0));
    let clock = Arc::new(AtomicU32::new(0));
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let said = seen.clone();
    let (count, ticks) = (calls.clone(), clock.clone());
    let service = tower::service_fn(move |request: http::Request<Bytes>| {
        let body = request.body();
        let start = String::from_utf8_lossy(&body[..body.len().min(160)]).into_owned();
        // One more is asked now and then for one guard without rows: which rows there are.
        let hint = String::from_utf8_lossy(&body[body.len().saturating_sub(300)..]).contains("+or+count%28");
        count.fetch_add(u32::from(!hint), Ordering::Relaxed);
        let now = 1_700_000_000.0 + f64::from(ticks.load(Ordering::Relaxed));
        let data = answer(&names, on_targets, now, &start);
        said.lock().unwrap().push(start);
        let body = json!({"status": "success", "data": data}).to_string();
        async move { Ok::<_, Infallible>(http::Response::new(Bytes::from(body))) }
    });
    let mut poller = Poller::new(Prometheus::from_service(service, Duration::from_secs(60)));
    let (mut most, mut asked) = (0, Vec::new());
    for turn in [0_u32, 65] {
        clock.store(turn, Ordering::Relaxed);
        calls.store(0, Ordering::Relaxed);
        let now = Timestamp::from_second(1_700_000_000 + i64::from(turn)).unwrap();
        let polled = poller.turn(&guards, now).await;
        assert_eq!(polled.readings.len(), guards.len());
        let queries = mem::take(&mut *seen.lock().unwrap());
        if queries.len() > asked.len() {
            asked = queries;
        }
        most = most.max(calls.load(Ordering::Relaxed));
    }
    (most, asked)
}
