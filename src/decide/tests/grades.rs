//! Grades and their clocks, and what people were asked for, one picture each.

use super::play::{Play, check, policy};

const LEVELS: &str = "scheme: levels\n";
const ASK: &str = "mode: ask\n";

#[test]
fn a_missed_decision_goes_to_the_next_role_once_also_over_restarts() {
    check(
        LEVELS,
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B slow              → AwaitingDecision  slow; people decide: the trigger's action is alert_and_manual_review
        1h20m59s B slow          → AwaitingDecision
        1h21m B slow             → AwaitingDecision  nobody decided by 2027-01-15 09:21:00 UTC (tech-lead was asked): project-manager is asked now, the last in the chain
        1h22m B slow kill        → AwaitingDecision
        9h   B slow kill         → AwaitingDecision
        10h  B slow rollback     → Verifying         sam decided: Rollback | B is marked bad and will never be restored | putting back A | (restore Deployment/orders := A)
    ",
    );
}

#[test]
fn what_must_be_over_within_the_hour_is_a_clock_of_its_own() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B slow              → AwaitingDecision  slow; people decide: the trigger's action is alert_and_manual_review
        1h20m B slow rollback hangs → RollingBack       sam decided: Rollback | B is marked bad and will never be restored | putting back A
        1h21m B slow hangs       → RollingBack       it was not over by 2027-01-15 09:21:00 UTC (tech-lead was asked): project-manager is asked now, the last in the chain
        1h22m B slow             → Verifying         (restore Deployment/orders := A)
        1h23m A ok               → Verifying         rolled out; from now on readings count as proof
        1h25m A ok               → Steady            recovered 1h 4m after the first bad reading | B may not return until 2027-01-22 09:23 UTC; `modosu allow shop/orders B --reason …` lifts the lock
    ",
    );
}

#[test]
fn at_once_means_that_the_next_is_asked_after_five_minutes_and_the_architect_only_for_the_worst() {
    check(
        ASK,
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B errors            → AwaitingDecision  errors; people decide: the mode is ask
        25m  B dark              → AwaitingDecision
        26m  B dark              → AwaitingDecision  nobody decided by 2027-01-15 08:21:00 UTC (oncall was asked): tech-lead is asked now
        31m  B errors            → AwaitingDecision  nobody decided by 2027-01-15 08:21:00 UTC (tech-lead was asked): project-manager is asked now
        36m  B errors            → AwaitingDecision  it was not over by 2027-01-15 08:36:00 UTC (project-manager was asked): architect is asked now, the last in the chain
        9h   B errors            → AwaitingDecision
    ",
    );
}

#[test]
fn raised_it_is_asked_of_the_worse_grades_decider_and_what_was_late_stays_late() {
    check(
        "scheme: levels\nmode: ask\n",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B slow              → AwaitingDecision  slow; people decide: the trigger's action is alert_and_manual_review
        30m  B slow+errors       → AwaitingDecision  now 3: errors
        35m  B slow              → AwaitingDecision  nobody decided by 2027-01-15 08:30:00 UTC (oncall was asked): tech-lead is asked now
        36m  B slow              → AwaitingDecision
        45m  B slow              → AwaitingDecision  it was not over by 2027-01-15 08:45:00 UTC (tech-lead was asked): architect is asked now, the last in the chain
    ",
    );
}

#[test]
fn escalated_people_have_the_whole_time_of_the_grade_from_then_on() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B errors hangs      → RollingBack       errors | B is marked bad and will never be restored
        29m  B errors refuses    → Escalated         modosu has stopped; nothing more happens until you act: refused
        33m59s B errors          → Escalated
        34m  B errors            → Escalated         nobody decided by 2027-01-15 08:29:00 UTC (oncall was asked): tech-lead is asked now
        36m  B errors            → Escalated
        39m  B errors            → Escalated         it was not over by 2027-01-15 08:36:00 UTC (tech-lead was asked): project-manager is asked now
    ",
    );
}

