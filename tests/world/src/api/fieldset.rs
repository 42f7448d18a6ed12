//! Sets of fields, as `fieldsV1` writes them: `f:` a field, `k:` an element of a keyed list, `v:` an element of a set. Pure.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::json::map;

/// The steps to a field.
pub(crate) type Path = Vec<String>;

/// Some fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct FieldSet(BTreeSet<Path>);

impl FieldSet {
    pub(crate) fn read(fields: &Value) -> FieldSet {
        let mut found = BTreeSet::new();
        collect(fields, &mut Vec::new(), &mut found);
        FieldSet(found)
    }

    /// As `fieldsV1`: a member with members below it is marked with a dot.
    pub(crate) fn written(&self) -> Value {
        let mut root = json!({});
        for path in &self.0 {
            let longer = |other: &Path| other.len() > path.len() && other.starts_with(path);
            let mut after = self
                .0
                .range::<Path, _>((std::ops::Bound::Excluded(path), std::ops::Bound::Unbounded));
            let node = path.iter().fold(&mut root, |node, step| {
                map(node).entry(step).or_insert_with(|| json!({}))
            });
            if after.next().is_some_and(longer) {
                map(node).insert(".".into(), json!({}));
            }
        }
        root
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn contains(&self, path: &Path) -> bool {
        self.0.contains(path)
    }

    pub(crate) fn insert(&mut self, path: Path) {
        self.0.insert(path);
    }

    pub(crate) fn extend(&mut self, other: &FieldSet) {
        self.0.extend(other.0.iter().cloned());
    }

    pub(crate) fn remove_all(&mut self, other: &FieldSet) {
        self.0.retain(|path| !other.contains(path));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Path> {
        self.0.iter()
    }
}

fn collect(fields: &Value, path: &mut Path, found: &mut BTreeSet<Path>) {
    for (step, below) in crate::json::entries(fields, "") {
        if step == "." {
            found.insert(path.clone());
            continue;
        }
        path.push(step.clone());
        if below.as_object().is_none_or(Map::is_empty) {
            found.insert(path.clone());
        } else {
            collect(below, path, found);
        }
        path.pop();
    }
}
