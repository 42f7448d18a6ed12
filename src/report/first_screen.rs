//! Pure. The five answers a person needs at 3 a.m., in this order: what broke, since when, what was put back, is it
//! better now, what must I do.

use jiff::Timestamp;

use super::{
    fill::state_of,
    mask::mask_line,
    stages::{asked, mitigated},
    view::{GuardView, SignalVerdict, SignalView},
    words,
};
use crate::model::{
    guard::Unit,
    incident::{Decision, Evidence, Incident, IncidentState, IncidentStatus, StateRef, Verb},
};

/// The first screen of an incident's page.
pub(super) struct FirstScreen {
    pub broke: String,
    pub since: String,
    pub put_back: String,
    pub better: Better,
    pub you: String,
    /// Whether "you" asks for something.
    pub asks: bool,
}

/// Whether it is better now, with the number that says so.
pub(super) struct Better {
    pub word: &'static str,
    pub tone: &'static str,
    pub text: String,
}

impl FirstScreen {
    pub fn new(incident: &Incident, guard: Option<&GuardView>, now: Timestamp) -> Self {
        let empty = IncidentStatus::default();
        let case = Case {
            incident,
            state: state_of(incident),
            status: incident.status.as_ref().unwrap_or(&empty),
            now,
        };
        let (you, asks) = case.you_must();
        Self {
            broke: case.broke(),
            since: case.since(),
            put_back: case.put_back(),
            better: case.better(guard),
            you,
            asks,
        }
    }
}

struct Case<'a> {
    incident: &'a Incident,
    state: IncidentState,
    status: &'a IncidentStatus,
    now: Timestamp,
}

