//! Plan B's way back in stages as the shipped example has it.

use std::time::Duration;

use crate::{
    judge::policy::Policy,
    model::{guard::Guard, preset::Preset},
};

const EXAMPLE: &str = include_str!("../../../config/guards/plan-b-stages.yaml");

#[test]
fn plan_bs_stages_have_its_clocks_and_its_people() {
    let guard: Guard = serde_saphyr::from_str(EXAMPLE).unwrap_or_else(|why| panic!("{why}"));
    let policy = Policy::compile("shop", &guard.spec, &Preset::shipped()).unwrap_or_else(|all| panic!("{all:?}"));
    let stages = policy.stages.iter().map(|(stage, places)| {
        let kinds: Vec<_> = policy.steps[places.clone()]
            .iter()
            .flat_map(|step| step.kinds())
            .collect();
        (stage.name.as_str(), stage.within.0, stage.ask.as_deref(), kinds)
    });
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let expected = [
        ("flag-off", minutes(5), None, vec!["setConfig", "waitReady"]),
        ("revert", minutes(60), Some("tech-lead"), vec!["git"]),
        ("deploy", minutes(120), Some("tech-lead"), vec!["ask", "waitReady"]),
    ];
    assert_eq!(stages.collect::<Vec<_>>(), expected);
    let of = |place: usize| policy.stage_of(place).unwrap();
    assert_eq!((of(1), of(2), of(4)), ("flag-off", "revert", "deploy"));
}
