//! The embedded world: everything in this process, on Tokio's paused clock.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::SignedDuration;
use kube::CustomResourceExt;
use modosu::{
    act::http::Http,
    app::{self, Parts, Running},
    clock::Clock,
    config::{BudgetSettings, CommonCause, Flags, LeaderElection, Settings, StepSettings},
    model::{guard::Guard, incident::Incident, units::Length},
    observe::prometheus::Prometheus,
};
use modosu_world::{Answer, Behaviour, Call, Failure, Stage as Moment, Verb, World, WorldOptions};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{
    Bad, Kill, RELATED, TICK, Written,
    asked::Asked,
    line::{Fault, Line, Point, Request, Side, What},
};

pub struct Embedded {
    pub world: World,
    pub asked: Asked,
    daemons: AtomicUsize,
    daemon: Mutex<Option<Daemon>>,
    /// Another copy.
    other: Mutex<Option<Daemon>>,
    /// A policy is in force.
    forbids: Arc<AtomicBool>,
    /// What the settings say.
    jobs: AtomicBool,
}

/// One start of the daemon. A killed one lives on in this process, but nothing of it reaches the world any more.
struct Daemon {
    user: String,
    running: Running,
    stop: CancellationToken,
    life: Arc<Life>,
}

#[derive(Default)]
struct Life {
    ends_at: Mutex<Option<Kill>>,
    dead: AtomicBool,
    line: Mutex<Line>,
    fault: Mutex<Option<Fault>>,
    /// Requests to others than the API server.
    others: AtomicU64,
    /// So long the API server takes for every answer.
    takes: Mutex<Duration>,
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
        // Until they are established.
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok(Self {
            world,
            asked: Asked::in_process(),
            daemons: AtomicUsize::new(0),
            daemon: Mutex::new(None),
            other: Mutex::new(None),
            forbids: Arc::new(AtomicBool::new(false)),
            jobs: AtomicBool::new(true),
        })
    }

    /// It puts back so much by itself within an hour; its clock is so far ahead of everybody else's.
    pub fn daemon(&self, namespace: &str, rollbacks: u32, ahead: SignedDuration) {
        self.copy(namespace, super::FIRST, rollbacks, ahead);
    }

    /// One copy, by name.
    pub fn copy(&self, namespace: &str, identity: &str, rollbacks: u32, ahead: SignedDuration) {
        let number = self.daemons.fetch_add(1, Ordering::Relaxed) + 1;
        let user = format!("modosu-{number}");
        let written = Settings::load(Some(&super::settings()), std::iter::empty(), &Flags::default());
        let written = written.unwrap();
        let settings = Settings {
            budget: BudgetSettings {
                rollbacks_per_hour: rollbacks,
                ..written.budget
            },
            steps: StepSettings {
                job: self.jobs.load(Ordering::Relaxed),
                ..written.steps
            },
            namespaces: vec![namespace.to_owned()],
            leader_election: LeaderElection {
                identity: Some(identity.to_owned()),
                ..LeaderElection::default()
            },
            common_cause: CommonCause {
                related: Length(RELATED),
                ..CommonCause::default()
            },
            ..written
        };
        let clock = Clock::simulated(self.world.now() + ahead);
        let life = Arc::new(Life::default());
        let (asked, asking) = (self.asked.clone(), life.clone());
        let parts = Parts {
            settings,
            client: self.world.client(&user),
            prometheus: Prometheus::from_service(self.world.prometheus(), Duration::from_secs(5)),
            clock,
            http: Http::from_service(tower::service_fn(move |request| {
                let (asked, asking) = (asked.clone(), asking.clone());
                async move { asking.asks(&asked, &request).await }
            })),
        };
        let (lived, whose) = (life.clone(), user.clone());
        self.world.on_request(move |call| {
            if call.user == whose {
                lived.answer(call)
            } else {
                Answer::GoOn
            }
        });
        let stop = CancellationToken::new();
        let running = app::start(parts, stop.clone()).unwrap();
        let next = Daemon {
            user,
            running,
            stop,
            life,
        };
        if let Some(before) = self.daemon.lock().unwrap().replace(next) {
            before.end();
        }
    }

    pub fn forbid_jobs(&self) {
        self.jobs.store(false, Ordering::Relaxed);
    }

    pub fn swap(&self) {
        let (mut daemon, mut other) = (self.daemon.lock().unwrap(), self.other.lock().unwrap());
        std::mem::swap(&mut *daemon, &mut *other);
    }

    pub fn kill_at(&self, point: Kill) {
        let daemon = self.daemon.lock().unwrap();
        *daemon.as_ref().unwrap().life.ends_at.lock().unwrap() = Some(point);
    }

    /// What the daemon asks is recorded from now on.
    pub fn record(&self) {
        *self.life().line.lock().unwrap() = Line::default();
    }

    pub fn recorded(&self) -> Vec<String> {
        let life = self.life();
        let line = life.line.lock().unwrap();
        line.requests().map(str::to_owned).collect()
    }

    /// The same, with every answer of the API server taking that long.
    pub fn record_rounds(&self, takes: Duration) {
        *self.life().takes.lock().unwrap() = takes;
        self.record();
    }

    pub fn rounds(&self) -> Vec<Vec<String>> {
        self.life().line.lock().unwrap().rounds()
    }

    pub fn fault(&self, fault: Fault) {
        *self.life().fault.lock().unwrap() = Some(fault);
    }

    /// Whether the fault came.
    pub fn has_failed(&self) -> bool {
        self.life().fault.lock().unwrap().as_ref().is_some_and(Fault::began)
    }

    fn life(&self) -> Arc<Life> {
        self.daemon.lock().unwrap().as_ref().unwrap().life.clone()
    }

    pub fn is_told_to_stop(&self) {
        self.daemon.lock().unwrap().as_ref().unwrap().stop.cancel();
    }

    pub fn writes_of_the_other(&self) -> Vec<String> {
        let user = self.other.lock().unwrap().as_ref().unwrap().user.clone();
        let all = self.world.writes().into_iter();
        all.filter(|write| write.user == user && write.resource != "leases")
            .map(|write| format!("{:?} {}/{}: {}", write.verb, write.resource, write.name, write.code))
            .collect()
    }

    pub fn kill(&self) {
        self.daemon.lock().unwrap().as_ref().unwrap().end();
    }

    pub fn killed(&self) -> bool {
        let daemon = self.daemon.lock().unwrap();
        daemon.as_ref().is_some_and(|daemon| daemon.life.is_over())
    }

    pub fn misbehave(&self, namespace: &str, name: &str, bad: Bad) {
        let behaviour = Behaviour {
            error_share: bad.error_share,
            latency_ms: bad.latency_ms,
            crash: bad.crash,
            ready: bad.ready,
            rps: bad.rps,
        };
        self.world.misbehave(namespace, name, behaviour);
    }

    pub fn status(&self) -> Option<Value> {
        let daemon = self.daemon.lock().unwrap();
        let daemon = daemon.as_ref().filter(|daemon| !daemon.life.is_over())?;
        let board = &daemon.running.board;
        board
            .is_ready()
            .then(|| serde_json::to_value(&board.shown().status).unwrap())
    }

    /// Refuses in the words of a real ValidatingAdmissionPolicy.
    pub fn forbid(&self, policy: &str, variable: &str, value: &str) {
        let words = format!(
            "deployments.apps \"orders\" is forbidden: ValidatingAdmissionPolicy '{policy}' with binding '{policy}' denied \
             request: {variable}={value} is retired"
        );
        let (in_force, entry) = (
            self.forbids.clone(),
            json!({"name": variable, "value": value}).to_string(),
        );
        in_force.store(true, Ordering::Relaxed);
        self.world.on_request(move |call| {
            // A JSON Patch names the old template in a test, and the new one in what it writes.
            let operations = call.body.as_array().cloned().unwrap_or_default();
            let writes = |op: &Value| op["op"] != "test" && op.to_string().contains(&entry);
            let refused = call.resource == "deployments" && operations.iter().any(writes);
            if in_force.load(Ordering::Relaxed) && refused && call.stage == Moment::Before {
                Answer::Fail(Failure::new(422, "Invalid", words.clone()))
            } else {
                Answer::GoOn
            }
        });
    }

    pub fn allow(&self) {
        self.forbids.store(false, Ordering::Relaxed);
    }

    pub async fn page(&self, path: &str) -> String {
        let router = {
            let daemon = self.daemon.lock().unwrap();
            let running = &daemon.as_ref().unwrap().running;
            modosu::report::http::router(running.board.clone(), running.metrics.clone())
        };
        let request = http::Request::get(path).body(axum::body::Body::empty()).unwrap();
        let answer = router.oneshot(request).await.unwrap();
        let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    pub fn writes(&self) -> Vec<Written> {
        let all = self
            .world
            .writes()
            .into_iter()
            .filter(|write| write.user.starts_with("modosu"));
        all.map(|write| Written {
            verb: format!("{:?}", write.verb).to_lowercase(),
            resource: write.resource,
            subresource: write.subresource,
            name: write.name,
            code: write.code,
            dry_run: write.dry_run,
            body: write.body,
        })
        .collect()
    }
}

