//! Plans in stages, one picture each. S is the release with its flag off, A what is put back.

use super::play::check;

const STAGES: &str = "
rollback:
  stages:
    - {name: flag-off, within: 5m, steps: [{setEnv: {target: Deployment/orders, env: {WORKER_MODE: legacy}}}]}
    - {name: revert, within: 1h, ask: tech-lead, steps: [{restore: {}}]}
";
const BY_ITSELF: &str = "
rollback:
  stages:
    - {name: flag-off, within: 5m, steps: [{setEnv: {target: Deployment/orders, env: {WORKER_MODE: legacy}}}]}
    - {name: revert, within: 5m, steps: [{restore: {}}]}
";
const ASKED_FIRST: &str = "
rollback:
  stages:
    - {name: flag-off, within: 5m, ask: tech-lead, steps: [{setEnv: {target: Deployment/orders, env: {WORKER_MODE: legacy}}}]}
    - {name: revert, within: 5m, steps: [{restore: {}}]}
";

#[test]
fn the_first_that_helps_mitigates_and_a_person_begins_the_next() {
    check(
        STAGES,
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B errors            → Verifying         errors | B is marked bad and will never be restored | (setEnv Deployment/orders := S)
        22m  S ok                → Verifying         rolled out; from now on readings count as proof
        23m  S ok                → AwaitingDecision  mitigated by flag-off | stage revert waits for tech-lead: it begins when somebody decides `rollback`
        1h   S ok                → AwaitingDecision  it was not over by 2027-01-15 08:36:00 UTC (tech-lead was asked): tech-lead is asked now
        1h23m S ok               → AwaitingDecision  nobody decided by 2027-01-15 09:23:00 UTC (tech-lead was asked): project-manager is asked now
        2h   S errors            → AwaitingDecision  it was not over by 2027-01-15 08:36:00 UTC (project-manager was asked): architect is asked now, the last in the chain
        3h   S ok rollback hangs → RollingBack       sam decided: Rollback | stage revert begins
        3h1m S ok                → Verifying         (restore Deployment/orders := A)
        3h2m A ok                → Verifying         rolled out; from now on readings count as proof
        3h3m A ok                → Steady            stage revert is proven | recovered 2h 42m after the first bad reading | B may not return until 2027-01-22 11:02 UTC; `modosu allow shop/orders B --reason …` lifts the lock
        ",
    );
}

#[test]
fn whether_it_helped_or_not_the_next_follows_and_after_the_last_people() {
    check(
        BY_ITSELF,
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B errors            → Verifying         errors | B is marked bad and will never be restored | (setEnv Deployment/orders := S)
        22m  S errors            → Verifying         rolled out; from now on readings count as proof
        26m  S errors            → Verifying
        26m1s S errors           → RollingBack       stage flag-off did not help: tried: Deployment/orders done; not recovered in time, seen now: errors | stage revert begins
        26m6s S errors           → Verifying         (restore Deployment/orders := A)
        27m  A errors            → Verifying         rolled out; from now on readings count as proof
        31m  A errors            → Verifying
        31m2s A errors           → Escalated         modosu has stopped; nothing more happens until you act: stage flag-off did not help: tried: Deployment/orders done; not recovered in time, seen now: errors; stage revert did not help: tried: Deployment/orders done; not recovered in time, seen now: errors
        ",
    );
}

#[test]
fn a_stage_that_is_refused_is_followed_by_the_next_at_once() {
    check(
        STAGES,
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B errors hangs      → RollingBack       errors | B is marked bad and will never be restored
        22m  B errors refuses    → AwaitingDecision  stage flag-off did not help: refused | stage revert waits for tech-lead: it begins when somebody decides `rollback`
        23m  B errors kill       → AwaitingDecision
        24m  B errors rollback   → Verifying         sam decided: Rollback | stage revert begins | (restore Deployment/orders := A)
        25m  A ok                → Verifying         rolled out; from now on readings count as proof
        26m  A ok                → Steady            mitigated by revert | recovered 5m after the first bad reading, but stage flag-off did not help: refused | B may not return until 2027-01-22 08:25 UTC; `modosu allow shop/orders B --reason …` lifts the lock
        ",
    );
}

