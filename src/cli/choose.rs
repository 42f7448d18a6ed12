//! IO. `modosu rollback`, `keep`: what a person decides, as the calling user, through the API server. The daemon follows it.

use std::io::{IsTerminal as _, Write as _};

use anyhow::{Context as _, bail};
use kube::{Api, Client};
use serde_json::json;

use super::{
    KeepArguments, RollbackArguments,
    caller::{annotate, caller, decide, decision},
};
use crate::{
    config::GuardName,
    decide::by_hand::RESTORE_TO,
    model::{
        freeze::{BY, REASON, UNTIL},
        guard::{Guard, GuardStatus},
        incident::{Incident, StateRef},
    },
    report::words::{self, named},
    turn::by_hand::{ONLY, ROLLBACK},
};

/// Puts back: decides so on an open incident, else asks the guard for it.
pub async fn rollback(client: &Client, told: &RollbackArguments) -> anyhow::Result<String> {
    let at = &told.at;
    let guards: Api<Guard> = Api::namespaced(client.clone(), &at.namespace);
    let incidents: Api<Incident> = Api::namespaced(client.clone(), &at.namespace);
    let guard = guards.get_opt(&at.name).await.with_context(|| format!("guard {at}"))?;
    let incident = match &guard {
        None => Some(at.name.clone()),
        Some(guard) => open_incident(guard),
    };
    let Some(name) = incident else {
        let frozen = guard
            .as_ref()
            .and_then(|guard| guard.metadata.annotations.as_ref()?.get(UNTIL));
        if let Some(until) = frozen {
            bail!("guard {at} is frozen until {until}: `modosu resume {at}` ends that");
        }
        return ask(client, told, &guard.and_then(|guard| guard.status).unwrap_or_default()).await;
    };
    let found = incidents
        .get_opt(&name)
        .await
        .with_context(|| format!("incident {at}"))?;
    let Some(found) = found else {
        bail!("there is no guard and no incident {at}");
    };
    let to = match &told.to {
        Some(hash) => format!("put {} BACK to {}", found.spec.guard, words::hash(hash)),
        None => match &found.spec.restore_to {
            Some(to) => words::back(&found.spec.guard, to),
            None => format!("carry out the plan of {}", found.spec.guard),
        },
    };
    if !confirmed(told.yes, &part(&to, &told.only), &found.spec.bad)? {
        return Ok("nothing was decided\n".to_owned());
    }
    let mut chosen = decision("rollback", Some(&told.reason));
    chosen["only"] = json!(told.only);
    chosen["to"] = json!(told.to);
    let incident = GuardName {
        namespace: at.namespace.clone(),
        name,
    };
    decide(client, &incident, chosen).await?;
    Ok(format!("decided on incident {incident}: {}\n", part(&to, &told.only)))
}

/// Lets the state of an incident run.
pub async fn keep(client: &Client, told: &KeepArguments) -> anyhow::Result<String> {
    let at = &told.incident;
    let incidents: Api<Incident> = Api::namespaced(client.clone(), &at.namespace);
    let found = incidents
        .get(&at.name)
        .await
        .with_context(|| format!("incident {at}"))?;
    decide(client, at, decision("keep", Some(&told.reason))).await?;
    Ok(format!("decided on incident {at}: {}\n", words::keep(&found.spec.bad)))
}

fn open_incident(guard: &Guard) -> Option<String> {
    let incident = guard.status.as_ref()?.incident.as_ref()?;
    Some(incident.name.clone())
}

/// While nothing is wrong the guard is asked: modosu opens the incident.
async fn ask(client: &Client, told: &RollbackArguments, status: &GuardStatus) -> anyhow::Result<String> {
    let at = &told.at;
    let to = match (&told.to, &status.restore_to) {
        (Some(hash), _) => words::hash(hash),
        (None, Some(to)) => named(&to.hash, &to.images),
        (None, None) => bail!("guard {at} has no proven state to go back to"),
    };
    let running = status
        .current
        .as_ref()
        .map_or_else(StateRef::default, |current| StateRef {
            hash: current.hash.clone(),
            images: current.images.clone(),
            ..StateRef::default()
        });
    let what = part(&format!("put {} BACK to {to}", at.name), &told.only);
    if !confirmed(told.yes, &what, &running)? {
        return Ok("nothing was asked for\n".to_owned());
    }
    let by = caller(client).await?;
    let only = (!told.only.is_empty()).then(|| told.only.join(","));
    let notes = json!({"metadata": {"annotations": {
        ROLLBACK: told.to.as_deref().unwrap_or(RESTORE_TO),
        ONLY: only,
        BY: by,
        REASON: told.reason,
    }}});
    let guards: Api<Guard> = Api::namespaced(client.clone(), &at.namespace);
    annotate(&guards, &at.name, &notes).await?;
    Ok(format!(
        "asked for: {what}\nmodosu opens an incident for it; `kubectl get incidents -n {}` shows it\n",
        at.namespace
    ))
}

fn part(what: &str, only: &[String]) -> String {
    match only {
        [] => what.to_owned(),
        only => format!("{what}, only {}; the rest stays as it is", only.join(", ")),
    }
}

/// Asks on a terminal; elsewhere whoever calls has decided.
fn confirmed(yes: bool, what: &str, running: &StateRef) -> anyhow::Result<bool> {
    if yes || !std::io::stdin().is_terminal() {
        return Ok(true);
    }
    eprint!("{what}?\nrunning now: {} [y/N] ", named(&running.hash, &running.images));
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
