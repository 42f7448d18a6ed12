//! Pure. A guard's wishes, compiled where the daemon's settings allow them all.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use kube::ResourceExt;

use crate::{
    config::StepSettings,
    judge::{
        Memory,
        policy::{Policy, forbidden},
    },
    model::{grade::Schemes, guard::Guard, preset::Preset},
};

/// A valid guard's policy and the judge's memory for it.
pub(super) struct Rules {
    pub policy: Arc<Policy>,
    pub memory: Memory,
    /// The memory was told where its windows begin.
    pub begun: bool,
    /// What it would remember from before was read, or cannot be.
    pub remembers: bool,
    /// When a baseline was last asked for elsewhere.
    pub asked_at: Option<Timestamp>,
}

/// Every mistake at once, in words.
pub(super) fn compile(
    guard: &Guard,
    presets: &BTreeMap<String, Preset>,
    schemes: &Schemes,
    steps: &StepSettings,
) -> Result<Rules, String> {
    let namespace = guard.namespace().unwrap_or_default();
    let forbidden = forbidden(&guard.spec.rollback, steps.http, steps.job, steps.git);
    let compiled = Policy::compile_with(&namespace, &guard.spec, presets, schemes);
    let allowed = compiled.map(|policy| Policy {
        jobs: steps.job,
        ..policy
    });
    match allowed.and_then(|policy| forbidden.is_empty().then_some(policy).ok_or(forbidden)) {
        Ok(policy) => Ok(Rules {
            memory: Memory::new(&policy),
            policy: Arc::new(policy),
            begun: false,
            remembers: false,
            asked_at: None,
        }),
        Err(mistakes) => Err(mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    }
}
