//! Pure. A newer rollout came while a plan was under way: what stands where, and how to make it whole, one way or the other.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::{Case, Input};
use crate::{
    model::{guard::TargetRef, incident::Stands},
    verify,
};

/// Each object that the plan writes, and what came beside it, where one of them is already back.
pub fn stands(input: &Input, case: Case) -> Vec<Stands> {
    let Some(goal) = case.status.goal(case.spec) else {
        return Vec::new();
    };
    let (mut all, mut mixed) = (Vec::<Stands>::new(), false);
    for (place, step) in case.status.plan.iter().enumerate() {
        let (Some(target), Some(to)) = (step.target.as_deref().and_then(|name| name.parse().ok()), &step.to) else {
            continue;
        };
        if all
            .iter()
            .any(|known| known.target == step.target.as_deref().unwrap_or_default())
        {
            continue;
        }
        let receipt = case.status.receipt_of(place).and_then(|entry| entry.receipt.as_deref());
        let stand = match input.seen.parts.get(&target) {
            Some(now) if now == to => back(input, &target, &goal.hash),
            Some(_) => newer(input, &target, &goal.hash),
            // Such as a ConfigMap with a hash in its name: the newer rollout reads another one.
            None if matches!(receipt, Some("done" | "already")) => unused(input, &target, &goal.hash),
            None => continue,
        };
        mixed |= input.seen.parts.get(&target).is_none_or(|now| now == to);
        all.push(stand);
    }
    let changed = |(name, then): (&String, &String)| {
        let target: TargetRef = name.parse().ok()?;
        let now = input.seen.parts.get(&target)?;
        (now != then).then(|| newer(input, &target, &goal.hash))
    };
    all.extend(case.status.beside.iter().filter_map(changed));
    if mixed && verify::may_have_written(case.status) {
        all
    } else {
        Vec::new()
    }
}

/// Put back, and read by nothing that runs now.
fn unused(input: &Input, target: &TargetRef, hash: &str) -> Stands {
    let namespace = input.guard.split('/').next().unwrap_or_default();
    let (kind, name) = (format!("{:?}", target.kind).to_lowercase(), &target.name);
    Stands {
        target: target.to_string(),
        words: format!("back at {hash}, and the newer rollout does not read it; to remove it"),
        command: format!("kubectl -n {namespace} delete {kind}/{name}"),
    }
}

fn back(input: &Input, target: &TargetRef, hash: &str) -> Stands {
    let namespace = input.guard.split('/').next().unwrap_or_default();
    let (kind, name) = (format!("{:?}", target.kind).to_lowercase(), &target.name);
    let command = if target.kind.is_workload() {
        format!("kubectl -n {namespace} rollout undo {kind}/{name}")
    } else {
        format!("kubectl -n {namespace} apply -f …  # its manifest of the newer release")
    };
    Stands {
        target: target.to_string(),
        words: format!("already back at {hash}; to leave that again"),
        command,
    }
}

fn newer(input: &Input, target: &TargetRef, hash: &str) -> Stands {
    Stands {
        target: target.to_string(),
        words: format!("carries the newer rollout; to put it back to {hash} too"),
        command: format!(
            "modosu rollback {} --to {hash} --only {target} --reason '…'",
            input.guard
        ),
    }
}