#[test]
fn what_is_mitigated_stays_so_where_the_next_stage_does_not_help() {
    check(
        BY_ITSELF,
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B errors            → Verifying         errors | B is marked bad and will never be restored | (setEnv Deployment/orders := S)
        22m  S ok                → Verifying         rolled out; from now on readings count as proof
        23m  S ok hangs          → RollingBack       mitigated by flag-off | stage revert begins
        24m  S ok refuses        → Escalated         modosu has stopped; nothing more happens until you act: mitigated at 2027-01-15T08:23:00Z; stage flag-off helped; stage revert did not help: refused
        25m  S ok                → Escalated
        29m  S ok                → Escalated         nobody decided by 2027-01-15 08:24:00 UTC (oncall was asked): tech-lead is asked now
        30m  S ok keep           → Steady            sam decided: Keep | people keep this state; it is only reported from now on
        ",
    );
}

#[test]
fn a_stage_with_nothing_to_do_is_passed_over() {
    check(
        STAGES,
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  S ok                → Probation         a change came: S in place of A
        21m  S errors            → AwaitingDecision  errors | S is marked bad and will never be restored | stage revert waits for tech-lead: it begins when somebody decides `rollback`
        22m  S errors rollback   → Verifying         sam decided: Rollback | stage revert begins | (restore Deployment/orders := A)
        23m  A ok                → Verifying         rolled out; from now on readings count as proof
        24m  A ok                → Steady            mitigated by revert | recovered 3m after the first bad reading | S may not return until 2027-01-22 08:23 UTC; `modosu allow shop/orders S --reason …` lifts the lock
        ",
    );
}

#[test]
fn what_was_reached_by_then_is_told_where_a_plan_is_stopped() {
    check(
        BY_ITSELF,
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B errors            → Verifying         errors | B is marked bad and will never be restored | (setEnv Deployment/orders := S)
        22m  S ok                → Verifying         rolled out; from now on readings count as proof
        23m  S ok hangs          → RollingBack       mitigated by flag-off | stage revert begins
        24m  S ok frozen         → Frozen            frozen by ann (Namespace/shop): nothing is written | modosu has stopped; nothing more happens until you act: frozen by ann (Namespace/shop); nothing was written by stage revert; mitigated at 2027-01-15T08:23:00Z; stage flag-off helped; stage revert was not ended
        25m  S ok                → Escalated         frozen no more; what was seen meanwhile does not count
        26m  S ok resume         → Verifying         sam decided: Resume | (restore Deployment/orders := A)
        27m  A ok                → Verifying         rolled out; from now on readings count as proof
        28m  A ok                → Steady            stage revert is proven | recovered 7m after the first bad reading | B may not return until 2027-01-22 08:27 UTC; `modosu allow shop/orders B --reason …` lifts the lock
        ",
    );
}

#[test]
fn a_person_begins_the_first_stage_where_it_says_so() {
    check(
        ASKED_FIRST,
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B errors            → AwaitingDecision  errors; people decide: tech-lead begins the plan's first stage, flag-off
        22m  B errors            → AwaitingDecision
        23m  B errors rollback   → Verifying         sam decided: Rollback | B is marked bad and will never be restored | putting back A | (setEnv Deployment/orders := S)
        ",
    );
}

#[test]
fn what_rolls_out_late_mitigates_while_a_person_is_asked() {
    check(
        STAGES,
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B errors            → Verifying         errors | B is marked bad and will never be restored | (setEnv Deployment/orders := S)
        22m  S~ errors           → Verifying
        27m  S~ errors           → AwaitingDecision  stage flag-off did not help: tried: Deployment/orders done; not rolled out in time: 1 of 2 pods are updated | stage revert waits for tech-lead: it begins when somebody decides `rollback`
        28m  S ok                → AwaitingDecision
        29m  S ok                → AwaitingDecision  mitigated by flag-off
        30m  A ok                → Steady            somebody went back to the proven state by hand | back on the proven state A, away from S
        ",
    );
}

