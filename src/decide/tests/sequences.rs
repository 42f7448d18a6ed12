//! Whatever comes, in whatever order: what must never follow.

use std::{sync::LazyLock, time::Duration};

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::play::{Play, around, at, policy, seen, verdict};
use crate::{
    decide::{
        Act, Around, Case, Clocks, Happened, Input, Step, between, decide, lock,
        stages::StageNews,
        together::{Proof, Role},
    },
    judge::policy::Policy,
    model::{
        freeze::Freeze,
        guard::{Action, BadState, Current, GuardStatus, Mode, RestoreTo},
        incident::{
            CommonCause, Decision, IncidentSpec, IncidentState, IncidentStatus, JournalEntry, PlannedStep, StageState,
            StateRef, Verb,
        },
        units::Length,
    },
    observe::cluster::Proven,
};

const STATES: [&str; 5] = ["A", "A~", "B", "C", "S"];
const VERDICTS: [&str; 8] = ["ok", "dark", "errors", "slow", "odd", "crash", "errors?", "errors+slow"];
const RESTORE: &str = "";
const STAGES: &str = "
rollback:
  stages:
    - {name: flag-off, within: 5m, steps: [{setEnv: {target: Deployment/orders, env: {WORKER_MODE: legacy}}}]}
    - {name: revert, within: 1h, ask: tech-lead, steps: [{restore: {}}]}
";
const SET_ENV: &str = "rollback: {steps: [{setEnv: {target: Deployment/orders, env: {WORKER_MODE: legacy}}}]}\n";

/// What holds of every decision.
pub fn safe(input: &Input, step: &Step) {
    let before = input.case.map(|case| case.status);
    if before.is_some_and(|status| status.closed_at.is_some()) {
        assert_eq!(step.case.as_ref(), before, "a closed incident was moved");
        assert!(step.actions.is_empty());
    }
    if step.case.as_ref().is_some_and(|status| status.closed_at.is_some()) {
        assert_eq!(step.record.incident, None, "a closed incident stays the guard's");
    }
    if let (Some(before), Some(after)) = (before, step.case.as_ref()) {
        only_asks(before, after, step);
        let rank = |status: &IncidentStatus| input.policy.scheme.rank(&status.grade);
        assert!(rank(after) >= rank(before), "the grade only rises");
    }
    if let (Some(before), Some(after)) = (before, step.case.as_ref()) {
        assert_asks(before, after, step);
    }
    let next_stage = |happened: &Happened| matches!(happened, Happened::Stage(StageNews::Begins { .. }));
    let starts = step.case.as_ref().and_then(|case| case.state) == Some(IncidentState::RollingBack)
        && before.and_then(|status| status.state) != Some(IncidentState::RollingBack);
    let people = step
        .happened
        .iter()
        .any(|happened| matches!(happened, Happened::Decided(_)));
    // The next stage of a plan goes on with what was begun.
    if starts && !people && !step.happened.iter().any(next_stage) {
        assert_may_act(input);
    }
    for act in &step.actions {
        match act {
            Act::Open(draft) if draft.state == IncidentState::RollingBack => {
                assert_may_act(input);
                assert_may_restore(input, draft.spec.restore_to.as_ref());
                assert_eq!(draft.spec.bad.hash, input.seen.hash);
            }
            Act::Run => {
                assert_may_write(input, step);
                assert_may_restore(input, input.case.unwrap().spec.restore_to.as_ref());
            }
            Act::Prove { hash } => assert!(input.record.bad.iter().all(|bad| bad.hash != *hash)),
            Act::Open(_) | Act::Begin { .. } | Act::Touch { .. } => {}
        }
    }
}