/// A ticket for the next release: a week, then the next is asked. It decides nothing, and when more than an eye is needed
/// the worse grade's whole chain is asked.
#[test]
fn what_is_only_observed_has_the_clock_of_its_grade_too() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        1m   A odd               → Probation         keeps an eye on: odd
        168h A odd               → Steady
        168h1m A odd             → Steady            nobody decided by 2027-01-22 08:01:00 UTC (team was asked): project-manager is asked now, the last in the chain
        200h A odd kill          → Steady
        201h A slow              → AwaitingDecision  now High: slow | people decide: the trigger's action is alert_and_manual_review
        201h59m A slow           → AwaitingDecision
        202h A slow              → AwaitingDecision  it was not over by 2027-01-23 18:00:00 UTC (tech-lead was asked): project-manager is asked now, the last in the chain
    ",
    );
}

#[test]
fn where_the_mode_lets_modosu_only_record_nobody_is_asked() {
    check(
        "mode: observe\n",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        1m   A odd               → Probation         keeps an eye on: odd
        200h A odd               → Steady
        201h A errors            → Steady            now Critical: errors
        300h A errors            → Steady
    ",
    );
    check(
        "mode: observe\n",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        1m   A odd               → Probation         keeps an eye on: odd
        200h A odd mode=enforce  → Steady
        367h A odd               → Steady
        368h A odd               → Steady            nobody decided by 2027-01-30 16:00:00 UTC (team was asked): project-manager is asked now, the last in the chain
    ",
    );
}

#[test]
fn what_is_worse_raises_it_while_it_is_put_back_and_nothing_is_begun_twice() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B slow              → AwaitingDecision  slow; people decide: the trigger's action is alert_and_manual_review
        22m  B slow rollback hangs → RollingBack       sam decided: Rollback | B is marked bad and will never be restored | putting back A
        23m  B slow+errors hangs → RollingBack       now Critical: errors
        24m  B slow+errors       → Verifying         (restore Deployment/orders := A)
        25m  A ok                → Verifying         rolled out; from now on readings count as proof
        26m  A ok                → Steady            recovered 5m after the first bad reading | B may not return until 2027-01-22 08:25 UTC; `modosu allow shop/orders B --reason …` lifts the lock
    ",
    );
}

#[test]
fn what_is_worse_raises_it_while_it_is_verified_and_after_modosu_has_stopped() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B slow              → AwaitingDecision  slow; people decide: the trigger's action is alert_and_manual_review
        22m  B slow rollback     → Verifying         sam decided: Rollback | B is marked bad and will never be restored | putting back A | (restore Deployment/orders := A)
        23m  A ok                → Verifying         rolled out; from now on readings count as proof
        23m30s A errors          → Verifying         now Critical: errors
        24m  A crash             → Verifying
    ",
    );
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B slow              → AwaitingDecision  slow; people decide: the trigger's action is alert_and_manual_review
        22m  B slow rollback refuses → Escalated         sam decided: Rollback | B is marked bad and will never be restored | putting back A | modosu has stopped; nothing more happens until you act: refused
        23m  B slow+errors       → Escalated         now Critical: errors
        24m  B slow+errors+crash → Escalated
    ",
    );
}

/// What raised it is evidence as what opened it is.
#[test]
fn what_joins_an_open_incident_is_kept_with_its_evidence() {
    let mut play = Play::with(policy(""));
    for line in [
        "0s A ok",
        "10m A ok",
        "20m B ok",
        "21m B slow",
        "22m B slow+odd rollback hangs",
    ] {
        play.turn(line);
    }
    play.turn("23m B slow+odd+errors hangs kill");
    play.turn("24m B slow+odd+errors hangs");
    let status = play.status().unwrap();
    let joined: Vec<_> = status
        .triggers
        .iter()
        .map(|one| (one.name.as_str(), one.since))
        .collect();
    assert_eq!(joined.len(), 2, "each once: {joined:?}");
    assert_eq!((joined[0].0, joined[1].0), ("odd", "errors"));
    assert!(joined[1].1.is_some(), "since when: {joined:?}");
    let notes: Vec<_> = status
        .journal
        .iter()
        .filter_map(|entry| entry.note.as_deref())
        .collect();
    assert_eq!(notes, ["now Critical: errors"], "{:?}", status.journal);
    assert!(
        status.plan_hash.is_some() && status.plan_from == 0,
        "the plan that runs stays the one that was begun: {status:?}"
    );
}

