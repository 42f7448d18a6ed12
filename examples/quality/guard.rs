//! A whole guard: readings through the library's `judge` and `decide`, and a cluster that does what it is told.
//!
//! What the daemon's `turn` does around the two is played here, without a cluster: windows begin, proven states are kept,
//! incidents are opened with the state that `decide` drafted, a plan that runs is taken note of.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use modosu::{
    decide::{
        Act, Around, Case, Clocks, Input, Record,
        clocks::{context, windows_begin},
        decide, open,
        together::Breach,
    },
    judge::{Facts, Memory, Overall, Status, Verdict, judge, policy::Policy},
    model::{
        guard::{Action, GuardSpec, IncidentRef, Mode},
        incident::{IncidentSpec, IncidentState, IncidentStatus, PlannedStep},
        preset::Preset,
        reading::Reading,
    },
    observe::{cluster::Proven, seen::Seen},
};

/// A decision that led to a write is followed by another one, so often in a turn.
const PASSES: u32 = 4;
/// So many proven states are kept.
const KEPT: usize = 5;
const SMALLEST: &str = "targets: [{kind: Deployment, name: orders}]\nmetrics: {preset: prometheus-http}\n";

/// api.md's smallest guard, with these further lines.
pub fn policy(more: &str) -> Policy {
    let spec: GuardSpec = serde_saphyr::from_str(&format!("{SMALLEST}{more}\n")).expect("a guard");
    Policy::compile("shop", &spec, &Preset::shipped()).expect("a valid guard")
}

/// The moment that many seconds after the beginning.
pub fn clock(seconds: f64) -> Timestamp {
    let start = Timestamp::from_second(1_800_000_000).expect("a moment");
    start + Duration::from_secs_f64(seconds.max(0.0))
}

/// What came of one turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// An incident was opened for people.
    pub people: bool,
    /// modosu began to put back by itself.
    pub automatic: bool,
    /// A trigger with an automatic action fires, whoever may decide.
    pub verdict: bool,
}

/// An open incident.
#[derive(Clone, Debug)]
struct Open {
    spec: IncidentSpec,
    status: IncidentStatus,
}

/// One guard between turns.
#[derive(Clone, Debug)]
pub struct Guard {
    policy: Arc<Policy>,
    memory: Memory,
    record: Record,
    seen: Seen,
    proven: Vec<Proven>,
    case: Option<Open>,
    incidents: u32,
    states: u32,
    blind_since: Option<Timestamp>,
    begun: bool,
}

impl Guard {
    /// Of a service that runs its first state.
    pub fn new(policy: &Arc<Policy>) -> Self {
        let mut guard = Self {
            policy: policy.clone(),
            memory: Memory::new(policy),
            record: Record::default(),
            seen: Seen {
                hash: String::new(),
                images: Vec::new(),
                parts: BTreeMap::new(),
                rolled_out: Ok(()),
                whole_since: None,
                gone: BTreeSet::new(),
                keeps_pods: None,
                left_out: BTreeMap::new(),
                no_way_back: Vec::new(),
                managed: Vec::new(),
                facts: Facts::default(),
                shared: Vec::new(),
            },
            proven: Vec::new(),
            case: None,
            incidents: 0,
            states: 0,
            blind_since: None,
            begun: false,
        };
        guard.next_state();
        guard
    }

    fn next_state(&mut self) {
        self.states += 1;
        self.seen.hash = format!("{:08x}", self.states);
        self.seen.images = vec![format!("orders:1.{}.0", self.states)];
    }

    /// A new state arrives: the watch shows it, and modosu looks at once.
    pub fn change(&mut self, now: Timestamp) -> Outcome {
        self.next_state();
        self.seen.rolled_out = Err("1 of 2 pods are updated".to_owned());
        self.turn(None, now)
    }

    pub fn rolled_out(&mut self) {
        self.seen.rolled_out = Ok(());
    }

    /// There is a proven state to go back to, and a baseline.
    pub fn is_ready(&self) -> bool {
        self.record.baseline.is_some() && self.record.current.as_ref().is_some_and(|current| current.proven)
    }

    /// Judges and decides until nothing more follows.
    pub fn turn(&mut self, reading: Option<&Reading>, now: Timestamp) -> Outcome {
        let verdict = self.judge(reading, now);
        self.decide(verdict, now, &Around::default())
    }

    /// Decides on that verdict, then judges and decides until nothing more follows.
    pub fn decide(&mut self, verdict: Verdict, now: Timestamp, around: &Around) -> Outcome {
        let mut outcome = Outcome::default();
        let mut again = self.pass(&verdict, now, around, &mut outcome);
        for _ in 1..PASSES {
            if !again {
                break;
            }
            let verdict = self.judge(None, now);
            again = self.pass(&verdict, now, around, &mut outcome);
        }
        outcome
    }

