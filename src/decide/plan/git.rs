//! Pure. A change of a repository as a step of a plan: the commits that it is about are recorded, so that nothing is left to
//! choose when it runs.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    model::{
        content::{COMMIT, Contents, short_hash},
        guard::{
            GitChange, Step,
            git::{MERGE_OF_CHANGE, RANGE_OF_CHANGE, is_commit, range},
        },
        incident::PlannedStep,
    },
    report::mask::mask_line,
};

/// The step's name.
pub const GIT: &str = "git";

/// The newest commits of branches that paths are taken from, by repository and branch; or why they are not known.
pub type Tips = BTreeMap<(String, String), Result<String, String>>;

/// What the commits of a step are known by.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub tips: Tips,
    /// What an earlier plan of the same incident recorded, by the place of the step.
    pub recorded: BTreeMap<usize, Option<String>>,
}

impl Known {
    /// What a plan recorded for steps that are still asked for.
    pub fn of_plan(plan: &[PlannedStep], steps: &[Step]) -> BTreeMap<usize, Option<String>> {
        let recorded = plan.iter().filter(|planned| planned.step == GIT).filter_map(|planned| {
            let place = usize::try_from(planned.index?).ok()?;
            let asked = steps.get(place)?.git.as_ref()?;
            is_as_planned(asked, planned).then(|| (place, planned.commits.clone()))
        });
        recorded.collect()
    }
}

/// Where its commits cannot be known it is planned all the same, and fails when its time comes: what is put back in the cluster
/// does not wait for a repository.
pub fn git(
    asked: &GitChange,
    place: usize,
    known: &Known,
    current: &Contents,
    snapshot: Option<&Contents>,
) -> PlannedStep {
    // A branch moves on, what was built does not. Only where that shows no more, because part of it is put back already, what
    // was recorded counts.
    let recorded = known.recorded.get(&place).cloned();
    let recorded =
        recorded.map(|commits| commits.ok_or_else(|| "it was not known when the plan was made first".to_owned()));
    let commits = match (recorded, &asked.checkout) {
        (Some(recorded), Some(_)) => recorded,
        (recorded, _) => commits(asked, &known.tips, current, snapshot).or_else(|why| recorded.unwrap_or(Err(why))),
    };
    PlannedStep {
        step: GIT.to_owned(),
        to: Some(hash(asked, commits.as_deref().ok())),
        diff: Some(match &commits {
            Ok(commits) => words(asked, commits),
            Err(why) => format!("cannot be done: {why}"),
        }),
        commits: commits.ok(),
        ..PlannedStep::default()
    }
}

/// Whether it is still the change that was planned.
pub fn is_as_planned(asked: &GitChange, planned: &PlannedStep) -> bool {
    planned.to == Some(hash(asked, planned.commits.as_deref()))
}

fn hash(asked: &GitChange, commits: Option<&str>) -> String {
    short_hash(&serde_json::to_string(&(asked, commits)).unwrap_or_default())
}

/// `reverts 1a2b3c4d5e6f on main of https://…`.
pub fn words(asked: &GitChange, commits: &str) -> String {
    let (branch, repository) = (&asked.branch, mask_line(&asked.repository));
    let commits = short(commits);
    match (asked.revert.as_deref(), &asked.checkout) {
        (Some(MERGE_OF_CHANGE), _) => {
            format!("reverts the merge that brought {commits} into {branch} of {repository}")
        }
        (_, Some(checkout)) => format!(
            "puts {} of {branch} of {repository} back to {} ({commits})",
            mask_line(&checkout.path),
            short(&checkout.from)
        ),
        (_, None) => format!("reverts {commits} on {branch} of {repository}"),
    }
}

/// Hashes as people read them.
pub fn short(commits: &str) -> String {
    let cut = |hash: &str| match hash.get(..12) {
        Some(begin) if is_commit(hash) => begin.to_owned(),
        Some(_) | None => hash.to_owned(),
    };
    range(commits).map_or_else(|| cut(commits), |(from, to)| format!("{}..{}", cut(from), cut(to)))
}

fn commits(asked: &GitChange, tips: &Tips, current: &Contents, snapshot: Option<&Contents>) -> Result<String, String> {
    if let Some(checkout) = &asked.checkout {
        if is_commit(&checkout.from) {
            return Ok(checkout.from.clone());
        }
        let tip = tips.get(&(asked.repository.clone(), checkout.from.clone()));
        return tip
            .cloned()
            .unwrap_or_else(|| Err(format!("branch {} was not read yet", checkout.from)));
    }
    match asked.revert.as_deref() {
        Some(MERGE_OF_CHANGE) => {
            let bad = built_from(current)?;
            // Else nothing of this change stands in the repository.
            let proven = snapshot.map(built_from).and_then(Result::ok);
            if proven.as_ref() == Some(&bad) {
                return Err(format!(
                    "what runs and the proven state were both built from {}",
                    short(&bad)
                ));
            }
            Ok(bad)
        }
        Some(RANGE_OF_CHANGE) => {
            let bad = built_from(current)?;
            let proven = built_from(snapshot.ok_or("there is no proven state to go back to")?)?;
            if proven == bad {
                return Err(format!(
                    "what runs and the proven state were both built from {}",
                    short(&bad)
                ));
            }
            Ok(format!("{proven}..{bad}"))
        }
        Some(written) => Ok(written.to_owned()),
        None => Err("the guard names neither revert nor checkout".to_owned()),
    }
}