#[test]
fn what_held_before_and_was_forgiven_acts_when_it_fires_anew_although_people_are_still_awaited() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        20m30s B errors?         → Probation
        21m  C~ errors?          → Probation         a change came: C in place of B
        21m30s C errors          → AwaitingDecision  errors; people decide: it was already so when the change came
        22m  C ok                → AwaitingDecision
        22m30s C errors          → AwaitingDecision
        23m  C ok                → AwaitingDecision
        24m  C ok                → AwaitingDecision
        25m  C errors            → Verifying         C is marked bad and will never be restored | putting back A | (restore Deployment/orders := A)
    ",
    );
}

#[test]
fn what_came_in_the_cooldown_acts_after_it_only_when_it_was_gone_and_comes_again() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B errors            → Verifying         errors | B is marked bad and will never be restored | (restore Deployment/orders := A)
        22m  A ok                → Verifying         rolled out; from now on readings count as proof
        23m  A ok                → Steady            recovered 2m after the first bad reading | B may not return until 2027-01-22 08:22 UTC; `modosu allow shop/orders B --reason …` lifts the lock
        24m  C ok                → Probation         a change came: C in place of A
        25m  C errors            → AwaitingDecision  errors; people decide: the last rollback is younger than cooldown
        29m  C errors            → AwaitingDecision
        30m  C errors            → AwaitingDecision  nobody decided by 2027-01-15 08:25:00 UTC (oncall was asked): tech-lead is asked now
        33m  C errors            → AwaitingDecision
        34m  C ok                → AwaitingDecision
        35m  C ok                → AwaitingDecision  nobody decided by 2027-01-15 08:25:00 UTC (tech-lead was asked): project-manager is asked now
        36m  C errors            → Verifying         C is marked bad and will never be restored | putting back A | (restore Deployment/orders := A)
    ",
    );
}

#[test]
fn where_nothing_can_be_put_back_nothing_runs_when_it_comes_again() {
    check(
        "rollback: {steps: [{setEnv: {target: Deployment/orders, env: {WORKER_MODE: legacy}}}]}\n",
        "
        0s   S ok                → Probation         guarding S, not proven yet
        1m   S errors            → AwaitingDecision  errors; people decide: there is nothing to put back: what runs is what the plan would put there
        2m   S ok                → AwaitingDecision
        4m   S ok                → AwaitingDecision
        5m   S errors            → AwaitingDecision
    ",
    );
}

/// What a person sees of it: the status holds both clocks, who is asked, and what was missed.
#[test]
fn the_status_says_who_is_asked_by_when_and_what_was_missed() {
    let mut play = Play::with(policy(LEVELS));
    for line in ["0s A ok", "10m A ok", "20m B ok", "21m B slow"] {
        play.turn(line);
    }
    let told = |play: &Play| {
        let status = play.status().unwrap();
        let time =
            |at: Option<jiff::Timestamp>| at.map_or_else(|| "-".to_owned(), |at| at.strftime("%H:%M").to_string());
        let (decide, done, respond) = (time(status.decide_by), time(status.done_by), time(status.respond_by));
        let asked = format!("{} since {}", status.decider.as_deref().unwrap(), time(status.asked_at));
        format!(
            "decide by {decide}, done by {done}, respond by {respond}; {asked}; missed {}",
            status.missed.len()
        )
    };
    assert_eq!(
        told(&play),
        "decide by 09:21, done by -, respond by 09:21; tech-lead since 08:21; missed 0"
    );
    play.turn("1h21m B slow");
    assert_eq!(
        told(&play),
        "decide by 09:21, done by -, respond by 09:21; project-manager since 09:21; missed 1"
    );
    let status = play.status().unwrap();
    assert_eq!(status.journal.len(), 1, "journalled: {:?}", status.journal);
    assert_eq!((status.journal[0].seq, status.journal[0].is_step()), (0, false));
    assert!(status.plan_hash.is_some(), "a note is no step: the recorded plan stays");
    play.turn("1h22m B slow rollback");
    let status = play.status().unwrap();
    assert!(
        status.plan_hash.is_some() && status.plan_from == 0,
        "the first attempt: {status:?}"
    );
}

