//! Pure. The parts of a plan: those that a person wants, and the stages that its steps belong to.

use super::{Resolved, Run};
use crate::{
    act::{ApiError, replica_set, snapshot},
    model::{
        content::{Content, Contents, state_hash},
        guard::{Step, TargetRef},
        incident::{PlannedStep, StateRef},
    },
    observe::{older::replica_set, seen::Seen},
};

impl Run<'_> {
    /// What a state holds: a proven one its snapshot's, else what the ReplicaSet of the one Deployment that goes back holds.
    pub(super) async fn load(&self, to: &StateRef) -> Result<Contents, ApiError> {
        let Some(set) = replica_set(to) else {
            let name = to.name.clone().unwrap_or_default();
            return snapshot::load(self.api, self.namespace, &name, &to.hash).await;
        };
        let [only] = self.only else {
            let why = format!("ReplicaSet/{set} holds one Deployment alone, and none is named");
            return Err(ApiError::Refused(why));
        };
        let target: TargetRef = only.parse().map_err(ApiError::Refused)?;
        let content = replica_set::load(self.api, self.namespace, &target, set, &to.hash).await?;
        Ok(Contents::from([(target, content)]))
    }

    /// What is no part of the state that is gone to, in words.
    pub(super) fn stays(&self, part: &TargetRef) -> String {
        match self.to.and_then(replica_set) {
            None => format!("{part} is no part of the proven state and stays as it is"),
            Some(set) => format!("{part} stays as it is: nobody knows whether it fits ReplicaSet/{set}"),
        }
    }

    /// A plan and what it leaves, unless what would run then is marked bad.
    pub(super) fn resolved(&self, seen: &Seen, plan: Result<Vec<PlannedStep>, String>, left: Vec<String>) -> Resolved {
        let plan = plan.and_then(|steps| self.marked_bad(seen, &steps).map_or(Ok(steps), Err));
        plan.map_or_else(Resolved::Impossible, |steps| {
            Resolved::Plan(self.in_stages(steps), left)
        })
    }

    /// Of a part that nobody proved: why it is not put back, where what would run then is marked bad.
    fn marked_bad(&self, seen: &Seen, plan: &[PlannedStep]) -> Option<String> {
        self.to.and_then(replica_set)?;
        let mut parts = seen.parts.clone();
        for step in plan {
            let target = step.target.as_deref().and_then(|target| target.parse().ok());
            parts.extend(target.zip(step.to.clone()));
        }
        let hash = state_hash(parts.iter().map(|(target, hash)| (target, hash.as_str())));
        let mut bad = self.guard.status.iter().flat_map(|status| &status.bad);
        let guard = format!("{}/{}", self.namespace, self.spec.guard);
        bad.any(|bad| bad.hash == hash)
            .then(|| format!("that would be {hash}, which is marked bad: `modosu allow {guard} {hash}` lifts that"))
    }

    fn wants(&self, target: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == target)
    }

    /// What is not wanted back stays what it is. Gives what that leaves mixed.
    pub(super) fn narrow(&self, snapshot: &mut Contents, current: &Contents) -> Vec<String> {
        let unwanted: Vec<TargetRef> = snapshot
            .keys()
            .filter(|target| !self.wants(&target.to_string()))
            .cloned()
            .collect();
        let mut mixed = Vec::new();
        for target in unwanted {
            let now = current.get(&target);
            if now.map(Content::hash) != snapshot.get(&target).map(Content::hash) {
                mixed.push(format!(
                    "{target} stays as it is: only {} is put back",
                    self.only.join(", ")
                ));
            }
            match now {
                Some(now) => snapshot.insert(target, now.clone()),
                None => snapshot.remove(&target),
            };
        }
        mixed
    }

    /// Each step is told which stage it belongs to.
    fn in_stages(&self, mut plan: Vec<PlannedStep>) -> Vec<PlannedStep> {
        for step in &mut plan {
            let place = step.index.and_then(|index| usize::try_from(index).ok());
            step.stage = place.and_then(|place| self.policy.stage_of(place)).map(str::to_owned);
        }
        plan
    }

    /// The guard's steps; those of other parts do nothing.
    pub(super) fn wanted_steps(&self) -> Vec<Step> {
        let wanted = |step: &Step| step.target().is_none_or(|target| self.wants(target));
        let steps = self.policy.steps.iter();
        steps
            .map(|step| if wanted(step) { step.clone() } else { Step::default() })
            .collect()
    }
}