/// The journal and the missed clocks only grow, one clock at a time; decide itself writes notes alone; the grade only rises.
fn only_asks(before: &IncidentStatus, after: &IncidentStatus, step: &Step) {
    assert!(after.journal.starts_with(&before.journal), "the journal is append-only");
    assert!(after.missed.starts_with(&before.missed), "what was missed stays missed");
    assert!(after.triggers.starts_with(&before.triggers), "evidence stays");
    assert!(after.action >= before.action, "the action only rises");
    let notes = &after.journal[before.journal.len()..];
    assert!(notes.iter().all(|entry| !entry.is_step() && entry.note.is_some()));
    assert!(after.missed.len() <= before.missed.len() + 1, "one role at a time");
    if let Some(missed) = after.missed.get(before.missed.len()) {
        let earlier = before
            .missed
            .iter()
            .any(|old| old.role.is_some() && old.role == missed.role && old.grade == missed.grade);
        assert!(!earlier, "a role is asked once for a grade");
        let alone = |happened: &Happened| !matches!(happened, Happened::ClockMissed(_));
        let decided = step.happened.iter().filter(|happened| alone(happened)).count() > 0;
        assert!(decided || before.state == after.state, "silence decided something");
    }
    let asked_anew = |happened: &Happened| {
        let of_stage = matches!(happened, Happened::Stage(StageNews::Asked { .. }));
        of_stage || matches!(happened, Happened::PeopleDecide { .. } | Happened::Escalated { .. })
    };
    if before.asked_at.is_some() && !step.happened.iter().any(asked_anew) {
        let sooner = |old: Option<jiff::Timestamp>, new: Option<jiff::Timestamp>| {
            old.is_none_or(|old| new <= Some(old) && new.is_some())
        };
        assert!(
            sooner(before.decide_by, after.decide_by) && sooner(before.done_by, after.done_by),
            "later"
        );
    }
}

/// A stage that a person begins is begun by nobody else, and in their order.
fn assert_asks(before: &IncidentStatus, after: &IncidentStatus, step: &Step) {
    let runs = |status: &IncidentStatus, name: &str| {
        let mut stages = status.stages.iter();
        stages.any(|stage| stage.name == name && stage.state == StageState::Running)
    };
    for stage in after.stages.iter().filter(|stage| stage.ask.is_some()) {
        let begins = runs(after, &stage.name) && !runs(before, &stage.name);
        assert!(!begins || step.is_by_people(), "nobody began stage {}", stage.name);
    }
    let open = after.stages.iter().skip_while(|stage| stage.state.is_over()).skip(1);
    assert!(
        open.into_iter().all(|stage| stage.state == StageState::NotBegun),
        "out of order"
    );
    assert!(
        before.mitigated_at.is_none() || after.mitigated_at == before.mitigated_at,
        "mitigated once"
    );
}

/// Nothing is written while it is frozen; what an incident froze, its own decision thaws.
fn assert_may_write(input: &Input, step: &Step) {
    let Some(freeze) = input.freeze else { return };
    let resumes = |verb| matches!(verb, Some(Verb::Rollback | Verb::Resume));
    let thaws = |one: &Happened| matches!(one, Happened::Decided(decision) if resumes(decision.verb));
    let own = freeze.of == format!("Incident/{}", input.case.unwrap().name);
    assert!(own && step.happened.iter().any(thaws), "written while frozen");
    assert_eq!(
        step.case.as_ref().unwrap().freeze,
        None,
        "it would be stopped by its own freeze"
    );
}

/// Nobody decided: the mode allows it, the change is young, and what fires did not hold before it.
fn assert_may_act(input: &Input) {
    let current = input.record.current.as_ref().unwrap();
    assert_eq!(input.freeze, None, "frozen");
    assert_eq!(input.over_budget, None, "over the budget");
    assert_eq!(input.policy.mode.min(input.cap), Mode::Enforce);
    assert_eq!(current.hash, input.seen.hash, "a state that was not judged");
    assert!(current.change, "no change");
    let age = between(current.since, input.now);
    assert!(
        age < input.policy.automatic_for && age < input.policy.watch_for,
        "too old"
    );
    let common = input.around.common.as_ref();
    let waited = input.case.is_some_and(|case| case.status.common_cause.is_some());
    assert!(
        common.is_none_or(|part| part.role == Role::Acts) || (waited && input.around.proof == Some(Proof::Helped)),
        "a common cause"
    );
    let new = |name: &String| !current.held_before.contains(name) && !input.around.not_this_change.contains_key(name);
    let mut automatic = input
        .verdict
        .firing
        .iter()
        .filter(|f| f.action == Action::AutomaticRollback);
    let locked = lock::verdict(input).and_then(|verdict| verdict.action()) == Some(Action::AutomaticRollback);
    assert!(locked || automatic.any(|finding| new(&finding.name)), "it held before");
}

