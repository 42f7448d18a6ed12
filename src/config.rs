//! IO. The daemon's settings: a YAML file, `MODOSU__SECTION__KEY` from the environment over it, flags over both.
//!
//! Whoever gets three things wrong is told three things, each with where it stands, what stands there and what would
//! be right ([`mistake`]). The text becomes a tree with positions ([`source`]), the `config` crate lays the sources
//! over each other, and a value that cannot be read is noted, taken out, and the rest read again ([`load`]).

use std::{collections::BTreeMap, fmt, net::SocketAddr, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{
    decide::together::Rules,
    model::{
        grade::{Scheme, Schemes},
        guard::Mode,
        preset::Preset,
        units::Length,
    },
    observe::prometheus,
    telemetry::TelemetrySettings,
};

/// What must hold beyond the types: ranges, addresses, files that exist.
mod check;
/// Changes of repositories.
mod git;
/// Which of several copies acts.
mod leader;
/// Sources laid over each other and read, again and again until nothing unreadable is left.
pub mod load;
/// What is wrong with the settings, for the person who wrote them.
pub mod mistake;
/// What own presets ask for and cannot have.
mod presets;
/// Guard rails of the whole daemon.
mod rails;
/// Where values come from: a file with positions, the environment, flags.
pub mod source;

pub use git::{GitCredentials, GitSettings};
pub use leader::LeaderElection;
pub use load::Flags;
pub use mistake::{Mistake, Mistakes};
pub use rails::{BudgetSettings, FreezeWindow, IncidentSettings, StepSettings};

/// The file that is read when no other one is named; it may be missing.
pub const DEFAULT_FILE: &str = "config/modosu.yaml";

/// The daemon's settings, valid as a whole. `config/modosu.yaml` describes each and holds exactly the defaults.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    pub prometheus: prometheus::Settings,
    /// How often Prometheus is asked.
    pub poll: Length,
    /// Caps every guard's mode.
    pub mode: Mode,
    /// Writes statuses, Events and the lease, and nothing else: incidents and proven states neither.
    pub read_only: bool,
    /// Empty: all.
    #[serde(deserialize_with = "list")]
    pub namespaces: Vec<String>,
    /// Sidecar: watch only this guard.
    pub guard: Option<GuardName>,
    pub http: Http,
    pub budget: BudgetSettings,
    pub common_cause: CommonCause,
    /// When nothing is written.
    pub freeze: Vec<FreezeWindow>,
    /// Which steps beyond restoring this daemon may run.
    pub steps: StepSettings,
    /// How long closed incidents stay.
    pub incidents: IncidentSettings,
    /// How repositories are reached that steps change.
    pub git: GitSettings,
    /// Which of several copies acts.
    pub leader_election: LeaderElection,
    /// Own presets by name, in the form of those in `config/presets/`.
    pub presets: BTreeMap<String, Preset>,
    /// Own ways to grade by name, in the form of those in `config/schemes/`.
    pub schemes: BTreeMap<String, Scheme>,
    pub telemetry: TelemetrySettings,
}

/// modosu's own pages and metrics.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Http {
    pub listen: SocketAddr,
    /// What links to modosu's pages begin with; absent: the address it listens on.
    pub public_url: Option<String>,
}

/// When breaches of several guards are one case.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CommonCause {
    /// This many guards breach together.
    pub guards: u32,
    /// Together: within this time.
    pub within: Length,
    /// Changes this near to each other are one group.
    pub related: Length,
}

/// A guard by namespace and name, written `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GuardName {
    pub namespace: String,
    pub name: String,
}

impl Settings {
    /// The shipped schemes and the own ones.
    pub fn all_schemes(&self) -> Schemes {
        let own = self.schemes.iter();
        let own = own.map(|(name, scheme)| (name.clone(), Arc::new(scheme.clone())));
        Scheme::shipped().into_iter().chain(own).collect()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            prometheus: prometheus::Settings::default(),
            poll: Length::seconds(5),
            mode: Mode::Enforce,
            read_only: false,
            namespaces: Vec::new(),
            guard: None,
            http: Http::default(),
            budget: BudgetSettings::default(),
            common_cause: CommonCause::default(),
            freeze: Vec::new(),
            steps: StepSettings::default(),
            incidents: IncidentSettings::default(),
            git: GitSettings::default(),
            leader_election: LeaderElection::default(),
            presets: BTreeMap::new(),
            schemes: BTreeMap::new(),
            telemetry: TelemetrySettings::default(),
        }
    }
}

impl Default for CommonCause {
    fn default() -> Self {
        Self {
            guards: 3,
            within: Length::minutes(2),
            related: Length::minutes(10),
        }
    }
}

impl CommonCause {
    /// As the decision takes them.
    pub fn rules(&self) -> Rules {
        Rules {
            guards: usize::try_from(self.guards).unwrap_or(usize::MAX),
            within: self.within.0,
            related: self.related.0,
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 9191)),
            public_url: None,
        }
    }
}

impl FromStr for GuardName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((namespace, name)) if is_dns_name(namespace) && is_dns_name(name) => Ok(Self {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            }),
            _ => Err(format!("`{text}` is not a guard written `namespace/name`")),
        }
    }
}

impl fmt::Display for GuardName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl<'de> Deserialize<'de> for GuardName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Serialize for GuardName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Whether Kubernetes would take this as a name of an object.
fn is_dns_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=253).contains(&text.len())
        && text.starts_with(plain)
        && text.ends_with(plain)
        && text.chars().all(|c| plain(c) || c == '-' || c == '.')
}

/// A list, or text with commas: the environment has no lists.
fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a list of names, or names with commas between them")]
    enum Written {
        List(Vec<String>),
        Text(String),
    }
    Ok(match Written::deserialize(deserializer)? {
        Written::List(names) => names,
        Written::Text(text) => text
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect(),
    })
}
