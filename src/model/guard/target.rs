//! Pure. What a guard restores: objects by kind and name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One object that is restored.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TargetRef {
    pub kind: TargetKind,
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// The kinds that can be restored. The order is the order of writing: settings before workloads. A Secret is a target only
/// where it is named.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TargetKind {
    ConfigMap,
    Secret,
    Deployment,
    StatefulSet,
    DaemonSet,
}

impl TargetKind {
    /// Whether it runs pods.
    pub const fn is_workload(self) -> bool {
        match self {
            Self::ConfigMap | Self::Secret => false,
            Self::Deployment | Self::StatefulSet | Self::DaemonSet => true,
        }
    }
}

impl std::fmt::Display for TargetRef {
    /// `Deployment/orders`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}/{}", self.kind, self.name)
    }
}

impl std::str::FromStr for TargetRef {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let kind = match text.split_once('/') {
            Some(("Deployment", _)) => TargetKind::Deployment,
            Some(("StatefulSet", _)) => TargetKind::StatefulSet,
            Some(("DaemonSet", _)) => TargetKind::DaemonSet,
            Some(("ConfigMap", _)) => TargetKind::ConfigMap,
            Some(("Secret", _)) => TargetKind::Secret,
            Some(_) | None => {
                return Err(format!(
                    "`{text}` is not of the form Deployment/name, StatefulSet/name, DaemonSet/name, ConfigMap/name or Secret/name"
                ));
            }
        };
        match text.split_once('/') {
            Some((_, name)) if !name.is_empty() => Ok(Self {
                kind,
                name: name.to_owned(),
            }),
            Some(_) | None => Err(format!("`{text}` names no object: write Deployment/name")),
        }
    }
}