fn assert_may_restore(input: &Input, to: Option<&StateRef>) {
    if input.policy.restores() {
        let to = &to.expect("nothing to restore").hash;
        assert!(input.proven.iter().any(|state| state.hash == *to), "{to} is not proven");
        assert!(input.record.bad.iter().all(|bad| bad.hash != *to), "{to} is bad");
    }
}

fn line() -> impl Strategy<Value = (u64, String)> {
    let words = [
        "",
        "",
        "",
        "",
        "keep",
        "rollback",
        "freeze",
        "resume",
        "abandon",
        "frozen",
        "spent",
        "hangs",
        "refuses",
        "kill",
        "mode=ask",
        "mode=enforce",
        "mode=observe",
        "waits",
        "together",
        "helped",
        "failed",
        "equal",
    ];
    let gaps = [1_u64, 5, 20, 61, 400, 700, 2000, 8000, 90_000];
    (
        select(gaps.to_vec()),
        select(&STATES[..]),
        select(&VERDICTS[..]),
        select(words.to_vec()),
    )
        .prop_map(|(gap, state, verdict, word)| (gap, format!("{state} {verdict} {word}")))
}

proptest! {
    #[test]
    fn no_sequence_of_turns_leads_to_what_must_not_be(
        steps in select(&[RESTORE, SET_ENV, STAGES][..]),
        lines in vec(line(), 1..40),
    ) {
        let mut play = Play::with(compiled(steps).clone());
        // A is proven first, so that there is something to lose.
        for line in ["0s A ok", "10m A ok"] {
            play.turn(line);
        }
        let mut now = 600;
        if steps == STAGES {
            // And the first stage of a plan is carried out, so that there is one to follow.
            for line in ["20m B ok", "21m B errors", "22m S ok"] {
                play.turn(line);
            }
            now = 1320;
        }
        for (gap, line) in lines {
            now += gap;
            play.turn(&format!("{now}s {line}"));
        }
    }

    #[test]
    fn no_single_decision_does_what_must_not_be(world in world()) {
        world.decide();
    }
}

/// Any record, any incident, any cluster: also what cannot come about.
#[derive(Debug)]
struct World {
    steps: &'static str,
    modes: (Mode, Mode),
    current: Option<Current>,
    bad: Vec<BadState>,
    restore_to: Option<&'static str>,
    proven: Vec<&'static str>,
    case: Option<(IncidentSpec, IncidentStatus)>,
    seen: &'static str,
    verdict: &'static str,
    clocks: Clocks,
    around: Around,
    freeze: Option<&'static str>,
    /// The record says so already.
    known_frozen: bool,
    spent: bool,
}

/// Compiled once, not once for each of the cases.
fn compiled(steps: &str) -> &'static Policy {
    static RESTORES: LazyLock<Policy> = LazyLock::new(|| policy(RESTORE));
    static SETS: LazyLock<Policy> = LazyLock::new(|| policy(SET_ENV));
    static STAGED: LazyLock<Policy> = LazyLock::new(|| policy(STAGES));
    match steps {
        RESTORE => &RESTORES,
        STAGES => &STAGED,
        _ => &SETS,
    }
}

fn mode() -> impl Strategy<Value = Mode> {
    select(&[Mode::Observe, Mode::Ask, Mode::Enforce][..])
}

fn hash() -> impl Strategy<Value = &'static str> {
    select(&["A", "B", "C", "S"][..])
}

fn time() -> impl Strategy<Value = jiff::Timestamp> {
    select(&[0_u64, 10, 3_600, 80_000, 99_990, 100_000][..]).prop_map(|seconds| at(Duration::from_secs(seconds)))
}

