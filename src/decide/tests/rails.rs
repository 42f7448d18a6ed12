//! Guard rails: they only ever remove actions. One picture each.

use super::play::check;

#[test]
fn frozen_nothing_is_put_back_and_nothing_fires_in_retrospect() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B ok frozen         → Frozen            frozen by ann (Namespace/shop): nothing is written
        22m  B errors frozen     → Frozen            errors; people decide: frozen by ann (Namespace/shop)
        30m  B errors frozen     → Frozen            nobody decided by 2027-01-15 08:22:00 UTC (oncall was asked): tech-lead is asked now
        31m  B errors            → AwaitingDecision  frozen no more; what was seen meanwhile does not count
        32m  B errors            → AwaitingDecision
    ",
    );
}

#[test]
fn a_change_that_came_while_frozen_begins_its_probation_when_that_ends() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  A ok frozen         → Frozen            frozen by ann (Namespace/shop): nothing is written
        21m  B ok frozen         → Frozen            a change came: B in place of A
        3h   B ok                → Probation         frozen no more; what was seen meanwhile does not count
        3h1m B errors            → Verifying         errors | B is marked bad and will never be restored | (restore Deployment/orders := A)
    ",
    );
}

#[test]
fn a_plan_that_is_frozen_halfway_goes_on_when_a_person_says_so() {
    check(
        "",
        "
        0s   A1 ok               → Probation         guarding A1, not proven yet
        10m  A1 ok               → Probation         A1 is proven: a rollback may go back to it
        20m  B2 ok               → Probation         a change came: B2 in place of A1
        21m  B2 errors hangs     → RollingBack       errors | B2 is marked bad and will never be restored
        21m5s B2 errors frozen   → Frozen            frozen by ann (Namespace/shop): nothing is written | modosu has stopped; nothing more happens until you act: frozen by ann (Namespace/shop); nothing was written
        22m  B2 errors frozen resume → Frozen            sam decided: Resume | the decision cannot be followed: frozen by ann (Namespace/shop)
        30m  B2 errors           → Escalated         frozen no more; what was seen meanwhile does not count
        31m  B2 errors resume    → Verifying         sam decided: Resume | (restore ConfigMap/settings := 1) | (restore Deployment/orders := A)
    ",
    );
}

#[test]
fn keep_stops_a_plan_that_runs_and_comes_too_late_for_one_that_is_done() {
    check(
        "",
        "
        0s   A1 ok               → Probation         guarding A1, not proven yet
        10m  A1 ok               → Probation         A1 is proven: a rollback may go back to it
        20m  B2 ok               → Probation         a change came: B2 in place of A1
        21m  B2 errors hangs     → RollingBack       errors | B2 is marked bad and will never be restored
        22m  B2 errors keep      → Probation         sam decided: Keep | people keep this state; it is only reported from now on
        23m  B2 errors           → Probation
    ",
    );
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B errors            → Verifying         errors | B is marked bad and will never be restored | (restore Deployment/orders := A)
        21m5s A~ ok keep         → Verifying         sam decided: Keep | the decision cannot be followed: B was put back already: `modosu allow shop/orders B`, then release it again
    ",
    );
}

#[test]
fn a_deleted_config_map_alone_comes_back_when_a_person_says_so() {
    check(
        "mode: ask\n",
        "
        0s   A1 ok               → Probation         guarding A1, not proven yet
        10m  A1 ok               → Probation         A1 is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A1
        21m  B errors            → AwaitingDecision  errors; people decide: the mode is ask
        22m  B errors rollback/ConfigMap/settings → Verifying         sam decided: Rollback | B is marked bad and will never be restored | putting back A1, only ConfigMap/settings | (restore ConfigMap/settings := 1) | rolled out; from now on readings count as proof
        ",
    );
}

#[test]
fn an_incident_can_freeze_its_own_guard_and_be_abandoned() {
    check(
        "mode: ask\n",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B errors            → AwaitingDecision  errors; people decide: the mode is ask
        22m  B errors freeze     → AwaitingDecision  sam decided: Freeze
        23m  B errors            → Frozen            frozen by sam until 2027-01-15 10:22:00 UTC (Incident/orders-1): nothing is written
        24m  B errors abandon    → Frozen            sam decided: Abandon | people abandon it: everything stays as it is
        25m  B errors            → Probation         frozen no more; what was seen meanwhile does not count
        26m  B errors            → Probation
    ",
    );
}

