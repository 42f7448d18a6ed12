//! IO. Whether tonight's rollback would be accepted: every guard's plan is dry-run while nothing is wrong, at each change, at
//! each proof, and else spread out. Tasks of their own ask; what they hear is taken in by a later turn.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use tokio::task::JoinSet;

use super::{Daemon, Shared, guarded::Guarded};
use crate::{
    act::{Api, rehearse::Rehearsal},
    decide::{
        between,
        enter::on_probation,
        ready::{self, Answer, Way},
        standing::News,
    },
    judge::policy::Policy,
    model::{
        guard::{Mode, RestoreTo},
        incident::IncidentState,
    },
    observe::{
        cache::ObjectKey,
        cluster::Cluster,
        seen::{Seen, Writable},
    },
};

const MINUTE: Duration = Duration::from_secs(60);
/// So many plans of all guards are tried in a minute.
const A_MINUTE: usize = 10;
/// So many of them are left for changes and proofs.
const FOR_NEWS: usize = 2;
/// Between two tries for which nothing happened.
const SPREAD: Duration = Duration::from_secs(6);
/// After so long what was accepted is tried again, if nothing happens.
const AGAIN: Duration = MINUTE;
/// So much sooner what was not.
const SOONER: Duration = Duration::from_secs(15);
/// What came to nothing because the watches lag is not tried again at once.
const WATCH_LAG: Duration = Duration::from_secs(5);
/// So many are under way at the same time.
const AT_ONCE: usize = 4;

/// The tries of all guards.
#[derive(Default)]
pub struct Rehearsals {
    under_way: JoinSet<Heard>,
    guards: BTreeSet<ObjectKey>,
    pace: Pace,
}

/// When tries began, for a minute.
#[derive(Default)]
struct Pace(VecDeque<Timestamp>);

struct Heard {
    guard: ObjectKey,
    about: Question,
    way: Way,
    answer: Answer,
}

/// What a try is about: another one means that something happened.
#[derive(Clone, Debug, PartialEq)]
struct Question {
    generation: Option<i64>,
    current: String,
    proven: bool,
    back_to: Option<RestoreTo>,
}

/// What is known of one guard.
#[derive(Default)]
pub struct Rehearsed {
    /// What the server said last.
    news: Option<News>,
    /// What that was about.
    about: Option<Question>,
    tried_at: Option<Timestamp>,
    /// The last try had no answer.
    unanswered: bool,
    /// The last condition that was not Unknown.
    told: Option<News>,
}

impl Daemon {
    /// Takes in what was heard.
    pub(super) fn hear_rehearsals(&mut self) {
        while let Some(heard) = self.rehearsals.under_way.try_join_next() {
            let Ok(heard) = heard else { continue };
            self.rehearsals.guards.remove(&heard.guard);
            if let Some(guarded) = self.guards.get_mut(&heard.guard) {
                guarded.rehearsed.hear(heard);
            }
        }
        if self.rehearsals.under_way.is_empty() {
            self.rehearsals.guards.clear();
        }
    }

    /// Begins what is due, within the bounds: first where something happened, then what was tried the longest ago. Only a turn
    /// that looks at all guards tries those where nothing happened.
    pub(super) fn rehearse(&mut self, seen: &BTreeMap<ObjectKey, super::guarded::Look>, all: bool) {
        let now = self.clock.now();
        let mut due = Vec::new();
        for (key, guarded) in &self.guards {
            let Some(Ok(seen)) = seen.get(key).filter(|_| !self.rehearsals.guards.contains(key)) else {
                continue;
            };
            let Some(question) = guarded.question(&self.cluster, seen, now) else {
                continue;
            };
            if let Some(happened) = guarded.rehearsed.due(&question, now)
                && (happened || all)
            {
                due.push((!happened, guarded.rehearsed.tried_at, key.clone(), question));
            }
        }
        due.sort_by_key(|(nothing_happened, tried_at, ..)| (*nothing_happened, *tried_at));
        for (nothing_happened, _, key, question) in due {
            let busy = self.rehearsals.under_way.len() >= AT_ONCE;
            if busy || !self.rehearsals.pace.take(!nothing_happened, now) {
                return;
            }
            let Some((guarded, Some(Ok(seen)))) = self.guards.get_mut(&key).map(|guarded| (guarded, seen.get(&key)))
            else {
                continue;
            };
            let Some(rehearsal) = guarded.rehearsal(&self.api, &self.cluster, seen, &question, now) else {
                continue;
            };
            guarded.rehearsed.about = Some(question.clone());
            guarded.rehearsed.tried_at = Some(now);
            self.rehearsals.guards.insert(key.clone());
            self.rehearsals.under_way.spawn(async move {
                let (way, answer) = rehearsal.run().await;
                Heard {
                    guard: key,
                    about: question,
                    way,
                    answer,
                }
            });
        }
    }
}

