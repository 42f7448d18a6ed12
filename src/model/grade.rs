//! Pure. Schemes of grades, as data: how soon, who decides, who is asked next, what a grade asks for.
//!
//! `decideWithin` and `doneWithin` are different clocks: "decide within a day with the project manager" and "reverted
//! within the hour". The shipped schemes are the files of `config/schemes/`, compiled in; own ones have the same form.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{guard::Action, units::Length};

/// Schemes by name, as guards refer to them.
pub type Schemes = BTreeMap<String, Arc<Scheme>>;

/// A way to grade.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Scheme {
    /// Worst first.
    pub grades: Vec<Grade>,
}

/// One step of a scheme.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Grade {
    pub name: String,
    /// Somebody must have decided, so long after people were asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decide_within: Option<Length>,
    /// It must be over, so long after the incident was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_within: Option<Length>,
    /// The role that decides first.
    pub decider: String,
    /// Who is asked next when a clock has run out, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<Contact>,
    /// What the grade asks for, for the person who reads it.
    #[serde(default)]
    pub response: String,
}

/// A role that is asked when those before it did not act.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Contact {
    pub role: String,
    /// How long the one before had.
    #[serde(default = "at_once")]
    pub after: Length,
    /// Only from this grade up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_from: Option<String>,
}

const fn at_once() -> Length {
    Length::seconds(0)
}

const SHIPPED: [(&str, &str); 2] = [
    ("severities", include_str!("../../config/schemes/severities.yaml")),
    ("levels", include_str!("../../config/schemes/levels.yaml")),
];

impl Scheme {
    /// A scheme from its YAML text; the mistake names line and column.
    pub fn parse(text: &str) -> Result<Self, String> {
        serde_saphyr::from_str(text).map_err(|why| why.to_string())
    }

    /// The schemes that come with modosu, by name.
    pub fn shipped() -> Schemes {
        SHIPPED
            .iter()
            .filter_map(|(name, text)| Some(((*name).to_owned(), Arc::new(Self::parse(text).ok()?))))
            .collect()
    }

    /// The grade of that name.
    pub fn find(&self, name: &str) -> Option<&Grade> {
        self.grades.iter().find(|grade| grade.name == name)
    }

    /// How bad that grade is within the scheme: higher is worse, 0 is none of its grades.
    pub fn rank(&self, name: &str) -> u8 {
        let place = self.grades.iter().position(|grade| grade.name == name);
        place.map_or(0, |place| u8::try_from(self.grades.len() - place).unwrap_or(u8::MAX))
    }

    /// The grade that follows from the action where a trigger names none: the worst, the second, the last. `None` only
    /// where there is no grade at all.
    pub fn default_for(&self, action: Action) -> Option<&Grade> {
        let second = self.grades.get(1).or_else(|| self.grades.first());
        match action {
            Action::AutomaticRollback => self.grades.first(),
            Action::AlertAndManualReview => second,
            Action::Monitor => self.grades.last(),
        }
    }

    /// Who is asked in turn when a clock of that grade runs out.
    pub fn chain(&self, grade: &str) -> Vec<&Contact> {
        let rank = self.rank(grade);
        let high_enough = |contact: &&Contact| contact.only_from.as_ref().is_none_or(|from| rank >= self.rank(from));
        let chain = self.find(grade).map(|grade| grade.chain.iter());
        chain.into_iter().flatten().filter(high_enough).collect()
    }

    /// Everything that is wrong with it: the way to the place (`grades`, `0`, `chain` …), and what is wrong there.
    pub fn mistakes(&self) -> Vec<(Vec<String>, String)> {
        if self.grades.is_empty() {
            return vec![(way(&["grades"]), "a scheme needs at least one grade".to_owned())];
        }
        if self.grades.len() > MOST {
            let many = format!("{} grades: at most {MOST} can be told apart", self.grades.len());
            return vec![(way(&["grades"]), many)];
        }
        let places = 0..self.grades.len();
        places.flat_map(|place| self.mistakes_of(place)).collect()
    }

