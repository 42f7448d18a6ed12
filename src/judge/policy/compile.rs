//! Pure. `GuardSpec` to `Policy`: every default resolved, every mistake told at once.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Evidence, Mistake, Names, Policy, Rule, Signal, before::before, reference::reference, signals::signals,
    stages::stages,
};
use crate::{
    judge::{
        condition::{Condition, suggestion},
        memory::FACTS,
    },
    model::{
        grade::{Scheme, Schemes},
        guard::{Action, GuardSpec, HardFacts, Mode, Trigger},
        preset::Preset,
    },
};

pub fn compile(
    namespace: &str,
    spec: &GuardSpec,
    presets: &BTreeMap<String, Preset>,
    schemes: &Schemes,
) -> Result<Policy, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let scheme = scheme(spec, schemes, &mut mistakes);
    let preset = preset(spec, presets, &mut mistakes);
    let mut specs = preset.map(|p| p.signals.clone()).unwrap_or_default();
    specs.extend(spec.metrics.signals.clone());
    let signals = signals(&specs, &mut mistakes);
    targets(spec, &mut mistakes);
    times(spec, &mut mistakes);
    evidence(spec, &mut mistakes);
    stages(&spec.rollback, &mut mistakes);
    let (baseline_window, reference) = reference(spec.baseline.as_ref(), &signals, &mut mistakes);
    let matching = matching(namespace, spec, preset, &mut mistakes);
    if preset.is_none() && spec.metrics.preset.is_some() {
        // Without the preset's signals every condition would be called wrong.
        return Err(mistakes);
    }
    let triggers = rules(spec, preset, &signals, scheme.as_deref(), &mut mistakes);
    let before = before(&spec.rollback, &signals, &mut mistakes);
    let verify = conditions(&spec.verify.conditions, &signals, &mut mistakes);
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let names = Names {
        signals: signals.iter().map(|signal| signal.name.clone()).collect(),
        triggers: triggers.iter().map(|rule| rule.name.clone()).collect(),
    };
    Ok(Policy {
        mode: spec.mode.unwrap_or(Mode::Enforce),
        matching,
        signals,
        triggers,
        names: names.into(),
        hard_facts: match spec.hard_facts {
            HardFacts::Off => None,
            HardFacts::Monitor => Some(Action::Monitor),
            HardFacts::AlertAndManualReview => Some(Action::AlertAndManualReview),
            HardFacts::AutomaticRollback => Some(Action::AutomaticRollback),
        },
        scheme: scheme.unwrap_or_default(),
        window: spec.metrics.window.0,
        baseline_window,
        reference,
        evidence: spec.evidence.enabled.then_some(Evidence {
            alpha: spec.evidence.alpha.0,
            floor: spec.evidence.floor.0,
        }),
        watch_for: spec.watch_for.0,
        automatic_for: spec.automatic_for.0,
        known_good_after: spec.known_good_after.0,
        cooldown: spec.cooldown.0,
        retry_lock: spec.retry_lock.length.0,
        lock_fields: spec.retry_lock.fields.clone(),
        within: spec.rollback.within.0,
        before,
        jobs: true,
        steps: spec.rollback.placed_steps().into_iter().map(|(_, step)| step).collect(),
        stages: spec.rollback.placed_stages(),
        verify,
        hold: spec.verify.hold.0,
    })
}

fn preset<'a>(
    spec: &GuardSpec,
    presets: &'a BTreeMap<String, Preset>,
    mistakes: &mut Vec<Mistake>,
) -> Option<&'a Preset> {
    let name = spec.metrics.preset.as_ref()?;
    let found = presets.get(name);
    if found.is_none() {
        let hint = suggestion(name, presets.keys().map(String::as_str));
        mistakes.push(Mistake::new(
            "spec.metrics.preset",
            format!("there is no preset `{name}`{hint}"),
        ));
    }
    found
}

