//! IO. `modosu freeze`, `resume`, `abandon`: stopping modosu, as the calling user, through the API server.
//!
//! A freeze is an annotation on the guard or its namespace, or the ConfigMap `modosu-freeze` in the daemon's namespace: what
//! `kubectl annotate` writes as well. Nothing here needs the daemon.

use std::time::Duration;

use anyhow::{Context as _, bail};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{
    authentication::v1::SelfSubjectReview,
    core::v1::{ConfigMap, Namespace},
};
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams, PostParams},
    core::NamespaceResourceScope,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{AbandonArguments, AllowArguments, FreezeArguments, ResumeArguments, Where};
use crate::{
    config::GuardName,
    model::{
        freeze::{BY, EVERYTHING, Freeze, REASON, UNTIL},
        guard::Guard,
        incident::{Incident, IncidentState},
    },
    turn::by_hand::ALLOW,
};

/// Who wrote it, in managedFields.
const MANAGER: &str = "modosu-cli";
/// So many seconds are waited for the daemon to see that a freeze is gone.
const TAKES_NOTE: u32 = 60;
/// A freeze says until when: no longer than this.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// Writes a freeze; gives what to tell.
pub async fn freeze(client: &Client, arguments: &FreezeArguments) -> anyhow::Result<String> {
    let length = arguments.length.0;
    if length.is_zero() || length > LONGEST {
        bail!(
            "--for {}: a freeze lasts from 1s to 30 days, such as 2h",
            arguments.length
        );
    }
    let until = Timestamp::now() + SignedDuration::try_from(length)?;
    let until = Timestamp::from_second(until.as_second())?;
    let by = caller(client).await?;
    let notes = Notes {
        until: Some(until.to_string()),
        by: Some(by.clone()),
        reason: arguments.reason.clone(),
    };
    let of = write(client, &arguments.place, &notes).await?;
    let freeze = Freeze {
        of,
        until: Some(until),
        illegible: None,
        by: Some(by),
        reason: arguments.reason.clone(),
    };
    Ok(format!(
        "{freeze}\nnothing is written there until then; `modosu resume` ends it sooner\n"
    ))
}

/// Takes a freeze away; a plan that it stopped halfway goes on if the incident is named, or the guard has one.
pub async fn resume(client: &Client, arguments: &ResumeArguments) -> anyhow::Result<String> {
    let of = write(client, &arguments.place, &Notes::default()).await?;
    let halfway = match &arguments.place.guard {
        Some(guard) => go_on(client, guard).await?,
        None => "a plan that it stopped halfway goes on with `modosu resume NAMESPACE/GUARD`\n".to_owned(),
    };
    Ok(format!("{of}: frozen no more\n{halfway}"))
}

/// Ends an incident as it is.
pub async fn abandon(client: &Client, arguments: &AbandonArguments) -> anyhow::Result<String> {
    let at = &arguments.incident;
    decide(client, &at.namespace, &at.name, "abandon", arguments.reason.as_deref()).await?;
    Ok(format!("{at} is abandoned: everything stays as it is\n"))
}

/// Lifts a retry lock, where the guard has one on that state.
pub async fn allow(client: &Client, arguments: &AllowArguments) -> anyhow::Result<String> {
    let (at, hash) = (&arguments.guard, arguments.hash.as_str());
    let guards: Api<Guard> = Api::namespaced(client.clone(), &at.namespace);
    let guard = guards.get(&at.name).await.with_context(|| format!("guard {at}"))?;
    let bad = guard.status.unwrap_or_default().bad;
    let known: Vec<&str> = bad.iter().map(|bad| bad.hash.as_str()).collect();
    if !known.contains(&hash) {
        bail!(
            "{hash} is no state of {at} that is locked; locked are: {}",
            known.join(", ")
        );
    }
    let by = caller(client).await?;
    let notes = json!({"metadata": {"annotations": {ALLOW: hash, BY: by, REASON: arguments.reason}}});
    annotate(&guards, &at.name, &notes).await?;
    Ok(format!(
        "{hash} may return to {at}: it will be judged like any change\n"
    ))
}

/// A guard whose plan was stopped halfway goes on with it, once the daemon sees that nothing is frozen any more.
async fn go_on(client: &Client, at: &GuardName) -> anyhow::Result<String> {
    let guards: Api<Guard> = Api::namespaced(client.clone(), &at.namespace);
    let incidents: Api<Incident> = Api::namespaced(client.clone(), &at.namespace);
    for _ in 0..TAKES_NOTE {
        let status = guards
            .get(&at.name)
            .await
            .context("the guard")?
            .status
            .unwrap_or_default();
        let Some(open) = status.incident else {
            return Ok(String::new());
        };
        match status.freeze {
            Some(freeze) if freeze.of.starts_with("Guard/") => tokio::time::sleep(Duration::from_secs(1)).await,
            Some(freeze) if !freeze.of.starts_with("Incident/") => bail!("{at} is still {freeze}: resume that first"),
            own => {
                let stopped = incidents.get(&open.name).await.context("the open incident")?.status;
                let halfway = stopped.is_some_and(|status| status.state == Some(IncidentState::Escalated));
                if !halfway && own.is_none() {
                    return Ok(String::new());
                }
                decide(client, &at.namespace, &open.name, "resume", None).await?;
                return Ok(format!("incident {} goes on\n", open.name));
            }
        }
    }
    bail!("the daemon did not take note within a minute: does it run? Then say `modosu resume {at}` again")
}

