//! What an exporter says, and how it goes on: the `.prom` files beside this one.

use std::collections::BTreeMap;

use serde_json::Value;

/// One exporter: its page, and what each round of traffic does to it.
#[derive(Clone, Debug)]
pub struct Fixture {
    /// The labels of its target; `None`: it pushes.
    pub target: Option<BTreeMap<String, String>>,
    types: Vec<String>,
    healthy: Vec<(String, f64)>,
    bad: Vec<(String, f64)>,
    now: BTreeMap<String, f64>,
}

/// What traffic is like in one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    Healthy,
    Bad,
}

/// So many healthy rounds went by before anybody looked.
const HISTORY: f64 = 100.0;

impl Fixture {
    /// Reads `tests/presets/NAME.prom`, which must say which exporter it is and where its names are taken from.
    pub fn read(name: &str) -> Self {
        let path = format!("{}/tests/presets/{name}.prom", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{path}: {why}"));
        let head = |key: &str| {
            let said = text.lines().find_map(|line| line.strip_prefix(&format!("# {key}: ")));
            said.unwrap_or_else(|| panic!("{path} does not say its {key}"))
                .to_owned()
        };
        let (exporter, source) = (head("exporter"), head("source"));
        assert!(
            exporter.contains(|c: char| c.is_ascii_digit()),
            "{path}: no version in {exporter}"
        );
        assert!(source.contains("github.com/"), "{path}: {source}");
        let section = |name: &str| -> Vec<(String, f64)> {
            let lines = text.lines().skip_while(|line| *line != format!("# === {name}")).skip(1);
            let lines = lines.take_while(|line| !line.starts_with("# ==="));
            lines.filter(|line| !line.is_empty()).map(sample).collect()
        };
        let target: Option<Value> = serde_json::from_str(&head("target")).ok();
        let mut fixture = Self {
            target: target.map(|labels| serde_json::from_value(labels).unwrap()),
            types: text
                .lines()
                .filter(|line| line.starts_with("# TYPE "))
                .map(str::to_owned)
                .collect(),
            healthy: section("healthy"),
            bad: section("bad"),
            now: BTreeMap::new(),
        };
        assert!(!fixture.healthy.is_empty() && !fixture.bad.is_empty(), "{path}");
        fixture.rounds(Traffic::Healthy, HISTORY);
        fixture
    }

    /// So many rounds of traffic at once.
    pub fn rounds(&mut self, traffic: Traffic, rounds: f64) {
        let changes = match traffic {
            Traffic::Healthy => &self.healthy,
            Traffic::Bad => &self.bad,
        };
        for (series, value) in changes {
            let gauge = self.types.iter().any(|line| {
                let name = series.split('{').next().unwrap();
                *line == format!("# TYPE {name} gauge")
            });
            let known = self.now.entry(series.clone()).or_default();
            *known = if gauge { *value } else { *known + value * rounds };
        }
    }

    /// In the text exposition format.
    pub fn page(&self) -> String {
        let samples = self.now.iter().map(|(series, value)| format!("{series} {value}"));
        let lines: Vec<_> = self.types.iter().cloned().chain(samples).collect();
        lines.join("\n") + "\n"
    }

    /// Every series: its name and labels, and its value.
    pub fn series(&self) -> Vec<(Vec<(String, String)>, f64)> {
        self.now
            .iter()
            .map(|(series, value)| (labels(series), *value))
            .collect()
    }
}

fn sample(line: &str) -> (String, f64) {
    let (series, value) = line.rsplit_once(' ').unwrap();
    (series.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line}")))
}

/// `name{a="b",c="d"}`, taken apart. No value here has a comma or a quote in it.
fn labels(series: &str) -> Vec<(String, String)> {
    let (name, rest) = series.split_once('{').unwrap_or((series, "}"));
    let pairs = rest.trim_end_matches('}').split("\",").filter(|pair| !pair.is_empty());
    let pair = |pair: &str| {
        let (label, value) = pair.split_once("=\"").unwrap();
        (label.to_owned(), value.trim_end_matches('"').to_owned())
    };
    let mut labels: Vec<_> = pairs.map(pair).collect();
    labels.push(("__name__".into(), name.into()));
    labels.sort();
    labels
}