#[test]
fn what_a_plan_left_halfway_is_only_reported_once_it_is_abandoned() {
    check(
        "",
        "
        0s   A1 ok               → Probation         guarding A1, not proven yet
        10m  A1 ok               → Probation         A1 is proven: a rollback may go back to it
        20m  B2 ok               → Probation         a change came: B2 in place of A1
        21m  B2 errors hangs     → RollingBack       errors | B2 is marked bad and will never be restored
        21m5s B1 errors frozen   → Frozen            frozen by ann (Namespace/shop): nothing is written | modosu has stopped; nothing more happens until you act: frozen by ann (Namespace/shop); nothing was written
        22m  B1 errors frozen abandon → Frozen            sam decided: Abandon | people abandon it: everything stays as it is
        30m  B1 errors           → Probation         frozen no more; what was seen meanwhile does not count
        31m  B1 errors           → Probation         a change came: B1 in place of B2
    ",
    );
}

#[test]
fn beyond_the_budget_people_decide() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B errors spent      → AwaitingDecision  errors; people decide: 10 rollbacks began within the hour
        22m  B errors            → AwaitingDecision
    ",
    );
}

#[test]
fn what_was_put_back_is_put_back_once_more_when_it_returns_then_people_decide() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B errors            → Verifying         errors | B is marked bad and will never be restored | (restore Deployment/orders := A)
        21m5s A ok               → Verifying         rolled out; from now on readings count as proof
        23m  A ok                → Steady            recovered 2m after the first bad reading | B may not return until 2027-01-22 08:21 UTC; `modosu allow shop/orders B --reason …` lifts the lock
        24m  B ok                → Probation         a change came: B in place of A
        24m5s B ok               → Verifying         B is here again, though it was put back (at 2027-01-15 08:21 UTC, incident orders-1); `modosu allow shop/orders B --reason …` lifts the lock | (restore Deployment/orders := A)
        24m10s A ok              → Verifying         rolled out; from now on readings count as proof
        26m  A ok                → Steady            recovered 2m after the first bad reading | B may not return until 2027-01-22 08:24 UTC; `modosu allow shop/orders B --reason …` lifts the lock
        60m  B ok                → Probation         a change came: B in place of A
        61m  B ok                → AwaitingDecision  B is here again, though it was put back twice (at 2027-01-15 08:24 UTC, incident orders-1); `modosu allow shop/orders B --reason …` lifts the lock; people decide: the trigger's action is alert_and_manual_review
        95m  B ok                → Probation         healthy again for 30 min while people were awaited
        2h   B ok                → Probation
    ",
    );
}

#[test]
fn a_lock_ends_by_itself_and_another_state_breaks_none() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B errors            → Verifying         errors | B is marked bad and will never be restored | (restore Deployment/orders := A)
        21m5s A ok               → Verifying         rolled out; from now on readings count as proof
        23m  A ok                → Steady            recovered 2m after the first bad reading | B may not return until 2027-01-22 08:21 UTC; `modosu allow shop/orders B --reason …` lifts the lock
        1h   C ok                → Probation         a change came: C in place of A
        1h1m A ok                → Steady            C is marked bad and will never be restored | back on the proven state A, away from C
        8d   B ok                → Probation         a change came: B in place of A
        8d1m B ok                → Probation
    ",
    );
}

