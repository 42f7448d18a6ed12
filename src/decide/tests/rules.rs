//! Every rule of time, one picture each.

use super::play::check;

const ASK: &str = "mode: ask\n";
const OBSERVE: &str = "mode: observe\n";
const SET_ENV: &str = "rollback: {steps: [{setEnv: {target: Deployment/orders, env: {WORKER_MODE: legacy}}}]}\n";

#[test]
fn a_bad_change_goes_back_and_is_proven_to_have_helped() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B~ ok               → Probation         a change came: B in place of A
        21m  B errors            → Verifying         errors | B is marked bad and will never be restored | (restore Deployment/orders := A)
        21m5s B ok               → Verifying
        21m10s A~ ok             → Verifying
        21m20s A ok              → Verifying         rolled out; from now on readings count as proof
        21m50s A dark            → Verifying
        22m  A ok                → Verifying
        23m  A ok                → Steady            recovered 2m after the first bad reading | B may not return until 2027-01-22 08:21 UTC; `modosu allow shop/orders B --reason …` lifts the lock
    ",
    );
}

#[test]
fn a_healthy_change_is_proven_and_a_rollback_goes_to_it_from_then_on() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B~ ok               → Probation         a change came: B in place of A
        22m  B ok                → Probation
        27m  B dark              → Probation
        28m  B ok                → Probation
        33m  B ok                → Probation
        38m  B ok                → Probation         B is proven: a rollback may go back to it
        40m  C~ ok               → Probation         a change came: C in place of B
        41m  C~ errors           → Verifying         errors | C is marked bad and will never be restored | (restore Deployment/orders := B)
        41m10s B ok              → Verifying         rolled out; from now on readings count as proof
    ",
    );
}

#[test]
fn going_back_by_hand_is_no_change_and_what_was_left_is_never_restored() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        30m  B ok                → Probation         B is proven: a rollback may go back to it
        40m  A ok                → Steady            B is marked bad and will never be restored | back on the proven state A, away from B
        41m  A errors            → AwaitingDecision  errors; people decide: it is not the change: nothing was changed within watchFor
        42m  A ok                → AwaitingDecision
        1h12m A ok               → Steady            healthy again for 30 min while people were awaited
        1h20m C ok               → Probation         a change came: C in place of A
        1h21m C errors           → Verifying         errors | C is marked bad and will never be restored | (restore Deployment/orders := A)
    ",
    );
}

#[test]
fn left_for_an_older_state_after_watch_for_it_stays_good() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        30m  B ok                → Probation         B is proven: a rollback may go back to it
        25h  B ok                → Steady
        26h  A ok                → Steady            back on the proven state A, away from B
    ",
    );
}

#[test]
fn left_with_an_incident_open_it_is_bad_also_when_nothing_older_is_gone_to() {
    check(
        ASK,
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        30m  B ok                → Probation         B is proven: a rollback may go back to it
        31m  B errors            → AwaitingDecision  errors; people decide: the mode is ask
        32m  C ok                → Probation         B is marked bad and will never be restored | a newer state came (C); nothing more is written | a change came: C in place of B
        33m  C errors            → AwaitingDecision  errors; people decide: the mode is ask
        34m  C ok rollback       → Verifying         sam decided: Rollback | C is marked bad and will never be restored | putting back A | (restore Deployment/orders := A)
    ",
    );
}

#[test]
fn an_eye_that_is_kept_on_something_makes_no_state_bad() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        11m  A odd               → Probation         keeps an eye on: odd
        12m  B ok                → Probation         a newer state came (B); nothing more is written | a change came: B in place of A
        13m  B errors            → Verifying         errors | B is marked bad and will never be restored | (restore Deployment/orders := A)
    ",
    );
}

