//! Pure. Whether tonight's rollback would be accepted: what the API server said to a plan that it was only asked about, as
//! the condition `RollbackReady`.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{Happened, standing::News};
use crate::report::mask::mask_text;

/// The condition's type.
pub const KIND: &str = "RollbackReady";
/// An API server's words may hold a whole object: so many characters are kept.
const WORDS: usize = 1000;

/// What the API server said to the writes of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Accepted,
    /// It would refuse, or there is nothing it could be asked for: the condition's reason, and the words.
    Refused {
        reason: &'static str,
        words: String,
    },
    /// Something in its way cannot be asked without being done.
    Unsupported(String),
    /// No clear answer.
    Unanswered(String),
    /// What is there is not what was judged.
    Changed,
}

/// What was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// What runs now, over itself.
    Present,
    /// The same, because there is no proven state to go back to yet.
    NothingProven,
    /// This proven state over what runs now.
    Back(String),
    /// Steps that need no proven state.
    Steps,
}

impl Answer {
    /// A refusal in the server's words, with the object that it is about.
    pub fn refused(object: &str, words: &str) -> Self {
        let reason = reason(words);
        Self::Refused {
            reason,
            words: shown(&format!("{object}: {words}")),
        }
    }

    /// A refusal that needs no server.
    pub fn impossible(reason: &'static str, words: &str) -> Self {
        Self::Refused {
            reason,
            words: shown(words),
        }
    }
}

/// The condition after a try; `None`: nothing was learned.
pub fn news(way: &Way, answer: &Answer) -> Option<News> {
    Some(match answer {
        Answer::Changed => return None,
        Answer::Refused { reason, words } => said(Some(false), reason, words.clone()),
        Answer::Unsupported(words) => said(None, "DryRunUnsupported", shown(words)),
        Answer::Unanswered(words) => said(None, "NoAnswer", shown(words)),
        Answer::Accepted => match way {
            Way::Present => said(
                Some(true),
                "DryRunAccepted",
                "the API server would accept what runs now over itself".into(),
            ),
            Way::NothingProven => said(
                None,
                "NothingProven",
                "there is no proven state to go back to yet; the API server would accept what runs now over itself"
                    .into(),
            ),
            Way::Back(to) => said(
                Some(true),
                "DryRunAccepted",
                format!("the API server would accept putting back {to}"),
            ),
            Way::Steps => said(
                Some(true),
                "DryRunAccepted",
                "the API server would accept what the plan's steps write".into(),
            ),
        },
    })
}

/// It cannot be ready, whatever the API server says.
pub fn never(reason: &str, why: &str) -> News {
    said(Some(false), reason, shown(why))
}

/// It is not known, and why.
pub fn not_tried(why: &str) -> News {
    said(None, "NotTried", why.to_owned())
}

/// What a guard's status says of it, as an earlier daemon wrote it.
pub fn remembered(conditions: &[Condition]) -> Option<News> {
    let known = conditions.iter().find(|condition| condition.type_ == KIND)?;
    let holds = match known.status.as_str() {
        "True" => Some(true),
        "False" => Some(false),
        _ => None,
    };
    Some(said(holds, &known.reason, known.message.clone()))
}

/// What people are told when it turns False, and when it is True again. `before`: the last news that was not Unknown.
pub fn told(before: Option<&News>, now: &News) -> Option<Happened> {
    let was_false = before.filter(|before| before.holds == Some(false));
    match now.holds {
        Some(false) if was_false.is_none_or(|before| before.reason != now.reason) => Some(Happened::NotReady {
            reason: now.reason.clone(),
            why: now.message.clone(),
        }),
        Some(true) if was_false.is_some() => Some(Happened::ReadyAgain {
            how: now.message.clone(),
        }),
        Some(_) | None => None,
    }
}

/// A webhook that the API server does not call for a dry run, because it may have side effects.
pub fn is_unsupported(words: &str) -> bool {
    words.contains("does not support dry run")
}

