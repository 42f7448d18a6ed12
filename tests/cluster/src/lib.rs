//! A real Kubernetes control plane, a real Prometheus and a node whose pods are local processes, for tests.
//!
//! Its programs are built by `tests/cluster/build`, once per user; `MODOSU_CLUSTER_BIN` names their folder where they are already there.
//!
//! ```no_run
//! use std::time::Duration;
//! use modosu_cluster::{Behaviour, Cluster, Filter, Point, Program, orders};
//! use serde_json::json;
//!
//! # async fn story() -> anyhow::Result<()> {
//! let cluster = Cluster::shared().await?;                 // one for all stories of a test binary
//! cluster.namespace("story-celery").await?;               // one for each story
//! let env = json!([{"name": "WORKER_MODE", "value": "legacy"}]);
//! cluster.apply(&orders::deployment("story-celery", "orders", 2, &env)).await?;
//! cluster.rolled_out("story-celery", "orders", Duration::from_secs(30)).await?;
//!
//! // The daemon, with a tap on its line to the API server.
//! let tap = cluster.tap("story-celery", "modosu")?;
//! let daemon = Program::new("modosu-story-celery", "target/debug/modosu")
//!     .args(["run"])
//!     .env("KUBECONFIG", tap.kubeconfig())
//!     .env("MODOSU__PROMETHEUS__URL", cluster.prometheus().url());
//! let daemon = cluster.run(daemon).await?;
//! // kill -9 when the patch is done and its answer has not arrived. Any other code of the test's own: `tap.on`.
//! tap.kill(&daemon, Point::After, |seen| seen.writes("deployments"));
//!
//! // A person makes a release; later the service goes bad whatever its settings.
//! cluster.kubectl(&["-n", "story-celery", "set", "env", "deployment/orders", "WORKER_MODE=celery"]).await?;
//! cluster.misbehave("story-celery", "orders", Behaviour { error_share: Some(0.3), ..Behaviour::default() })?;
//! cluster.behave("story-celery", "orders")?;
//!
//! // What happened.
//! let by_modosu = Filter { user: Some("modosu"), namespace: Some("story-celery"), ..Filter::default() };
//! assert_eq!(cluster.writes(by_modosu)?.len(), 1);
//! assert_eq!(cluster.template_patches("story-celery", "orders")?.len(), 2);
//! cluster.prometheus().part().kill().await;               // and .start().await brings it back with its data
//! # Ok(())
//! # }
//! ```
//!
//! Pods: a container runs its `command` and `args`, or, without a command, the program that [`Cluster::image`] names for its image
//! (`orders` is known). It gets its own environment plus `PATH`, `HOSTNAME` and `PORT`, a free port to listen on; probes of any port go
//! there, and so does Prometheus (first container only) with labels `namespace`, `job`, `pod`, `pod_template_hash`. The job is the
//! pod's label `app.kubernetes.io/name`, else `app`, else the owner's name. The annotations `modosu.test/scrape-interval` and
//! `modosu.test/scrape-timeout` serve exporters that need longer than a second. An image whose name contains `does-not-exist` cannot
//! be pulled. See `node.rs` for what this node does not do.
//!
//! Everything ends with the [`Cluster`]; a shared one ends with the test process, also when that is killed with SIGKILL. A test that panics
//! prints the ends of the logs; `MODOSU_CLUSTER_KEEP=1` leaves the whole folder.

mod access;
mod audit;
mod background;
mod behaviour;
mod cluster;
mod control_plane;
mod eventually;
mod failure;
mod node;
pub mod orders;
mod part;
mod port;
mod process;
mod prometheus;
pub mod push;
mod scratch;
mod tap;
mod targets;

pub use access::USERS;
pub use audit::{AuditedWrite, Filter};
pub use behaviour::Behaviour;
pub use cluster::Cluster;
pub use eventually::eventually;
pub use node::NODE_NAME;
pub use part::{Part, Version, bare_prometheus, programs};
pub use port::free_port;
pub use process::{Process, Program};
pub use prometheus::{Prometheus, Sample};
pub use tap::{Point, Seen, Tap, Verdict};

/// One list of tests for both versions of Prometheus: `name::newest` and `name::debian`.
#[macro_export]
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            #[tokio::test]
            async fn newest() {
                super::$name($crate::Version::Newest).await;
            }

            #[tokio::test]
            async fn debian() {
                super::$name($crate::Version::Debian).await;
            }
        })+
    };
}
