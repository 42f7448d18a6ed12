//! One guard in a world of text. A line is one turn:
//!
//! ```text
//! 12m  B~ errors  rollback → RollingBack  …what happened (what is written)
//! ```
//!
//! Time since the beginning; the state that the world shows (a letter for the Deployment, a digit for its ConfigMap where it
//! has one; `!`: no way back from it; `~`: not rolled out); what the judge says: `ok`, `dark` (Unknown), `errors` (automatic), `slow` (for people),
//! `odd` (monitor), `crash` (a hard fact), several with `+`; with `?` it holds but does not fire, with `~` it did when it was
//! last known. Then what people and the API server do: `keep`, `rollback` (`rollback=A`,
//! `rollback/ConfigMap/settings`), `to=A` (a person writes it on the guard), `eta=2h`, `mode=ask`, `hangs` (no answer to the first
//! write), `refuses`, `kill` (and start), `freeze`, `resume`, `abandon`, `allow=B`, `frozen` (an annotation says so), `spent` (the daemon's
//! budget). And what is known beyond the guard: `waits`, `together` (other guards breach too: it
//! waits for one that changed just before, or people decide for all), `helped`, `failed` (that one's proof), `healed` (a tool puts back what it wants), `equal` (old pods are
//! as bad as new ones).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;

use crate::{
    decide::{
        Act, Around, Case, Clocks, Happened, Input, Record, Step, WhyNot,
        by_hand::Wish,
        deadlines, decide,
        fields::Fields,
        open, stages, standing,
        together::{Part, Proof, Role, Together},
    },
    judge::{Facts, Finding, Overall, Status, TriggerVerdict, Verdict, clock::Clock, memory::FACTS, policy::Policy},
    model::{
        freeze::Freeze,
        grade::Scheme,
        guard::{Action, Changed, GuardSpec, GuardStatus, IncidentRef, Mode, TargetRef},
        incident::{
            Decision, Evidence, IncidentSpec, IncidentState, IncidentStatus, JournalEntry, PlannedStep, StateRef, Verb,
        },
        preset::Preset,
        reading::Because,
    },
    observe::{cluster::Proven, managers::Managed, older::Older, seen::Seen},
};

const GUARD: &str = "
targets: [{kind: Deployment, name: orders}]
metrics: {preset: prometheus-http}
triggers:
  - {name: errors, condition: error_rate > 5%, action: automatic_rollback}
  - {name: slow, condition: response_time > 1s, action: alert_and_manual_review}
  - {name: odd, condition: error_rate > 1%, action: monitor}
";

/// Plays the left sides and compares the right sides.
pub fn check(spec: &str, picture: &str) {
    let mut play = Play::with(policy(spec));
    let lines: Vec<&str> = picture.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let told: Vec<String> = lines
        .iter()
        .map(|line| {
            let left = line.split('→').next().unwrap().trim();
            format!("{left:<24} → {}", play.turn(left)).trim_end().to_owned()
        })
        .collect();
    let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let same = lines
        .iter()
        .map(|line| squeezed(line))
        .eq(told.iter().map(|line| squeezed(line)));
    assert!(same, "what came:\n        {}\n", told.join("\n        "));
}

pub fn policy(spec: &str) -> Policy {
    let spec: GuardSpec = serde_saphyr::from_str(&format!("{GUARD}{spec}")).unwrap_or_else(|why| panic!("{why}"));
    Policy::compile("shop", &spec, &Preset::shipped()).unwrap_or_else(|why| panic!("{why:?}"))
}

pub fn at(time: Duration) -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap() + time
}

