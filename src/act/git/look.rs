//! IO, blocking. What is asked of a repository while nothing is wrong; nothing is changed.

use std::time::Duration;

use super::{
    program::{Desk, Program, Trouble},
    work::{source, unreachable},
};
use crate::{model::guard::GitChange, report::mask::mask_line};

/// What the newest commits of the branches are that paths are taken from, and whether the branch could be pushed to; nothing is.
pub fn rehearse(
    program: &Program,
    namespace: &str,
    change: &GitChange,
    within: Duration,
) -> Result<Option<String>, Trouble> {
    let desk = program.desk(namespace, &change.repository, within)?;
    let tip = tips(&desk, change)?;
    desk.begin()?;
    let tree = desk.must(&["write-tree"])?;
    let empty = desk.must(&["commit-tree", "-m", "a dry run", &tree])?;
    // A branch that is not there, so that it goes onto nothing.
    let what = format!("{empty}:refs/heads/modosu-dry-run-{empty}");
    let said = desk.run(&[
        "push",
        "--dry-run",
        "--porcelain",
        "--no-verify",
        "--end-of-options",
        "origin",
        &what,
    ])?;
    if said.status.success() {
        Ok(tip)
    } else {
        Err(unreachable(&change.repository, &said.complaint))
    }
}

/// The newest commit of the branch that a path is taken from.
pub fn tip(
    program: &Program,
    namespace: &str,
    change: &GitChange,
    within: Duration,
) -> Result<Option<String>, Trouble> {
    tips(&program.desk(namespace, &change.repository, within)?, change)
}

fn tips(desk: &Desk, change: &GitChange) -> Result<Option<String>, Trouble> {
    let from = source(change);
    let wanted: Vec<String> = [Some(change.branch.as_str()), from]
        .into_iter()
        .flatten()
        .map(|branch| format!("refs/heads/{branch}"))
        .collect();
    let mut arguments = vec!["ls-remote", "--end-of-options", change.repository.as_str()];
    arguments.extend(wanted.iter().map(String::as_str));
    let said = desk.run(&arguments)?;
    if !said.status.success() {
        return Err(unreachable(&change.repository, &said.complaint));
    }
    let tip = |wanted: &str| {
        let mut lines = said.out.lines().filter_map(|line| line.split_once('\t'));
        lines
            .find(|(_, name)| *name == wanted)
            .map(|(commit, _)| commit.to_owned())
    };
    for wanted in &wanted {
        if tip(wanted).is_none() {
            let (branch, repository) = (wanted.trim_start_matches("refs/heads/"), mask_line(&change.repository));
            return Err(Trouble::Refused(format!("there is no branch {branch} in {repository}")));
        }
    }
    Ok(from.and_then(|from| tip(&format!("refs/heads/{from}"))))
}
