//! IO. What is asked of Prometheus beside a turn's readings: old and new pods side by side, for guards on which an
//! automatic trigger fires while both run; and what goes on around guards whose traffic fell.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use tokio::time::Instant;

use super::{Daemon, guarded::Guarded};
use crate::{
    decide::{between, enter::on_probation},
    judge::{Finding, policy::Source, sides},
    model::guard::Action,
    observe::{
        aside::Fell,
        cache::ObjectKey,
        cluster::Cluster,
        sides::{ByPod, PodCount, Pods},
    },
};

/// What is asked for one finding of one guard.
struct Question {
    finding: Finding,
    /// Which pods are old and which are new; nothing where no controller has said so yet.
    pods: Option<Pods>,
    asked: ByPod<ObjectKey>,
}

/// After so long without an answer people are asked.
const COMPARED_WITHIN: Duration = Duration::from_secs(30);
/// So many guards' neighbours are asked about in a turn, in turns.
const FELL_AT_ONCE: usize = 256;
/// All that is asked beside readings takes no longer than half a poll, nor so short that nothing can be answered.
const SHORTEST: Duration = Duration::from_millis(500);

impl Daemon {
    /// When what is asked in this turn beside readings must be answered: all guards wait for it.
    pub(super) fn beside_until(&self) -> Instant {
        let half = self.settings.poll.0 / 2;
        Instant::now() + half.min(self.settings.prometheus.timeout.0).max(SHORTEST)
    }

    /// Asks about traffic that fell; the next turn judges what is said.
    pub(super) async fn look_around(&mut self, deadline: Instant) {
        let mut fell: Vec<Fell<ObjectKey>> = self.guards.iter().filter_map(|(key, one)| one.fell(key)).collect();
        if fell.is_empty() {
            return;
        }
        let later = |one: &Fell<ObjectKey>| self.asked_around.as_ref().is_some_and(|last| one.guard > *last);
        let next = fell.iter().position(later).unwrap_or(0);
        fell.rotate_left(next);
        fell.truncate(FELL_AT_ONCE);
        let asked = fell;
        self.asked_around = asked.last().map(|one| one.guard.clone());
        let told = self.poller.around(&asked, deadline).await;
        for (asked, told) in asked.iter().zip(told) {
            if let Some(Ok(rules)) = self.guards.get_mut(&asked.guard).map(|guarded| guarded.rules.as_mut()) {
                rules.memory.tell_traffic(told);
            }
        }
    }

    /// Asks in the same turn, before anything is decided: what only new pods do is acted on without delay. Where it is not
    /// known how they compare, it is asked again.
    pub(super) async fn look_beside(&mut self, now: Timestamp, deadline: Instant) {
        let mut questions = Vec::new();
        for (key, guarded) in &mut self.guards {
            let own = guarded.questions(key, &self.cluster, now);
            guarded.compares_only(&own);
            questions.extend(own);
        }
        let told = questions.iter().filter(|question| question.pods.is_some());
        let asked: Vec<_> = told.map(|question| question.asked.clone()).collect();
        let mut answers = if asked.is_empty() {
            Vec::new().into_iter()
        } else {
            self.poller.by_pod(&asked, deadline).await.into_iter()
        };
        for Question { finding, pods, asked } in questions {
            let Some(guarded) = self.guards.get_mut(&asked.guard) else {
                continue;
            };
            let Some(pods) = pods else {
                guarded.ask_again(&finding.name, "a controller has not seen the newest change yet", now);
                continue;
            };
            match answers.next().flatten() {
                Some(counted) => guarded.compare(&finding, &pods, &counted),
                None => guarded.ask_again(&finding.name, "Prometheus does not answer", now),
            }
        }
    }
}

impl Guarded {
    fn compare(&mut self, finding: &Finding, pods: &Pods, counted: &[PodCount]) {
        self.uncompared.remove(&finding.name);
        let Ok(rules) = &self.rules else { return };
        if let Some(sentence) = sides::equally_bad(&rules.policy, finding, pods.sides(counted)) {
            let why = format!("it is not this change: {sentence}");
            self.not_this_change.insert(finding.name.clone(), why);
        }
    }

    /// Nothing is decided on a trigger whose old and new pods could not be compared; after a while people are asked.
    fn ask_again(&mut self, trigger: &str, why: &str, now: Timestamp) {
        let since = *self.uncompared.entry(trigger.to_owned()).or_insert(now);
        if between(since, now) >= COMPARED_WITHIN {
            let why = format!("old and new pods could not be compared: {why}");
            self.not_this_change.insert(trigger.to_owned(), why);
        } else if let Some((verdict, _)) = &mut self.judged {
            verdict.firing.retain(|finding| finding.name != trigger);
        }
    }

    /// What fires and needs no comparison any more is not held for one.
    fn compares_only(&mut self, questions: &[Question]) {
        let asked: BTreeSet<&str> = questions.iter().map(|one| one.finding.name.as_str()).collect();
        let Some((verdict, _)) = &self.judged else { return };
        let fires = |name: &String| verdict.firing.iter().any(|finding| finding.name == *name);
        self.uncompared
            .retain(|name, _| asked.contains(name.as_str()) || !fires(name));
    }

    fn fell(&self, key: &ObjectKey) -> Option<Fell<ObjectKey>> {
        let rules = self.rules.as_ref().ok()?;
        let (counter, low) = rules.memory.low_traffic(&rules.policy)?;
        Some(Fell {
            guard: key.clone(),
            namespace: key.0.clone(),
            counter: counter.to_owned(),
            policy: rules.policy.clone(),
            low,
            window: rules.policy.window,
        })
    }

    fn questions(&self, key: &ObjectKey, cluster: &Cluster, now: Timestamp) -> Vec<Question> {
        let (Ok(rules), Some(current), Some((verdict, _))) = (&self.rules, &self.record.current, &self.judged) else {
            return Vec::new();
        };
        let policy = &rules.policy;
        let automatic = |finding: &&Finding| finding.action == Action::AutomaticRollback && !finding.hard_fact;
        let mut findings = verdict.firing.iter().filter(automatic).peekable();
        if findings.peek().is_none() || !self.undecided() || !on_probation(current, policy, now) {
            return Vec::new();
        }
        let pods = Pods::of(&key.0, &self.guard().spec, cluster);
        if pods.as_ref().is_some_and(|pods| !pods.mixed()) {
            return Vec::new();
        }
        let question = |finding: &Finding| {
            let (part, total, is_good) = match &policy.signals.get(sides::ratio(policy, finding)?)?.source {
                Source::Bad { bad, total } => (bad, total, false),
                Source::Good { good, total } => (good, total, true),
                Source::Complement { .. }
                | Source::Quantile { .. }
                | Source::Gauge { .. }
                | Source::Alerts { .. }
                | Source::Rate { .. } => {
                    return None;
                }
            };
            let asked = ByPod {
                guard: key.clone(),
                part: part.clone(),
                total: total.clone(),
                is_good,
                policy: policy.clone(),
                since: between(finding.evidence.since.unwrap_or(now), now),
            };
            Some(Question {
                finding: finding.clone(),
                pods: pods.clone(),
                asked,
            })
        };
        findings.filter_map(question).collect()
    }
}