fn length() -> impl Strategy<Value = Duration> {
    select(&[0_u64, 59, 60, 600, 1800, 90_000][..]).prop_map(Duration::from_secs)
}

fn current() -> impl Strategy<Value = Current> {
    let held = vec(
        select(&["errors", "slow", "crash_looping"][..]).prop_map(str::to_owned),
        0..3,
    );
    (hash(), time(), any::<bool>(), any::<bool>(), held).prop_map(|(hash, since, proven, change, held_before)| {
        Current {
            allowed: false,
            hash: hash.to_owned(),
            since,
            proven,
            change,
            images: Vec::new(),
            held_before,
            left_out: Vec::new(),
            rolling_since: None,
        }
    })
}

fn bad() -> impl Strategy<Value = BadState> {
    (hash(), time(), any::<bool>()).prop_map(|(hash, at, rolled_back)| BadState {
        until: None,
        pushed: Vec::new(),
        changed: Vec::new(),
        returned: false,
        hash: hash.to_owned(),
        at,
        incident: None,
        rolled_back,
    })
}

const STANDS: [IncidentState; 11] = [
    IncidentState::AwaitingDecision,
    IncidentState::RollingBack,
    IncidentState::Verifying,
    IncidentState::Escalated,
    IncidentState::Observed,
    IncidentState::Recovered,
    IncidentState::RecoveredByHand,
    IncidentState::Kept,
    IncidentState::Passed,
    IncidentState::Superseded,
    IncidentState::Abandoned,
];
const ACTIONS: [Action; 3] = [Action::Monitor, Action::AlertAndManualReview, Action::AutomaticRollback];
const ENTRIES: [&str; 5] = ["intent", "done", "already", "failed", "changed"];

fn decision() -> impl Strategy<Value = Option<Decision>> {
    let verb = select(
        &[
            Verb::Keep,
            Verb::Rollback,
            Verb::Freeze,
            Verb::Resume,
            Verb::Done,
            Verb::Abandon,
        ][..],
    );
    option::of((option::of(verb), any::<bool>()).prop_map(|(verb, fix)| Decision {
        verb,
        fix_eta: fix.then(|| Length::hours(2)),
        ..Decision::default()
    }))
}

fn entry() -> impl Strategy<Value = JournalEntry> {
    (select(&ENTRIES[..]), time()).prop_map(|(word, at)| JournalEntry {
        seq: 1,
        at,
        intent: (word == "intent").then(|| "restore".to_owned()),
        receipt: (word != "intent").then(|| word.to_owned()),
        target: Some("Deployment/orders".into()),
        resource_version: None,
        note: None,
    })
}

fn spec() -> impl Strategy<Value = IncidentSpec> {
    let state = |hash: &str| StateRef {
        hash: hash.to_owned(),
        ..StateRef::default()
    };
    (hash(), option::of(hash()), time(), decision()).prop_map(move |(bad, to, opened_at, decision)| IncidentSpec {
        guard: "orders".into(),
        first_bad_at: opened_at,
        opened_at,
        grade: "High".into(),
        action: Action::AlertAndManualReview,
        summary: String::new(),
        triggers: Vec::new(),
        bad: state(bad),
        restore_to: to.map(state),
        decision,
    })
}

fn case() -> impl Strategy<Value = (IncidentSpec, IncidentStatus)> {
    let stands = (option::of(select(&STANDS[..])), option::of(select(&ACTIONS[..])));
    let done = (decision(), vec(entry(), 0..3));
    let times = (option::of(time()), option::of(time()), option::weighted(0.2, time()));
    let waiting = option::weighted(0.3, any::<bool>());
    let other = (waiting, any::<bool>());
    (spec(), stands, done, times, other).prop_map(|(spec, (state, action), (decided, journal), times, other)| {
        let (waiting, freezes) = other;
        let plan = spec.restore_to.as_ref().map(|to| PlannedStep {
            step: "restore".into(),
            target: Some("Deployment/orders".into()),
            from: Some(spec.bad.hash.clone()),
            to: Some(to.hash.clone()),
            ..PlannedStep::default()
        });
        let status = IncidentStatus {
            state,
            grade: "High".into(),
            action,
            decided,
            journal,
            plan: plan.into_iter().collect(),
            freeze: freezes.then(|| frozen("Incident/orders-1")),
            acting_since: times.0,
            rolled_out_at: times.1,
            closed_at: times.2,
            common_cause: waiting.map(|waiting| CommonCause {
                waiting,
                acts_on: vec!["shop/db".into()],
                ..CommonCause::default()
            }),
            ..IncidentStatus::default()
        };
        (spec, status)
    })
}