impl Daemon {
    fn end(&self) {
        self.life.dead.store(true, Ordering::Relaxed);
        self.stop.cancel();
    }
}

impl Life {
    fn is_over(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    /// What becomes of a request to the API server. Of one that is over nothing arrives any more.
    fn answer(&self, call: &Call) -> Answer {
        if self.is_over_at(call) {
            return Answer::Hang;
        }
        // The election goes on beside it, at its own pace.
        if matches!(call.verb, Verb::Watch | Verb::Discover) || call.resource == "leases" {
            return self.down(call.stage);
        }
        let side = match call.stage {
            Moment::Before => Side::Before,
            Moment::After(_) => Side::After,
        };
        let request = Request {
            verb: &format!("{:?}", call.verb).to_lowercase(),
            resource: &call.resource,
            subresource: &call.subresource,
            name: &call.name,
            dry_run: call.dry_run,
            body: &call.body,
        };
        let answer = self.meets(call.number, side, || request.words());
        if side == Side::After && matches!(answer, Answer::GoOn) {
            return Answer::Delay(*self.takes.lock().unwrap());
        }
        answer
    }

    /// A request of a check or a step.
    async fn asks(
        &self,
        asked: &Asked,
        request: &http::Request<axum::body::Bytes>,
    ) -> Result<http::Response<axum::body::Bytes>, std::io::Error> {
        // Beyond the numbers of the API server's.
        let number = (1 << 32) + self.others.fetch_add(1, Ordering::Relaxed);
        let words = || format!("{} {}", request.method(), request.uri().path());
        self.passes(number, Side::Before, words).await?;
        let answer = asked.serve(request);
        self.passes(number, Side::After, words).await?;
        Ok(answer)
    }

    async fn passes(&self, number: u64, side: Side, words: impl Fn() -> String) -> Result<(), std::io::Error> {
        if self.is_over() {
            std::future::pending().await
        }
        match self.meets(number, side, words) {
            Answer::GoOn => Ok(()),
            Answer::Hang => std::future::pending().await,
            Answer::Delay(time) | Answer::Late(time) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            Answer::Fail(_) | Answer::Cut | Answer::LoseAnswer => Err(std::io::ErrorKind::ConnectionReset.into()),
        }
    }

    /// Writes the request down and does what is to happen here.
    fn meets(&self, number: u64, side: Side, words: impl Fn() -> String) -> Answer {
        let mut line = self.line.lock().unwrap();
        if side == Side::Before {
            line.add(number, words());
        }
        let Some((request, nth)) = line.place(number) else {
            return Answer::GoOn;
        };
        let mut fault = self.fault.lock().unwrap();
        let Some(fault) = fault.as_mut() else {
            return Answer::GoOn;
        };
        let here = Point {
            request: request.to_owned(),
            nth,
            side,
        };
        match fault.strikes(&here, Instant::now()) {
            Some(What::Kill) => {
                self.dead.store(true, Ordering::Relaxed);
                Answer::Hang
            }
            Some(What::KillLate(time)) => {
                self.dead.store(true, Ordering::Relaxed);
                Answer::Late(*time)
            }
            Some(What::Down) => Answer::Cut,
            Some(What::Answers(answer)) => answer.clone(),
            None => Answer::GoOn,
        }
    }

    /// Watches are begun, and leases renewed, only on a server that is there.
    fn down(&self, stage: Moment) -> Answer {
        let fault = self.fault.lock().unwrap();
        let down = fault.as_ref().is_some_and(|fault| fault.is_down(Instant::now()));
        if down && stage == Moment::Before {
            Answer::Cut
        } else {
            Answer::GoOn
        }
    }

    /// Whether it is over, or ends with this request: carried out, its answer never comes.
    fn is_over_at(&self, call: &Call) -> bool {
        let body = call.body.to_string();
        let here = match *self.ends_at.lock().unwrap() {
            Some(Kill::Opened) => call.resource == "incidents" && call.verb == Verb::Create,
            Some(Kill::Intended) => call.resource == "incidents" && body.contains("\"intent\""),
            Some(Kill::Patched) => {
                let writes = body.contains("/spec/template") || body.contains("/spec/replicas");
                call.resource == "deployments" && !call.dry_run && writes
            }
            None => false,
        };
        if here && matches!(call.stage, Moment::After(200 | 201)) {
            self.dead.store(true, Ordering::Relaxed);
        }
        self.is_over()
    }
}
