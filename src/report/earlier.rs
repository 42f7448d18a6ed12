//! Pure. The incidents that one follows on.

use crate::model::incident::Incident;

/// An incident that this one follows on.
pub(super) struct Earlier {
    pub how: &'static str,
    pub name: String,
    pub path: String,
}

/// In which one what returns was put back, and from which one the guard had just recovered.
pub(super) fn earlier(incident: &Incident, namespace: &str) -> Vec<Earlier> {
    let status = incident.status.iter();
    let both = status.flat_map(|s| [("returns from", &s.return_of), ("relapse of", &s.relapse_of)]);
    both.filter_map(|(how, of)| {
        let name = of.clone()?;
        let path = format!("/incidents/{namespace}/{name}");
        Some(Earlier { how, name, path })
    })
    .collect()
}
