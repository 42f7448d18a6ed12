//! Pure. Guards that breach together: which of them the one group of changes before explains, and who waits for whom.
//!
//! Breaches are *together* where some stretch of `within` holds the first bad readings of at least `guards` of them. Of
//! their changes in the half hour before the first of them (also of those that were acted on already, before it was known
//! how many would follow) all lie within `related` of each other: that is the one group, and it is acted on; the others
//! wait for its proof. No change, or changes farther apart: people. Guards that do not breach are no part of it, so that
//! unrelated releases elsewhere neither explain anything nor stop anything.
//!
//! Who breaches first and alone is acted on at once. A guard counts from the reading on that is *surely* beyond its limit,
//! also while its `for` still runs: what begins within the same ten seconds is seen together before any of it acts. What
//! comes later joins: the rule then holds for those who are not decided yet.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{Happened, WhyNot, between};
use crate::{
    model::incident::{CommonCause, IncidentState, IncidentStatus},
    observe::cache::ObjectKey,
};

/// A change explains a breach that begins within this time after it.
const BEFORE: Duration = Duration::from_secs(30 * 60);
/// So many guards are named in a status and in a sentence.
const NAMED: usize = 50;
const SAID: usize = 5;

/// When breaches are one case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// This many guards breach together.
    pub guards: usize,
    /// Their first bad readings lie within this time.
    pub within: Duration,
    /// Changes this near to each other are one group.
    pub related: Duration,
}

/// A guard that hurts, or did a moment ago, as far as it matters to the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    pub guard: ObjectKey,
    /// The first bad reading.
    pub since: Timestamp,
    /// When the change came that may be to blame for it.
    pub changed: Option<Timestamp>,
    /// Its incident already tells of the common cause.
    pub told: bool,
}

/// Guards that breach together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Together {
    /// The first to breach first.
    pub guards: Vec<ObjectKey>,
    /// The guards of the one group of changes before; empty: there is no such group, or there are several.
    pub acts_on: Vec<ObjectKey>,
    /// How many of them changed in the half hour before.
    pub changed: usize,
    /// One of their incidents already tells of it.
    pub told: bool,
}

/// What a guard is in a common cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Its change is of the one group.
    Acts,
    /// It waits for the proof of those that are acted on.
    Waits,
    /// Nobody is acted on: people decide.
    People,
}

/// A guard's part in a common cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub together: Arc<Together>,
    pub role: Role,
    /// It is the one that tells of it, for all.
    pub speaks: bool,
}

/// How it stands with those for whose proof a guard waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    Pending,
    Helped,
    Failed,
}

/// What is known beyond a guard itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Around {
    pub common: Option<Part>,
    /// Of those for whose proof the open incident waits.
    pub proof: Option<Proof>,
    /// By trigger: why it is not to be put down to the change, as old and new pods compare.
    pub not_this_change: BTreeMap<String, String>,
}

/// For each guard that breaches together with enough others: with whom, and what follows.
pub fn together(rules: Rules, breaches: &[Breach]) -> BTreeMap<ObjectKey, Arc<Together>> {
    let mut found = BTreeMap::new();
    if breaches.len() < rules.guards {
        return found;
    }
    let mut sorted: Vec<&Breach> = breaches.iter().collect();
    sorted.sort_by_key(|breach| (breach.since, breach.guard.clone()));
    let mut stretches = stretches(&sorted, rules);
    // Each belongs to the fullest stretch that holds it; of equals to the earliest.
    stretches.sort_by_key(|(from, to)| (std::cmp::Reverse(to - from), *from));
    for (from, to) in stretches {
        let held = sorted.get(from..to).unwrap_or_default();
        if held.iter().all(|breach| found.contains_key(&breach.guard)) {
            continue;
        }
        let one = Arc::new(group(rules, held));
        for breach in held {
            found.entry(breach.guard.clone()).or_insert_with(|| one.clone());
        }
    }
    found
}

/// Every stretch of `within` that begins with a breach and holds enough of them.
fn stretches(sorted: &[&Breach], rules: Rules) -> Vec<(usize, usize)> {
    let mut all = Vec::new();
    let mut to = 0;
    for (from, first) in sorted.iter().enumerate() {
        let inside = |breach: &&Breach| between(first.since, breach.since) <= rules.within;
        while sorted.get(to).is_some_and(inside) {
            to += 1;
        }
        let longer = all.last().is_none_or(|(_, end)| to > *end);
        if to - from >= rules.guards && longer {
            all.push((from, to));
        }
    }
    all
}