async fn decide(
    client: &Client,
    namespace: &str,
    incident: &str,
    verb: &str,
    reason: Option<&str>,
) -> anyhow::Result<()> {
    let by = caller(client).await?;
    let at = Timestamp::now();
    // Said again it is a decision of its own.
    let reason = reason.map_or_else(|| format!("at {at}"), str::to_owned);
    let patch = json!({"spec": {"decision": {"verb": verb, "by": by, "reason": reason}}});
    let incidents: Api<Incident> = Api::namespaced(client.clone(), namespace);
    incidents
        .patch(incident, &parameters(), &Patch::Merge(patch))
        .await
        .with_context(|| format!("incident {namespace}/{incident}"))?;
    Ok(())
}

/// What a freeze says; what is absent is taken away.
#[derive(Default)]
struct Notes {
    until: Option<String>,
    by: Option<String>,
    reason: Option<String>,
}

impl Notes {
    fn under(&self, keys: [&str; 3]) -> Value {
        let values = [&self.until, &self.by, &self.reason];
        keys.into_iter()
            .zip(values)
            .map(|(key, value)| (key.to_owned(), json!(value)))
            .collect()
    }
}

/// Writes them where they shall hold; gives what that is called.
async fn write(client: &Client, place: &Where, notes: &Notes) -> anyhow::Result<String> {
    let annotations = json!({"metadata": {"annotations": notes.under([UNTIL, BY, REASON])}});
    match (&place.guard, &place.namespace, place.all) {
        (Some(guard), None, false) => {
            let guards: Api<Guard> = Api::namespaced(client.clone(), &guard.namespace);
            annotate(&guards, &guard.name, &annotations).await?;
            Ok(format!("Guard/{}", guard.name))
        }
        (None, Some(namespace), false) => {
            let namespaces: Api<Namespace> = Api::all(client.clone());
            namespaces
                .patch_metadata(namespace, &parameters(), &Patch::Merge(&annotations))
                .await
                .with_context(|| format!("namespace {namespace}"))?;
            Ok(format!("Namespace/{namespace}"))
        }
        (None, None, true) => {
            let configs: Api<ConfigMap> = Api::namespaced(client.clone(), &place.daemon_namespace);
            everything(&configs, &notes.under(["until", "by", "reason"]))
                .await
                .with_context(|| {
                    format!(
                        "ConfigMap {EVERYTHING} in namespace {} (--daemon-namespace)",
                        place.daemon_namespace
                    )
                })?;
            Ok(format!("ConfigMap/{EVERYTHING}"))
        }
        (_, _, _) => bail!("say one of: NAMESPACE/GUARD, --namespace NAMESPACE, --all"),
    }
}

async fn annotate<K>(objects: &Api<K>, name: &str, patch: &Value) -> anyhow::Result<()>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
{
    objects
        .patch_metadata(name, &parameters(), &Patch::Merge(patch))
        .await
        .with_context(|| format!("{} {name}", K::kind(&())))?;
    Ok(())
}

/// The ConfigMap is made where it is missing.
async fn everything(configs: &Api<ConfigMap>, data: &Value) -> kube::Result<()> {
    if configs.get_opt(EVERYTHING).await?.is_none() {
        let empty = ConfigMap {
            metadata: kube::api::ObjectMeta {
                name: Some(EVERYTHING.to_owned()),
                ..Default::default()
            },
            ..ConfigMap::default()
        };
        let made = configs.create(&PostParams::default(), &empty).await;
        if let Err(kube::Error::Api(status)) = &made
            && status.code != 409
        {
            return made.map(|_| ());
        }
    }
    let patch = json!({"data": data});
    configs
        .patch(EVERYTHING, &parameters(), &Patch::Merge(patch))
        .await
        .map(|_| ())
}

fn parameters() -> PatchParams {
    PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

/// Who asks, as the API server knows them.
async fn caller(client: &Client) -> anyhow::Result<String> {
    let reviews: Api<SelfSubjectReview> = Api::all(client.clone());
    let review = reviews
        .create(&PostParams::default(), &SelfSubjectReview::default())
        .await
        .context("asking the API server who you are")?;
    let user = review
        .status
        .and_then(|status| status.user_info)
        .and_then(|user| user.username);
    Ok(user.unwrap_or_else(|| "somebody".to_owned()))
}
