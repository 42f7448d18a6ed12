//! Pure. A plan in stages: each has its own clock and proof, and where it says so a person begins it. The first one that proves
//! recovery mitigates the incident; whether it helped or not, the next one follows.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::{fmt, time::Duration};

use jiff::Timestamp;

use super::{Act, Case, Happened, Input, Step, asking, between, deadlines, progress, recovered::recover};
use crate::{
    judge::policy::Policy,
    model::{
        grade::Scheme,
        incident::{IncidentState, IncidentStatus, PlannedStage, PlannedStep, StageState},
    },
    verify,
};

/// What happened to a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StageNews {
    /// It begins, behind the one before or because a person decided so.
    Begins {
        stage: String,
    },
    /// A person of that role is asked to begin it.
    Asked {
        stage: String,
        role: String,
    },
    /// It proved recovery, the first one to do so.
    Mitigated {
        stage: String,
    },
    /// It proved recovery once more.
    Proven {
        stage: String,
    },
    Failed {
        stage: String,
        because: String,
    },
}

impl StageNews {
    /// The Event's reason, CamelCase.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Begins { .. } => "StageBegun",
            Self::Asked { .. } => "StageAsked",
            Self::Mitigated { .. } => "Mitigated",
            Self::Proven { .. } => "StageProven",
            Self::Failed { .. } => "StageFailed",
        }
    }

    /// Whether the Event is a Warning.
    pub const fn warns(&self) -> bool {
        match self {
            Self::Begins { .. } | Self::Asked { .. } | Self::Failed { .. } => true,
            Self::Mitigated { .. } | Self::Proven { .. } => false,
        }
    }
}

impl fmt::Display for StageNews {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begins { stage } => write!(f, "stage {stage} begins"),
            Self::Asked { stage, role } => write!(
                f,
                "stage {stage} waits for {role}: it begins when somebody decides `rollback`"
            ),
            Self::Mitigated { stage } => write!(f, "mitigated by {stage}"),
            Self::Proven { stage } => write!(f, "stage {stage} is proven"),
            Self::Failed { stage, because } => write!(f, "stage {stage} did not help: {because}"),
        }
    }
}

/// The stages of a guard as they are recorded with a plan: none has begun.
pub fn planned(policy: &Policy) -> Vec<PlannedStage> {
    let stages = policy.stages.iter().map(|(stage, _)| PlannedStage {
        name: stage.name.clone(),
        state: StageState::NotBegun,
        within: stage.within,
        ask: stage.ask.clone(),
        asked_at: None,
        since: None,
        ended_at: None,
        because: None,
    });
    stages.collect()
}

/// The stages of an incident that is opened.
pub fn opened(policy: &Policy, state: IncidentState, now: Timestamp) -> Vec<PlannedStage> {
    let mut status = IncidentStatus {
        stages: planned(policy),
        ..IncidentStatus::default()
    };
    if state == IncidentState::RollingBack {
        begin(&mut status, now);
    }
    status.stages
}

/// Its clock runs from now on.
pub fn begin(status: &mut IncidentStatus, now: Timestamp) {
    if let Some(stage) = status.stage_mut() {
        stage.state = StageState::Running;
        stage.since = Some(now);
    }
}

/// The role that begins the plan's first stage, where modosu may not.
pub fn first_asks(policy: &Policy) -> Option<(String, String)> {
    let (first, _) = policy.stages.first()?;
    Some((first.name.clone(), first.ask.clone()?))
}

/// Whether a person is asked to begin the next stage.
pub fn waits(status: &IncidentStatus) -> bool {
    status.stage().is_some_and(|stage| stage.state == StageState::Asked)
}

/// People are asked for a stage: it hurts less, or not at all, but nobody but them goes on.
pub fn awaiting(input: &Input, case: Case, status: &mut IncidentStatus, step: &mut Step) {
    if progress::rolled_out_after_all(input, case, status, step) {
        return;
    }
    let begun = status.stages.iter().rfind(|stage| stage.since.is_some());
    let late = begun.filter(|_| status.mitigated_at.is_none() && status.rolled_out_at.is_some());
    if let Some(stage) = late.filter(|_| verify::proven(input.clocks, input.policy)) {
        let (stage, waits) = (stage.name.clone(), status.reason.clone());
        status.mitigated_at = Some(input.now);
        tell(StageNews::Mitigated { stage }, status, input.now, &mut step.happened);
        status.reason = format!("{}; {waits}", status.reason);
    }
}