fn scheme(spec: &GuardSpec, schemes: &Schemes, mistakes: &mut Vec<Mistake>) -> Option<Arc<Scheme>> {
    let found = schemes.get(&spec.scheme);
    if found.is_none() {
        let hint = suggestion(&spec.scheme, schemes.keys().map(String::as_str));
        mistakes.push(Mistake::new(
            "spec.scheme",
            format!("there is no scheme `{}`{hint}", spec.scheme),
        ));
    }
    found.cloned()
}

fn targets(spec: &GuardSpec, mistakes: &mut Vec<Mistake>) {
    if spec.targets.is_empty() || spec.targets.len() > 20 {
        mistakes.push(Mistake::new(
            "spec.targets",
            format!("a guard has 1 to 20 targets, not {}", spec.targets.len()),
        ));
    }
    for (place, target) in spec.targets.iter().enumerate() {
        if spec.targets.iter().take(place).any(|earlier| earlier == target) {
            mistakes.push(Mistake::new(
                format!("spec.targets[{place}]"),
                format!("{:?}/{} is named twice; leave one out", target.kind, target.name),
            ));
        }
    }
}

fn times(spec: &GuardSpec, mistakes: &mut Vec<Mistake>) {
    let never_zero = [
        ("spec.metrics.window", spec.metrics.window),
        ("spec.rollback.within", spec.rollback.within),
    ];
    for (path, length) in never_zero {
        if length.0.is_zero() {
            mistakes.push(Mistake::new(path, "must be longer than nothing, such as `1m`"));
        }
    }
    if spec.automatic_for > spec.watch_for {
        mistakes.push(Mistake::new(
            "spec.automaticFor",
            format!(
                "{} is longer than watchFor, {}: after watchFor nothing is put down to the change any more",
                spec.automatic_for, spec.watch_for
            ),
        ));
    }
}

fn evidence(spec: &GuardSpec, mistakes: &mut Vec<Mistake>) {
    let (alpha, floor) = (spec.evidence.alpha.0, spec.evidence.floor.0);
    if !(alpha > 0.0 && alpha <= 0.1) {
        mistakes.push(Mistake::new(
            "spec.evidence.alpha",
            format!("{alpha} is not a small chance of being wrong; the default is `'1e-4'`, the most is `'10%'`"),
        ));
    }
    if !(floor > 0.0 && floor < 0.5) {
        mistakes.push(Mistake::new(
            "spec.evidence.floor",
            format!(
                "{floor} is not between 0 and 50 %; it is the smallest share that may be called worse, such as `'0.1%'`"
            ),
        ));
    }
}

/// The labels of this guard's rows: its own, or the preset's two with its namespace and first workload.
fn matching(
    namespace: &str,
    spec: &GuardSpec,
    preset: Option<&Preset>,
    mistakes: &mut Vec<Mistake>,
) -> BTreeMap<String, String> {
    if !spec.metrics.matching.is_empty() {
        return spec.metrics.matching.clone();
    }
    let workload = spec.targets.iter().find(|target| target.kind.is_workload());
    match (preset.map(|preset| &preset.labels), workload) {
        (Some(labels), _)
            if !labels.matching.is_empty() || (labels.namespace.is_none() && labels.workload.is_none()) =>
        {
            let names = labels.matching.iter().map(|name| format!("{name}: …"));
            mistakes.push(Mistake::new(
                "spec.metrics.match",
                format!(
                    "nothing on Kubernetes tells which rows of this preset are this guard's: say so, as in `{{{}}}`",
                    names.collect::<Vec<_>>().join(", ")
                ),
            ));
            BTreeMap::new()
        }
        (Some(labels), Some(workload)) => {
            let namespace = labels.namespace.clone().map(|label| (label, namespace.to_owned()));
            let workload = labels.workload.clone().map(|label| (label, workload.name.clone()));
            namespace.into_iter().chain(workload).collect()
        }
        (None, _) if spec.metrics.preset.is_some() => BTreeMap::new(),
        (None, _) => {
            mistakes.push(Mistake::new(
                "spec.metrics.match",
                "without a preset, say which rows are this guard's, such as `{namespace: shop, job: orders}`",
            ));
            BTreeMap::new()
        }
        (Some(_), None) => {
            mistakes.push(Mistake::new(
                "spec.metrics.match",
                "no target is a workload, so say which rows are this guard's, such as `{namespace: shop, job: orders}`",
            ));
            BTreeMap::new()
        }
    }
}