fn group(rules: Rules, held: &[&Breach]) -> Together {
    let first = held.first().map(|breach| breach.since).unwrap_or_default();
    let recent = |at: &Timestamp| between(*at, first) <= BEFORE;
    let changed: Vec<(Timestamp, &ObjectKey)> = held
        .iter()
        .filter_map(|breach| Some((breach.changed.filter(recent)?, &breach.guard)))
        .collect();
    let earliest = changed.iter().map(|(at, _)| *at).min();
    let latest = changed.iter().map(|(at, _)| *at).max();
    let one = earliest
        .zip(latest)
        .is_some_and(|(earliest, latest)| earliest <= first && between(earliest, latest) <= rules.related);
    Together {
        guards: held.iter().map(|breach| breach.guard.clone()).collect(),
        acts_on: if one {
            changed.iter().map(|(_, guard)| (*guard).clone()).collect()
        } else {
            Vec::new()
        },
        changed: changed.len(),
        told: held.iter().any(|breach| breach.told),
    }
}

impl Together {
    /// What `guard` is in it.
    pub fn role(&self, guard: &ObjectKey) -> Role {
        if self.acts_on.is_empty() {
            Role::People
        } else if self.acts_on.contains(guard) {
            Role::Acts
        } else {
            Role::Waits
        }
    }
}

impl Part {
    /// Why this guard is not acted on by itself, if it is not.
    pub fn why_not(&self) -> Option<WhyNot> {
        match self.role {
            Role::Acts => None,
            Role::Waits => Some(WhyNot::WaitsFor {
                guards: all(&self.together.acts_on),
            }),
            Role::People => Some(WhyNot::Together {
                count: self.together.guards.len(),
                guards: all(&self.together.guards),
                changed: self.together.changed,
            }),
        }
    }

    /// As the incident's status keeps it.
    pub fn record(&self) -> CommonCause {
        CommonCause {
            guards: named(&self.together.guards),
            count: u32::try_from(self.together.guards.len()).unwrap_or(u32::MAX),
            acts_on: named(&self.together.acts_on),
            waiting: self.role == Role::Waits,
            speaks: self.speaks,
        }
    }
}

fn named(guards: &[ObjectKey]) -> Vec<String> {
    guards.iter().take(NAMED).map(name).collect()
}

fn all(guards: &[ObjectKey]) -> String {
    said(&named(guards), guards.len())
}

fn name((namespace, name): &ObjectKey) -> String {
    format!("{namespace}/{name}")
}