/// A person begins the stage that they were asked for.
pub fn go(input: &Input, status: &mut IncidentStatus, step: &mut Step) {
    asking::back_to_grade(status, &input.policy.scheme);
    runs(status, input.now, &mut step.happened);
    step.actions.push(Act::Run);
}

/// The present stage is proven: the next one follows, or it is over.
pub fn helped(input: &Input, case: Case, status: &mut IncidentStatus, step: &mut Step) {
    let Some(stage) = end(status, StageState::Proven, None, input.now) else {
        recover(input, case, status, step);
        return;
    };
    let news = match status.mitigated_at {
        None => StageNews::Mitigated { stage },
        Some(_) => StageNews::Proven { stage },
    };
    status.mitigated_at.get_or_insert(input.now);
    // What follows runs from the next turn on, which looks first whether it may.
    if !next(status, &input.policy.scheme, input.now, &mut step.happened, &news) {
        recover(input, case, status, step);
    }
}

/// The present stage did not help: the next one follows. Gives what happened; or why it is for people, where there is none.
pub fn failed(
    status: &mut IncidentStatus,
    scheme: &Scheme,
    now: Timestamp,
    because: String,
) -> Result<Vec<Happened>, String> {
    asking::over(status, scheme);
    let because_of = Some(because.clone());
    let Some(stage) = end(status, StageState::Failed, because_of, now) else {
        return Err(because);
    };
    let news = StageNews::Failed { stage, because };
    let mut happened = Vec::new();
    if next(status, scheme, now, &mut happened, &news) {
        Ok(happened)
    } else {
        Err(told(status))
    }
}

/// There is nothing for the present stage to do: the next one follows.
pub fn skip(status: &mut IncidentStatus, scheme: &Scheme, now: Timestamp) -> Result<Vec<Happened>, String> {
    end(status, StageState::Skipped, None, now);
    let mut happened = Vec::new();
    if follow(status, scheme, now, &mut happened) {
        Ok(happened)
    } else {
        Err(told(status))
    }
}

/// Whether the present stage would change nothing and asks nobody: waiting for it to help would be in vain.
pub fn is_idle(status: &IncidentStatus) -> bool {
    let idle = |step: &PlannedStep| match step.target {
        Some(_) => step.from == step.to && step.restart.is_none(),
        None => step.step == "waitReady",
    };
    status.stage().is_some()
        && status
            .present_places()
            .filter_map(|place| status.plan.get(place))
            .all(idle)
}

/// Whether a stage did not help, or did not end, after another one mitigated it: that it is quiet does not do what that stage was
/// to do.
pub fn is_left(status: &IncidentStatus) -> bool {
    let mut failed = status.stages.iter().filter(|stage| stage.state == StageState::Failed);
    let undone = status.stage().is_some() || failed.any(|stage| stage.ended_at > status.mitigated_at);
    status.mitigated_at.is_some() && undone
}

/// What each stage did, for people.
pub fn told(status: &IncidentStatus) -> String {
    let mitigated = status.mitigated_at.map(|at| format!("mitigated at {at:.0}"));
    let each = status.stages.iter().filter_map(|stage| {
        let name = &stage.name;
        match stage.state {
            StageState::NotBegun | StageState::Asked | StageState::Running => {
                Some(format!("stage {name} was not ended"))
            }
            StageState::Proven => Some(format!("stage {name} helped")),
            StageState::Failed => Some(did_not_help(stage)),
            StageState::Skipped => None,
        }
    });
    mitigated.into_iter().chain(each).collect::<Vec<_>>().join("; ")
}

/// Why it is left to people, and what each stage did by then.
pub fn with_story(status: &IncidentStatus, because: String) -> String {
    let stopped = status.stages.iter().any(|stage| stage.since.is_some()) && status.stage().is_some();
    if stopped {
        format!("{because}; {}", told(status))
    } else {
        because
    }
}