/// The world as one line shows it: a letter for the template, a digit for the ConfigMap and one for the Secret (`-`: gone).
pub fn seen(text: &str) -> Seen {
    let (hash, rolled_out) = match text.strip_suffix('~') {
        Some(hash) => (hash, Err("1 of 2 pods are updated".to_owned())),
        None => (text, Ok(())),
    };
    let (hash, no_way_back) = match hash.strip_suffix('!') {
        Some(hash) => (hash, vec!["schema 42".to_owned()]),
        None => (hash, Vec::new()),
    };
    let target = |name: &str| name.parse::<TargetRef>().unwrap();
    let mut parts = BTreeMap::from([(target("Deployment/orders"), hash[..1].to_owned())]);
    if hash.len() > 1 {
        parts.insert(target("ConfigMap/settings"), hash[1..2].to_owned());
    }
    let secret = hash.get(2..).filter(|text| !text.is_empty());
    if let Some(content) = secret.filter(|text| *text != "-") {
        parts.insert(target("Secret/db"), content.to_owned());
    }
    Seen {
        hash: hash.to_owned(),
        images: Vec::new(),
        parts,
        rolled_out,
        whole_since: None,
        facts: Facts::default(),
        shared: Vec::new(),
        gone: secret
            .filter(|text| *text == "-")
            .map(|_| target("Secret/db"))
            .into_iter()
            .collect(),
        keeps_pods: None,
        left_out: BTreeMap::new(),
        no_way_back,
        managed: Vec::new(),
    }
}

/// What its objects hold: one field each, which is its content.
fn fields(seen: &Seen) -> Fields {
    let parts = seen.parts.iter();
    parts
        .map(|(target, content)| (target.clone(), BTreeSet::from([content.clone()])))
        .collect()
}

/// What the judge says in that word.
pub fn verdict(text: &str, policy: &Policy, now: Timestamp) -> Verdict {
    let words: Vec<&str> = text.split('+').collect();
    let status = |name: &str| {
        let (suspect, chance, unknown) = (format!("{name}?"), format!("{name}%"), format!("{name}~"));
        if words.contains(&name) {
            Status::Firing { since: now }
        } else if words.contains(&suspect.as_str()) || words.contains(&chance.as_str()) {
            let (held, why_not) = (Duration::from_secs(5), "for 5s of 10s".to_owned());
            Status::Suspect {
                since: now,
                held,
                why_not,
            }
        } else if text == "dark" || words.contains(&unknown.as_str()) {
            Status::Unknown(Because::NoData)
        } else {
            Status::Quiet
        }
    };
    let triggers: Vec<TriggerVerdict> = policy
        .triggers
        .iter()
        .map(|rule| TriggerVerdict {
            status: status(&rule.name),
            held: Duration::from_secs(u64::from(words.contains(&format!("{}~", rule.name).as_str()))),
            sentence: String::new(),
            surely: false,
            by_chance: words.contains(&format!("{}%", rule.name).as_str()),
        })
        .collect();
    let actions = policy
        .triggers
        .iter()
        .map(|rule| (rule.name.as_str(), rule.action, false));
    let known = actions.chain([("crash", Action::AutomaticRollback, true)]);
    let firing: Vec<Finding> = known
        .filter(|(name, ..)| words.contains(name))
        .map(|(name, action, hard_fact)| {
            let name = if hard_fact { FACTS[0] } else { name };
            let grade = policy.scheme.default_for(action).unwrap().name.clone();
            Finding {
                name: name.to_owned(),
                action,
                rank: policy.scheme.rank(&grade),
                grade,
                hard_fact,
                evidence: Evidence {
                    name: name.to_owned(),
                    sentence: name.to_owned(),
                    since: Some(now),
                    ..Evidence::default()
                },
            }
        })
        .collect();
    let overall = match text {
        "ok" => Overall::Healthy,
        _ if text == "dark" || text.ends_with('~') => Overall::Unknown {
            because: Because::NoData,
        },
        _ => Overall::Breached,
    };
    Verdict {
        overall,
        triggers,
        signals: Vec::new(),
        firing,
        names: policy.names.clone(),
    }
}

/// What is known beyond the guard, in these words.
pub fn around(words: &[&str]) -> Around {
    let guard = |name: &str| ("shop".to_owned(), name.to_owned());
    let together = |acts_on| Together {
        guards: ["db", "orders", "web"].map(guard).to_vec(),
        acts_on,
        changed: 1,
        told: false,
    };
    let part = |role, acts_on| Part {
        together: together(acts_on).into(),
        role,
        speaks: false,
    };
    let has = |word| words.contains(&word);
    let common = if has("waits") {
        Some(part(Role::Waits, vec![guard("db")]))
    } else {
        has("together").then(|| part(Role::People, Vec::new()))
    };
    let sentence = "it is not this change: old and new pods are equally bad".to_owned();
    Around {
        common,
        proof: if has("helped") {
            Some(Proof::Helped)
        } else {
            has("failed").then_some(Proof::Failed)
        },
        not_this_change: has("equal")
            .then(|| ("errors".to_owned(), sentence))
            .into_iter()
            .collect(),
    }
}

