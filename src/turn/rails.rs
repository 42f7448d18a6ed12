//! IO free. Guard rails of one guard's turn: what is frozen, how bad it is, and whether the budget allows one more rollback.

use jiff::Timestamp;
use kube::ResourceExt;

use super::{Shared, budget::Budget, guarded::Guarded};
use crate::{
    decide::{Input, Step, decide},
    model::freeze::Freeze,
};

impl Guarded {
    /// What somebody froze, as the watches show it.
    pub(super) fn freeze(&self, shared: &Shared<'_>, now: Timestamp) -> Option<Freeze> {
        let namespace = self.guard.namespace().unwrap_or_default();
        let own = Freeze::of_annotations(
            &format!("Guard/{}", self.guard.name_any()),
            self.guard.metadata.annotations.as_ref(),
        );
        let targets = self.guard.spec.targets.iter();
        let workloads = targets.filter_map(|target| shared.cluster.workload(&namespace, target)?.freeze.clone());
        let decided = self.case.as_ref().and_then(|case| case.status.freeze.clone());
        let windows = shared.settings.freeze.iter().filter_map(|window| window.freeze(now));
        let around = shared.cluster.freezes(&namespace);
        let all = own
            .into_iter()
            .chain(workloads)
            .chain(decided)
            .chain(windows)
            .chain(around);
        Freeze::longest(all, now)
    }

    /// How bad it is, for who comes first.
    pub(super) fn severity(&self) -> u8 {
        let firing = self.judged.iter().flat_map(|(verdict, _)| &verdict.firing);
        firing.map(|finding| finding.rank).max().unwrap_or_default()
    }
}

/// The decision; where it would begin one rollback too many, the decision that leaves it to people.
pub fn within_budget(input: &Input<'_>, budget: &Budget) -> Step {
    let step = decide(input);
    if !step.begins(input.case.map(|case| case.status)) {
        return step;
    }
    match budget.take() {
        Ok(()) => step,
        Err(why) => decide(&Input {
            over_budget: Some(&why),
            ..*input
        }),
    }
}