#[test]
fn a_hot_fix_that_rolls_out_slowly_is_not_blamed_and_not_undone() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        30m  B ok                → Probation         B is proven: a rollback may go back to it
        3h   B errors            → AwaitingDecision  errors; people decide: the change is 2h 40m old, older than automaticFor
        3h1m C~ ok               → Probation         B is marked bad and will never be restored | a newer state came (C); nothing more is written | a change came: C in place of B
        3h2m C~ errors           → AwaitingDecision  errors; people decide: it was already so when the change came
        3h3m C ok                → AwaitingDecision
        3h3m30s C errors         → AwaitingDecision
        3h4m C ok                → AwaitingDecision
        3h5m C errors            → AwaitingDecision
    ",
    );
}

#[test]
fn what_shook_off_what_it_inherited_is_judged_like_any_change() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        20m30s B errors?         → Probation
        21m  C~ ok               → Probation         a change came: C in place of B
        21m30s C ok              → Probation
        22m  C ok                → Probation
        23m  C errors            → Verifying         errors | C is marked bad and will never be restored | (restore Deployment/orders := A)
    ",
    );
}

#[test]
fn a_crash_loop_that_a_fix_of_the_settings_inherits_is_not_blamed_on_it() {
    check(
        "",
        "
        0s   A1 ok               → Probation         guarding A1, not proven yet
        10m  A1 ok               → Probation         A1 is proven: a rollback may go back to it
        20m  A2~ ok              → Probation         a change came: A2 in place of A1
        20m1s A2~ crash          → Verifying         crash_looping | A2 is marked bad and will never be restored | (restore ConfigMap/settings := 1)
        21m  A3~ crash           → Probation         a newer state came (A3); nothing more is written | a change came: A3 in place of A2
        21m10s A3~ crash         → AwaitingDecision  crash_looping; people decide: it was already so when the change came
    ",
    );
}

#[test]
fn after_automatic_for_people_decide_and_after_watch_for_it_is_not_the_change() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        2h21m B errors           → AwaitingDecision  errors; people decide: the change is 2h 1m old, older than automaticFor
        2h22m B ok               → AwaitingDecision
        2h52m B ok               → Probation         healthy again for 30 min while people were awaited
        24h21m B errors          → AwaitingDecision  errors; people decide: it is not the change: nothing was changed within watchFor
    ",
    );
}

#[test]
fn ask_waits_for_a_person_who_may_say_rollback() {
    check(
        ASK,
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        20m1s B errors           → AwaitingDecision  errors; people decide: the mode is ask
        25m  B errors rollback   → Verifying         sam decided: Rollback | B is marked bad and will never be restored | putting back A | (restore Deployment/orders := A)
        25m5s A ok               → Verifying         rolled out; from now on readings count as proof
        26m5s A ok               → Steady            recovered 6m 4s after the first bad reading | B may not return until 2027-01-22 08:25 UTC; `modosu allow shop/orders B --reason …` lifts the lock
    ",
    );
}

#[test]
fn keep_means_that_this_state_is_only_reported() {
    check(
        ASK,
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        20m1s B errors           → AwaitingDecision  errors; people decide: the mode is ask
        25m  B errors keep       → Probation         sam decided: Keep | people keep this state; it is only reported from now on
        26m  B errors            → Probation
        27m  A ok                → Steady            B is marked bad and will never be restored | back on the proven state A, away from B
        28m  B ok                → Probation         a change came: B in place of A
        29m  B errors            → Probation
    ",
    );
}

#[test]
fn observe_only_records() {
    check(
        OBSERVE,
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        20m1s B errors           → Probation         errors; people decide: the mode is observe
        21m  B errors+slow       → Probation
        22m  B ok                → Probation
        23m  B ok                → Probation         what was observed has passed
    ",
    );
}

#[test]
fn what_was_only_watched_acts_when_it_gets_worse() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        20m1s B odd              → Probation         keeps an eye on: odd
        21m  B odd+errors        → Verifying         now Critical: errors | B is marked bad and will never be restored | putting back A | (restore Deployment/orders := A)
        21m10s A ok              → Verifying         rolled out; from now on readings count as proof
    ",
    );
}