#[test]
fn where_only_some_of_what_was_put_back_returns_people_are_asked() {
    check(
        "",
        "
        0s   A1 ok               → Probation         guarding A1, not proven yet
        10m  A1 ok               → Probation         A1 is proven: a rollback may go back to it
        20m  B2 ok               → Probation         a change came: B2 in place of A1
        21m  B2 errors           → Verifying         errors | B2 is marked bad and will never be restored | (restore ConfigMap/settings := 1) | (restore Deployment/orders := A)
        21m5s A1 ok              → Verifying         rolled out; from now on readings count as proof
        23m  A1 ok               → Steady            recovered 2m after the first bad reading | B2 may not return until 2027-01-22 08:21 UTC; `modosu allow shop/orders B2 --reason …` lifts the lock
        30m  C2 ok               → Probation         a change came: C2 in place of A1
        31m  C2 ok               → AwaitingDecision  C2 brings back some of what was put back with B2 (at 2027-01-15 08:21 UTC, incident orders-1): content 2 of ConfigMap/settings; `modosu allow shop/orders B2 --reason …` lifts the lock; people decide: the trigger's action is alert_and_manual_review
        32m  C2 errors           → Verifying         now Critical: errors | C2 is marked bad and will never be restored | putting back A1 | (restore ConfigMap/settings := 1) | (restore Deployment/orders := A)
        32m5s A1 ok              → Verifying         rolled out; from now on readings count as proof
        34m  A1 ok               → Steady            recovered 4m after the first bad reading | C2 may not return until 2027-01-22 08:32 UTC; `modosu allow shop/orders C2 --reason …` lifts the lock
        35m  D2 ok               → Probation         a change came: D2 in place of A1
        36m  D2 ok               → AwaitingDecision  D2 brings back some of what was put back twice with B2 (at 2027-01-15 08:21 UTC, incident orders-1): content 2 of ConfigMap/settings; `modosu allow shop/orders B2 --reason …` lifts the lock; people decide: the trigger's action is alert_and_manual_review
        37m  D2 ok allow=B2      → AwaitingDecision  B2 may return: it is judged like any change
        38m  D2 ok keep          → Probation         sam decided: Keep | people keep this state; it is only reported from now on
    ",
    );
}

#[test]
fn what_the_owner_named_is_put_back_by_itself_when_it_returns_alone_and_then_people_decide() {
    check(
        "retryLock: {fields: [content 2]}\n",
        "
        0s   A1 ok               → Probation         guarding A1, not proven yet
        10m  A1 ok               → Probation         A1 is proven: a rollback may go back to it
        20m  B2 ok               → Probation         a change came: B2 in place of A1
        21m  B2 errors           → Verifying         errors | B2 is marked bad and will never be restored | (restore ConfigMap/settings := 1) | (restore Deployment/orders := A)
        21m5s A1 ok              → Verifying         rolled out; from now on readings count as proof
        23m  A1 ok               → Steady            recovered 2m after the first bad reading | B2 may not return until 2027-01-22 08:21 UTC; `modosu allow shop/orders B2 --reason …` lifts the lock
        24m  B3 ok               → Probation         a change came: B3 in place of A1
        25m  B3 ok               → AwaitingDecision  B3 brings back some of what was put back with B2 (at 2027-01-15 08:21 UTC, incident orders-1): content B of Deployment/orders; `modosu allow shop/orders B2 --reason …` lifts the lock; people decide: the trigger's action is alert_and_manual_review
        26m  B3 ok keep          → Probation         sam decided: Keep | people keep this state; it is only reported from now on
        30m  A1 ok               → Steady            B3 is marked bad and will never be restored | back on the proven state A1, away from B3
        40m  C2 ok               → Probation         a change came: C2 in place of A1
        40m5s C2 ok              → Verifying         C2 brings back some of what was put back with B2 (at 2027-01-15 08:21 UTC, incident orders-1): content 2 of ConfigMap/settings; `modosu allow shop/orders B2 --reason …` lifts the lock | C2 is marked bad and will never be restored | (restore ConfigMap/settings := 1) | (restore Deployment/orders := A)
        40m10s A1 ok             → Verifying         rolled out; from now on readings count as proof
        42m  A1 ok               → Steady            recovered 2m after the first bad reading | C2 may not return until 2027-01-22 08:40 UTC; `modosu allow shop/orders C2 --reason …` lifts the lock
        60m  D2 ok               → Probation         a change came: D2 in place of A1
        61m  D2 ok               → AwaitingDecision  D2 brings back some of what was put back twice with B2 (at 2027-01-15 08:21 UTC, incident orders-1): content 2 of ConfigMap/settings; `modosu allow shop/orders B2 --reason …` lifts the lock; people decide: the trigger's action is alert_and_manual_review
    ",
    );
}

