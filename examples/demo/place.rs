//! Where the demo plays: in a world inside this process, or on real servers that it starts.

use std::time::Duration;

use anyhow::Context;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, CustomResourceExt,
    api::{ListParams, PostParams},
};
use modosu::{
    act::http::Http,
    app::Parts,
    clock::Clock,
    config::Settings,
    model::{guard::Guard, incident::Incident},
    observe::prometheus::{self, Prometheus},
};
use modosu_cluster::Cluster;
use modosu_world::{World, WorldOptions};

use crate::{TICK, services::NAMESPACE};

const PATIENCE: Duration = Duration::from_secs(20);

/// A cluster with Prometheus.
pub enum Place {
    Embedded(World),
    Real(Box<Cluster>),
}

impl Place {
    /// Starts it, with modosu's resources and the demo's namespace.
    pub async fn open(real: bool) -> anyhow::Result<Self> {
        let place = if real {
            Self::Real(Box::new(Cluster::start().await.context("starting the cluster")?))
        } else {
            Self::Embedded(World::start(WorldOptions {
                epoch: jiff::Timestamp::now(),
                scrape_interval: TICK,
                ..WorldOptions::default()
            }))
        };
        match &place {
            Self::Embedded(world) => world.create_namespace(NAMESPACE),
            Self::Real(cluster) => cluster.namespace(NAMESPACE).await?,
        }
        define(&place.client("admin").await?).await?;
        Ok(place)
    }

    /// A client with that user's name.
    pub async fn client(&self, user: &str) -> anyhow::Result<Client> {
        match self {
            Self::Embedded(world) => Ok(world.client(user)),
            Self::Real(cluster) => cluster.client(user).await,
        }
    }

    /// What the daemon is made of here.
    pub async fn parts(&self, mut settings: Settings) -> anyhow::Result<Parts> {
        let client = self.client("modosu").await?;
        // There is no other copy.
        settings.leader_election.enabled = false;
        let (prometheus, clock) = match self {
            Self::Embedded(world) => {
                "(inside this process)".clone_into(&mut settings.prometheus.url);
                let prometheus = Prometheus::from_service(world.prometheus(), settings.prometheus.timeout.0);
                (prometheus, Clock::simulated(world.now()))
            }
            Self::Real(cluster) => {
                cluster.prometheus().url().clone_into(&mut settings.prometheus.url);
                let prometheus = Prometheus::http(&prometheus::Settings {
                    url: settings.prometheus.url.clone(),
                    ..prometheus::Settings::default()
                })?;
                (prometheus, Clock::Wall)
            }
        };
        Ok(Parts {
            settings,
            client,
            prometheus,
            clock,
            http: Http::network()?,
        })
    }

    /// What a person would have to type before the commands that the demo shows.
    pub fn kubectl(&self) -> String {
        let kubeconfig = match self {
            Self::Embedded(_) => None,
            Self::Real(cluster) => cluster.kubeconfig("admin").ok(),
        };
        kubeconfig.map_or_else(
            || "kubectl".to_owned(),
            |path| format!("kubectl --kubeconfig {}", path.display()),
        )
    }
}

/// What `kubectl apply -k deploy/crds` does.
async fn define(admin: &Client) -> anyhow::Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(admin.clone());
    for definition in [Guard::crd(), Incident::crd()] {
        definitions.create(&PostParams::default(), &definition).await?;
    }
    let incidents: Api<Incident> = Api::namespaced(admin.clone(), NAMESPACE);
    let end = tokio::time::Instant::now() + PATIENCE;
    while let Err(why) = incidents.list(&ListParams::default()).await {
        anyhow::ensure!(
            tokio::time::Instant::now() < end,
            "modosu's resources are not served: {why}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
