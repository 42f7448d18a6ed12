//! Quiet, healthy services are left alone: the smallest guard, unmodified, over days, with a healthy release on the way.
//!
//! The whole daemon on the embedded world and a paused clock. Requests come by lot, some fail, latencies are wide:
//! in a hundred service-days everything happens once that is not one in millions.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a story stops at the first surprise"
)]

use std::time::Duration;

use k8s_openapi::{
    api::apps::v1::Deployment, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, CustomResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use modosu::{
    act::http::Http,
    app::{self, Parts, Running},
    clock::Clock,
    config::{LeaderElection, Settings},
    model::{
        guard::{Guard, State},
        incident::Incident,
        units::Length,
    },
    observe::prometheus::Prometheus,
};
use modosu_world::{World, WorldOptions};
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

const HOUR: Duration = Duration::from_secs(3600);
const MODE: [(&str, &str); 5] = [
    ("RPS", "0.5"),
    ("ERROR_SHARE", "0.001"),
    ("LATENCY_MS", "90"),
    ("RANDOM", "1"),
    ("GREETING", "hello"),
];

/// How much is simulated, and how closely it is looked at.
struct Plan {
    services: u32,
    days: u32,
    /// Prometheus asks the services this often.
    scrape: Duration,
    /// modosu asks Prometheus this often.
    poll: Duration,
    seed: u64,
}

struct Quiet {
    plan: Plan,
    world: World,
    admin: Client,
    daemon: Running,
}

impl Quiet {
    /// Quiet services with the smallest guard there is.
    async fn begin(plan: Plan) -> Self {
        let world = World::start(WorldOptions {
            seed: plan.seed,
            scrape_interval: plan.scrape,
            ..WorldOptions::default()
        });
        let admin = world.client("admin");
        for crd in [Guard::crd(), Incident::crd()] {
            let crds: Api<CustomResourceDefinition> = Api::all(admin.clone());
            crds.create(&PostParams::default(), &crd).await.unwrap();
        }
        sleep(Duration::from_secs(1)).await;
        let daemon = app::start(
            Parts {
                settings: Settings {
                    poll: Length(plan.poll),
                    leader_election: LeaderElection {
                        enabled: false,
                        ..LeaderElection::default()
                    },
                    ..Settings::default()
                },
                client: world.client("modosu"),
                prometheus: Prometheus::from_service(world.prometheus(), Duration::from_secs(5)),
                clock: Clock::simulated(world.now()),
                http: Http::network().unwrap(),
            },
            CancellationToken::new(),
        )
        .unwrap();
        let quiet = Self {
            plan,
            world,
            admin,
            daemon,
        };
        for name in quiet.names() {
            quiet.world.create_deployment("shop", &name, &MODE, &json!({})).unwrap();
            let guard = json!({
                "apiVersion": "modosu.dev/v1alpha1",
                "kind": "Guard",
                "metadata": {"name": name},
                "spec": {
                    "targets": [{"kind": "Deployment", "name": name}],
                    "metrics": {"preset": "prometheus-http"},
                },
            });
            let guard: Guard = serde_json::from_value(guard).unwrap();
            quiet.guards().create(&PostParams::default(), &guard).await.unwrap();
        }
        quiet
    }

    fn names(&self) -> impl Iterator<Item = String> + use<> {
        (0..self.plan.services).map(|number| format!("quiet-{number}"))
    }

    fn guards(&self) -> Api<Guard> {
        Api::namespaced(self.admin.clone(), "shop")
    }

    /// A release that changes nothing in behaviour.
    async fn release(&self, name: &str) {
        let patch = json!({"spec": {"template": {"spec": {"containers": [
            {"name": "orders", "image": "orders:1.0.1", "env": [{"name": "GREETING", "value": "good day"}]}]}}}});
        let api: Api<Deployment> = Api::namespaced(self.admin.clone(), "shop");
        api.patch(name, &PatchParams::default(), &Patch::Strategic(patch))
            .await
            .unwrap();
    }

    /// Every guard's current state is proven and has these images.
    async fn all_proven(&self, image: &str, within: Duration) {
        let began = Instant::now();
        loop {
            let guards = self.guards().list(&ListParams::default()).await.unwrap().items;
            let waiting: Vec<_> = guards
                .into_iter()
                .filter(|guard| {
                    let current = guard.status.as_ref().and_then(|status| status.current.as_ref());
                    !current.is_some_and(|current| current.proven && current.images == [image])
                })
                .collect();
            if waiting.is_empty() {
                return;
            }
            assert!(
                began.elapsed() < within,
                "{image} is not proven after {within:?}: {:?}\n{}",
                waiting[0].status,
                serde_json::to_string_pretty(&self.daemon.board.shown().status.guards).unwrap()
            );
            sleep(Duration::from_secs(600)).await;
        }
    }

    async fn no_incident(&self) {
        let api: Api<Incident> = Api::namespaced(self.admin.clone(), "shop");
        let incidents = api.list(&ListParams::default()).await.unwrap().items;
        let told: Vec<_> = incidents
            .iter()
            .map(|incident| format!("{}: {}", incident.spec.opened_at, incident.spec.summary))
            .collect();
        assert!(told.is_empty(), "{told:#?}");
    }
}

/// Days of quiet services, each with a release in its first hours that changes nothing.
async fn days(plan: Plan) {
    let quiet = Quiet::begin(plan).await;
    let began = Instant::now();
    quiet.all_proven("orders:1.0.0", 3 * HOUR).await;

    for name in quiet.names() {
        quiet.release(&name).await;
        sleep(HOUR / 6).await;
    }
    quiet.all_proven("orders:1.0.1", 3 * HOUR).await;
    sleep_until(began + quiet.plan.days * 24 * HOUR).await;
    quiet.no_incident().await;

    let guards = quiet.guards().list(&ListParams::default()).await.unwrap().items;
    assert_eq!(guards.len(), quiet.names().count());
    for guard in guards {
        let status = guard.status.unwrap();
        let at_rest = matches!(status.state, Some(State::Steady | State::Probation));
        assert!(at_rest, "{status:?}");
        assert!(status.bad.is_empty() && status.incident.is_none(), "{status:?}");
    }
    let writes = quiet.world.writes();
    let by_modosu = |plural: &str| {
        let own = writes.iter().filter(|write| write.user == "modosu");
        own.filter(|write| write.resource == plural && !write.dry_run).count()
    };
    assert_eq!(by_modosu("deployments"), 0);
    quiet.daemon.finish().await;
}

/// Half of a hundred service-days.
const fn half(seed: u64) -> Plan {
    Plan {
        services: 25,
        days: 2,
        scrape: Duration::from_secs(30),
        poll: Duration::from_secs(30),
        seed,
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_healthy_service_never_alarms_in_a_hundred_days() {
    days(half(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_quiet_healthy_service_never_alarms_in_the_other_half_of_them() {
    days(half(2)).await;
}

#[tokio::test(start_paused = true)]
async fn a_quiet_healthy_service_never_alarms_with_the_default_poll() {
    days(Plan {
        services: 4,
        days: 1,
        scrape: Duration::from_secs(15),
        poll: Settings::default().poll.0,
        seed: 3,
    })
    .await;
}
