//! Pure. A request as a step of a plan: recorded by its hash, so that its headers stand in the guard alone.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use crate::model::{content::short_hash, guard::HttpCheck, incident::PlannedStep};

/// The step's name.
pub const HTTP: &str = "http";

pub fn http(asked: &HttpCheck) -> PlannedStep {
    PlannedStep {
        step: HTTP.to_owned(),
        to: Some(hash(asked)),
        ..PlannedStep::default()
    }
}

/// Of the whole request.
pub fn hash(asked: &HttpCheck) -> String {
    short_hash(&serde_json::to_string(asked).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_recorded_without_what_it_carries() {
        let mut asked = HttpCheck {
            get: Some("http://orders/health".into()),
            ..HttpCheck::default()
        };
        let plain = http(&asked);
        asked.headers.insert("Authorization".into(), "Bearer hunter2".into());
        let carrying = http(&asked);
        assert_ne!(plain.to, carrying.to, "another request is another step");
        assert!(!format!("{carrying:?}").contains("hunter2"));
    }
}