#[test]
fn what_a_proven_state_holds_breaks_no_lock() {
    check(
        "",
        "
        0s   A1 ok               → Probation         guarding A1, not proven yet
        10m  A1 ok               → Probation         A1 is proven: a rollback may go back to it
        20m  B2 ok               → Probation         a change came: B2 in place of A1
        21m  B2 errors           → Verifying         errors | B2 is marked bad and will never be restored | (restore ConfigMap/settings := 1) | (restore Deployment/orders := A)
        21m5s A1 ok              → Verifying         rolled out; from now on readings count as proof
        23m  A1 ok               → Steady            recovered 2m after the first bad reading | B2 may not return until 2027-01-22 08:21 UTC; `modosu allow shop/orders B2 --reason …` lifts the lock
        30m  C2 ok               → Probation         a change came: C2 in place of A1
        31m  C2 ok               → AwaitingDecision  C2 brings back some of what was put back with B2 (at 2027-01-15 08:21 UTC, incident orders-1): content 2 of ConfigMap/settings; `modosu allow shop/orders B2 --reason …` lifts the lock; people decide: the trigger's action is alert_and_manual_review
        62m  C2 ok               → Probation         healthy again for 30 min while people were awaited
        73m  C2 ok               → Probation         C2 is proven: a rollback may go back to it
        80m  D2 ok               → Probation         a change came: D2 in place of C2
        81m  D2 ok               → Probation
    ",
    );
}

#[test]
fn a_person_allows_what_was_put_back_to_return() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B errors            → Verifying         errors | B is marked bad and will never be restored | (restore Deployment/orders := A)
        21m5s A ok               → Verifying         rolled out; from now on readings count as proof
        23m  A ok                → Steady            recovered 2m after the first bad reading | B may not return until 2027-01-22 08:21 UTC; `modosu allow shop/orders B --reason …` lifts the lock
        30m  A ok allow=X        → Steady            the decision cannot be followed: X is not locked (locked: B)
        31m  A ok allow=B        → Steady            B may return: it is judged like any change
        40m  B ok                → Probation         a change came: B in place of A
        41m  B ok                → Probation
        52m  B ok                → Probation         B is proven: a rollback may go back to it
        53m  B errors            → Verifying         errors | B is marked bad and will never be restored | (restore Deployment/orders := A)
    ",
    );
}

#[test]
fn in_observe_a_broken_lock_is_noted_once() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B errors            → Verifying         errors | B is marked bad and will never be restored | (restore Deployment/orders := A)
        21m5s A ok               → Verifying         rolled out; from now on readings count as proof
        23m  A ok                → Steady            recovered 2m after the first bad reading | B may not return until 2027-01-22 08:21 UTC; `modosu allow shop/orders B --reason …` lifts the lock
        24m  A ok mode=observe   → Steady
        25m  B ok                → Probation         a change came: B in place of A
        26m  B ok                → Probation         B is here again, though it was put back (at 2027-01-15 08:21 UTC, incident orders-1); `modosu allow shop/orders B --reason …` lifts the lock; people decide: the mode is observe | what was observed has passed
        28m  B ok                → Probation
        29m  B ok                → Probation
        30m  B ok                → Probation
    ",
    );
}

#[test]
fn a_lock_whose_rollback_is_refused_is_not_acted_on_again() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B errors            → Verifying         errors | B is marked bad and will never be restored | (restore Deployment/orders := A)
        21m5s A ok               → Verifying         rolled out; from now on readings count as proof
        23m  A ok                → Steady            recovered 2m after the first bad reading | B may not return until 2027-01-22 08:21 UTC; `modosu allow shop/orders B --reason …` lifts the lock
        40m  B ok                → Probation         a change came: B in place of A
        40m5s B ok refuses       → Escalated         B is here again, though it was put back (at 2027-01-15 08:21 UTC, incident orders-1); `modosu allow shop/orders B --reason …` lifts the lock | modosu has stopped; nothing more happens until you act: refused
        42m  B ok                → Probation         recovered 2m after the first bad reading, but restore Deployment/orders failed: no reason | B may not return until 2027-01-22 08:40 UTC; `modosu allow shop/orders B --reason …` lifts the lock
        43m  B ok                → Probation
        50m  B ok                → Probation
    ",
    );
}