/// What was not proven, where the plan went on over it.
pub fn unproven(status: &IncidentStatus) -> Vec<String> {
    let failed = status.stages.iter().filter(|stage| stage.state == StageState::Failed);
    failed.map(did_not_help).collect()
}

fn did_not_help(stage: &PlannedStage) -> String {
    let because = stage.because.clone().unwrap_or_default();
    StageNews::Failed {
        stage: stage.name.clone(),
        because,
    }
    .to_string()
}

/// The plan's deadline: `within` from the first bad reading, or from the beginning of its present stage; without the time spent
/// waiting for people.
pub fn deadline(within: Duration, case: Case, status: &IncidentStatus, now: Timestamp) -> Timestamp {
    if let Some((stage, since)) = status.stage().and_then(|stage| Some((stage, stage.since?))) {
        let time = stage.within.0.saturating_add(asking::waited_since(status, since, now));
        return since.checked_add(time).unwrap_or(Timestamp::MAX);
    }
    let acting = status.acting_since.unwrap_or(case.spec.opened_at);
    let waited = between(case.spec.opened_at, acting);
    case.spec.first_bad_at + within + waited + asking::waited(status, now)
}

/// How long people were waited for to begin stages.
pub fn waited(status: &IncidentStatus, now: Timestamp) -> Duration {
    let asked = status
        .stages
        .iter()
        .filter_map(|stage| Some((stage.asked_at?, stage.since.or(stage.ended_at))));
    asked.map(|(asked, until)| between(asked, until.unwrap_or(now))).sum()
}

/// Ends the present stage. Gives its name.
fn end(status: &mut IncidentStatus, state: StageState, because: Option<String>, now: Timestamp) -> Option<String> {
    let stage = status.stage_mut()?;
    (stage.state, stage.ended_at, stage.because) = (state, Some(now), because);
    Some(stage.name.clone())
}

/// Tells of a stage that ended, and what follows it. Gives whether anything does.
fn next(
    status: &mut IncidentStatus,
    scheme: &Scheme,
    now: Timestamp,
    happened: &mut Vec<Happened>,
    news: &StageNews,
) -> bool {
    tell(news.clone(), status, now, happened);
    follow(status, scheme, now, happened)
}

/// The next stage begins, or a person is asked to begin it. Gives whether there is one.
fn follow(status: &mut IncidentStatus, scheme: &Scheme, now: Timestamp, happened: &mut Vec<Happened>) -> bool {
    while is_idle(status) {
        end(status, StageState::Skipped, None, now);
    }
    let Some(stage) = status.stage_mut() else { return false };
    let (name, within) = (stage.name.clone(), stage.within.0);
    let Some(role) = stage.ask.clone() else {
        runs(status, now, happened);
        return true;
    };
    (stage.state, stage.asked_at) = (StageState::Asked, Some(now));
    status.state = Some(IncidentState::AwaitingDecision);
    deadlines::ask(status, scheme, now);
    // Whoever is asked has the stage's own time; then the chain of the grade is asked.
    deadlines::decide_within(status, now, within);
    status.decider = Some(role.clone());
    tell(StageNews::Asked { stage: name, role }, status, now, happened);
    true
}

fn runs(status: &mut IncidentStatus, now: Timestamp, happened: &mut Vec<Happened>) {
    begin(status, now);
    status.state = Some(IncidentState::RollingBack);
    status.rolled_out_at = None;
    let name = status.stage().map(|stage| stage.name.clone());
    if let Some(stage) = name {
        tell(StageNews::Begins { stage }, status, now, happened);
    }
}

/// Into the journal, the reason and an Event. What was reached by then stands in the reason, too.
fn tell(news: StageNews, status: &mut IncidentStatus, now: Timestamp, happened: &mut Vec<Happened>) {
    deadlines::note(status, now, news.to_string());
    let by = status.stages.iter().find(|stage| stage.state == StageState::Proven);
    let mitigated = by.map(|stage| format!("mitigated by {}; ", stage.name));
    status.reason = match &news {
        StageNews::Begins { .. } | StageNews::Asked { .. } => format!("{}{news}", mitigated.unwrap_or_default()),
        StageNews::Mitigated { .. } | StageNews::Proven { .. } | StageNews::Failed { .. } => news.to_string(),
    };
    happened.push(Happened::Stage(news));
}