impl Pace {
    fn take(&mut self, happened: bool, now: Timestamp) -> bool {
        self.0.retain(|at| *at > now || between(*at, now) < MINUTE);
        let spread = self.0.back().is_none_or(|last| between(*last, now) >= SPREAD);
        let free = self.0.len() < A_MINUTE;
        let allowed = free && (happened || (spread && self.0.len() < A_MINUTE.saturating_sub(FOR_NEWS)));
        if allowed {
            self.0.push_back(now);
        }
        allowed
    }
}

impl Rehearsed {
    /// What an earlier daemon wrote. What it found out by itself is found out again.
    pub fn remembered(conditions: &[Condition]) -> Self {
        let told = ready::remembered(conditions);
        let by_the_server = |news: &News| {
            !matches!(
                news.reason.as_str(),
                "PodsNotReplaced" | "TargetMissing" | "NoWayToPlan" | "NotTried"
            )
        };
        Self {
            news: told.clone().filter(by_the_server),
            told: told.filter(|news| news.holds.is_some()),
            ..Self::default()
        }
    }

    /// Whether it is to be tried: `Some(true)` because something happened.
    fn due(&self, question: &Question, now: Timestamp) -> Option<bool> {
        let Some(tried_at) = self.tried_at else {
            return Some(false);
        };
        let age = between(tried_at, now);
        if self.about.as_ref() != Some(question) {
            return (age >= WATCH_LAG || self.about.is_some()).then_some(true);
        }
        let accepted = !self.unanswered && self.news.as_ref().is_some_and(|news| news.holds == Some(true));
        (age >= if accepted { AGAIN } else { SOONER }).then_some(false)
    }

    fn hear(&mut self, heard: Heard) {
        if self.about.as_ref() != Some(&heard.about) {
            return;
        }
        let unanswered = matches!(heard.answer, Answer::Unanswered(_));
        // Once without an answer tells nothing of what was answered before.
        let again = unanswered && !self.unanswered && self.news.is_some();
        self.unanswered = unanswered;
        match ready::news(&heard.way, &heard.answer) {
            Some(news) if !again => self.news = Some(news),
            Some(_) => {}
            None => self.about = None,
        }
    }
}

impl Guarded {
    /// What a try would be about now. `None`: nothing is tried.
    fn question(&self, cluster: &Cluster, seen: &Seen, now: Timestamp) -> Option<Question> {
        let policy = self.policy()?;
        let current = self
            .record
            .current
            .as_ref()
            .filter(|current| current.hash == seen.hash)?;
        let state = self.case.as_ref().and_then(|case| case.status.state);
        let runs = matches!(state, Some(IncidentState::RollingBack | IncidentState::Verifying));
        if runs || self.record.freeze.is_some() || self.observes() || self.keeps_pods(cluster).is_some() {
            return None;
        }
        Some(Question {
            generation: self.guard.metadata.generation,
            current: current.hash.clone(),
            proven: current.proven,
            back_to: self
                .record
                .restore_to
                .clone()
                .filter(|_| on_probation(current, &policy, now)),
        })
    }

    fn rehearsal(
        &self,
        api: &Api,
        cluster: &Cluster,
        seen: &Seen,
        question: &Question,
        now: Timestamp,
    ) -> Option<Rehearsal> {
        let namespace = self.guard.namespace().unwrap_or_default();
        Some(Rehearsal {
            api: api.clone(),
            guard: self.guard.name_any(),
            policy: self.policy()?,
            parts: seen.parts.clone(),
            writable: Writable::of(&namespace, &self.guard.spec, cluster),
            proven: question.proven || self.record.restore_to.is_some(),
            back_to: question.back_to.clone(),
            namespace,
            now,
        })
    }