#[test]
fn resume_puts_nothing_back_that_nobody_asked_for() {
    check(
        "mode: ask\n",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B errors            → AwaitingDecision  errors; people decide: the mode is ask
        22m  B errors freeze     → AwaitingDecision  sam decided: Freeze
        23m  B errors            → Frozen            frozen by sam until 2027-01-15 10:22:00 UTC (Incident/orders-1): nothing is written
        24m  B errors resume     → Frozen            sam decided: Resume
        25m  B errors            → AwaitingDecision  frozen no more; what was seen meanwhile does not count
    ",
    );
}

#[test]
fn across_a_migration_people_decide_and_that_is_said_when_it_comes() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B! ok               → Probation         a change came: B in place of A | no automatic rollback to A from here on, people decide: schema 42
        21m  B! errors           → AwaitingDecision  errors; people decide: there is no way back that modosu may take by itself: schema 42
        22m  B! errors rollback  → Verifying         sam decided: Rollback | B is marked bad and will never be restored | putting back A | (restore Deployment/orders := A)
        22m5s A ok               → Verifying         rolled out; from now on readings count as proof
        24m  A ok                → Steady            recovered 3m after the first bad reading | B may not return until 2027-01-22 08:22 UTC; `modosu allow shop/orders B --reason …` lifts the lock
    ",
    );
}

#[test]
fn a_migration_that_both_have_lies_not_between_them() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B! ok               → Probation         a change came: B in place of A | no automatic rollback to A from here on, people decide: schema 42
        30m  B! ok               → Probation         B is proven: a rollback may go back to it
        40m  C! ok               → Probation         a change came: C in place of B
        41m  C! errors           → Verifying         errors | C is marked bad and will never be restored | (restore Deployment/orders := B)
        41m5s B! ok              → Verifying         rolled out; from now on readings count as proof
        43m  B! ok               → Steady            recovered 2m after the first bad reading | C may not return until 2027-01-22 08:41 UTC; `modosu allow shop/orders C --reason …` lifts the lock
    ",
    );
}

#[test]
fn what_hurts_again_within_an_hour_of_its_recovery_is_a_relapse_and_for_people() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B errors            → Verifying         errors | B is marked bad and will never be restored | (restore Deployment/orders := A)
        21m5s A ok               → Verifying         rolled out; from now on readings count as proof
        23m  A ok                → Steady            recovered 2m after the first bad reading | B may not return until 2027-01-22 08:21 UTC; `modosu allow shop/orders B --reason …` lifts the lock
        50m  A errors            → AwaitingDecision  errors; people decide: it is a relapse, less than an hour after orders-1 recovered
        55m  A ok                → AwaitingDecision  nobody decided by 2027-01-15 08:50:00 UTC (oncall was asked): tech-lead is asked now
        85m  A ok                → Steady            healthy again for 30 min while people were awaited
        90m  A errors            → AwaitingDecision  errors; people decide: it is not the change: nothing was changed within watchFor
    ",
    );
}

#[test]
fn a_migration_that_came_and_was_replaced_still_lies_between() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B! ok               → Probation         a change came: B in place of A | no automatic rollback to A from here on, people decide: schema 42
        30m  B! ok               → Probation         B is proven: a rollback may go back to it
        40m  B! errors           → AwaitingDecision  errors; people decide: there is no way back that modosu may take by itself: schema 42
        41m  C ok                → Probation         B is marked bad and will never be restored | a newer state came (C); nothing more is written | a change came: C in place of B | no automatic rollback to A from here on, people decide: schema 42
        45m  C errors            → AwaitingDecision  errors; people decide: it was already so when the change came
    ",
    );
}

#[test]
fn what_another_tool_would_put_back_is_for_people() {
    check(
        "",
        "
        0s   A ok healed         → Probation         guarding A, not proven yet
        10m  A ok healed         → Probation         A is proven: a rollback may go back to it
        20m  B ok healed         → Probation         a change came: B in place of A
        21m  B errors healed     → AwaitingDecision  errors; people decide: the mode is ask: Argo CD heals it
        22m  B errors healed rollback → Verifying         sam decided: Rollback | B is marked bad and will never be restored | putting back A | (restore Deployment/orders := A)
        22m5s A ok healed        → Verifying         rolled out; from now on readings count as proof
        22m10s B ok healed       → Probation         a newer state came (B); nothing more is written | a change came: B in place of A
    ",
    );
}