    /// As far as it matters to other guards: since when it hurts, and what change may be to blame.
    pub fn breach(&self, name: &str, verdict: &Verdict) -> Option<Breach> {
        let current = self.record.current.as_ref();
        let anew = current.filter(|current| self.record.restore_to.is_some() && current.change);
        let fires = verdict.firing.iter().filter(|finding| finding.action > Action::Monitor);
        let surely = verdict.triggers.iter().filter(|trigger| trigger.surely);
        let pending = surely.filter_map(|trigger| match trigger.status {
            Status::Suspect { since, .. } => Some(since),
            Status::Quiet | Status::NotArmed(_) | Status::Unknown(_) | Status::Firing { .. } => None,
        });
        let open = self.case.as_ref().map(|open| open.spec.first_bad_at);
        let now = fires.filter_map(|finding| finding.evidence.since).chain(pending).min();
        Some(Breach {
            guard: ("shop".to_owned(), name.to_owned()),
            since: open.or(now)?,
            changed: anew.map(|current| current.since),
            told: false,
        })
    }

    fn pass(&mut self, verdict: &Verdict, now: Timestamp, around: &Around, outcome: &mut Outcome) -> bool {
        let policy = self.policy.clone();
        let automatic = |finding: &modosu::judge::Finding| finding.action == Action::AutomaticRollback;
        outcome.verdict |= verdict.firing.iter().any(automatic);
        let clocks = self.clocks(now);
        let step = decide(&Input {
            guard: "shop/orders",
            allow: None,
            fields: None,
            older: &[],
            wish: None,
            now,
            policy: &policy,
            cap: Mode::Enforce,
            record: &self.record,
            seen: &self.seen,
            verdict,
            clocks: &clocks,
            proven: &self.proven,
            case: self.case.as_ref().map(|open| Case {
                name: "orders",
                spec: &open.spec,
                status: &open.status,
            }),
            around,
            freeze: None,
            over_budget: None,
        });
        self.record = step.record;
        if let (Some(open), Some(status)) = (self.case.as_mut(), step.case) {
            open.status = status;
        }
        let mut again = false;
        for action in step.actions {
            again |= self.carry_out(action, now, outcome);
        }
        if self.case.as_ref().is_some_and(|open| open.status.closed_at.is_some()) {
            self.case = None;
            self.record.incident = None;
        }
        again
    }

    /// What is to be said of it now.
    pub fn judge(&mut self, reading: Option<&Reading>, now: Timestamp) -> Verdict {
        let since = self.windows_begin(now);
        if !self.begun {
            self.memory.begin(since);
            self.begun = true;
        }
        let context = context(&self.record, &self.seen, since, now);
        let verdict = judge(&self.policy, &mut self.memory, reading, &context);
        if reading.is_some() {
            let unknown = matches!(verdict.overall, Overall::Unknown { .. });
            self.blind_since = if unknown { self.blind_since.or(Some(now)) } else { None };
        }
        verdict
    }

    fn windows_begin(&self, now: Timestamp) -> Timestamp {
        windows_begin(&self.record, self.case.as_ref().map(|open| &open.status), now)
    }

    fn clocks(&mut self, now: Timestamp) -> Clocks {
        let context = context(&self.record, &self.seen, self.windows_begin(now), now);
        let clocks = Clocks::of(&self.policy, &mut self.memory, &context, &self.record, &self.seen.hash);
        let blind = self
            .blind_since
            .map_or(Duration::ZERO, |since| modosu::decide::between(since, now));
        Clocks { blind, ..clocks }
    }

    fn carry_out(&mut self, action: Act, now: Timestamp, outcome: &mut Outcome) -> bool {
        match action {
            Act::Begin { since } => {
                self.memory.begin(since);
                false
            }
            Act::Prove { hash } => {
                self.prove(hash, now);
                false
            }
            Act::Touch { name } => {
                for state in self.proven.iter_mut().filter(|state| state.name == name) {
                    state.last_running = now;
                }
                false
            }
            Act::Open(draft) => {
                self.open(*draft, now, outcome);
                true
            }
            Act::Run => {
                outcome.automatic = true;
                false
            }
        }
    }

    fn prove(&mut self, hash: String, now: Timestamp) {
        self.proven.push(Proven {
            name: format!("orders-{hash}"),
            guard: "orders".to_owned(),
            hash,
            proven_at: now,
            last_running: now,
            images: self.seen.images.clone(),
            no_way_back: Vec::new(),
            settings: BTreeMap::new(),
        });
        if self.proven.len() > KEPT {
            self.proven.remove(0);
        }
    }

    fn open(&mut self, draft: open::Draft, now: Timestamp, outcome: &mut Outcome) {
        self.incidents += 1;
        let by_itself = draft.state == IncidentState::RollingBack;
        outcome.automatic |= by_itself;
        outcome.people |= draft.state == IncidentState::AwaitingDecision;
        self.record.incident = Some(IncidentRef {
            name: format!("orders-{}", self.incidents),
            uid: self.incidents.to_string(),
        });
        let restored = draft.spec.restore_to.iter().map(|to| PlannedStep {
            step: "restore".to_owned(),
            target: Some("Deployment/orders".to_owned()),
            to: Some(to.hash.clone()),
            ..PlannedStep::default()
        });
        let status = draft.status(restored.collect(), &self.policy, now);
        self.case = Some(Open {
            status,
            spec: draft.spec,
        });
    }
}
