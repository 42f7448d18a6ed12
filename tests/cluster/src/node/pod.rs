//! One pod: its containers' tasks, its status in the API, its scrape target, and its end.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::future::select_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::Shared;
use super::container::Runner;
use super::status::{Report, State, all_ready, patch};
use crate::port::free_port;
use crate::targets::Target;

const HASH: &str = "pod-template-hash";

/// What the API server says about the pod.
#[derive(Debug)]
pub(crate) enum Wanted {
    Present(Box<Pod>),
    Gone,
}

pub(crate) async fn run(client: Client, shared: Arc<Shared>, pod: Pod, wanted: watch::Receiver<Wanted>) {
    let key = format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any());
    let life = Life::new(client, shared.clone(), pod, &key);
    match life {
        Ok(life) => life.live(wanted).await,
        Err(error) => tracing::warn!(pod = key, %error, "the node cannot run it"),
    }
    shared
        .addresses
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .remove(&key);
}

struct Life {
    api: Api<Pod>,
    shared: Arc<Shared>,
    pod: Pod,
    runners: Vec<Runner>,
    reports: Vec<watch::Receiver<Report>>,
    target: Target,
    started: Timestamp,
}

impl Life {
    fn new(client: Client, shared: Arc<Shared>, pod: Pod, key: &str) -> anyhow::Result<Self> {
        let job = job(&pod);
        let (mut runners, mut reports) = (Vec::new(), Vec::new());
        for container in pod.spec.iter().flat_map(|spec| &spec.containers) {
            let (report, seen) = watch::channel(Report::creating());
            reports.push(seen);
            let (client, shared, pod, container) = (client.clone(), shared.clone(), pod.clone(), container.clone());
            runners.push(Runner {
                client,
                shared,
                pod,
                container,
                port: free_port()?,
                job: job.clone(),
                report,
            });
        }
        let address = format!("127.0.0.1:{}", runners.first().map_or(0, |runner| runner.port));
        shared
            .addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key.to_owned(), address.clone());
        let target = Target {
            address,
            labels: labels(&pod, &job),
        };
        let api = Api::namespaced(client, &pod.namespace().unwrap_or_default());
        Ok(Self {
            api,
            shared,
            pod,
            runners,
            reports,
            target,
            started: Timestamp::now(),
        })
    }

    async fn live(mut self, mut wanted: watch::Receiver<Wanted>) {
        let (stop, stopped) = watch::channel(None);
        let mut containers = JoinSet::new();
        for runner in std::mem::take(&mut self.runners) {
            containers.spawn(runner.run(stopped.clone()));
        }
        let mut reporting = Reporting {
            ready: false,
            since: Timestamp::now(),
            written: None,
        };
        let mut over = false;
        loop {
            self.report(&mut reporting).await;
            let told = stop.borrow().is_some();
            if over && told {
                break;
            }
            tokio::select! {
                () = changed(&mut self.reports), if !over => {}
                ended = containers.join_next(), if !over => over = ended.is_none(),
                grace = asked_to_end(&mut wanted, told) => match grace {
                    Some(grace) => { stop.send_replace(Some(grace)); }
                    None => break,
                },
            }
        }
        self.set_target(false);
        drop(containers);
        if matches!(*wanted.borrow(), Wanted::Present(_)) {
            self.take_out().await;
        }
    }

    /// Until the API server has the present state: the containers go on meanwhile.
    async fn report(&self, reporting: &mut Reporting) {
        while !self.reported(reporting).await {
            sleep(Duration::from_millis(300)).await;
        }
    }

    async fn reported(&self, reporting: &mut Reporting) -> bool {
        let reports: Vec<_> = self.reports.iter().map(|report| report.borrow().clone()).collect();
        self.set_target(
            reports
                .iter()
                .any(|report| matches!(report.state, State::Running { .. })),
        );
        if all_ready(&reports) != reporting.ready {
            (reporting.ready, reporting.since) = (all_ready(&reports), Timestamp::now());
        }
        if reporting.written.as_ref() == Some(&reports) {
            return true;
        }
        let status = patch(&self.pod, &reports, self.started, reporting.since);
        let name = self.pod.name_any();
        match self
            .api
            .patch_status(&name, &PatchParams::default(), &Patch::Strategic(status))
            .await
        {
            Ok(_) => {}
            // Deleted meanwhile (404), or another pod of that name (409).
            Err(kube::Error::Api(refused)) if matches!(refused.code, 404 | 409) => {}
            Err(error) => {
                tracing::debug!(pod = name, %error, "its status could not be written");
                return false;
            }
        }
        reporting.written = Some(reports);
        true
    }

    fn set_target(&self, running: bool) {
        let key = self.pod.uid().unwrap_or_default();
        if let Err(error) = self.shared.targets.set(key, running.then(|| self.target.clone())) {
            tracing::warn!(%error, "the scrape targets could not be written");
        }
    }

    async fn take_out(&self) {
        let preconditions = Some(Preconditions {
            uid: self.pod.uid(),
            resource_version: None,
        });
        let now = DeleteParams {
            preconditions,
            ..DeleteParams::default().grace_period(0)
        };
        loop {
            match self.api.delete(&self.pod.name_any(), &now).await {
                Ok(_) | Err(kube::Error::Api(_)) => return,
                Err(_) => sleep(Duration::from_millis(300)).await,
            }
        }
    }
}

struct Reporting {
    ready: bool,
    since: Timestamp,
    written: Option<Vec<Report>>,
}

async fn changed(reports: &mut [watch::Receiver<Report>]) {
    if !reports.is_empty() {
        _ = select_all(reports.iter_mut().map(|report| Box::pin(report.changed()))).await;
    }
}

/// The grace that it has, or `None` when it is gone from the API (by force, when it was told before).
async fn asked_to_end(wanted: &mut watch::Receiver<Wanted>, told: bool) -> Option<Duration> {
    let ends = |wanted: &Wanted| match wanted {
        Wanted::Present(pod) => !told && pod.metadata.deletion_timestamp.is_some(),
        Wanted::Gone => true,
    };
    match &*wanted.wait_for(ends).await.ok()? {
        Wanted::Present(pod) => {
            let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(30);
            Some(Duration::from_secs(u64::try_from(grace).unwrap_or(0)))
        }
        Wanted::Gone => None,
    }
}

/// How Prometheus knows the service: by its label, else by the name of the pod's owner.
fn job(pod: &Pod) -> String {
    let labels = pod.labels();
    let owner = || {
        let owner = pod
            .owner_references()
            .first()
            .map_or_else(|| pod.name_any(), |owner| owner.name.clone());
        match labels
            .get(HASH)
            .and_then(|hash| owner.strip_suffix(&format!("-{hash}")))
        {
            Some(deployment) => deployment.to_owned(),
            None => owner,
        }
    };
    labels
        .get("app.kubernetes.io/name")
        .or_else(|| labels.get("app"))
        .cloned()
        .unwrap_or_else(owner)
}

fn labels(pod: &Pod, job: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([
        ("namespace".to_owned(), pod.namespace().unwrap_or_default()),
        ("job".to_owned(), job.to_owned()),
        ("pod".to_owned(), pod.name_any()),
    ]);
    if let Some(hash) = pod.labels().get(HASH) {
        labels.insert("pod_template_hash".into(), hash.clone());
    }
    for (annotation, label) in [
        ("modosu.test/scrape-interval", "__scrape_interval__"),
        ("modosu.test/scrape-timeout", "__scrape_timeout__"),
    ] {
        if let Some(value) = pod.annotations().get(annotation) {
            labels.insert(label.into(), value.clone());
        }
    }
    labels
}