#[test]
fn a_person_goes_back_while_nothing_is_wrong() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        30m  B ok                → Probation         B is proven: a rollback may go back to it
        50h  B ok to=restoreTo   → AwaitingDecision  sam puts it back to A
        50h1s B ok               → Verifying         sam decided: Rollback | B is marked bad and will never be restored | putting back A | (restore Deployment/orders := A)
        50h2s B ok               → Verifying
        50h5s A ok               → Verifying         rolled out; from now on readings count as proof
        51h  A ok                → Steady            recovered 1h after the first bad reading | B may not return until 2027-01-24 10:00 UTC; `modosu allow shop/orders B --reason …` lifts the lock
        52h  A ok to=B           → Steady            the decision cannot be followed: B is marked bad: `modosu allow shop/orders B` lifts that
        53h  A ok to=A           → Steady            the decision cannot be followed: A is what runs
        54h  A ok to=Z           → Steady            the decision cannot be followed: Z is no one proven state; there are: none
        55h  A ok to=restoreTo   → Steady            the decision cannot be followed: there is no proven state to go back to
        56h  A ok frozen to=B    → Frozen            the decision cannot be followed: frozen by ann (Namespace/shop) | frozen by ann (Namespace/shop): nothing is written
    ",
    );
}

#[test]
fn a_person_chooses_an_older_state_or_a_part() {
    check(
        "mode: ask\n",
        "
        0s   A1 ok               → Probation         guarding A1, not proven yet
        10m  A1 ok               → Probation         A1 is proven: a rollback may go back to it
        20m  B1 ok               → Probation         a change came: B1 in place of A1
        40m  B1 ok               → Probation         B1 is proven: a rollback may go back to it
        50m  C2 errors           → Probation         a change came: C2 in place of B1
        50m5s C2 errors          → AwaitingDecision  errors; people decide: the mode is ask
        51m  C2 errors rollback=Z → AwaitingDecision  sam decided: Rollback | the decision cannot be followed: Z is no one proven state; there are: B1, A1
        52m  C2 errors rollback/Deployment/other → AwaitingDecision  sam decided: Rollback | the decision cannot be followed: Deployment/other is no part of what runs or is gone back to; there are: ConfigMap/settings, Deployment/orders
        53m  C2 errors rollback/ConfigMap/settings → Verifying         sam decided: Rollback | C2 is marked bad and will never be restored | putting back B1, only ConfigMap/settings | (restore ConfigMap/settings := 1)
        53m5s C1 ok              → Verifying         rolled out; from now on readings count as proof
        55m  C1 ok               → Steady            recovered 4m 55s after the first bad reading | C2 may not return until 2027-01-22 08:53 UTC; `modosu allow shop/orders C2 --reason …` lifts the lock
        60m  C1 ok to=A1         → AwaitingDecision  sam puts it back to A1
        60m5s C1 ok              → Verifying         sam decided: Rollback | C1 is marked bad and will never be restored | putting back A1 | (restore Deployment/orders := A)
        61m  A1 ok               → Verifying         rolled out; from now on readings count as proof
        62m  A1 ok               → Steady            recovered 2m after the first bad reading | C1 may not return until 2027-01-22 09:01 UTC; `modosu allow shop/orders C1 --reason …` lifts the lock
    ",
    );
}

#[test]
fn a_wish_waits_until_it_is_taken_down_and_is_followed_once() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        30m  B ok                → Probation         B is proven: a rollback may go back to it
        40m  B ok to=A           → AwaitingDecision  sam puts it back to A
        41m  B ok to=A           → AwaitingDecision
        41m5s B ok kill to=A     → AwaitingDecision
        42m  B ok                → Verifying         sam decided: Rollback | B is marked bad and will never be restored | putting back A | (restore Deployment/orders := A)
        42m5s A ok               → Verifying         rolled out; from now on readings count as proof
        44m  A ok                → Steady            recovered 4m after the first bad reading | B may not return until 2027-01-22 08:42 UTC; `modosu allow shop/orders B --reason …` lifts the lock
    ",
    );
}