#[test]
fn when_it_will_be_fixed_can_be_told_without_deciding_and_decides_nothing() {
    check(
        LEVELS,
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        21m  B slow              → AwaitingDecision  slow; people decide: the trigger's action is alert_and_manual_review
        30m  B slow eta=2h       → AwaitingDecision  somebody expects it to be fixed in 2h
        31m  B slow              → AwaitingDecision
        1h21m B slow             → AwaitingDecision  nobody decided by 2027-01-15 09:21:00 UTC (tech-lead was asked): project-manager is asked now, the last in the chain
        1h22m B slow rollback refuses → Escalated         sam decided: Rollback | B is marked bad and will never be restored | putting back A | modosu has stopped; nothing more happens until you act: refused
        1h23m B slow eta=30m     → Escalated         sam expects it to be fixed in 30m
        1h24m B slow             → Escalated
    ",
    );
}

#[test]
fn a_roll_out_that_was_seen_whole_is_kept_as_an_estimate_for_the_way_back() {
    let mut play = Play::with(policy(""));
    let mut kept = |line: &str| {
        play.turn(line);
        play.record()
            .roll_out
            .as_ref()
            .map(|done| format!("{} took {}", done.hash, done.took))
    };
    assert_eq!(kept("0s A~ ok"), None);
    assert_eq!(kept("10s A ok"), None, "the first one may have begun earlier");
    assert_eq!(kept("20m B~ ok"), None);
    assert_eq!(kept("20m48s B ok kill").as_deref(), Some("B took 48s"));
    assert_eq!(kept("30m C~ ok").as_deref(), Some("B took 48s"));
    assert_eq!(
        kept("2h C ok").as_deref(),
        Some("B took 48s"),
        "one that somebody paused says nothing"
    );
    assert_eq!(
        kept("3h D ok").as_deref(),
        Some("B took 48s"),
        "one that was over before it was seen, neither"
    );
}

#[test]
fn a_state_that_was_left_for_what_is_not_its_fault_may_be_gone_back_to() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        30m  B ok                → Probation         B is proven: a rollback may go back to it
        25h  B ok                → Steady
        26h  B errors            → AwaitingDecision  errors; people decide: it is not the change: nothing was changed within watchFor
        26h1m C ok               → Probation         a newer state came (C); nothing more is written | a change came: C in place of B
        26h5m C ok               → Probation
        26h7m C errors           → Verifying         errors | C is marked bad and will never be restored | (restore Deployment/orders := B)
    ",
    );
}

#[test]
fn what_only_inherited_is_not_marked_bad_when_it_is_left() {
    check(
        "",
        "
        0s   A ok                → Probation         guarding A, not proven yet
        10m  A ok                → Probation         A is proven: a rollback may go back to it
        20m  B ok                → Probation         a change came: B in place of A
        20m30s B errors?         → Probation
        21m  C~ errors?          → Probation         a change came: C in place of B
        21m30s C errors          → AwaitingDecision  errors; people decide: it was already so when the change came
        22m  D~ errors           → Probation         a newer state came (D); nothing more is written | a change came: D in place of C
    ",
    );
}
