//! Pure. Who else uses a ConfigMap decides whether it may be restored, and makes no other state of the same contents: a Job
//! that comes and goes is no release.

use std::collections::{BTreeMap, BTreeSet};

use super::{cluster::Proven, seen::Seen};
use crate::model::{
    content::state_hash,
    guard::{Current, GuardSpec, TargetKind, TargetRef},
};

/// A state that is known, and which of the followed ConfigMaps it consists of.
pub struct Known<'a> {
    hash: &'a str,
    config: Config<'a>,
}

enum Config<'a> {
    Only(BTreeSet<&'a TargetRef>),
    AllBut(&'a [String]),
}

impl<'a> Known<'a> {
    /// The state that ran until now.
    pub fn current(current: &'a Current) -> Self {
        Self {
            hash: &current.hash,
            config: Config::AllBut(&current.left_out),
        }
    }

    /// A proven one.
    pub fn proven(proven: &'a Proven) -> Self {
        Self {
            hash: &proven.hash,
            config: Config::Only(proven.settings.keys().collect()),
        }
    }

    fn holds(&self, target: &TargetRef) -> bool {
        match &self.config {
            Config::Only(targets) => targets.contains(target),
            Config::AllBut(names) => !names.contains(&target.name),
        }
    }
}

impl Seen {
    /// Takes what is there for the first of the known states that has the same contents, whoever uses them now.
    pub fn recognise<'a>(&mut self, spec: &GuardSpec, known: impl IntoIterator<Item = Known<'a>>) {
        let followed = |target: &TargetRef| target.kind == TargetKind::ConfigMap && !spec.targets.contains(target);
        if !self.left_out.keys().chain(self.parts.keys()).any(followed) {
            return;
        }
        let all: BTreeMap<TargetRef, String> = self.parts.iter().chain(&self.left_out).map(owned).collect();
        for known in known {
            let is_part = |target: &TargetRef| !followed(target) || known.holds(target);
            let (parts, left_out) = all.iter().map(owned).partition(|(target, _)| is_part(target));
            let parts: BTreeMap<TargetRef, String> = parts;
            if state_hash(parts.iter().map(|(target, hash)| (target, hash.as_str()))) == known.hash {
                known.hash.clone_into(&mut self.hash);
                (self.parts, self.left_out) = (parts, left_out);
                return;
            }
        }
    }
}

fn owned((target, hash): (&TargetRef, &String)) -> (TargetRef, String) {
    (target.clone(), hash.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str) -> TargetRef {
        name.parse().unwrap()
    }

    fn spec() -> GuardSpec {
        let spec = "{targets: [{kind: Deployment, name: orders}], metrics: {preset: prometheus-http}}";
        serde_saphyr::from_str(spec).unwrap()
    }

    /// Two ConfigMaps with these contents, `common` being used by others too where it is said so.
    fn seen(own: &str, common: &str, shared: bool) -> Seen {
        let mut parts = BTreeMap::from([
            (target("ConfigMap/own"), own.to_owned()),
            (target("Deployment/orders"), "t".to_owned()),
        ]);
        let common = BTreeMap::from([(target("ConfigMap/common"), common.to_owned())]);
        let left_out = if shared {
            common
        } else {
            parts.extend(common);
            BTreeMap::new()
        };
        Seen {
            hash: state_hash(parts.iter().map(|(target, hash)| (target, hash.as_str()))),
            parts,
            left_out,
            images: Vec::new(),
            rolled_out: Ok(()),
            whole_since: None,
            facts: crate::judge::Facts::default(),
            shared: Vec::new(),
            gone: BTreeSet::new(),
            keeps_pods: None,
            managed: Vec::new(),
            no_way_back: Vec::new(),
        }
    }

    fn current(seen: &Seen) -> Current {
        let left_out = seen.left_out.keys().map(|target| target.name.clone()).collect();
        let current = serde_json::json!({"hash": seen.hash, "since": "2026-03-01T00:00:00Z", "proven": false});
        Current {
            left_out,
            ..serde_json::from_value(current).unwrap()
        }
    }

    #[test]
    fn the_same_contents_are_the_same_state_whoever_uses_them() {
        for shared in [false, true] {
            let before = seen("1", "2", shared);
            let mut now = seen("1", "2", !shared);
            assert_ne!(now.hash, before.hash);
            now.recognise(&spec(), [Known::current(&current(&before))]);
            assert_eq!((&now.hash, &now.parts), (&before.hash, &before.parts));
        }
    }

    #[test]
    fn other_contents_are_another_state() {
        let before = seen("1", "2", false);
        for mut now in [seen("1", "3", true), seen("3", "2", true)] {
            let hash = now.hash.clone();
            now.recognise(&spec(), [Known::current(&current(&before))]);
            assert_eq!(now.hash, hash);
        }
        // What others used already when it came is no part of it: there it may change.
        let (before, mut now) = (seen("1", "2", true), seen("1", "3", false));
        now.recognise(&spec(), [Known::current(&current(&before))]);
        assert_eq!(now.hash, before.hash);
    }

    #[test]
    fn a_proven_state_is_recognised_too() {
        let before = seen("1", "2", false);
        let settings = before.parts.clone().into_iter();
        let proven = Proven {
            name: "orders-a".into(),
            guard: "orders".into(),
            hash: before.hash.clone(),
            proven_at: jiff::Timestamp::UNIX_EPOCH,
            last_running: jiff::Timestamp::UNIX_EPOCH,
            images: Vec::new(),
            no_way_back: Vec::new(),
            settings: settings.filter(|(target, _)| !target.kind.is_workload()).collect(),
        };
        let mut now = seen("1", "2", true);
        now.recognise(&spec(), [Known::proven(&proven)]);
        assert_eq!(now.hash, before.hash);
    }
}
