//! IO. `modosu freeze`, `resume`, `done`, `abandon`: stopping modosu and letting it go on, as the calling user, through the API server.
//!
//! A freeze is an annotation on the guard or its namespace, or the ConfigMap `modosu-freeze` in the daemon's namespace: what
//! `kubectl annotate` writes as well. Nothing here needs the daemon.

use std::time::Duration;

use anyhow::{Context as _, bail};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    Api, Client,
    api::{ListParams, Patch, PostParams},
};
use serde_json::{Value, json};

use super::{
    AbandonArguments, AllowArguments, DoneArguments, FreezeArguments, ResumeArguments, Where,
    caller::{annotate, caller, decide, decision, parameters},
};
use crate::{
    config::GuardName,
    decide::decided::is_halfway,
    model::{
        freeze::{BY, EVERYTHING, Freeze, REASON, UNTIL},
        guard::Guard,
        incident::Incident,
    },
    turn::by_hand::ALLOW,
};

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
    if arguments.place.all {
        taken_note(client, &arguments.place.daemon.daemon_namespace, until).await?;
    }
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
    if arguments.place.all {
        let namespace = &arguments.place.daemon.daemon_namespace;
        let configs: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
        if configs.get_opt(EVERYTHING).await?.is_none() {
            bail!("no ConfigMap {EVERYTHING} freezes everything in namespace {namespace} (--daemon-namespace)");
        }
    }
    let of = write(client, &arguments.place, &Notes::default()).await?;
    let halfway = match &arguments.place.guard {
        Some(guard) => go_on(client, guard).await?,
        None => "a plan that it stopped halfway goes on with `modosu resume NAMESPACE/GUARD`\n".to_owned(),
    };
    Ok(format!("{of}: frozen no more\n{halfway}"))
}

/// Says that what a plan asked for is done.
pub async fn done(client: &Client, arguments: &DoneArguments) -> anyhow::Result<String> {
    let at = &arguments.incident;
    let incidents: Api<Incident> = Api::namespaced(client.clone(), &at.namespace);
    let status = incidents
        .get(&at.name)
        .await
        .with_context(|| format!("incident {at}"))?
        .status;
    if status.is_none_or(|status| status.asked().is_none()) {
        bail!("no plan of {at} waits for somebody to do something");
    }
    decide(client, at, decision("done", arguments.reason.as_deref())).await?;
    Ok(format!("incident {at} goes on\n"))
}

/// Ends an incident as it is.
pub async fn abandon(client: &Client, arguments: &AbandonArguments) -> anyhow::Result<String> {
    let at = &arguments.incident;
    decide(client, at, decision("abandon", arguments.reason.as_deref())).await?;
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
                let halfway = stopped.is_some_and(|status| is_halfway(&status));
                if !halfway && own.is_none() {
                    return Ok(String::new());
                }
                let incident = GuardName {
                    namespace: at.namespace.clone(),
                    name: open.name.clone(),
                };
                decide(client, &incident, decision("resume", None)).await?;
                return Ok(format!("incident {} goes on\n", open.name));
            }
        }
    }
    bail!("the daemon did not take note within a minute: does it run? Then say `modosu resume {at}` again")
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
            annotate(&namespaces, namespace, &annotations).await?;
            Ok(format!("Namespace/{namespace}"))
        }
        (None, None, true) => {
            let configs: Api<ConfigMap> = Api::namespaced(client.clone(), &place.daemon.daemon_namespace);
            everything(&configs, &notes.under(["until", "by", "reason"]))
                .await
                .with_context(|| {
                    format!(
                        "ConfigMap {EVERYTHING} in namespace {} (--daemon-namespace)",
                        place.daemon.daemon_namespace
                    )
                })?;
            Ok(format!("ConfigMap/{EVERYTHING}"))
        }
        (_, _, _) => bail!("say one of: NAMESPACE/GUARD, --namespace NAMESPACE, --all"),
    }
}

/// A freeze of everything holds where the daemon reads it, and nowhere else: every guard says when it does, but for those
/// that another freeze holds longer.
async fn taken_note(client: &Client, namespace: &str, until: Timestamp) -> anyhow::Result<()> {
    let guards: Api<Guard> = Api::all(client.clone());
    let own = format!("ConfigMap/{EVERYTHING}");
    let lasts = |guard: &&Guard, by_it: bool| {
        let freeze = guard.status.as_ref().and_then(|status| status.freeze.as_ref());
        freeze.is_some_and(|freeze| (freeze.of == own) == by_it && freeze.until.is_none_or(|other| other >= until))
    };
    for _ in 0..TAKES_NOTE {
        let all = guards.list(&ListParams::default()).await;
        let all = all.context("it is written; whether the daemon takes note cannot be seen: the guards")?;
        let mut tell = all.items.iter().filter(|guard| !lasts(guard, false)).peekable();
        if tell.peek().is_none() || tell.any(|guard| lasts(&guard, true)) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    bail!(
        "ConfigMap {EVERYTHING} is written in namespace {namespace}, and no guard is frozen by it within a minute: \
         does the daemon run there? (--daemon-namespace)"
    )
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
