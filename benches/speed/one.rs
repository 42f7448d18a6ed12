//! One service after another goes bad.

use std::time::Duration;

use jiff::Timestamp;
use modosu_cluster::{Behaviour, Filter, Tap, eventually, orders};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    between,
    place::{NAMESPACE, Place, guard},
    quantile,
};

/// So many services of each case.
const SERVICES: usize = 15;

struct Case {
    name: &'static str,
    what: &'static str,
    error_share: f64,
    /// What the trigger says beside its condition.
    trigger: fn() -> Value,
    wanted: &'static str,
}

const CASES: [Case; 3] = [
    Case {
        name: "half",
        what: "half of the requests fail",
        error_share: 0.5,
        trigger: || json!({}),
        wanted: "1.5 s",
    },
    Case {
        name: "tenth",
        what: "one request in ten fails",
        error_share: 0.1,
        trigger: || json!({}),
        wanted: "none",
    },
    Case {
        name: "plain",
        what: "one in ten, certainty off",
        error_share: 0.1,
        trigger: || json!({"certainty": "off"}),
        wanted: "none",
    },
];

/// What one service's case took.
struct Took {
    from_bad: Duration,
    from_query: Duration,
}

pub async fn run() -> anyhow::Result<()> {
    // They breach within two minutes, and have nothing to do with each other.
    let place = Place::open("commonCause: {guards: 1000}\n").await?;
    let tap = place.cluster.prometheus_tap()?;
    println!("One service, 100 requests/s, scraped and polled each second, `for: 0s`; {SERVICES} times each:");
    for case in &CASES {
        let took = play(&place, &tap, case).await?;
        let from_bad: Vec<_> = took.iter().map(|took| took.from_bad).collect();
        let from_query: Vec<_> = took.iter().map(|took| took.from_query).collect();
        println!(
            "  {:<28} goes bad → restoring write: median {:.2} s (wanted: {}), slowest {:.2} s; \
             query → restoring write: median {:.0} ms (wanted: 100 ms)",
            case.what,
            quantile(&from_bad, 0.5).as_secs_f64(),
            case.wanted,
            quantile(&from_bad, 1.0).as_secs_f64(),
            quantile(&from_query, 0.5).as_secs_f64() * 1e3,
        );
    }
    Ok(())
}

async fn play(place: &Place, tap: &Tap, case: &Case) -> anyhow::Result<Vec<Took>> {
    let names: Vec<_> = (0..SERVICES).map(|n| format!("{}-{n}", case.name)).collect();
    let env = json!([{"name": "VERSION", "value": "a"}, {"name": "RPS", "value": "100"}]);
    let deployments = names.iter().map(|name| orders::deployment(NAMESPACE, name, 1, &env));
    place.create(deployments.collect()).await?;
    place.rolled_out().await?;
    let mut trigger = json!({"name": "error rate rose", "condition": "error_rate > 5%",
        "action": "automatic_rollback", "for": "0s"});
    json_patch::merge(&mut trigger, &(case.trigger)());
    let guards = names.iter().map(|name| guard(name, json!({"triggers": [trigger]})));
    place.create(guards.collect()).await?;

    let daemon = place.daemon(tap.url()).await?;
    let mine = |guard: &Value| guard["name"].as_str().is_some_and(|name| name.starts_with(case.name));
    let proven = |guard: &Value| mine(guard) && guard["current"]["proven"] == true;
    daemon.shows("all are proven", SERVICES, proven).await?;
    place.release(&names, "b").await?;
    place.rolled_out().await?;
    // The new pods have been scraped for a while.
    sleep(Duration::from_secs(5)).await;
    daemon
        .shows("all are on probation", SERVICES, |guard| {
            mine(guard) && guard["state"] == "Probation"
        })
        .await?;

    let mut all = Vec::new();
    for (n, name) in names.iter().enumerate() {
        // At any moment between two scrapes and two polls.
        sleep(Duration::from_millis(700 + 613 * n as u64 % 1000)).await;
        all.push(goes_bad(place, tap, name, case.error_share).await?);
    }
    daemon.process.kill().await;
    Ok(all)
}

async fn goes_bad(place: &Place, tap: &Tap, name: &str, error_share: f64) -> anyhow::Result<Took> {
    let bad_at = Timestamp::now();
    let behaviour = Behaviour {
        error_share: Some(error_share),
        ..Behaviour::default()
    };
    place.cluster.misbehave(NAMESPACE, name, behaviour)?;
    let patched = async || {
        let patches = place.cluster.template_patches(NAMESPACE, name)?;
        let patch = patches.into_iter().find(|patch| patch.user == "modosu");
        anyhow::Ok(patch.map(|patch| patch.at))
    };
    let patched_at = eventually("the template is back", Duration::from_secs(60), patched).await?;
    place.cluster.behave(NAMESPACE, name)?;
    let opened = place.cluster.writes(Filter {
        user: Some("modosu"),
        resource: Some("incidents"),
        subresource: Some(""),
        since: Some(bad_at),
        ..Filter::default()
    })?;
    let opened_at = opened.first().map_or(patched_at, |write| write.at);
    let asked = tap.requests().into_iter().rev();
    let query = asked.map(|seen| seen.at).find(|at| *at <= opened_at).unwrap_or(bad_at);
    Ok(Took {
        from_bad: between(bad_at, patched_at),
        from_query: between(query, patched_at),
    })
}