/// `to=A`, in part `to=A/Deployment/orders`; taken down from one line to the next.
fn wish(word: &str) -> Option<Wish> {
    let (to, only) = match word.strip_prefix("to=")?.split_once('/') {
        Some((to, only)) => (to, vec![only.to_owned()]),
        None => (word.strip_prefix("to=")?, Vec::new()),
    };
    Some(Wish {
        to: to.to_owned(),
        only,
        by: Some("sam".to_owned()),
        reason: None,
    })
}

/// What stands in an annotation while the word does.
fn frozen(words: &[&str]) -> Option<Freeze> {
    words.contains(&"frozen").then(|| Freeze {
        of: "Namespace/shop".to_owned(),
        until: None,
        illegible: None,
        by: Some("ann".to_owned()),
        reason: None,
    })
}

/// A content that is put back, as the one field of its object.
fn changed(target: &TargetRef, content: &str) -> Changed {
    Changed {
        target: target.to_string(),
        field: format!("content {content}"),
        digest: content.to_owned(),
    }
}

/// One line.
struct Turn<'a> {
    now: Timestamp,
    seen: Seen,
    verdict: Verdict,
    words: Vec<&'a str>,
}

struct Open {
    name: String,
    spec: IncidentSpec,
    status: IncidentStatus,
}

/// One guard, and a cluster that obeys.
pub struct Play {
    policy: Policy,
    record: Record,
    case: Option<Open>,
    proven: Vec<Proven>,
    quiet: BTreeMap<String, Clock>,
    all_quiet: Clock,
    healthy: Clock,
    incidents: u32,
}

impl Play {
    pub fn with(policy: Policy) -> Self {
        Self {
            policy,
            record: Record::default(),
            case: None,
            proven: Vec::new(),
            quiet: BTreeMap::new(),
            all_quiet: Clock::default(),
            healthy: Clock::default(),
            incidents: 0,
        }
    }

    /// One turn; gives its state and what happened.
    pub fn turn(&mut self, left: &str) -> String {
        let mut words = left.split_whitespace();
        let now = at(humantime::parse_duration(words.next().unwrap()).unwrap());
        let mut seen = seen(words.next().unwrap());
        let verdict_text = words.next().unwrap();
        let words: Vec<&str> = words.collect();
        words.iter().for_each(|word| self.people(word));
        if words.contains(&"healed") {
            let words = "Argo CD heals it".to_owned();
            seen.managed.push(Managed { words, heals: true }.into());
        }
        let verdict = verdict(verdict_text, &self.policy, now);
        let turn = Turn {
            now,
            seen,
            verdict,
            words,
        };
        self.keep_time(&turn);
        let mut told = Vec::new();
        for _ in 0..4 {
            if !self.decide(&turn, &mut told) {
                break;
            }
        }
        let case = self.case.as_ref().map(|open| &open.status);
        let state = standing::state(&self.record, case, &turn.verdict, &self.policy, now);
        let state = format!("{:?}", standing::written(state, &self.record, &self.policy, now));
        format!("{state:<17} {}", told.join(" | "))
    }

