//! Pure. Which alerting rules Prometheus evaluates, so that a quiet alert is told from one that does not exist.
//!
//! `ALERTS` has rows for pending and firing alerts alone: no row means that all is quiet, or that the rule was never
//! loaded, was renamed, or fails. The rules API tells them apart.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;

use super::{answer::Failure, query::Moment};
use crate::model::reading::Because;

/// How often the rules are asked for.
const AGAIN: Duration = Duration::from_secs(30);

/// What is known of the alerting rules.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// By name: what is wrong with the rule, if anything; or why nothing is known.
    known: Option<Result<BTreeMap<String, Option<String>>, Failure>>,
    at: Option<Moment>,
}

/// The body of `/api/v1/rules?type=alert`, as far as it matters here.
#[derive(Deserialize)]
pub struct Listed {
    data: Groups,
}

#[derive(Deserialize)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    name: String,
    /// `ok`, `err`, or `unknown` before the first evaluation.
    #[serde(default)]
    health: String,
    #[serde(default)]
    last_error: String,
    #[serde(default, rename = "type")]
    kind: String,
}

impl Rules {
    /// Whether they are to be asked for now.
    pub fn due(&self, at: Moment) -> bool {
        self.at.is_none_or(|asked| asked > at || at.since(asked) >= AGAIN)
    }

    /// Takes an answer in.
    pub fn learn(&mut self, at: Moment, answer: Result<Listed, Failure>) {
        self.at = Some(at);
        self.known = Some(answer.map(Listed::by_name));
    }

    /// That no alert of this name fires: zero where its rule is evaluated, else not known.
    pub fn quiet(&self, alertname: &str) -> Result<f64, Because> {
        match &self.known {
            None => Err(Because::WarmingUp),
            Some(Err(failure)) => Err(Because::NoRule(format!(
                "no alert `{alertname}` fires, and the list of rules, which would say whether it could, is missing: {failure}"
            ))),
            Some(Ok(known)) => match known.get(alertname) {
                None => Err(Because::NoRule(format!("no alerting rule is named `{alertname}`"))),
                Some(Some(wrong)) => Err(Because::NoRule(format!("the rule of the alert `{alertname}` {wrong}"))),
                Some(None) => Ok(0.0),
            },
        }
    }
}

impl Listed {
    /// A name may have several rules: one that works is enough to be heard, so the worst of them is told.
    fn by_name(self) -> BTreeMap<String, Option<String>> {
        let mut known: BTreeMap<String, Option<String>> = BTreeMap::new();
        for rule in self.data.groups.into_iter().flat_map(|group| group.rules) {
            if rule.kind == "recording" {
                continue;
            }
            let wrong = match rule.health.as_str() {
                "ok" => None,
                "err" => Some(format!("fails: {}", rule.last_error)),
                _ => Some("was not evaluated yet".to_owned()),
            };
            let worst = known.entry(rule.name).or_default();
            *worst = wrong.or_else(|| worst.take());
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(body: &str) -> Rules {
        let mut rules = Rules::default();
        rules.learn(
            Moment::from_seconds(1.0).unwrap(),
            Ok(serde_json::from_str(body).unwrap()),
        );
        rules
    }

    #[test]
    fn a_quiet_alert_is_zero_only_where_its_rule_is_evaluated() {
        let rules = rules(
            r#"{"status": "success", "data": {"groups": [
                {"name": "a", "rules": [
                    {"name": "Slow", "type": "alerting", "health": "ok", "state": "inactive"},
                    {"name": "Broken", "type": "alerting", "health": "err", "lastError": "many-to-many"},
                    {"name": "New", "type": "alerting", "health": "unknown"},
                    {"name": "job:x:sum", "type": "recording", "health": "ok"}]},
                {"name": "b", "rules": [{"name": "Broken", "type": "alerting", "health": "ok"}]}]}}"#,
        );
        assert_eq!(rules.quiet("Slow"), Ok(0.0));
        let why = |name: &str| rules.quiet(name).unwrap_err().to_string();
        assert_eq!(why("Broken"), "the rule of the alert `Broken` fails: many-to-many");
        assert_eq!(why("New"), "the rule of the alert `New` was not evaluated yet");
        assert_eq!(why("Slwo"), "no alerting rule is named `Slwo`");
        assert_eq!(why("job:x:sum"), "no alerting rule is named `job:x:sum`");
    }

    #[test]
    fn without_the_list_nothing_is_known() {
        let mut rules = Rules::default();
        assert_eq!(rules.quiet("Slow"), Err(Because::WarmingUp));
        rules.learn(
            Moment::from_seconds(1.0).unwrap(),
            Err(Failure::NoAnswer("HTTP 404 Not Found".into())),
        );
        assert!(matches!(rules.quiet("Slow"), Err(Because::NoRule(why)) if why.ends_with("HTTP 404 Not Found")));
    }
}
