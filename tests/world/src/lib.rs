//! An embedded world for the stories and the demo: a Kubernetes API server with its controllers and
//! a node, services that count their requests, and a Prometheus that scrapes them. One process,
//! no sockets, no clock but Tokio's: under a paused clock virtual days pass in seconds, under a
//! running one it is real time. One seed is one story.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! use k8s_openapi::api::apps::v1::Deployment;
//! use kube::api::{Api, Patch, PatchParams};
//! use modosu_world::{Answer, Behaviour, Stage, Verb, World, WorldOptions};
//! use serde_json::json;
//!
//! let world = World::start(WorldOptions {
//!     scrape_interval: Duration::from_secs(1),
//!     ..WorldOptions::default()
//! });
//! // A service with two replicas, in a namespace that is made with it.
//! let env = [("WORKER_MODE", "legacy"), ("RPS", "50")];
//! world.create_deployment("shop", "orders", &env, &json!({"spec": {"replicas": 2}}))?;
//! tokio::time::sleep(Duration::from_secs(60)).await;
//!
//! // Somebody releases something bad. Each client's name goes to the audit list.
//! let deployments: Api<Deployment> = Api::namespaced(world.client("ann"), "shop");
//! let bad = json!({"spec": {"template": {"spec": {"containers": [
//!     {"name": "orders", "env": [{"name": "WORKER_MODE", "value": "celery"}]},
//! ]}}}});
//! deployments.patch("orders", &PatchParams::apply("ann"), &Patch::Strategic(bad)).await?;
//! tokio::time::sleep(Duration::from_secs(60)).await;
//!
//! // Prometheus sees the errors; a `stopped` one refuses the connection.
//! let answer = world
//!     .prometheus()
//!     .query("sum by (job) (rate(http_requests_total{code=~\"5..\",job=\"orders\"}[30s]))", None)
//!     .await?;
//! assert_eq!(answer["data"]["result"][0]["metric"]["job"], "orders");
//!
//! // What was written, by whom.
//! let writes = world.writes();
//! assert_eq!((writes[0].user.as_str(), writes[0].verb, writes[0].code), ("ann", Verb::Patch, 200));
//!
//! // Every API call can be spoiled: here the next patch is carried out, but nobody learns it.
//! world.on_request(|call| match (call.verb, call.stage) {
//!     (Verb::Patch, Stage::After(_)) => Answer::Cut,
//!     _ => Answer::GoOn,
//! });
//! let behaviour = Behaviour { error_share: Some(0.5), ..Behaviour::default() };
//! world.misbehave("shop", "orders", behaviour); // whatever its settings say
//! world.behave("shop", "orders");
//! world.prometheus_stop();
//! world.prometheus_start();
//! # Ok(())
//! # }
//! ```
//!
//! # What a pod does
//! Its first container is the guarded service; the environment (`value`, `configMapKeyRef`,
//! `secretKeyRef`, `envFrom`, `fieldRef`) is resolved when it starts:
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `RPS` | requests per second of each ready pod | 50 |
//! | `WORKER_MODE` | `legacy` or `celery` | `legacy` |
//! | `CELERY_ERROR_SHARE`, `CELERY_LATENCY_MS` | what `celery` does | 0.3, `LATENCY_MS` |
//! | `ERROR_SHARE`, `LATENCY_MS` | what `legacy` does | 0, 20 |
//! | `CRASH_AFTER_MS` | ends with code 1 this long after each start | never |
//! | `NEVER_READY` | 1: the readiness probe never succeeds | |
//! | `METRICS_DELAY_MS` | a scrape takes this long | 0 |
//! | `BAD_LE` | 1: one bucket has a malformed `le` | |
//! | `METRIC` | the counter's name without `_total` | `http_requests` |
//! | `RANDOM` | 1: errors and latencies are drawn, not exact | |
//!
//! An image whose name holds `does-not-exist` cannot be pulled. Series: `http_requests_total{code}`,
//! `http_request_duration_seconds_{bucket,sum,count}`, `up`, `scrape_duration_seconds`, with the
//! labels `namespace`, `job` (the pod's label `app.kubernetes.io/name`, else `app`, else its
//! owner's name), `instance`, `pod`, `pod_template_hash`.
//!
//! Faults: [`World::on_request`] for every API call, [`World::on_query`] for every query, [`World::prometheus_stop`],
//! [`World::compact`]. Pages of your own for Prometheus: [`World::add_target`]. Looking without asking: [`World::object`],
//! [`World::objects`], [`World::writes`], [`World::requests`], and [`World::until`] to wait.
//!
//! # What it claims
//! Only what the contract test (`tests/contract`) shows of the real servers. Not here: authorisation, admission, CEL rules,
//! owners of the fields of Events, `stringData` of Secrets, the `scale` and `eviction` subresources, Job and autoscaling
//! controllers (their objects can be stored; pods that are meant to end are run by nobody, and say what [`World::says`] has them say), the ControllerRevisions of StatefulSets and DaemonSets, `revisionHistoryLimit`, `minReadySeconds`, liveness probes, range
//! queries (`/api/v1/query_range`), and every PromQL function that is not listed in `prometheus/ast.rs`.
//!
//! # The parts, in the order in which a request meets them
//! `api` (HTTP to verbs, reading, writing, watching) · `store` · `control` (Deployment, ReplicaSet, StatefulSet, DaemonSet,
//! garbage) · `node` (pods) · `app` (the service and its counters) · `prometheus` (scrapes, samples,
//! queries) · `audit` (writes, hooks) · `world` (the lock, and time passing).

mod api;
mod app;
mod audit;
mod clock;
mod control;
mod json;
mod node;
mod number;
mod orders;
mod prometheus;
mod rng;
mod store;
mod world;

pub use api::{failure::Failure, route::Verb};
pub use app::Behaviour;
pub use audit::{Answer, Call, Reply, Stage, Write};
pub use clock::Clock;
pub use orders::deployment;
pub use prometheus::{Prometheus, Refused};
pub use world::{World, WorldOptions};