/// The first of them, and how many more there are.
fn said(names: &[String], count: usize) -> String {
    let first = names.get(..SAID).unwrap_or(names);
    match count.saturating_sub(first.len()) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// What is told once, for all.
pub fn told(cause: &CommonCause) -> Option<Happened> {
    let count = usize::try_from(cause.count).unwrap_or(usize::MAX);
    cause.speaks.then(|| Happened::Together {
        count,
        guards: said(&cause.guards, count),
        acts_on: said(&cause.acts_on, cause.acts_on.len()),
    })
}

/// How one that is acted on stands, for those who wait: by its newest incident.
pub fn proof_of(status: Option<&IncidentStatus>) -> Proof {
    let mitigated = status.is_some_and(|status| status.mitigated_at.is_some());
    match status.and_then(|status| status.state) {
        Some(IncidentState::Recovered | IncidentState::RecoveredByHand) => Proof::Helped,
        // The stages that follow prove nothing more of what is to blame.
        Some(IncidentState::RollingBack | IncidentState::Verifying | IncidentState::AwaitingDecision) if mitigated => {
            Proof::Helped
        }
        Some(IncidentState::RollingBack | IncidentState::Verifying | IncidentState::AwaitingDecision) => Proof::Pending,
        Some(
            IncidentState::Escalated
            | IncidentState::Observed
            | IncidentState::Kept
            | IncidentState::Passed
            | IncidentState::Superseded
            | IncidentState::Abandoned,
        )
        | None => Proof::Failed,
    }
}

impl Proof {
    /// Of all of them: one that failed is enough to end the waiting, all must have helped to end it well.
    pub fn of_all(each: impl Iterator<Item = Self>) -> Self {
        each.fold(Self::Helped, |all, one| match (all, one) {
            (Self::Failed, _) | (_, Self::Failed) => Self::Failed,
            (Self::Pending, _) | (_, Self::Pending) => Self::Pending,
            (Self::Helped, Self::Helped) => Self::Helped,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        guards: 3,
        within: Duration::from_secs(120),
        related: Duration::from_secs(600),
    };

    /// `db 0s -5m`: breaches at 0 s, changed five minutes before that moment; without the last it did not change.
    fn breach(text: &str) -> Breach {
        let words: Vec<&str> = text.split_whitespace().collect();
        let origin = Timestamp::from_second(1_800_000_000).unwrap();
        let at = |word: &str| match word.strip_prefix('-') {
            Some(before) => origin - humantime::parse_duration(before).unwrap(),
            None => origin + humantime::parse_duration(word).unwrap(),
        };
        Breach {
            guard: ("shop".into(), words[0].into()),
            since: at(words[1]),
            changed: words.get(2).map(|word| at(word)),
            told: false,
        }
    }

    /// `db acts, web waits`, by name; who is alone is left out.
    fn follows(breaches: &[&str]) -> String {
        let breaches: Vec<Breach> = breaches.iter().map(|text| breach(text)).collect();
        let found = together(RULES, &breaches);
        let each = found
            .iter()
            .map(|(key, together)| format!("{} {}", key.1, format!("{:?}", together.role(key)).to_lowercase()));
        each.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn what_a_stage_mitigated_is_proof_enough_for_those_who_wait() {
        let mut status = IncidentStatus {
            state: Some(IncidentState::AwaitingDecision),
            ..IncidentStatus::default()
        };
        assert_eq!(proof_of(Some(&status)), Proof::Pending);
        status.mitigated_at = Some(Timestamp::UNIX_EPOCH);
        assert_eq!(proof_of(Some(&status)), Proof::Helped);
    }

    #[test]
    fn fewer_than_enough_or_too_far_apart_are_each_alone() {
        assert_eq!(follows(&["db 0s -1m", "web 5s"]), "");
        assert_eq!(follows(&["db 0s -1m", "web 61s", "api 121s"]), "");
        assert_eq!(
            follows(&["db 0s -1m", "web 61s", "api 120s"]),
            "api waits, db acts, web waits"
        );
    }

    #[test]
    fn the_one_group_that_changed_just_before_is_acted_on_and_the_others_wait() {
        assert_eq!(
            follows(&["db 0s -1m", "web 5s", "api 9s"]),
            "api waits, db acts, web waits"
        );
        // What was released together is one group, also where one of it came after the first breach.
        assert_eq!(
            follows(&["db 0s -1m", "web 50s 20s", "api 9s"]),
            "api waits, db acts, web acts"
        );
        // A change longer ago than half an hour explains nothing.
        assert_eq!(
            follows(&["db 0s -30m", "web 5s -31m", "api 9s"]),
            "api waits, db acts, web waits"
        );
    }

    #[test]
    fn no_group_or_several_are_for_people() {
        assert_eq!(
            follows(&["db 0s", "web 5s", "api 9s"]),
            "api people, db people, web people"
        );
        assert_eq!(
            follows(&["db 0s -31m", "web 5s", "api 9s"]),
            "api people, db people, web people"
        );
        assert_eq!(
            follows(&["db 0s -1m", "web 5s -12m", "api 9s"]),
            "api people, db people, web people"
        );
        // Nothing changed before the first breach: a change that came after it does not explain it.
        assert_eq!(
            follows(&["db 0s", "web 50s 20s", "api 9s"]),
            "api people, db people, web people"
        );
    }

    #[test]
    fn a_chain_of_breaches_is_cut_where_it_holds_the_most() {
        let chain = ["a 0s -1m", "b 100s", "c 130s", "d 140s", "e 219s"];
        assert_eq!(follows(&chain), "b people, c people, d people, e people");
    }

    #[test]
    fn many_guards_are_told_in_few_words() {
        let breaches: Vec<Breach> = (0..60).map(|n| breach(&format!("g{n:02} {n}s"))).collect();
        let found = together(RULES, &breaches);
        let (key, one) = found.first_key_value().unwrap();
        let part = Part {
            together: one.clone(),
            role: one.role(key),
            speaks: true,
        };
        let record = part.record();
        assert_eq!((record.guards.len(), record.count), (50, 60));
        assert_eq!(
            told(&record).unwrap().to_string(),
            "60 guards breach together (shop/g00, shop/g01, shop/g02, shop/g03, shop/g04 and 55 more) and no one group of \
             changes came before: people decide"
        );
    }

    #[test]
    fn one_that_failed_ends_the_waiting_and_all_must_have_helped() {
        use Proof::{Failed, Helped, Pending};
        let all = |each: &[Proof]| Proof::of_all(each.iter().copied());
        assert_eq!(all(&[Helped, Pending]), Pending);
        assert_eq!(all(&[Helped, Pending, Failed]), Failed);
        assert_eq!(all(&[Helped, Helped]), Helped);
    }
}
