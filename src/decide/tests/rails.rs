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