#[test]
fn what_was_only_watched_asks_people_where_modosu_may_not_act() {
    check(
        ASK,
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        20m1s B odd              → Probation         keeps an eye on: odd
        21m  B odd+slow          → AwaitingDecision  now High: slow | people decide: the trigger's action is alert_and_manual_review
        22m  B odd+slow+errors   → AwaitingDecision  now Critical: errors
    ",
    );
}

#[test]
fn during_the_cooldown_people_decide() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        20m1s B errors           → Verifying         errors | B is marked bad and will never be restored | (restore Deployment/orders := A)
        20m10s A ok              → Verifying         rolled out; from now on readings count as proof
        21m10s A ok              → Steady            recovered 1m 9s after the first bad reading | B may not return until 2027-01-22 08:20 UTC; `modosu allow shop/orders B --reason …` lifts the lock
        25m  C ok                → Probation         a change came: C in place of A
        29m  C errors            → AwaitingDecision  errors; people decide: the last rollback is younger than cooldown
        31m  C errors            → AwaitingDecision
    ",
    );
}

#[test]
fn after_the_cooldown_modosu_acts_again() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        20m1s B errors           → Verifying         errors | B is marked bad and will never be restored | (restore Deployment/orders := A)
        20m10s A ok              → Verifying         rolled out; from now on readings count as proof
        21m10s A ok              → Steady            recovered 1m 9s after the first bad reading | B may not return until 2027-01-22 08:20 UTC; `modosu allow shop/orders B --reason …` lifts the lock
        25m  C ok                → Probation         a change came: C in place of A
        31m  C errors            → Verifying         errors | C is marked bad and will never be restored | (restore Deployment/orders := A)
    ",
    );
}

#[test]
fn what_waits_for_people_passes_when_all_was_well_for_half_an_hour() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        20m1s B slow             → AwaitingDecision  slow; people decide: the trigger's action is alert_and_manual_review
        30m  B ok                → AwaitingDecision
        45m  B dark              → AwaitingDecision
        50m  B ok                → AwaitingDecision
        1h5m B ok                → AwaitingDecision
        1h20m B ok               → Probation         healthy again for 30 min while people were awaited
    ",
    );
}

#[test]
fn an_automatic_trigger_that_joins_while_people_are_awaited_acts() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        20m1s B slow             → AwaitingDecision  slow; people decide: the trigger's action is alert_and_manual_review
        21m  B slow+errors       → Verifying         now Critical: errors | B is marked bad and will never be restored | putting back A | (restore Deployment/orders := A)
        21m10s A ok              → Verifying         rolled out; from now on readings count as proof
    ",
    );
}

#[test]
fn a_state_that_comes_in_the_middle_of_a_plan_ends_it_and_inherits_what_held() {
    check(
        "",
        "
        0s   A1 ok               → Probation         guarding A1, not proven yet
        10m  A1 ok               → Probation         A1 is proven: a rollback may go back to it
        20m  B2 ok               → Probation         a change came: B2 in place of A1
        20m1s B2 errors          → Verifying         errors | B2 is marked bad and will never be restored | (restore ConfigMap/settings := 1) | (restore Deployment/orders := A)
        20m5s C1~ ok             → Probation         a newer state came (C1); nothing more is written; ConfigMap/settings already back at A1; to leave that again: `kubectl -n shop apply -f …  # its manifest of the newer release`; Deployment/orders carries the newer rollout; to put it back to A1 too: `modosu rollback shop/orders --to A1 --only Deployment/orders --reason '…'` | a change came: C1 in place of B2
        20m10s C1~ errors        → AwaitingDecision  errors; people decide: it was already so when the change came
    ",
    );
    check(
        "",
        "
        0s   A1 ok               → Probation         guarding A1, not proven yet
        10m  A1 ok               → Probation         A1 is proven: a rollback may go back to it
        20m  B2 ok               → Probation         a change came: B2 in place of A1
        20m1s B2 errors hangs    → RollingBack       errors | B2 is marked bad and will never be restored
        20m5s C2~ ok             → Probation         a newer state came (C2); nothing more is written | a change came: C2 in place of B2
        20m10s C2~ errors        → AwaitingDecision  errors; people decide: it was already so when the change came
    ",
    );
}

