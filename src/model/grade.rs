//! Pure. The two schemes of grades, as data: how soon, who decides, what happens.
//!
//! `decide_within` and `done_within` are different clocks: "decide within a day with the project manager" and "reverted
//! within the hour".

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use super::guard::{Action, Scheme};

/// One step of a scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grade {
    pub name: &'static str,
    /// Higher is worse; comparable within a scheme.
    pub rank: u8,
    /// The role that decides.
    pub decider: &'static str,
    /// A person must have decided by then.
    pub decide_within: Option<Duration>,
    /// It must be over by then.
    pub done_within: Option<Duration>,
    /// What the grade asks for, for the person who reads it.
    pub response: &'static str,
}

impl Grade {
    /// The first of its clocks to run out for people.
    pub fn respond_within(&self) -> Option<Duration> {
        self.decide_within.or(self.done_within)
    }
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

const SEVERITIES: [Grade; 4] = [
    Grade {
        name: "Critical",
        rank: 4,
        decider: "oncall",
        decide_within: Some(Duration::ZERO),
        done_within: Some(Duration::from_secs(15 * MINUTE)),
        response: "service down or data lost: put back at once and tell the engineer on call",
    },
    Grade {
        name: "High",
        rank: 3,
        decider: "tech-lead",
        decide_within: None,
        done_within: Some(Duration::from_secs(HOUR)),
        response: "much slower or crashing often: put back within the hour and tell the tech lead",
    },
    Grade {
        name: "Medium",
        rank: 2,
        decider: "project-manager",
        decide_within: Some(Duration::from_secs(DAY)),
        done_within: None,
        response: "slower or failing now and then: decide within a day with the project manager",
    },
    Grade {
        name: "Low",
        rank: 1,
        decider: "team",
        decide_within: Some(Duration::from_secs(7 * DAY)),
        done_within: None,
        response: "a small incompatibility: a ticket for the next release",
    },
];

const LEVELS: [Grade; 3] = [
    Grade {
        name: "3",
        rank: 3,
        decider: "oncall",
        decide_within: Some(Duration::ZERO),
        done_within: Some(Duration::from_secs(15 * MINUTE)),
        response: "severe: put back at once",
    },
    Grade {
        name: "2",
        rank: 2,
        decider: "tech-lead",
        decide_within: Some(Duration::from_secs(HOUR)),
        done_within: None,
        response: "moderate: consider putting back a part",
    },
    Grade {
        name: "1",
        rank: 1,
        decider: "team",
        decide_within: Some(Duration::from_secs(7 * DAY)),
        done_within: None,
        response: "minor: keep watching",
    },
];

/// A scheme's grades, worst first.
pub const fn grades(scheme: Scheme) -> &'static [Grade] {
    match scheme {
        Scheme::Severities => &SEVERITIES,
        Scheme::Levels => &LEVELS,
    }
}

/// The grade of that name.
pub fn find(scheme: Scheme, name: &str) -> Option<Grade> {
    grades(scheme).iter().find(|grade| grade.name == name).copied()
}

/// The grade that follows from the action where a trigger names none.
pub const fn default_for(scheme: Scheme, action: Action) -> Grade {
    match (scheme, action) {
        (Scheme::Severities, Action::AutomaticRollback) => SEVERITIES[0],
        (Scheme::Severities, Action::AlertAndManualReview) => SEVERITIES[1],
        (Scheme::Severities, Action::Monitor) => SEVERITIES[3],
        (Scheme::Levels, Action::AutomaticRollback) => LEVELS[0],
        (Scheme::Levels, Action::AlertAndManualReview) => LEVELS[1],
        (Scheme::Levels, Action::Monitor) => LEVELS[2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_follow_the_action() {
        use Action::{AlertAndManualReview, AutomaticRollback, Monitor};
        let names = |scheme| [AutomaticRollback, AlertAndManualReview, Monitor].map(|a| default_for(scheme, a).name);
        assert_eq!(names(Scheme::Severities), ["Critical", "High", "Low"]);
        assert_eq!(names(Scheme::Levels), ["3", "2", "1"]);
    }

    #[test]
    fn every_grade_has_a_clock_a_decider_and_its_own_rank() {
        for scheme in [Scheme::Severities, Scheme::Levels] {
            assert!(grades(scheme).is_sorted_by(|worse, better| worse.rank > better.rank));
            for grade in grades(scheme) {
                assert!(grade.decide_within.or(grade.done_within).is_some(), "{}", grade.name);
                assert_eq!(find(scheme, grade.name), Some(*grade));
            }
        }
        assert_eq!(find(Scheme::Levels, "Critical"), None);
    }
}