impl Case<'_> {
    fn broke(&self) -> String {
        let spec = &self.incident.spec;
        let sentence = || spec.triggers.first().map(|t| t.sentence.clone());
        let text = Some(spec.summary.clone()).filter(|s| !s.is_empty()).or_else(sentence);
        mask_line(&text.unwrap_or_else(|| format!("{} hurts", spec.guard)))
    }

    fn since(&self) -> String {
        let first = self.incident.spec.first_bad_at;
        let end = self.status.recovered_at.or(self.status.closed_at);
        match end.filter(|_| !self.state.is_open()) {
            Some(end) => format!(
                "{} to {}, {}",
                words::clock(first, self.now),
                words::clock(end, first),
                words::took(end.duration_since(first))
            ),
            None => words::when(first, self.now),
        }
    }

    fn put_back(&self) -> String {
        let guard = &self.incident.spec.guard;
        let target = self.status.goal(&self.incident.spec).map_or_else(
            || format!("the plan for {guard}"),
            |to| format!("{guard} to {}", words::named(&to.hash, &to.images)),
        );
        let target = match self.status.only.as_slice() {
            [] => target,
            only => format!("{target}, only {}", only.join(", ")),
        };
        let (done, planned) = self.steps();
        let steps = words::counted(planned, "step");
        let at = self
            .status
            .rolled_out_at
            .map(|at| format!(", rolled out {}", words::clock(at, self.now)));
        let at = at.unwrap_or_default();
        match self.state {
            IncidentState::AwaitingDecision if asked(self.status).is_some() => {
                let mitigated = mitigated(self.status, self.now).map(|words| format!("{words}. "));
                format!(
                    "{}{done} of {steps} done; modosu waits for a decision.",
                    mitigated.unwrap_or_default()
                )
            }
            IncidentState::AwaitingDecision => "Nothing yet: modosu waits for a decision.".to_owned(),
            IncidentState::RollingBack => format!("Being put back now: {target}. {done} of {steps} done."),
            IncidentState::Verifying => format!("Put back: {target}{at}."),
            IncidentState::Recovered if done == 0 => "Nothing: it healed before anything was written.".to_owned(),
            IncidentState::Recovered => match self.status.failed_steps() {
                failed if failed.is_empty() => format!("Put back: {target}{at}."),
                failed => mask_line(&format!("Put back: {target}{at}, but {}.", failed.join("; "))),
            },
            IncidentState::Escalated if done == 0 => "Nothing was put back.".to_owned(),
            IncidentState::Escalated => format!("Tried: {target}. {done} of {steps} done."),
            IncidentState::RecoveredByHand => "A person changed it back; modosu wrote nothing more.".to_owned(),
            IncidentState::Kept if done > 0 => format!(
                "{done} of {steps} had been done when it was decided to {}.",
                words::keep(&self.incident.spec.bad)
            ),
            IncidentState::Kept => format!("Nothing: it was decided to {}.", words::keep(&self.incident.spec.bad)),
            IncidentState::Passed => "Nothing: it became healthy by itself.".to_owned(),
            IncidentState::Superseded => format!("A newer change came. {done} of {steps} had been done by then."),
            IncidentState::Abandoned => {
                let by_a_person =
                    self.status.decided.as_ref().and_then(|decision| decision.verb) == Some(Verb::Abandon);
                let by = if by_a_person {
                    "Stopped by a person"
                } else {
                    "What it was about is gone"
                };
                format!("{by}. {done} of {steps} had been done by then.")
            }
            IncidentState::Observed => "Nothing: here modosu only records.".to_owned(),
        }
    }

    /// Steps on objects of the present plan: done (journalled with a receipt that says so) and planned.
    fn steps(&self) -> (usize, usize) {
        let steps = self.status.plan.iter().enumerate();
        let planned: Vec<usize> = steps
            .filter(|(_, step)| step.target.is_some())
            .map(|(place, _)| place)
            .collect();
        let receipt = |place: &&usize| self.status.receipt_of(**place).and_then(|e| e.receipt.as_deref());
        let done = planned
            .iter()
            .filter(|place| matches!(receipt(place), Some("done" | "already")));
        (done.count(), planned.len())
    }

    fn better(&self, guard: Option<&GuardView>) -> Better {
        let evidence = self.incident.evidence();
        let by_signal = evidence.clone().find_map(|e| {
            let name = e.signal.as_deref()?;
            let signal = guard?.signals.iter().find(|s| s.name == name)?;
            Some(from_signal(e, signal))
        });
        let by_trigger = || {
            evidence.clone().find_map(|e| {
                let trigger = guard?.triggers.iter().find(|t| t.name == e.name)?;
                let (word, tone) = match trigger.status.as_str() {
                    "firing" => ("No", "bad"),
                    "quiet" => ("Yes", "fine"),
                    _ => ("Not known", "warn"),
                };
                let text = trigger.sentence.clone();
                Some(Better { word, tone, text })
            })
        };
        let now = by_signal.or_else(by_trigger);
        match (self.status.recovered_at, now) {
            (Some(at), Some(now)) if now.word == "Yes" => Better {
                text: format!("{} Proven {}.", now.text, words::clock(at, self.now)),
                ..now
            },
            (Some(at), Some(now)) if now.word == "No" => Better {
                text: format!(
                    "It was proven better at {}, but {}",
                    words::clock(at, self.now),
                    now.text
                ),
                ..now
            },
            (_, Some(now)) => now,
            (Some(at), None) => Better {
                word: "Yes",
                tone: "fine",
                text: format!("Proven {}.", words::when(at, self.now)),
            },
            (None, None) => Better {
                word: "Not known",
                tone: "warn",
                text: "There is no live number for this guard.".to_owned(),
            },
        }
    }

    /// What a person must do, and whether that is something.
    fn you_must(&self) -> (String, bool) {
        let spec = &self.incident.spec;
        let nothing = |why: &str| (format!("Nothing. {why}"), false);
        let choice = match self.status.goal(spec) {
            _ if let Some(begin) = asked(self.status) => format!("{begin}, or {}", words::keep(&spec.bad)),
            Some(to) => format!("{}, or {}", words::back(&spec.guard, to), words::keep(&spec.bad)),
            None => format!(
                "{}, or repair it by hand: there is no proven state to go back to",
                words::keep(&spec.bad)
            ),
        };
        match self.state {
            _ if self.waits_to_act() => nothing("Your decision was taken; modosu acts on it now."),
            IncidentState::AwaitingDecision => (format!("Decide{}: {choice}.", self.deadline()), true),
            IncidentState::Escalated => (
                format!(
                    "Act{}: modosu has stopped; nothing more happens until you act. {}.",
                    self.deadline(),
                    words::first_upper(&choice)
                ),
                true,
            ),
            IncidentState::RollingBack if let Some(asked) = self.status.asked() => {
                let words = asked.note.as_deref().unwrap_or_default();
                let who = words.strip_prefix("asks ").unwrap_or(words);
                let name = self.incident.metadata.name.as_deref().unwrap_or_default();
                let namespace = self.incident.metadata.namespace.as_deref().unwrap_or_default();
                let say = format!("modosu done {namespace}/{name} --reason …");
                (
                    format!("Do what the plan asks of {who}. Then say `{say}`: the plan waits for it."),
                    true,
                )
            }
            IncidentState::RollingBack => nothing("modosu puts it back and then proves that it helped."),
            IncidentState::Verifying => nothing("modosu is proving that it helped."),
            IncidentState::Recovered => nothing(&format!(
                "Find out why {} failed before it is released again.",
                words::named(&spec.bad.hash, &spec.bad.images)
            )),
            IncidentState::RecoveredByHand => nothing("It is over."),
            IncidentState::Kept => nothing("From here on modosu only reports on this state."),
            IncidentState::Passed => nothing("It has been healthy again since."),
            IncidentState::Superseded => nothing("The newer change is watched by itself."),
            IncidentState::Abandoned => nothing("modosu does no more here."),
            IncidentState::Observed => nothing("modosu does not act here; put it back yourself if it hurts."),
        }
    }

    /// A decision is written but the state does not follow it yet.
    fn waits_to_act(&self) -> bool {
        let open = matches!(self.state, IncidentState::AwaitingDecision | IncidentState::Escalated);
        let decision = self
            .incident
            .spec
            .decision
            .as_ref()
            .filter(|decision| decision.verb.is_some());
        let followed = |decision: &Decision| {
            self.status
                .decided
                .as_ref()
                .is_some_and(|old| old.decides_like(decision))
        };
        open && decision.is_some_and(|decision| !followed(decision))
    }

    fn deadline(&self) -> String {
        let awaited = self.status.decide_by.or(self.status.respond_by);
        awaited
            .map(|by| format!(" by {}", words::when(by, self.now)))
            .unwrap_or_default()
    }
}