#[test]
fn a_newer_release_between_two_stages_is_judged_by_itself() {
    check(
        STAGES,
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B errors            → Verifying         errors | B is marked bad and will never be restored | (setEnv Deployment/orders := S)
        22m  S ok                → Verifying         rolled out; from now on readings count as proof
        23m  S ok                → AwaitingDecision  mitigated by flag-off | stage revert waits for tech-lead: it begins when somebody decides `rollback`
        30m  C ok                → Probation         a newer state came (C); nothing more is written | a change came: C in place of S
        ",
    );
}

#[test]
fn a_plan_that_was_frozen_between_two_stages_goes_on_when_a_person_says_so() {
    check(
        STAGES,
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B errors            → Verifying         errors | B is marked bad and will never be restored | (setEnv Deployment/orders := S)
        22m  S ok                → Verifying         rolled out; from now on readings count as proof
        23m  S ok                → AwaitingDecision  mitigated by flag-off | stage revert waits for tech-lead: it begins when somebody decides `rollback`
        24m  S ok frozen         → Frozen            frozen by ann (Namespace/shop): nothing is written
        25m  S ok frozen rollback → Frozen            sam decided: Rollback | the decision cannot be followed: frozen by ann (Namespace/shop)
        26m  S ok                → AwaitingDecision  frozen no more; what was seen meanwhile does not count
        27m  S ok resume         → Verifying         sam decided: Resume | stage revert begins | (restore Deployment/orders := A)
        28m  A ok                → Verifying         rolled out; from now on readings count as proof
        ",
    );
}

#[test]
fn what_is_frozen_while_a_stage_is_proven_holds_the_next_one_back() {
    check(
        BY_ITSELF,
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B errors            → Verifying         errors | B is marked bad and will never be restored | (setEnv Deployment/orders := S)
        22m  S ok                → Verifying         rolled out; from now on readings count as proof
        22m30s S ok freeze       → Verifying         sam decided: Freeze
        23m  S ok                → Frozen            frozen by sam until 2027-01-15 10:22:30 UTC (Incident/orders-1): nothing is written | mitigated by flag-off | stage revert begins
        23m5s S ok               → Frozen            modosu has stopped; nothing more happens until you act: frozen by sam until 2027-01-15 10:22:30 UTC (Incident/orders-1); nothing was written by stage revert; mitigated at 2027-01-15T08:23:00Z; stage flag-off helped; stage revert was not ended
        26m  S ok                → Frozen
        27m  S ok resume         → Verifying         sam decided: Resume | (restore Deployment/orders := A) | frozen no more; what was seen meanwhile does not count
        28m  A ok                → Verifying         rolled out; from now on readings count as proof
        ",
    );
}

#[test]
fn a_stage_that_asks_is_begun_by_what_is_decided_after_it_asked() {
    check(
        STAGES,
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B errors            → Verifying         errors | B is marked bad and will never be restored | (setEnv Deployment/orders := S)
        22m  S ok rollback       → Verifying         sam decided: Rollback | the decision cannot be followed: the plan runs already | rolled out; from now on readings count as proof
        23m  S ok                → AwaitingDecision  mitigated by flag-off | stage revert waits for tech-lead: it begins when somebody decides `rollback`
        24m  S ok                → AwaitingDecision
        25m  S ok freeze         → AwaitingDecision  sam decided: Freeze
        26m  S ok resume         → Frozen            frozen by sam until 2027-01-15 10:25:00 UTC: once more (Incident/orders-1): nothing is written | sam decided: Resume
        27m  S ok                → AwaitingDecision  frozen no more; what was seen meanwhile does not count
        28m  S ok rollback       → Verifying         sam decided: Rollback | stage revert begins | (restore Deployment/orders := A)
        ",
    );
}
