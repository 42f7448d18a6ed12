//! The guards of `config/guards/` that know a fault by its pattern: on a real Prometheus with an hour of what happened
//! before, once with the fault and once without.

use std::time::Duration;

use jiff::Timestamp;
use modosu::{
    judge::policy::Policy,
    model::{guard::Guard, preset::Preset},
};
use modosu_cluster::{Version, push::Worth};
use serde_json::json;
use tokio::time::sleep;

use crate::{fixture::Fixture, real::Real, watch::Watch};

/// The guard's file, the exporters whose series it watches, and the trigger that knows the fault.
const RECIPES: [(&str, &str, &str); 5] = [
    ("deadlock", "celery", "deadlock"),
    ("stuck-consumer", "kafka", "consumer is stuck"),
    ("leak", "kubernetes", "memory leaks"),
    ("crashes", "kubernetes-state", "crashes again and again"),
    ("failed-deploys", "ci", "deployments fail again and again"),
];

const MIB: f64 = 1_048_576.0;

/// What a series was worth so many minutes ago; `fault`: something went wrong ten minutes ago. Nothing: no such series.
fn worth(series: &str, ago: f64, fault: bool) -> Option<f64> {
    // Grows evenly until the fault stops it.
    let moves = |each_minute: f64| (90.0 - if fault { ago.max(10.0) } else { ago }) * each_minute;
    let name = series.split('{').next().unwrap();
    Some(match name {
        "celery_task_succeeded_total" => moves(20.0),
        "celery_task_failed_total" => 3.0,
        "celery_queue_length" => 40.0,
        "kafka_consumergroup_lag" => 500.0,
        "kafka_consumergroup_current_offset" => moves(100.0),
        // Two MiB a minute, against a level that goes up and down by one.
        "container_memory_working_set_bytes" if fault => (64.0 + 2.0 * (90.0 - ago)) * MIB,
        "container_memory_working_set_bytes" => (64.0 + ago.sin()) * MIB,
        // It crashed before, long ago; every two minutes since the fault.
        "kube_pod_container_status_restarts_total" if fault && ago < 10.0 => 5.0 + ((10.0 - ago) / 2.0).floor(),
        "kube_pod_container_status_restarts_total" => 5.0,
        "gitlab_ci_environment_deployment_job_id" => 4711.0 + ((90.0 - ago) / 20.0).floor(),
        "gitlab_ci_environment_deployment_status" if fault == series.contains("failed") => 1.0,
        _ => return None,
    })
}

fn guard(file: &str) -> Policy {
    let path = format!("{}/config/guards/{file}.yaml", env!("CARGO_MANIFEST_DIR"));
    let guard: Guard = serde_saphyr::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let namespace = guard.metadata.namespace.clone().unwrap();
    let mut policy =
        Policy::compile(&namespace, &guard.spec, &Preset::shipped()).unwrap_or_else(|why| panic!("{path}: {why:?}"));
    // What must hold for a quarter of an hour holds for seconds here.
    policy
        .triggers
        .iter_mut()
        .for_each(|rule| rule.hold = Duration::from_secs(3));
    policy
}

/// The same guard of things that are well: other values of the same labels.
fn well(mut policy: Policy) -> Policy {
    policy.matching.values_mut().for_each(|value| value.push_str("-well"));
    policy
}

type Labels = Vec<(String, String)>;

/// The series of an exporter with its target's labels, once for the guard and once for the one that is well.
fn series(exporter: &str, policy: &Policy) -> Vec<(Labels, String, bool)> {
    let mut fixture = Fixture::read(exporter);
    fixture.rounds(crate::fixture::Traffic::Bad, 1.0);
    let target = fixture.target.clone().unwrap();
    let mut found = Vec::new();
    for (own, _) in fixture.series() {
        let mut labels: Labels = own.clone();
        labels.extend(
            target
                .clone()
                .into_iter()
                .filter(|(name, _)| !own.iter().any(|(known, _)| known == name)),
        );
        let has = |(name, value): (&String, &String)| labels.iter().any(|(n, v)| n == name && v == value);
        if !policy.matching.iter().all(has) {
            continue;
        }
        let name = own
            .iter()
            .find(|(name, _)| name == "__name__")
            .map(|(_, value)| value.clone())
            .unwrap();
        let text = format!("{name}{{{own:?}}}");
        for fault in [true, false] {
            let mut labels = labels.clone();
            for (name, value) in &mut labels {
                if !fault && policy.matching.get(name) == Some(value) {
                    value.push_str("-well");
                }
            }
            labels.sort();
            found.push((labels, text.clone(), fault));
        }
    }
    found
}

modosu_cluster::on_both!(every_recipe_knows_its_fault_from_a_service_that_is_well);

async fn every_recipe_knows_its_fault_from_a_service_that_is_well(version: Version) {
    let real = Real::start(version, &[], json!([])).await;
    let mut guards = Vec::new();
    let mut all = Vec::new();
    for (file, exporter, _) in RECIPES {
        let policy = guard(file);
        all.extend(series(exporter, &policy));
        guards.push((format!("{file}, well"), well(policy.clone())));
        guards.push((file.to_owned(), policy));
    }
    let began = Timestamp::now();
    let minute = 60_000;
    let past = |(labels, text, fault): &(Labels, String, bool)| {
        let moments = (0..360).rev().map(|step| step * minute / 4);
        let run: Vec<_> = moments
            .filter_map(|ago| {
                let minutes = f64::from(i32::try_from(ago).unwrap()) / 60_000.0;
                Some((began.as_millisecond() - ago, worth(text, minutes, *fault)?))
            })
            .collect();
        (!run.is_empty()).then(|| (labels.clone(), Worth::Run(run)))
    };
    real.write(&all.iter().filter_map(past).collect::<Vec<_>>()).await;
    let since = began - jiff::SignedDuration::from_mins(30);
    let mut watch = Watch::new(real.prometheus(), since, guards);
    for _ in 0..25 {
        sleep(Duration::from_secs(1)).await;
        let ago = Timestamp::now().duration_since(began).as_secs_f64() / -60.0;
        let now = |(labels, text, fault): &(Labels, String, bool)| {
            Some((labels.clone(), Worth::Number(worth(text, ago, *fault)?)))
        };
        real.write(&all.iter().filter_map(now).collect::<Vec<_>>()).await;
        watch.turn(Timestamp::now()).await;
    }
    for (file, _, trigger) in RECIPES {
        let bad = &watch.guards[file];
        assert!(bad.fired.contains(trigger), "{file}: {:?} {:?}", bad.said, bad.last);
        let well = &watch.guards[&format!("{file}, well")];
        assert!(well.fired.is_empty(), "{file}: {:?}", well.said);
        let quiet = well.said.iter().all(|said| said.ends_with("Quiet"));
        assert!(
            quiet,
            "{file} knows nothing of what is well: {:?} {:?}",
            well.said, well.last
        );
    }
}
