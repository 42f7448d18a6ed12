//! Pure. What a person is asked to do, as a step of a plan.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use crate::{
    model::{
        content::short_hash,
        guard::Ask,
        incident::{ASK, PlannedStep},
    },
    report::mask::mask_line,
};

pub fn ask(asked: &Ask) -> PlannedStep {
    PlannedStep {
        step: ASK.to_owned(),
        to: Some(hash(asked)),
        diff: Some(words(asked)),
        ..PlannedStep::default()
    }
}

/// Of who is asked for what.
pub fn hash(asked: &Ask) -> String {
    short_hash(&serde_json::to_string(asked).unwrap_or_default())
}

/// ``asks tech-lead: move the alias (`tools/alias --to 41`)``, on one line and without secrets.
pub fn words(asked: &Ask) -> String {
    let line = |text: &str| mask_line(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    let how = asked
        .command
        .as_deref()
        .map(|command| format!(" (`{}`)", line(command)));
    format!("asks {}: {}{}", asked.role, line(&asked.text), how.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_told_on_one_line_and_without_secrets() {
        let mut asked = Ask {
            role: "tech-lead".into(),
            text: "move the alias\nto the old index".into(),
            command: None,
        };
        assert_eq!(words(&asked), "asks tech-lead: move the alias to the old index");
        let plain = ask(&asked);
        asked.command = Some("alias --token=hunter2".into());
        let told = words(&asked);
        assert!(told.ends_with("`)") && !told.contains("hunter2"), "{told}");
        assert_ne!(plain.to, ask(&asked).to, "another command is another step");
    }
}