#[test]
fn what_a_secret_held_long_ago_is_put_back_by_people_alone() {
    check(
        "",
        "
        0s   A17 ok              → Probation         guarding A17, not proven yet
        10m  A17 ok              → Probation         A17 is proven: a rollback may go back to it
        24h  B18 ok              → Probation         a change came: B18 in place of A17
        24h1m B18 errors         → Verifying         errors | B18 is marked bad and will never be restored | (restore Secret/db := 7) | (restore Deployment/orders := A)
    ",
    );
    check(
        "",
        "
        0s   A17 ok              → Probation         guarding A17, not proven yet
        10m  A17 ok              → Probation         A17 is proven: a rollback may go back to it
        25h  B18 ok              → Probation         a change came: B18 in place of A17
        25h1m B18 errors         → AwaitingDecision  errors; people decide: what would be put back into Secret/db was proven 1day 51m ago; credentials rotate, so beyond 24h people decide
        25h2m B18 crash          → AwaitingDecision
        25h4m B18 errors rollback → Verifying        sam decided: Rollback | B18 is marked bad and will never be restored | putting back A17 | (restore Secret/db := 7) | (restore Deployment/orders := A)
    ",
    );
}

#[test]
fn a_secret_that_is_gone_since_long_ago_is_made_again_by_people_alone() {
    check(
        "",
        "
        0s   A17 ok              → Probation         guarding A17, not proven yet
        10m  A17 ok              → Probation         A17 is proven: a rollback may go back to it
        25h  B1- ok              → Probation         a change came: B1- in place of A17
        25h1m B1- errors         → AwaitingDecision  errors; people decide: what would be put back into Secret/db was proven 1day 51m ago; credentials rotate, so beyond 24h people decide
    ",
    );
    // Nothing of the Secret would be put back.
    check(
        "",
        "
        0s   A17 ok              → Probation         guarding A17, not proven yet
        10m  A17 ok              → Probation         A17 is proven: a rollback may go back to it
        25h  B27 ok              → Probation         a change came: B27 in place of A17
        25h1m B27 errors         → Verifying         errors | B27 is marked bad and will never be restored | (restore ConfigMap/settings := 1) | (restore Deployment/orders := A)
    ",
    );
}

#[test]
fn a_migration_that_was_never_proven_lies_between_too() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B! ok               → Probation         a change came: B in place of A | no automatic rollback to A from here on, people decide: schema 42
        25m  C ok                → Probation         a change came: C in place of B | no automatic rollback to A from here on, people decide: schema 42
        26m  C errors            → AwaitingDecision  errors; people decide: there is no way back that modosu may take by itself: schema 42
        27m  C errors rollback   → Verifying         sam decided: Rollback | C is marked bad and will never be restored | putting back A | (restore Deployment/orders := A)
        27m5s A ok               → Verifying         rolled out; from now on readings count as proof
        29m  A ok                → Steady            recovered 3m after the first bad reading | C may not return until 2027-01-22 08:27 UTC; `modosu allow shop/orders C --reason …` lifts the lock
        90m  D ok                → Probation         a change came: D in place of A
        91m  D errors            → Verifying         errors | D is marked bad and will never be restored | (restore Deployment/orders := A)
    ",
    );
}

#[test]
fn a_revision_that_nobody_proved_is_gone_to_with_a_warning_and_of_its_deployment_alone() {
    check(
        "mode: ask\n",
        "
        0s   A1 ok               → Probation         guarding A1, not proven yet
        10m  A1 ok               → Probation         A1 is proven: a rollback may go back to it
        20m  B2 ok               → Probation         a change came: B2 in place of A1
        21m  B2 errors           → AwaitingDecision  errors; people decide: the mode is ask
        22m  B2 errors rollback=z9z9 → AwaitingDecision  sam decided: Rollback | the decision cannot be followed: z9z9 is a revision of Deployment/orders, which nobody proved: say --only Deployment/orders
        23m  B2 errors rollback=z9z9/Deployment/orders → Verifying         sam decided: Rollback | B2 is marked bad and will never be restored | putting back what ReplicaSet/orders-z9z9 holds (never proven: nobody knows whether it is healthy, or fits the settings of now), only Deployment/orders | (restore Deployment/orders := z)
        23m5s z2 ok              → Verifying         rolled out; from now on readings count as proof
        25m  z2 ok               → Steady            recovered 4m after the first bad reading | B2 may not return until 2027-01-22 08:23 UTC; `modosu allow shop/orders B2 --reason …` lifts the lock
        25m5s z2 errors          → AwaitingDecision  errors; people decide: the mode is ask
    ",
    );
}
