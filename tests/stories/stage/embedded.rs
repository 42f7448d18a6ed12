//! The embedded world: everything in this process, on Tokio's paused clock.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use kube::CustomResourceExt;
use modosu::{
    app::{self, Parts, Running},
    clock::Clock,
    config::Settings,
    model::{guard::Guard, incident::Incident, units::Length},
    observe::prometheus::Prometheus,
};
use modosu_world::{Answer, Behaviour, Stage as Moment, World, WorldOptions};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{Bad, Kill, TICK, Written};

pub struct Embedded {
    pub world: World,
    daemons: AtomicUsize,
    running: Mutex<Option<Running>>,
    dead: Arc<AtomicBool>,
}

impl Embedded {
    pub async fn start(namespace: &str) -> anyhow::Result<Self> {
        let world = World::start(WorldOptions {
            scrape_interval: TICK,
            ..WorldOptions::default()
        });
        world.create_namespace(namespace);
        let admin = world.client("admin");
        for crd in [Guard::crd(), Incident::crd()] {
            let crds: kube::Api<
                k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
            > = kube::Api::all(admin.clone());
            crds.create(&kube::api::PostParams::default(), &crd).await?;
        }
        Ok(Self {
            world,
            daemons: AtomicUsize::new(0),
            running: Mutex::new(None),
            dead: Arc::default(),
        })
    }

    pub fn daemon(&self, namespace: &str) {
        let number = self.daemons.fetch_add(1, Ordering::Relaxed) + 1;
        self.dead.store(false, Ordering::Relaxed);
        let settings = Settings {
            poll: Length(TICK),
            namespaces: vec![namespace.to_owned()],
            ..Settings::default()
        };
        let clock = Clock::simulated(self.world.now());
        let parts = Parts {
            settings,
            client: self.world.client(&format!("modosu-{number}")),
            prometheus: Prometheus::from_service(self.world.prometheus(), Duration::from_secs(5)),
            clock,
        };
        let running = app::start(parts, CancellationToken::new()).unwrap();
        *self.running.lock().unwrap() = Some(running);
    }

    /// From that request on nothing of this daemon reaches the world any more.
    pub fn kill_at(&self, point: Kill) {
        let dead = self.dead.clone();
        let user = format!("modosu-{}", self.daemons.load(Ordering::Relaxed));
        self.world.on_request(move |call| {
            if call.user != user {
                return Answer::GoOn;
            }
            let body = call.body.to_string();
            let here = match point {
                Kill::AfterIntent => call.resource == "incidents" && body.contains("\"intent\""),
                Kill::AfterPatch => call.resource == "deployments" && body.contains("/spec/template"),
            };
            if here && matches!(call.stage, Moment::After(200)) {
                dead.store(true, Ordering::Relaxed);
            }
            if dead.load(Ordering::Relaxed) {
                Answer::Hang
            } else {
                Answer::GoOn
            }
        });
    }

    pub fn killed(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    pub fn misbehave(&self, namespace: &str, name: &str, bad: Bad) {
        let behaviour = Behaviour {
            error_share: bad.error_share,
            latency_ms: bad.latency_ms,
            ..Behaviour::default()
        };
        self.world.misbehave(namespace, name, behaviour);
    }

    pub fn status(&self) -> Option<Value> {
        let running = self.running.lock().unwrap();
        let board = &running.as_ref()?.board;
        board
            .is_ready()
            .then(|| serde_json::to_value(&board.shown().status).unwrap())
    }

    pub fn writes(&self) -> Vec<Written> {
        let all = self
            .world
            .writes()
            .into_iter()
            .filter(|write| write.user.starts_with("modosu") && !write.dry_run);
        all.map(|write| Written {
            verb: format!("{:?}", write.verb).to_lowercase(),
            resource: write.resource,
            subresource: write.subresource,
            name: write.name,
            code: write.code,
            body: write.body,
        })
        .collect()
    }
}