#[test]
fn what_else_somebody_changes_on_the_way_back_is_a_change_of_its_own() {
    check(
        "",
        "
        0s   A1 ok               → Probation         guarding A1, not proven yet
        10m  A1 ok               → Probation         A1 is proven: a rollback may go back to it
        20m  B1 ok               → Probation         a change came: B1 in place of A1
        20m1s B1 errors          → Verifying         errors | B1 is marked bad and will never be restored | (restore Deployment/orders := A)
        20m5s A2 ok              → Verifying         rolled out; from now on readings count as proof
        21m5s A2 ok              → Probation         recovered 1m 4s after the first bad reading | B1 may not return until 2027-01-22 08:20 UTC; `modosu allow shop/orders B1 --reason …` lifts the lock
        31m  A2 errors           → Verifying         errors | A2 is marked bad and will never be restored | (restore ConfigMap/settings := 1)
    ",
    );
}

#[test]
fn without_an_answer_the_plan_waits_and_a_restart_carries_it_on() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        20m1s B errors hangs     → RollingBack       errors | B is marked bad and will never be restored
        20m5s B errors hangs kill → RollingBack
        20m10s A~ ok kill        → Verifying         (restore Deployment/orders := A)
        20m20s A ok              → Verifying         rolled out; from now on readings count as proof
        21m20s A ok              → Steady            recovered 1m 19s after the first bad reading | B may not return until 2027-01-22 08:20 UTC; `modosu allow shop/orders B --reason …` lifts the lock
    ",
    );
}

#[test]
fn not_recovered_within_its_time_it_escalates_and_may_still_recover_late() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        20m1s B errors           → Verifying         errors | B is marked bad and will never be restored | (restore Deployment/orders := A)
        20m10s A ok              → Verifying         rolled out; from now on readings count as proof
        20m20s A errors          → Verifying
        35m1s A errors           → Verifying
        35m2s A errors           → Escalated         modosu has stopped; nothing more happens until you act: tried: Deployment/orders done; not recovered in time, seen now: errors
        36m  A ok                → Escalated
        37m  A ok                → Steady            recovered 16m 59s after the first bad reading | B may not return until 2027-01-22 08:20 UTC; `modosu allow shop/orders B --reason …` lifts the lock
    ",
    );
}

#[test]
fn refused_it_escalates_and_a_person_may_say_rollback_once_more() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        20m1s B errors refuses   → Escalated         errors | B is marked bad and will never be restored | modosu has stopped; nothing more happens until you act: refused
        21m  B errors            → Escalated
        22m  B errors rollback   → Verifying         sam decided: Rollback | B is marked bad and will never be restored | putting back A | (restore Deployment/orders := A)
        22m10s A ok              → Verifying         rolled out; from now on readings count as proof
        23m10s A ok              → Steady            recovered 3m 9s after the first bad reading | B may not return until 2027-01-22 08:22 UTC; `modosu allow shop/orders B --reason …` lifts the lock
    ",
    );
}

#[test]
fn well_again_with_nothing_written_a_state_is_not_bad() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        20m1s B errors refuses   → Escalated         errors | B is marked bad and will never be restored | modosu has stopped; nothing more happens until you act: refused
        21m  B ok                → Escalated
        22m  B ok                → Probation         recovered 1m 59s after the first bad reading, but restore Deployment/orders failed: no reason
        32m  B ok                → Probation         B is proven: a rollback may go back to it
    ",
    );
}

