//! What a person at a keyboard can do and see: write objects, look at them, wait for what should come.

use std::time::Duration;

use anyhow::{Context, bail};
use jiff::Timestamp;
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams},
};
use modosu::{
    judge::{condition::Dimension, words},
    model::{
        guard::Guard,
        incident::{Incident, IncidentState},
    },
    report::board::Board,
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    services::{self, NAMESPACE},
    terminal::{Mood, Terminal},
};

const LOOK: Duration = Duration::from_millis(100);

/// Everything that a story needs.
pub struct Scene {
    pub terminal: Terminal,
    pub admin: Client,
    pub board: Board,
    /// `http://127.0.0.1:9191`
    pub pages: String,
    /// How a person would call kubectl here.
    pub kubectl: String,
}

impl Scene {
    /// Waits until the daemon has seen the cluster.
    pub async fn stands(&self) -> anyhow::Result<()> {
        self.until("the daemon is ready", 20, async || self.board.is_ready().then_some(()))
            .await
    }

    /// Something that a person does, with the commands for it.
    pub fn you(&self, what: &str, commands: &[&str]) {
        self.say("you", Mood::Deed, what, commands);
    }

    /// A line, with kubectl's commands below it.
    pub fn say(&self, who: &str, mood: Mood, what: &str, commands: &[&str]) {
        let mut told = what.to_owned();
        for command in commands {
            told.push_str(&format!("\n$ {} -n {NAMESPACE} {command}", self.kubectl));
        }
        self.terminal.line(who, mood, &told);
    }

    fn api(&self, api_version: &str, kind: &str) -> Api<DynamicObject> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        Api::namespaced_with(self.admin.clone(), NAMESPACE, &resource)
    }

    pub async fn create(&self, api_version: &str, kind: &str, mut object: Value) -> anyhow::Result<()> {
        object["apiVersion"] = json!(api_version);
        object["kind"] = json!(kind);
        object["metadata"]["namespace"] = json!(NAMESPACE);
        let object: DynamicObject = serde_json::from_value(object)?;
        let name = object.name_any();
        let created = self
            .api(api_version, kind)
            .create(&PostParams::default(), &object)
            .await;
        created.with_context(|| format!("creating {kind} {name}")).map(drop)
    }

    /// As `kubectl patch --type merge`.
    pub async fn merge(&self, api_version: &str, kind: &str, name: &str, patch: &Value) -> anyhow::Result<()> {
        let api = self.api(api_version, kind);
        let done = api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
        done.with_context(|| format!("patching {kind} {name}")).map(drop)
    }

    /// A change of a Deployment's container, as `kubectl set image` and `kubectl set env` make it.
    pub async fn release(&self, name: &str, image: &str, env: Option<(&str, &str)>) -> anyhow::Result<()> {
        let env: Vec<Value> = env
            .iter()
            .map(|(name, value)| json!({"name": name, "value": value}))
            .collect();
        let container = json!({"name": "orders", "image": image, "env": env});
        let patch = json!({"spec": {"template": {"spec": {"containers": [container]}}}});
        let api = self.api("apps/v1", "Deployment");
        let done = api
            .patch(name, &PatchParams::default(), &Patch::Strategic(&patch))
            .await;
        done.with_context(|| format!("releasing {name}")).map(drop)
    }

    pub async fn object(&self, api_version: &str, kind: &str, name: &str) -> anyhow::Result<Value> {
        Ok(serde_json::to_value(self.api(api_version, kind).get(name).await?)?)
    }

    /// Waits until the guard's state is proven.
    pub async fn proven(&self, guard: &str) -> anyhow::Result<()> {
        let guards: Api<Guard> = Api::namespaced(self.admin.clone(), NAMESPACE);
        self.until(&format!("{guard} is proven"), 90, async || {
            let found = guards.get(guard).await.ok()?;
            services::is_proven(&found).then_some(())
        })
        .await
    }

    /// Waits until the guard's incident that was opened after `since` is in that state.
    pub async fn incident(
        &self,
        guard: &str,
        since: Timestamp,
        state: IncidentState,
        seconds: u64,
    ) -> anyhow::Result<Incident> {
        let incidents: Api<Incident> = Api::namespaced(self.admin.clone(), NAMESPACE);
        let what = format!("an incident of {guard} is {state:?}");
        let stands = |incident: &Incident| incident.status.as_ref().and_then(|status| status.state);
        let found = self
            .until(&what, seconds, async || {
                let all = incidents.list(&ListParams::default()).await.ok()?.items;
                let mut own = all
                    .into_iter()
                    .filter(|incident| incident.spec.guard == guard && incident.spec.opened_at >= since);
                own.find(|incident| {
                    let now = stands(incident);
                    now == Some(state) || now.is_some_and(|now| !now.is_open()) || now == Some(IncidentState::Escalated)
                })
            })
            .await?;
        match stands(&found) {
            Some(now) if now != state => bail!("{} is {now:?} instead of {state:?}", found.name_any()),
            Some(_) | None => Ok(found),
        }
    }

    /// The service's own numbers, as the status page shows them.
    pub async fn numbers(&self, guard: &str) {
        let known = self.until("its numbers are known", 3, async || {
            let shown = self.board.shown();
            let view = shown.status.guard(NAMESPACE, guard)?;
            let said = |name: &str| {
                let signal = view.signals.iter().find(|signal| signal.name == name)?;
                Some(words::number(signal.value?, Dimension::Of(signal.unit)))
            };
            let (rate, errors, time) = (said("request_rate")?, said("error_rate")?, said("response_time")?);
            Some(format!("{rate} requests, {errors} errors, 95 % answered within {time}"))
        });
        if let Ok(numbers) = known.await {
            self.terminal.line(guard, Mood::Plain, &numbers);
        }
    }

    /// Nothing for a while.
    pub async fn rest(&self, length: Duration) {
        sleep(length).await;
    }

    /// Waits for what should come, but not for ever.
    pub async fn until<T>(
        &self,
        what: &str,
        seconds: u64,
        mut look: impl AsyncFnMut() -> Option<T>,
    ) -> anyhow::Result<T> {
        let end = Instant::now() + Duration::from_secs(seconds);
        loop {
            if let Some(found) = look().await {
                return Ok(found);
            }
            if Instant::now() > end {
                bail!("waited {seconds} s until {what}");
            }
            sleep(LOOK).await;
        }
    }

    /// The daemon's time.
    pub fn now(&self) -> Timestamp {
        self.board.shown().status.now
    }
}