    /// The condition as of now; who should know of its turns is told.
    pub(super) fn rollback_ready(&mut self, shared: &Shared<'_>, policy: &Policy) -> News {
        let news = if self.observes() || policy.mode == Mode::Observe {
            ready::not_tried("the mode is observe: nothing is put back")
        } else if let Some(why) = self.keeps_pods(shared.cluster) {
            ready::never("PodsNotReplaced", &why)
        } else {
            let heard = self.rehearsed.news.clone();
            heard.unwrap_or_else(|| ready::not_tried("the plan was not tried yet"))
        };
        self.tell_rollback_ready(shared, &news);
        news
    }

    /// The condition of a guard that cannot be judged.
    pub(super) fn no_rollback(&mut self, shared: &Shared<'_>, reason: &str, why: &str) -> News {
        let reason = match reason {
            "TargetMissing" | "Forbidden" => reason,
            _ => "NoWayToPlan",
        };
        let news = ready::never(reason, why);
        self.tell_rollback_ready(shared, &news);
        news
    }

    fn tell_rollback_ready(&mut self, shared: &Shared<'_>, news: &News) {
        if let Some(happened) = ready::told(self.rehearsed.told.as_ref(), news) {
            self.tell(shared, &happened);
        }
        if news.holds.is_some() {
            self.rehearsed.told = Some(news.clone());
        }
    }

    fn observes(&self) -> bool {
        let mode = self.record.effective_mode.as_ref().map(|effective| effective.mode);
        mode == Some(Mode::Observe)
    }

    /// Why a restored template would not replace the pods, for as long as its owner leaves it so.
    fn keeps_pods(&self, cluster: &Cluster) -> Option<String> {
        let namespace = self.guard.namespace().unwrap_or_default();
        let mut targets = self.guard.spec.targets.iter();
        targets.find_map(|target| {
            let why = cluster.workload(&namespace, target)?.keeps_pods.clone()?;
            Some(format!("{target}: {why}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn question(current: &str) -> Question {
        Question {
            generation: Some(1),
            current: current.to_owned(),
            proven: true,
            back_to: None,
        }
    }

    fn heard(about: &str, answer: Answer) -> Heard {
        Heard {
            guard: ("shop".into(), "orders".into()),
            about: question(about),
            way: Way::Present,
            answer,
        }
    }

    #[test]
    fn ten_a_minute_of_which_two_are_left_for_what_happens() {
        let mut pace = Pace::default();
        let routine = (0..600).filter(|second| pace.take(false, at(*second))).count();
        assert_eq!(routine, 80, "eight a minute, spread out");
        assert!(pace.take(true, at(599)) && pace.take(true, at(599)));
        assert!(!pace.take(true, at(599)), "ten within the minute");
        let mut pace = Pace::default();
        let urgent = (0..120).filter(|second| pace.take(true, at(*second))).count();
        assert_eq!(urgent, 20);
    }

    #[test]
    fn a_change_is_tried_at_once_and_the_same_state_after_a_while() {
        let mut known = Rehearsed::default();
        assert_eq!(known.due(&question("a"), at(0)), Some(false), "never tried");
        known.tried_at = Some(at(0));
        known.about = Some(question("a"));
        known.hear(heard("a", Answer::Accepted));
        assert_eq!(known.due(&question("a"), at(59)), None);
        assert_eq!(known.due(&question("a"), at(60)), Some(false));
        assert_eq!(known.due(&question("b"), at(1)), Some(true));
        known.hear(heard("a", Answer::refused("Deployment/orders", "no")));
        assert_eq!(
            known.due(&question("a"), at(15)),
            Some(false),
            "a refusal is asked about sooner"
        );
        known.hear(heard("a", Answer::Changed));
        assert_eq!(known.due(&question("a"), at(4)), None, "the watches lag");
        assert_eq!(known.due(&question("a"), at(5)), Some(true));
    }

    #[test]
    fn one_missing_answer_takes_nothing_back_and_an_old_one_tells_nothing() {
        let mut known = Rehearsed {
            about: Some(question("a")),
            ..Rehearsed::default()
        };
        let holds = |known: &Rehearsed| known.news.as_ref().and_then(|news| news.holds);
        known.hear(heard("a", Answer::Accepted));
        known.hear(heard("a", Answer::Unanswered("nothing within 10 s".into())));
        assert_eq!(holds(&known), Some(true));
        known.hear(heard("a", Answer::Unanswered("nothing within 10 s".into())));
        assert_eq!(holds(&known), None);
        known.hear(heard("a", Answer::Accepted));
        known.hear(heard("b", Answer::refused("Deployment/orders", "no")));
        assert_eq!(holds(&known), Some(true));
    }
}