#[test]
fn escalated_it_ends_by_a_new_change() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        20m1s B errors refuses   → Escalated         errors | B is marked bad and will never be restored | modosu has stopped; nothing more happens until you act: refused
        21m  C errors            → Probation         B is marked bad and will never be restored | a newer state came (C); nothing more is written | a change came: C in place of B
        22m  A ok                → Steady            C is marked bad and will never be restored | back on the proven state A, away from C
    ",
    );
}

#[test]
fn a_roll_out_that_completes_after_the_deadline_is_judged_after_all() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        20m1s B errors           → Verifying         errors | B is marked bad and will never be restored | (restore Deployment/orders := A)
        20m10s A~ errors         → Verifying
        35m2s A~ errors          → Escalated         modosu has stopped; nothing more happens until you act: tried: Deployment/orders done; not rolled out in time: 1 of 2 pods are updated
        36m  A ok                → Escalated
        37m  A ok                → Steady            recovered 16m 59s after the first bad reading | B may not return until 2027-01-22 08:20 UTC; `modosu allow shop/orders B --reason …` lifts the lock
    ",
    );
}

#[test]
fn the_bad_state_put_back_over_ours_escalates() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        20m1s B errors           → Verifying         errors | B is marked bad and will never be restored | (restore Deployment/orders := A)
        20m5s B errors           → Verifying
        20m12s B errors          → Escalated         modosu has stopped; nothing more happens until you act: somebody put the bad state back over ours
    ",
    );
}

#[test]
fn the_first_state_has_nothing_to_go_back_to() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        1m   A errors            → AwaitingDecision  errors; people decide: there is no proven state to go back to
        2m   B ok                → Probation         A is marked bad and will never be restored | a newer state came (B); nothing more is written | a change came: B in place of A
        3m   B ok                → Probation
        3m1s B errors            → AwaitingDecision  errors; people decide: there is no proven state to go back to
    ",
    );
}

#[test]
fn a_plan_without_restore_needs_no_proven_state() {
    check(
        SET_ENV,
        "
        0s   A ok                → Probation         guarding A, not proven yet
        1s   A errors            → Verifying         errors | A is marked bad and will never be restored | (setEnv Deployment/orders := S)
        10s  S ok                → Verifying         rolled out; from now on readings count as proof
        70s  S ok                → Steady            recovered 1m 9s after the first bad reading | A may not return until 2027-01-22 08:00 UTC; `modosu allow shop/orders A --reason …` lifts the lock
        12m  S ok                → Steady            S is proven: a rollback may go back to it
        13m  S errors            → AwaitingDecision  errors; people decide: it is a relapse, less than an hour after orders-1 recovered
    ",
    );
}

#[test]
fn unknown_moves_nothing() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        20m1s B dark             → Probation
        3h   B dark              → Probation
        3h1m B ok                → Probation
        3h5m B dark              → Probation
        3h6m B ok                → Probation
        3h12m B ok               → Probation
        3h16m B ok               → Probation         B is proven: a rollback may go back to it
    ",
    );
}

#[test]
fn a_state_that_never_rolled_out_is_never_proven() {
    check(
        "",
        "
        0s   A~ ok               → Probation         guarding A, not proven yet
        2h   A~ ok               → Probation
        3h   A ok                → Probation
        3h10m A ok               → Probation         A is proven: a rollback may go back to it
    ",
    );
}

#[test]
fn what_held_when_it_was_last_known_is_inherited() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B errors~           → Probation
        21m5s C errors~          → Probation         a change came: C in place of B
        22m  C errors            → AwaitingDecision  errors; people decide: it was already so when the change came
    ",
    );
}

#[test]
fn what_was_over_its_limit_by_chance_is_not_inherited() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B errors%           → Probation         a change came: B in place of A
        21m  B errors            → Verifying         errors | B is marked bad and will never be restored | (restore Deployment/orders := A)
    ",
    );
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B errors?           → Probation         a change came: B in place of A
        21m  B errors            → AwaitingDecision  errors; people decide: it was already so when the change came
    ",
    );
}