    fn people(&mut self, word: &str) {
        let chosen = word.strip_prefix("rollback");
        let verb = match word {
            "keep" => Some(Verb::Keep),
            _ if chosen.is_some() => Some(Verb::Rollback),
            "freeze" => Some(Verb::Freeze),
            "resume" => Some(Verb::Resume),
            "done" => Some(Verb::Done),
            "abandon" => Some(Verb::Abandon),
            _ => None,
        };
        let (to, only) = match chosen.and_then(|chosen| chosen.split_once('/')) {
            Some((to, only)) => (to.strip_prefix('='), Some(only)),
            None => (chosen.and_then(|to| to.strip_prefix('=')), None),
        };
        if let (Some(verb), Some(open)) = (verb, self.case.as_mut()) {
            let again = open.status.decided.is_some().then(|| "once more".to_owned());
            open.spec.decision = Some(Decision {
                verb: Some(verb),
                by: Some("sam".into()),
                reason: again,
                at: None,
                to: to.map(str::to_owned),
                only: only.map(str::to_owned).into_iter().collect(),
                fix_eta: open.spec.decision.as_ref().and_then(|earlier| earlier.fix_eta),
            });
        }
        if let (Some(eta), Some(open)) = (word.strip_prefix("eta="), self.case.as_mut()) {
            let decision = open.spec.decision.get_or_insert_default();
            decision.fix_eta = Some(eta.parse().unwrap());
        }
        if let Some(mode) = word.strip_prefix("mode=") {
            self.policy.mode = match mode {
                "observe" => Mode::Observe,
                "ask" => Mode::Ask,
                _ => Mode::Enforce,
            };
        }
        if word == "kill" {
            self.begin();
            self.read_again();
        }
    }

    /// What a new daemon knows is what the old one wrote.
    fn read_again(&mut self) {
        let written = serde_json::to_value(&*self.record).unwrap();
        let status: GuardStatus = serde_json::from_value(written).unwrap();
        self.record = status.into();
        if let Some(open) = &mut self.case {
            open.status = serde_json::from_value(serde_json::to_value(&open.status).unwrap()).unwrap();
        }
    }

    /// What modosu says of the guard.
    pub fn record(&self) -> &GuardStatus {
        &self.record
    }

    /// The open incident's status.
    pub fn status(&self) -> Option<&IncidentStatus> {
        self.case.as_ref().map(|open| &open.status)
    }

    fn begin(&mut self) {
        self.quiet.clear();
        self.all_quiet.reset();
        self.healthy.reset();
    }

    /// As the judge does: time counts between two readings that say the same.
    fn keep_time(&mut self, turn: &Turn) {
        let Turn { verdict, seen, now, .. } = turn;
        let facts = FACTS.map(|fact| (fact, Some(verdict.firing.iter().any(|f| f.name == fact))));
        let triggers = verdict.named_triggers().map(|(name, trigger)| {
            let held = match trigger.status {
                Status::Quiet | Status::NotArmed(_) => Some(false),
                Status::Suspect { .. } | Status::Firing { .. } => Some(true),
                Status::Unknown(_) => None,
            };
            (name.as_str(), held)
        });
        for (name, held) in triggers.chain(facts) {
            keep(self.quiet.entry(name.to_owned()).or_default(), held, *now);
        }
        let bad = match verdict.overall {
            Overall::Healthy => Some(false),
            Overall::Breached => Some(true),
            Overall::Unknown { .. } => None,
        };
        keep(&mut self.all_quiet, bad, *now);
        keep(
            &mut self.healthy,
            bad.filter(|bad| *bad || seen.rolled_out.is_ok()),
            *now,
        );
    }

    fn decide(&mut self, turn: &Turn, told: &mut Vec<String>) -> bool {
        let healthy = self.healthy.total();
        let clocks = Clocks {
            given: BTreeMap::new(),
            healthy,
            requests: Some(healthy.as_secs()),
            quiet: self.all_quiet.total(),
            quiet_by: self
                .quiet
                .iter()
                .map(|(name, clock)| (name.clone(), clock.total()))
                .collect(),
            baseline: (healthy >= Duration::from_secs(300)).then(BTreeMap::new),
            counts: BTreeMap::new(),
            unmet: None,
            verified: true,
            harm: None,
            blind: Duration::ZERO,
        };
        let around = around(&turn.words);
        let own = self.case.as_ref().and_then(|open| open.status.freeze.clone());
        let wish = turn.words.iter().find_map(|word| wish(word));
        let freeze = Freeze::longest(frozen(&turn.words).into_iter().chain(own), turn.now);
        let fields = fields(&turn.seen);
        let older = [Older {
            target: "Deployment/orders".parse().unwrap(),
            name: "orders-z9z9".to_owned(),
            hash: "z9z9".to_owned(),
        }];
        let input = Input {
            guard: "shop/orders",
            fields: Some(&fields),
            older: &older,
            wish: wish.as_ref(),
            allow: turn.words.iter().find_map(|word| word.strip_prefix("allow=")),
            now: turn.now,
            policy: &self.policy,
            cap: Mode::Enforce,
            record: &self.record,
            seen: &turn.seen,
            verdict: &turn.verdict,
            clocks: &clocks,
            proven: &self.proven,
            case: self.case.as_ref().map(|open| Case {
                name: &open.name,
                spec: &open.spec,
                status: &open.status,
            }),
            around: &around,
            freeze: freeze.as_ref(),
            over_budget: turn
                .words
                .contains(&"spent")
                .then_some("10 rollbacks began within the hour"),
        };
        let step = decide(&input);
        super::sequences::safe(&input, &step);
        let events = step
            .happened
            .iter()
            .filter(|happened| !matches!(happened, Happened::BaselineTaken { .. }));
        told.extend(events.map(ToString::to_string));
        self.carry_out(step, turn, told)
    }