    fn mistakes_of(&self, place: usize) -> Vec<(Vec<String>, String)> {
        let mut found = Vec::new();
        let Some(grade) = self.grades.get(place) else {
            return found;
        };
        let mut note = |rest: &[&str], wrong: String| {
            let mut at = vec!["grades".to_owned(), place.to_string()];
            at.extend(way(rest));
            found.push((at, wrong));
        };
        let name = &grade.name;
        if name.trim().is_empty() {
            note(&["name"], "a grade needs a name".to_owned());
        }
        if self.grades.iter().take(place).any(|earlier| earlier.name == *name) {
            note(&["name"], format!("two grades are named `{name}`"));
        }
        if grade.decider.trim().is_empty() {
            note(&["decider"], "name the role that decides, such as oncall".to_owned());
        }
        if grade.decide_within.or(grade.done_within).is_none() {
            let wrong = "has no clock, so nobody would ever be late; it needs decideWithin or doneWithin, such as `decideWithin: 24h`";
            note(&[], format!("`{name}` {wrong}"));
        }
        if let (Some(decide), Some(done)) = (grade.decide_within, grade.done_within)
            && decide > done
        {
            note(
                &["decideWithin"],
                format!("{decide} is longer than doneWithin, {done}: it is decided before it is done"),
            );
        }
        for (link, contact) in grade.chain.iter().enumerate() {
            let link_text = link.to_string();
            let role = &contact.role;
            let earlier = grade.chain.iter().take(link).any(|earlier| earlier.role == *role);
            if role.trim().is_empty() {
                note(
                    &["chain", &link_text, "role"],
                    "name a role, such as tech-lead".to_owned(),
                );
            } else if earlier || *role == grade.decider {
                note(
                    &["chain", &link_text, "role"],
                    format!("`{role}` was asked already: a role is asked once"),
                );
            }
            if let Some(from) = contact.only_from.as_ref().filter(|from| self.find(from).is_none()) {
                let known = self.grades.iter().map(|grade| grade.name.as_str());
                note(
                    &["chain", &link_text, "onlyFrom"],
                    format!(
                        "there is no grade `{from}`; there are {}",
                        known.collect::<Vec<_>>().join(", ")
                    ),
                );
            }
        }
        found
    }
}

/// So many grades can be told apart by people, and by a rank.
const MOST: usize = 20;