fn world() -> impl Strategy<Value = World> {
    let clocks = (length(), length(), length(), any::<bool>());
    let record = (
        option::of(current()),
        vec(bad(), 0..3),
        option::of(hash()),
        vec(hash(), 0..4),
        option::of(case()),
    );
    let settings = (select(&[RESTORE, SET_ENV][..]), mode(), mode());
    let beyond = select(&["", "waits", "waits helped", "helped", "failed", "together", "equal"][..]);
    let shown = (select(&STATES[..]), select(&VERDICTS[..]), beyond);
    let frozen = option::weighted(0.3, select(&["Namespace/shop", "Incident/orders-1"][..]));
    let rails = (frozen, any::<bool>(), any::<bool>());
    (settings, record, shown, clocks, rails).prop_map(|(settings, record, shown, clocks, rails)| World {
        freeze: rails.0,
        known_frozen: rails.1,
        spent: rails.2,
        steps: settings.0,
        modes: (settings.1, settings.2),
        current: record.0,
        bad: record.1,
        restore_to: record.2,
        proven: record.3,
        case: record.4,
        seen: shown.0,
        verdict: shown.1,
        around: around(&shown.2.split(' ').collect::<Vec<_>>()),
        clocks: Clocks {
            healthy: clocks.0,
            quiet: clocks.1,
            quiet_by: [("errors".to_owned(), clocks.2)].into(),
            unmet: None,
            verified: clocks.3,
            ..Clocks::default()
        },
    })
}

fn frozen(of: &str) -> Freeze {
    Freeze {
        of: of.to_owned(),
        until: None,
        illegible: None,
        by: None,
        reason: None,
    }
}

impl World {
    fn decide(&self) {
        let now = at(Duration::from_secs(100_000));
        let policy = Policy {
            mode: self.modes.0,
            ..compiled(self.steps).clone()
        };
        let record = GuardStatus {
            current: self.current.clone(),
            bad: self.bad.clone(),
            freeze: self.freeze.filter(|_| self.known_frozen).map(frozen),
            restore_to: self.restore_to.map(|hash| RestoreTo {
                name: hash.to_owned(),
                hash: hash.to_owned(),
                proven_at: now,
                images: Vec::new(),
                blocked: None,
                printed: hash.to_owned(),
            }),
            ..GuardStatus::default()
        };
        let proven: Vec<Proven> = self
            .proven
            .iter()
            .map(|hash| Proven {
                name: (*hash).to_owned(),
                guard: "orders".into(),
                hash: (*hash).to_owned(),
                proven_at: now,
                last_running: now,
                images: Vec::new(),
                no_way_back: Vec::new(),
                settings: std::collections::BTreeMap::new(),
            })
            .collect();
        let freeze = self.freeze.map(frozen);
        let input = Input {
            guard: "shop/orders",
            allow: None,
            fields: None,
            older: &[],
            wish: None,
            now,
            policy: &policy,
            cap: self.modes.1,
            record: &record.into(),
            seen: &seen(self.seen),
            verdict: &verdict(self.verdict, &policy, now),
            clocks: &self.clocks,
            proven: &proven,
            case: self.case.as_ref().map(|(spec, status)| Case {
                name: "orders-1",
                spec,
                status,
            }),
            around: &self.around,
            freeze: freeze.as_ref(),
            over_budget: self.spent.then_some("10 rollbacks began within the hour"),
        };
        safe(&input, &decide(&input));
    }
}