    fn carry_out(&mut self, step: Step, turn: &Turn, told: &mut Vec<String>) -> bool {
        let now = turn.now;
        self.record = step.record;
        if let (Some(open), Some(status)) = (self.case.as_mut(), step.case) {
            open.status = status;
        }
        let mut again = false;
        for act in step.actions {
            match act {
                Act::Begin { .. } => {
                    self.begin();
                    self.keep_time(turn);
                }
                Act::Prove { hash } => {
                    let name = format!("orders-{hash}");
                    let (guard, images) = ("orders".to_owned(), Vec::new());
                    let mut settings = seen(&hash).parts;
                    settings.retain(|target, _| !target.kind.is_workload());
                    self.proven.push(Proven {
                        name,
                        guard,
                        hash,
                        proven_at: now,
                        last_running: now,
                        images,
                        no_way_back: turn.seen.no_way_back.clone(),
                        settings,
                    });
                    again = true;
                }
                Act::Touch { name } => {
                    let mut states = self.proven.iter_mut();
                    states.find(|state| state.name == name).unwrap().last_running = now;
                }
                Act::Open(draft) => {
                    self.open(*draft, turn, told);
                    again = true;
                }
                Act::Run => again |= self.run(turn, told),
            }
        }
        if self.record.incident.is_none() {
            self.case = None;
        }
        again
    }

    /// As the act stage does: a plan from what is there, the evidence, its status.
    fn open(&mut self, mut draft: open::Draft, turn: &Turn, told: &mut Vec<String>) {
        let only = draft.spec.decision.as_ref().map_or(&[][..], |wish| &wish.only);
        let plan = self.plan(draft.spec.restore_to.as_ref(), only, &turn.seen);
        if plan.is_empty() && draft.state == IncidentState::RollingBack {
            draft.state = IncidentState::AwaitingDecision;
            draft.why = Some(WhyNot::NothingToPutBack);
        }
        told.push(open::opened(&draft).to_string());
        self.incidents += 1;
        let name = format!("orders-{}", self.incidents);
        self.record.incident = Some(IncidentRef {
            name: name.clone(),
            uid: name.clone(),
        });
        self.case = Some(Open {
            name,
            status: draft.status(plan, &self.policy, turn.now),
            spec: draft.spec,
        });
    }

    fn plan(&self, to: Option<&StateRef>, only: &[String], seen: &Seen) -> Vec<PlannedStep> {
        if !self.policy.stages.is_empty() {
            return self.staged(to, seen);
        }
        let wanted = |word: fn(&crate::model::guard::Step) -> bool| self.policy.steps.iter().any(word);
        let (step, goal) = match to {
            _ if wanted(|step| step.set_env.is_some()) => ("setEnv", "S"),
            Some(to) => ("restore", to.hash.as_str()),
            None => return Vec::new(),
        };
        let parts = self::seen(goal).parts;
        let differs = parts
            .iter()
            .filter(|(target, hash)| seen.parts.get(*target) != Some(*hash))
            .filter(|(target, _)| only.is_empty() || only.contains(&target.to_string()));
        differs
            .map(|(target, to)| PlannedStep {
                step: step.to_owned(),
                target: Some(target.to_string()),
                from: seen.parts.get(target).cloned(),
                to: Some(to.clone()),
                changed: seen
                    .parts
                    .get(target)
                    .map(|bad| changed(target, bad))
                    .into_iter()
                    .collect(),
                ..PlannedStep::default()
            })
            .collect()
    }