#[test]
fn a_decision_is_followed_once() {
    check(
        ASK,
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B errors            → AwaitingDecision  errors; people decide: the mode is ask
        22m  B errors rollback refuses → Escalated         sam decided: Rollback | B is marked bad and will never be restored | putting back A | modosu has stopped; nothing more happens until you act: refused
        23m  B errors            → Escalated
        24m  B errors rollback   → Verifying         sam decided: Rollback | B is marked bad and will never be restored | putting back A | (restore Deployment/orders := A)
        24m5s A ok               → Verifying         rolled out; from now on readings count as proof
    ",
    );
}

#[test]
fn back_by_hand_with_an_incident_open_it_is_recovered_by_hand() {
    check(
        ASK,
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B errors            → AwaitingDecision  errors; people decide: the mode is ask
        22m  A ok                → Steady            B is marked bad and will never be restored | somebody went back to the proven state by hand | back on the proven state A, away from B
    ",
    );
}

#[test]
fn nothing_to_put_back_is_for_people() {
    check(
        SET_ENV,
        "
        0s   S ok                → Probation         guarding S, not proven yet
        1m   S errors            → AwaitingDecision  errors; people decide: there is nothing to put back: what runs is what the plan would put there
        2m   S errors            → AwaitingDecision
    ",
    );
}

#[test]
fn a_state_that_is_bad_is_not_gone_back_to_also_where_nothing_else_is_left() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        11m  A slow              → AwaitingDecision  slow; people decide: the trigger's action is alert_and_manual_review
        12m  B ok                → Probation         A is marked bad and will never be restored | a newer state came (B); nothing more is written | a change came: B in place of A
        13m  B errors            → AwaitingDecision  errors; people decide: there is no proven state to go back to
    ",
    );
}

#[test]
fn who_breaches_with_others_waits_for_the_one_that_changed_and_passes_with_it() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B errors waits      → AwaitingDecision  errors; it waits for the proof of shop/db, whose change came just before
        22m  B errors waits      → AwaitingDecision
        23m  B ok                → AwaitingDecision
        23m30s B ok helped       → AwaitingDecision
        24m  B ok helped         → Probation         healthy again since shop/db was put back, untouched itself
    ",
    );
}

#[test]
fn who_is_still_bad_when_the_others_recovered_is_judged_by_itself() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B errors waits      → AwaitingDecision  errors; it waits for the proof of shop/db, whose change came just before
        22m  B errors waits helped → Verifying       B is marked bad and will never be restored | putting back A | (restore Deployment/orders := A)
    ",
    );
}

#[test]
fn who_waits_in_vain_or_too_long_is_for_people() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B errors waits      → AwaitingDecision  errors; it waits for the proof of shop/db, whose change came just before
        22m  B errors waits failed → AwaitingDecision people decide: it waited for shop/db, and that did not end it
        23m  B errors            → AwaitingDecision
    ",
    );
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B errors waits      → AwaitingDecision  errors; it waits for the proof of shop/db, whose change came just before
        36m  B errors            → AwaitingDecision
        36m1s B errors           → AwaitingDecision  people decide: it waited for shop/db, and that did not end it
    ",
    );
}

#[test]
fn a_shared_outage_is_for_people() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B errors together   → AwaitingDecision  errors; people decide: 3 guards breach together (shop/db, shop/orders, shop/web), and their changes in the 30 min before are not one group
        22m  B errors            → AwaitingDecision
    ",
    );
}

#[test]
fn what_old_pods_do_as_well_is_not_the_change() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B~ ok               → Probation         a change came: B in place of A
        21m  B~ errors equal     → AwaitingDecision  errors; people decide: it is not this change: old and new pods are equally bad
    ",
    );
}
