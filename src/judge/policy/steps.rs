//! Pure. What can be wrong with the steps of a rollback.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};
use url::Url;

use super::{Mistake, git};
use crate::model::guard::{HttpCheck, OnFailure, Rollback, RunJob, Step, TargetKind, TargetRef};

/// `at`: where the steps stand.
pub fn steps(at: &str, steps: &[Step], mistakes: &mut Vec<Mistake>) {
    if steps.is_empty() {
        mistakes.push(Mistake::new(
            at,
            "a rollback needs at least one step, such as `restore: {}`",
        ));
    }
    together(at, steps, mistakes);
    for (place, step) in steps.iter().enumerate() {
        let path = format!("{at}[{place}]");
        if step.kinds().len() != 1 {
            mistakes.push(Mistake::new(
                &path,
                "a step is exactly one of restore, setEnv, setConfig, scale, waitReady, http, ask, job, git",
            ));
        }
        if let Some(set) = &step.set_env {
            let path = format!("{path}.setEnv");
            target(&path, &set.target, "Deployment/name", TargetKind::is_workload, mistakes);
            values(&path, ("variables", "env"), &set.env, &set.remove, mistakes);
        }
        if let Some(set) = &step.set_config {
            let path = format!("{path}.setConfig");
            let is_config = |kind| kind == TargetKind::ConfigMap;
            target(&path, &set.target, "ConfigMap/name", is_config, mistakes);
            values(&path, ("keys", "data"), &set.data, &set.remove, mistakes);
        }
        if let Some(asked) = &step.http {
            request(&format!("{path}.http"), asked, mistakes);
        }
        if let Some(job) = &step.job {
            template(&format!("{path}.job"), job, mistakes);
        }
        if let Some(change) = &step.git {
            git::change(&format!("{path}.git"), change, mistakes);
        }
        if let Some(asked) = &step.ask {
            let given = [("role", &asked.role), ("text", &asked.text)];
            let blank = given.into_iter().filter(|(_, text)| text.trim().is_empty());
            let wrong = |field| {
                Mistake::new(
                    format!("{path}.ask.{field}"),
                    "says nothing: who is asked, and for what?",
                )
            };
            mistakes.extend(blank.map(|(field, _)| wrong(field)));
        }
        if let Some(scale) = &step.scale {
            let scales = |kind| matches!(kind, TargetKind::Deployment | TargetKind::StatefulSet);
            target(
                &format!("{path}.scale"),
                &scale.target,
                "Deployment/name",
                scales,
                mistakes,
            );
        }
    }
}

/// Whether it changes what is guarded.
pub fn writes(step: &Step) -> bool {
    step.restore.is_some() || step.set_env.is_some() || step.set_config.is_some() || step.scale.is_some()
}

/// What is wrong with them as a plan.
fn together(at: &str, steps: &[Step], mistakes: &mut Vec<Mistake>) {
    let restores = |step: &Step| step.restore.is_some();
    let sets = |step: &Step| step.set_env.is_some() || step.set_config.is_some();
    let same = |one: &Step, other: &Step| restores(one) || restores(other) || one.target() == other.target();
    for (place, step) in steps.iter().enumerate() {
        let goes_on = step.on_failure == OnFailure::Continue && (restores(step) || sets(step));
        let mut later = steps
            .iter()
            .skip(place + 1)
            .filter(|later| restores(later) || sets(later));
        if goes_on && later.any(|later| same(step, later)) {
            mistakes.push(Mistake::new(
                format!("{at}[{place}].onFailure"),
                "a later step builds on what this one writes: let it escalate, or put it behind",
            ));
        }
    }
}

fn target(path: &str, written: &str, form: &str, fits: impl Fn(TargetKind) -> bool, mistakes: &mut Vec<Mistake>) {
    let named = written.parse::<TargetRef>().ok();
    if named.is_none_or(|target| !fits(target.kind) || target.name.contains('/')) {
        mistakes.push(Mistake::new(
            format!("{path}.target"),
            format!("`{written}` is not of the form `{form}`"),
        ));
    }
}