/// The one commit that a state's pod templates name.
pub fn built_from(contents: &Contents) -> Result<String, String> {
    let notes = |template: &Value| {
        let note = template.pointer("/metadata/annotations")?.get(COMMIT)?;
        note.as_str().map(str::to_owned)
    };
    let workloads = contents.iter().filter(|(target, _)| target.kind.is_workload());
    let named: BTreeSet<String> = workloads.filter_map(|(_, content)| notes(&content.0)).collect();
    let mut named = named.into_iter();
    match (named.next(), named.next()) {
        (Some(commit), None) if is_commit(&commit) => Ok(commit),
        (Some(odd), None) => Err(format!("`{COMMIT}: {odd}` is not the whole hash of a commit")),
        (Some(_), Some(_)) => Err(format!("the pod templates name several commits in `{COMMIT}`")),
        (None, _) => Err(format!("no pod template names its commit in `{COMMIT}`")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{content::Content, guard::Checkout};

    const BAD: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    const GOOD: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn state(commit: &str) -> Contents {
        let template = json!({"metadata": {"annotations": {COMMIT: commit}}});
        Contents::from([("Deployment/orders".parse().unwrap(), Content(template))])
    }

    fn revert(what: &str) -> GitChange {
        GitChange {
            repository: "https://git.example.com/orders.git".into(),
            branch: "main".into(),
            revert: Some(what.into()),
            checkout: None,
        }
    }

    fn path() -> GitChange {
        let checkout = Checkout {
            path: "config".into(),
            from: "legacy".into(),
        };
        GitChange {
            revert: None,
            checkout: Some(checkout),
            ..revert("")
        }
    }

    fn planned(asked: &GitChange, known: &Known) -> PlannedStep {
        git(asked, 0, known, &state(BAD), Some(&state(GOOD)))
    }

    #[test]
    fn the_commits_are_those_of_the_states() {
        let known = Known::default();
        let merge = planned(&revert(MERGE_OF_CHANGE), &known);
        assert_eq!(merge.commits.as_deref(), Some(BAD));
        let said = "reverts the merge that brought bbbbbbbbbbbb into main of https://git.example.com/orders.git";
        assert_eq!(merge.diff.as_deref(), Some(said));
        let range = planned(&revert(RANGE_OF_CHANGE), &known);
        assert_eq!(range.commits, Some(format!("{GOOD}..{BAD}")));
        assert_eq!(planned(&revert(GOOD), &known).commits.as_deref(), Some(GOOD));
    }

    #[test]
    fn what_cannot_be_known_is_said_and_not_guessed() {
        let said = |current: &Contents, snapshot: &Contents| {
            let step = git(&revert(MERGE_OF_CHANGE), 0, &Known::default(), current, Some(snapshot));
            assert_eq!(step.commits, None);
            step.diff.unwrap()
        };
        let bare = said(&state("main"), &state(GOOD));
        assert_eq!(
            bare,
            "cannot be done: `modosu.dev/commit: main` is not the whole hash of a commit"
        );
        let same = said(&state(BAD), &state(BAD));
        assert!(same.ends_with("were both built from bbbbbbbbbbbb"), "{same}");
        let mut two = state(BAD);
        two.extend(
            state(GOOD)
                .into_values()
                .map(|other| ("Deployment/worker".parse().unwrap(), other)),
        );
        assert!(said(&two, &state(GOOD)).contains("several commits"));
        assert!(said(&Contents::new(), &state(GOOD)).contains("no pod template names its commit"));
    }

    #[test]
    fn a_branch_that_moves_on_changes_no_plan_that_was_recorded() {
        let steps = [Step {
            git: Some(path()),
            ..Step::default()
        }];
        let tip = |commit: &str| Tips::from([((path().repository, "legacy".to_owned()), Ok(commit.to_owned()))]);
        let known = |tips: Tips, plan: &[PlannedStep]| Known {
            tips,
            recorded: Known::of_plan(plan, &steps),
        };
        let first = planned(&path(), &known(tip(GOOD), &[]));
        assert_eq!(first.commits.as_deref(), Some(GOOD));
        let first = PlannedStep {
            index: Some(0),
            ..first
        };
        let again = planned(&path(), &known(tip(BAD), std::slice::from_ref(&first)));
        assert_eq!((&again.to, &again.commits), (&first.to, &first.commits));
        assert_ne!(
            planned(&path(), &known(tip(BAD), &[])).to,
            first.to,
            "another commit is another plan"
        );

        let forged = PlannedStep {
            commits: Some(BAD.to_owned()),
            ..first
        };
        assert!(!is_as_planned(&path(), &forged));
        assert_eq!(
            planned(&path(), &known(tip(GOOD), &[forged])).commits.as_deref(),
            Some(GOOD)
        );
    }
}