fn from_signal(evidence: &Evidence, signal: &SignalView) -> Better {
    let shown = |value| words::number(value, signal.unit);
    let mut aside = vec![format!("was {}", shown(evidence.value))];
    aside.extend(evidence.limit.map(|limit| format!("limit {}", shown(Some(limit)))));
    let known = signal.value.is_some_and(f64::is_finite);
    let (word, tone) = match signal.verdict {
        SignalVerdict::Healthy => ("Yes", "fine"),
        SignalVerdict::Breached => ("No", "bad"),
        SignalVerdict::Unknown => ("Not known", "warn"),
    };
    let text = match &signal.because {
        Some(why) if !known => format!("{}: {why}.", signal.name),
        _ => format!("{} is {} now ({}).", signal.name, shown(signal.value), aside.join(", ")),
    };
    Better { word, tone, text }
}

/// The unit of an evidence's numbers: that of the live signal, else a plain number.
pub(super) fn unit_of(evidence: &Evidence, guard: Option<&GuardView>) -> Unit {
    let name = evidence.signal.as_deref();
    let live = guard.and_then(|g| g.signals.iter().find(|s| Some(s.name.as_str()) == name));
    live.map_or(Unit::Count, |s| s.unit)
}

/// Where it goes, and which part of it.
fn back(incident: &Incident) -> String {
    let (spec, nowhere) = (&incident.spec, StateRef::default());
    let status = incident.status.as_ref();
    let to = status.map_or(spec.restore_to.as_ref(), |status| status.goal(spec));
    let back = words::back(&spec.guard, to.unwrap_or(&nowhere));
    match status.map_or(&[][..], |status| &status.only) {
        [] => back,
        only => format!("{back}, only {}", only.join(", ")),
    }
}

/// What was decided, by whom, why.
pub(super) fn decided(incident: &Incident) -> Option<String> {
    let decision = incident.spec.decision.as_ref()?;
    let spec = &incident.spec;
    let verb = match decision.verb? {
        Verb::Rollback => back(incident),
        Verb::Keep => words::keep(&spec.bad),
        Verb::Freeze => "nothing is written for two hours".to_owned(),
        Verb::Resume => "the plan goes on".to_owned(),
        Verb::Done => "the plan goes on: what it asked for is done".to_owned(),
        Verb::Abandon => "everything stays as it is".to_owned(),
    };
    let by = decision.by.as_deref().map(|by| format!(" by {by}")).unwrap_or_default();
    let why = decision
        .reason
        .as_deref()
        .map(|why| format!(": {why}"))
        .unwrap_or_default();
    Some(format!("Decided{by} to {verb}{why}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn screen(status: serde_json::Value) -> FirstScreen {
        let state = |hash: &str| json!({"hash": hash, "images": []});
        let at = "2026-03-01T00:00:00Z";
        let incident = json!({"metadata": {"name": "orders-b"}, "spec": {"guard": "orders", "firstBadAt": at, "openedAt": at,
            "grade": "Critical", "action": "automatic_rollback", "triggers": [], "bad": state("bbbb"), "restoreTo": state("aaaa")},
            "status": status});
        FirstScreen::new(&serde_json::from_value(incident).unwrap(), None, at.parse().unwrap())
    }

    #[test]
    fn what_a_person_chose_is_shown_and_its_own_steps_are_counted() {
        let step = |target: &str| json!({"step": "restore", "target": target});
        let receipt = |seq: u32, word: &str| json!({"seq": seq, "at": "2026-03-01T00:00:00Z", "receipt": word});
        let shown = screen(json!({
            "state": "RollingBack",
            "goal": {"hash": "0ld0", "images": []},
            "only": ["ConfigMap/settings"],
            "planFrom": 2,
            "plan": [step("ConfigMap/settings"), step("Deployment/orders"), {"step": "waitReady"}],
            // Two steps of an earlier plan, and one of this.
            "journal": [receipt(1, "done"), receipt(2, "failed"), receipt(3, "done")],
        }));
        assert_eq!(
            shown.put_back,
            "Being put back now: orders to 0ld0, only ConfigMap/settings. 1 of 2 steps done."
        );
        let asked = screen(json!({"state": "AwaitingDecision", "goal": {"hash": "0ld0", "images": []}}));
        assert!(
            asked.you.contains("0ld0") && !asked.you.contains("aaaa"),
            "{}",
            asked.you
        );
    }
}