/// What is set and what is removed; `words`: what they are called, and where those that are set stand.
fn values(
    path: &str,
    words: (&str, &str),
    set: &BTreeMap<String, String>,
    remove: &[String],
    mistakes: &mut Vec<Mistake>,
) {
    let (what, field) = words;
    if set.is_empty() && remove.is_empty() {
        mistakes.push(Mistake::new(
            path,
            format!("sets nothing and removes nothing; name {what} in `{field}` or `remove`"),
        ));
    }
    for name in remove.iter().filter(|name| set.contains_key(*name)) {
        mistakes.push(Mistake::new(
            format!("{path}.remove"),
            format!("`{name}` is both set and removed; leave one out"),
        ));
    }
}

/// What the settings would have to say.
pub const NO_JOBS: &str = "this daemon runs no Jobs: its settings do not say `steps: {job: true}`";

/// Steps and checks that the daemon's settings do not allow: its guard is not watched. See [`Policy::jobs`] for checks that
/// are Jobs.
///
/// [`Policy::jobs`]: super::Policy::jobs
pub fn forbidden(rollback: &Rollback, http: bool, job: bool, git: bool) -> Vec<Mistake> {
    let steps = |field: &str, is: fn(&Step) -> bool, said: &str| {
        let all = rollback.placed_steps();
        let wrong = all.iter().filter(|(_, step)| is(step));
        wrong
            .map(|(path, _)| Mistake::new(format!("{path}.{field}"), said))
            .collect::<Vec<_>>()
    };
    let no_requests = "this daemon sends no requests: its settings say `steps: {http: false}`";
    let checks = rollback.before.iter().enumerate();
    let checks = checks.filter(|(_, check)| check.http.is_some() && !http);
    let mut all: Vec<_> = checks
        .map(|(place, _)| Mistake::new(format!("spec.rollback.before[{place}].http"), no_requests))
        .collect();
    if !http {
        all.extend(steps("http", |step| step.http.is_some(), no_requests));
    }
    if !job {
        all.extend(steps("job", |step| step.job.is_some(), NO_JOBS));
    }
    if !git {
        let said = "this daemon changes no repositories: its settings do not say `steps: {git: true}`";
        all.extend(steps("git", |step| step.git.is_some(), said));
    }
    all
}

/// Where the template of a Job stands.
pub fn template(path: &str, job: &RunJob, mistakes: &mut Vec<Mistake>) {
    let config = job.from.strip_prefix("ConfigMap/");
    if config.is_none_or(|name| name.is_empty() || name.contains('/')) || job.key.is_empty() {
        let wrong = "is not of the form `{from: ConfigMap/name, key: job.yaml}`";
        mistakes.push(Mistake::new(path, wrong));
    }
}

pub fn request(path: &str, asked: &HttpCheck, mistakes: &mut Vec<Mistake>) {
    let whole = asked.method.is_some() && asked.url.is_some();
    let none = asked.method.is_none() && asked.url.is_none();
    if !(if asked.get.is_some() { none } else { whole }) {
        mistakes.push(Mistake::new(path, "a request is either get, or method and url"));
        return;
    }
    let (_, url) = asked.request();
    let parsed = Url::parse(url).ok();
    if parsed.is_none_or(|url| !matches!(url.scheme(), "http" | "https") || !url.has_host()) {
        let field = if asked.get.is_some() { "get" } else { "url" };
        mistakes.push(Mistake::new(
            format!("{path}.{field}"),
            "is no address such as `http://orders.shop:8080/health`",
        ));
    }
    for (name, value) in &asked.headers {
        if name.parse::<HeaderName>().is_err() || value.parse::<HeaderValue>().is_err() {
            mistakes.push(Mistake::new(
                format!("{path}.headers.{name}"),
                "cannot be sent as a header",
            ));
        }
    }
    if !(100..=599).contains(&asked.expect) {
        mistakes.push(Mistake::new(
            format!("{path}.expect"),
            format!("{} is no status of an answer, such as 200", asked.expect),
        ));
    }
}