fn way(steps: &[&str]) -> Vec<String> {
    steps.iter().map(|step| (*step).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped(name: &str) -> Arc<Scheme> {
        Scheme::shipped()[name].clone()
    }

    #[test]
    fn the_shipped_schemes_read_and_are_right() {
        for (name, text) in SHIPPED {
            let scheme = Scheme::parse(text).unwrap_or_else(|why| panic!("{name}: {why}"));
            assert_eq!(scheme.mistakes(), [], "{name}");
            for grade in &scheme.grades {
                assert!(grade.decide_within.or(grade.done_within).is_some(), "{}", grade.name);
                assert!(!grade.response.is_empty() && !grade.chain.is_empty(), "{}", grade.name);
            }
        }
    }

    /// The plans' tables, as they are written there.
    #[test]
    fn the_shipped_schemes_say_what_the_plans_say() {
        let told = |name: &str| {
            let line = |grade: &Grade| {
                let length =
                    |length: Option<Length>| length.map_or_else(|| "-".to_owned(), |length| length.to_string());
                let (decide, done) = (length(grade.decide_within), length(grade.done_within));
                format!(
                    "{}: {} decides within {decide}, done within {done}",
                    grade.name, grade.decider
                )
            };
            shipped(name).grades.iter().map(line).collect::<Vec<_>>().join("\n")
        };
        insta::assert_snapshot!(told("severities"), @r"
Critical: oncall decides within 0s, done within 15m
High: tech-lead decides within -, done within 1h
Medium: project-manager decides within 1day, done within -
Low: team decides within 7days, done within -
");
        insta::assert_snapshot!(told("levels"), @r"
3: oncall decides within 0s, done within 15m
2: tech-lead decides within 1h, done within -
1: team decides within 7days, done within -
");
    }

    #[test]
    fn the_table_of_grades_in_the_documents_is_the_schemes_own() {
        let table = include_str!("../../docs/grades.md");
        for name in ["severities", "levels"] {
            let scheme = shipped(name);
            for grade in &scheme.grades {
                let length =
                    |length: Option<Length>| length.map_or_else(|| "–".to_owned(), |length| length.to_string());
                let next = scheme.chain(&grade.name).into_iter().map(|contact| {
                    let after = contact.after;
                    let after = if after.0.is_zero() {
                        String::new()
                    } else {
                        format!(" after {after}")
                    };
                    format!("{}{after}", contact.role)
                });
                let row = format!(
                    "| {name} | {} | {} | {} | {} | {} |\n",
                    grade.name,
                    grade.decider,
                    length(grade.decide_within),
                    length(grade.done_within),
                    next.collect::<Vec<_>>().join(", ")
                );
                assert!(table.contains(&row), "docs/grades.md lacks\n{row}");
            }
        }
    }

    #[test]
    fn defaults_follow_the_action_in_every_scheme() {
        use Action::{AlertAndManualReview, AutomaticRollback, Monitor};
        let names = |scheme: &Scheme| {
            [AutomaticRollback, AlertAndManualReview, Monitor].map(|a| scheme.default_for(a).unwrap().name.clone())
        };
        assert_eq!(names(&shipped("severities")), ["Critical", "High", "Low"]);
        assert_eq!(names(&shipped("levels")), ["3", "2", "1"]);
        let own = |names: &[&str]| {
            let grades = names.iter().map(|name| format!("{{name: {name}, decider: me}}"));
            Scheme::parse(&format!("grades: [{}]", grades.collect::<Vec<_>>().join(", "))).unwrap()
        };
        assert_eq!(names(&own(&["red", "yellow"])), ["red", "yellow", "yellow"]);
        assert_eq!(names(&own(&["red"])), ["red", "red", "red"]);
    }

    #[test]
    fn one_role_is_asked_only_from_the_worst_grade_up() {
        let roles = |grade: &str| {
            let scheme = shipped("severities");
            let chain = scheme.chain(grade);
            chain.iter().map(|contact| contact.role.clone()).collect::<Vec<_>>()
        };
        assert_eq!(roles("Critical"), ["tech-lead", "project-manager", "architect"]);
        assert_eq!(roles("High"), ["project-manager"]);
        assert!(roles("unheard of").is_empty());
    }

    #[test]
    fn a_worse_grade_has_a_higher_rank() {
        let scheme = shipped("severities");
        let ranks = ["Critical", "High", "Medium", "Low", "3"].map(|name| scheme.rank(name));
        assert_eq!(ranks, [4, 3, 2, 1, 0]);
    }

    #[test]
    fn every_mistake_of_a_scheme_is_told_with_its_place() {
        let wrong = Scheme::parse(
            "grades:
  - {name: red, decider: ' ', decideWithin: 2h, doneWithin: 1h}
  - {name: red, decider: me, doneWithin: 1h, chain: [{role: you, onlyFrom: blue}, {role: you}, {role: me}, {role: ''}]}
  - {name: '', decider: me}",
        )
        .unwrap();
        let told: Vec<_> = wrong
            .mistakes()
            .into_iter()
            .map(|(way, wrong)| format!("{}: {wrong}", way.join(".")))
            .collect();
        insta::assert_snapshot!(told.join("\n"), @r#"
grades.0.decider: name the role that decides, such as oncall
grades.0.decideWithin: 2h is longer than doneWithin, 1h: it is decided before it is done
grades.1.name: two grades are named `red`
grades.1.chain.0.onlyFrom: there is no grade `blue`; there are red, red, 
grades.1.chain.1.role: `you` was asked already: a role is asked once
grades.1.chain.2.role: `me` was asked already: a role is asked once
grades.1.chain.3.role: name a role, such as tech-lead
grades.2.name: a grade needs a name
grades.2: `` has no clock, so nobody would ever be late; it needs decideWithin or doneWithin, such as `decideWithin: 24h`
"#);
        assert_eq!(
            Scheme::default().mistakes(),
            [(
                vec!["grades".to_owned()],
                "a scheme needs at least one grade".to_owned()
            )]
        );
    }
}