    /// One step for each stage, on what the one before it leaves.
    fn staged(&self, to: Option<&StateRef>, seen: &Seen) -> Vec<PlannedStep> {
        let Some(to) = to else { return Vec::new() };
        let mut from = seen.hash[..1].to_owned();
        let steps = self.policy.stages.iter().filter_map(|(stage, _)| {
            let (step, goal) = match &stage.steps[0] {
                step if step.set_env.is_some() => ("setEnv", "S"),
                _ => ("restore", &to.hash[..1]),
            };
            let from = std::mem::replace(&mut from, goal.to_owned());
            (from != goal).then(|| PlannedStep {
                step: step.to_owned(),
                stage: Some(stage.name.clone()),
                target: Some("Deployment/orders".to_owned()),
                from: Some(from),
                to: Some(goal.to_owned()),
                ..PlannedStep::default()
            })
        });
        steps.collect()
    }

    /// Writes what the plan says, as far as the API server lets it.
    fn run(&mut self, turn: &Turn, told: &mut Vec<String>) -> bool {
        let case = self.case.as_ref().unwrap();
        let made = self.plan(case.status.goal(&case.spec), &case.status.only, &turn.seen);
        let status = &mut self.case.as_mut().unwrap().status;
        if status.plan.is_empty() {
            status.plan = made;
        }
        let (hangs, refuses) = (turn.words.contains(&"hangs"), turn.words.contains(&"refuses"));
        if stages::is_idle(status) {
            return self.goes_on(stages::skip, turn, told);
        }
        let present: Vec<usize> = status.present_places().collect();
        let steps = status.plan.clone().into_iter().enumerate();
        for (index, step) in steps.filter(|(index, _)| present.contains(index)) {
            let seq = status.plan_from + u32::try_from(index).unwrap() + 1;
            let empty = JournalEntry {
                seq,
                at: turn.now,
                intent: None,
                receipt: None,
                target: step.target.clone(),
                resource_version: None,
                note: None,
            };
            let has = |part: fn(&JournalEntry) -> bool| status.journal.iter().any(|e| e.seq == seq && part(e));
            if has(|entry| entry.receipt.is_some()) {
                continue;
            }
            if !has(|entry| entry.intent.is_some()) {
                status.journal.push(JournalEntry {
                    intent: Some(step.step.clone()),
                    ..empty.clone()
                });
            }
            if hangs {
                return false;
            }
            let word = if refuses { "failed" } else { "done" };
            status.journal.push(JournalEntry {
                receipt: Some(word.to_owned()),
                ..empty
            });
            if refuses {
                let refused =
                    |status: &mut _, scheme: &_, now| stages::failed(status, scheme, now, "refused".to_owned());
                return self.goes_on(refused, turn, told);
            }
            told.push(format!(
                "({} {} := {})",
                step.step,
                step.target.unwrap(),
                step.to.unwrap()
            ));
        }
        status.state = Some(IncidentState::Verifying);
        true
    }

    /// As the act stage does: the next stage follows, or people take over.
    fn goes_on(
        &mut self,
        over: impl FnOnce(&mut IncidentStatus, &Scheme, Timestamp) -> Result<Vec<Happened>, String>,
        turn: &Turn,
        told: &mut Vec<String>,
    ) -> bool {
        let status = &mut self.case.as_mut().unwrap().status;
        match over(status, &self.policy.scheme, turn.now) {
            Ok(news) => told.extend(news.iter().map(ToString::to_string)),
            Err(because) => {
                told.push(Happened::Escalated { because }.to_string());
                status.state = Some(IncidentState::Escalated);
                deadlines::ask(status, &self.policy.scheme, turn.now);
            }
        }
        true
    }
}

fn keep(clock: &mut Clock, holds: Option<bool>, now: Timestamp) {
    match holds {
        Some(false) => clock.advance(now),
        Some(true) => clock.reset(),
        None => clock.stop(),
    }
}