fn rules(
    spec: &GuardSpec,
    preset: Option<&Preset>,
    signals: &[Signal],
    scheme: Option<&Scheme>,
    mistakes: &mut Vec<Mistake>,
) -> Vec<Rule> {
    let triggers: &[Trigger] = match (&spec.triggers, preset) {
        (Some(own), _) => own,
        (None, Some(preset)) => &preset.triggers,
        (None, None) => {
            mistakes.push(Mistake::new(
                "spec.triggers",
                "without a preset there are no default triggers; write at least one, or `[]` for hard facts alone",
            ));
            &[]
        }
    };
    let mut rules = Vec::new();
    for (place, trigger) in triggers.iter().enumerate() {
        let path = format!("spec.triggers[{place}]");
        if triggers.iter().take(place).any(|earlier| earlier.name == trigger.name) {
            mistakes.push(Mistake::new(
                format!("{path}.name"),
                format!(
                    "two triggers are named `{}`; people tell them apart by name",
                    trigger.name
                ),
            ));
        }
        if FACTS.contains(&trigger.name.as_str()) {
            mistakes.push(Mistake::new(
                format!("{path}.name"),
                format!("`{}` is the name of a hard fact; choose another", trigger.name),
            ));
        }
        let grade = grade(&path, trigger, scheme, spec.triggers.is_some(), mistakes);
        let Some(condition) = condition(&format!("{path}.condition"), &trigger.condition, signals, mistakes) else {
            continue;
        };
        rules.push(Rule {
            name: trigger.name.clone(),
            text: trigger.condition.clone(),
            condition,
            action: trigger.action,
            grade,
            hold: trigger.hold.0,
            min_requests: trigger.min_requests,
            certainty: trigger.certainty,
        });
    }
    rules
}

/// The grade that is named, or follows from the action, also where a preset names one that the guard's scheme has not. Without
/// a scheme there is nothing to say of it.
fn grade(path: &str, trigger: &Trigger, scheme: Option<&Scheme>, own: bool, mistakes: &mut Vec<Mistake>) -> String {
    let Some(scheme) = scheme else { return String::new() };
    let named = trigger.grade.as_ref();
    let Some(name) = named.filter(|name| own || scheme.find(name).is_some()) else {
        let follows = scheme.default_for(trigger.action);
        return follows.map(|grade| grade.name.clone()).unwrap_or_default();
    };
    if scheme.find(name).is_none() {
        let known = scheme.grades.iter().map(|grade| grade.name.as_str());
        mistakes.push(Mistake::new(
            format!("{path}.grade"),
            format!("the scheme has no grade `{name}`{}", suggestion(name, known)),
        ));
    }
    name.clone()
}

fn conditions(texts: &[String], signals: &[Signal], mistakes: &mut Vec<Mistake>) -> Vec<Condition> {
    let mut compiled = Vec::new();
    for (place, text) in texts.iter().enumerate() {
        compiled.extend(condition(
            &format!("spec.verify.conditions[{place}]"),
            text,
            signals,
            mistakes,
        ));
    }
    compiled
}

pub fn condition(path: &str, text: &str, signals: &[Signal], mistakes: &mut Vec<Mistake>) -> Option<Condition> {
    match Condition::compile(text, signals) {
        Ok(condition) => Some(condition),
        Err(wrong) => {
            mistakes.push(Mistake {
                path: path.to_owned(),
                message: format!("column {}: {}", wrong.column, wrong.message),
                picture: wrong.picture,
            });
            None
        }
    }
}