/// Permissions, admission or the object itself: the API server gives the same code for some of them, never the same words.
fn reason(words: &str) -> &'static str {
    let says = |any: &[&str]| any.iter().any(|part| words.contains(part));
    if says(&[
        " cannot patch resource ",
        " cannot create resource ",
        " cannot get resource ",
        "Unauthorized",
    ]) {
        "Forbidden"
    } else if says(&["denied request", "denied the request", "exceeded quota", "is forbidden"]) {
        "Refused"
    } else {
        "Invalid"
    }
}

fn said(holds: Option<bool>, reason: &str, message: String) -> News {
    News {
        kind: KIND,
        holds,
        reason: reason.to_owned(),
        message,
    }
}

fn shown(words: &str) -> String {
    let masked = mask_text(words);
    match masked.char_indices().nth(WORDS) {
        Some((end, _)) => format!("{}…", masked.get(..end).unwrap_or_default()),
        None => masked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart_by_the_servers_words() {
        let policy = "deployments.apps \"orders\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'p' denied request: no";
        let rights = "deployments.apps \"orders\" is forbidden: User \"modosu\" cannot patch resource \"deployments\" in API \
                      group \"apps\" in the namespace \"shop\"";
        let hook = "admission webhook \"h.example.org\" denied the request: no";
        let quota = "configmaps \"c\" is forbidden: exceeded quota: q, requested: configmaps=1";
        let schema = "Deployment.apps \"orders\" is invalid: spec.template.spec.containers: Required value";
        let reasons = [policy, rights, hook, quota, schema].map(reason);
        assert_eq!(reasons, ["Refused", "Forbidden", "Refused", "Refused", "Invalid"]);
        assert!(is_unsupported(
            "admission webhook \"h.example.org\" does not support dry run"
        ));
    }

    #[test]
    fn the_servers_words_are_masked_and_cut() {
        let Answer::Refused { words, .. } =
            Answer::refused("ConfigMap/c", "Invalid value: {\"password\": \"hunter2\"}")
        else {
            panic!("not refused");
        };
        assert!(
            words.starts_with("ConfigMap/c: ") && !words.contains("hunter2"),
            "{words}"
        );
        let long = Answer::Unanswered("戻す".repeat(1000));
        let message = news(&Way::Present, &long).unwrap().message;
        assert!(message.chars().count() == WORDS + 1 && message.ends_with('…'));
    }

    #[test]
    fn people_are_told_when_it_turns_false_and_when_it_is_true_again() {
        let refused = |reason| {
            news(
                &Way::Present,
                &Answer::Refused {
                    reason,
                    words: "no".into(),
                },
            )
        };
        let accepted = news(&Way::Present, &Answer::Accepted);
        let steps = [
            not_tried("not yet").into(),
            accepted.clone(),
            refused("Refused"),
            refused("Refused"),
            news(&Way::Present, &Answer::Unanswered("?".into())),
            refused("Forbidden"),
            accepted.clone(),
            accepted,
        ];
        let mut before: Option<News> = None;
        let mut all = Vec::new();
        for now in steps.into_iter().flatten() {
            all.push(told(before.as_ref(), &now).map_or("-", |happened| happened.reason()));
            before = Some(now).filter(|now| now.holds.is_some()).or(before);
        }
        assert_eq!(
            all,
            [
                "-",
                "-",
                "RollbackNotReady",
                "-",
                "-",
                "RollbackNotReady",
                "RollbackReady",
                "-"
            ]
        );
    }

    #[test]
    fn where_nothing_is_proven_only_a_refusal_is_known() {
        let holds = |answer: &Answer| news(&Way::NothingProven, answer).unwrap().holds;
        assert_eq!(holds(&Answer::Accepted), None);
        assert_eq!(holds(&Answer::refused("Deployment/orders", "no")), Some(false));
        assert_eq!(news(&Way::NothingProven, &Answer::Changed), None);
    }
}
