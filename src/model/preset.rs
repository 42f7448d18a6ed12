//! Pure. Presets: named sets of signals and triggers for one kind of exporter.
//!
//! The shipped ones are the files of `config/presets/`, compiled in; a daemon's own have the same form.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::guard::{SignalSpec, Trigger};

/// One preset.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    pub labels: Labels,
    pub signals: BTreeMap<String, SignalSpec>,
    /// The triggers of a guard that names none.
    pub triggers: Vec<Trigger>,
}

/// The labels that tell one guard's rows from another's: `namespace` and `workload`, which a guard need not name, or
/// those that it must name in `match`.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Labels {
    /// The label that holds the namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The label that holds the workload's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// Labels whose values nothing on Kubernetes tells.
    #[serde(rename = "match", skip_serializing_if = "Vec::is_empty")]
    pub matching: Vec<String>,
}

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../config/presets/", $name, ".yaml")))),*]
    };
}

const SHIPPED: [(&str, &str); 11] = shipped![
    "benchmark",
    "celery",
    "ci",
    "grpc",
    "http",
    "istio",
    "kubernetes",
    "linkerd",
    "nginx-ingress",
    "prometheus-http",
    "prometheus-http-status",
];

impl Preset {
    /// A preset from its YAML text; the mistake names line and column.
    pub fn parse(text: &str) -> Result<Self, String> {
        serde_saphyr::from_str(text).map_err(|why| why.to_string())
    }

    /// The presets that come with modosu, by name.
    pub fn shipped() -> BTreeMap<String, Self> {
        SHIPPED
            .iter()
            .filter_map(|(name, text)| Some(((*name).to_owned(), Self::parse(text).ok()?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_preset_reads() {
        for (name, text) in SHIPPED {
            Preset::parse(text).unwrap_or_else(|why| panic!("{name}: {why}"));
        }
        let presets = Preset::shipped();
        let http = &presets["prometheus-http"];
        assert_eq!(http.labels.workload.as_deref(), Some("job"));
        assert_eq!(
            http.signals.keys().collect::<Vec<_>>(),
            ["error_rate", "request_rate", "response_time", "success_rate"]
        );
        assert_eq!(http.triggers.len(), 4);
    }

    /// A name that an exporter gave up is found by whoever reads the file: of which version they are, and where that stands.
    #[test]
    fn every_shipped_preset_says_of_which_exporter_its_names_are() {
        let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/presets");
        for (name, text) in SHIPPED {
            let series = match name {
                "kubernetes" => vec!["kubernetes", "kubernetes-state"],
                name => vec![name],
            };
            for file in series {
                let tested = std::fs::read_to_string(format!("{tests}/{file}.prom")).unwrap();
                let said: Vec<&str> = tested
                    .lines()
                    .take_while(|line| !line.starts_with("# target:"))
                    .collect();
                assert!(
                    said[0].starts_with("# exporter: ") && said[1].starts_with("# source: "),
                    "{file}"
                );
                assert!(
                    text.contains(&said.join("\n")),
                    "{name} does not say what {file}.prom does: {said:?}"
                );
            }
        }
    }

    #[test]
    fn a_mistake_names_its_line() {
        let wrong = Preset::parse("labels: {namespace: a, workload: b}\nsignals:\n  x: {gauges: 'up'}\ntriggers: []\n")
            .unwrap_err();
        assert!(wrong.contains("gauges") && wrong.contains('3'), "{wrong}");
    }
}
