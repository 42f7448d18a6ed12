//! Pure. Which of several copies of modosu acts: where its Lease is, and who this copy is.

use serde::{Deserialize, Serialize};

use super::{is_dns_name, source::Way};

/// Leader election by a Lease.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LeaderElection {
    /// Whether others are asked at all; where not, this copy acts.
    pub enabled: bool,
    /// A sidecar adds a hyphen and its guard's name.
    pub lease_name: String,
    /// Absent: a sidecar's guard's, else the pod's own or the kubeconfig's.
    pub namespace: Option<String>,
    /// Absent: made of the pod's name and UID, or of the host's name and chance.
    pub identity: Option<String>,
}

impl Default for LeaderElection {
    fn default() -> Self {
        Self {
            enabled: true,
            lease_name: "modosu".to_owned(),
            namespace: None,
            identity: None,
        }
    }
}

impl LeaderElection {
    /// Names that Kubernetes would not take.
    pub fn findings(&self) -> impl Iterator<Item = (Way, String)> {
        let name = (!is_dns_name(&self.lease_name)).then(|| {
            (
                "leaseName",
                format!("`{}` cannot be the name of a Lease", self.lease_name),
            )
        });
        let namespace = self.namespace.as_ref().filter(|namespace| !is_dns_name(namespace));
        let namespace = namespace.map(|wrong| ("namespace", format!("`{wrong}` cannot be the name of a namespace")));
        let nobody = self.identity.as_ref().filter(|identity| identity.trim().is_empty());
        let nobody = nobody.map(|_| ("identity", "it is empty".to_owned()));
        let found = [name, namespace, nobody].into_iter().flatten();
        found.map(|(key, wrong)| (vec!["leaderElection".to_owned(), key.to_owned()], wrong))
    }
}
