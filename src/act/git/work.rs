//! IO, blocking. One commit on a branch: made on its newest commit in a folder of its own, and pushed, never forced.
//!
//! The commit carries a line that names the incident and the step. Whoever finds that line on the branch has nothing more to do;
//! and what is pushed goes only onto the commit behind which that line was looked for. So it is there once, whoever is killed where.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::program::{Desk, Program, Trouble};
use crate::{
    decide::plan::git::{short, words},
    model::guard::{
        Checkout, GitChange,
        git::{MERGE_OF_CHANGE, is_commit, range},
    },
    report::mask::mask_line,
};

/// The line's name.
const TRAILER: &str = "Modosu-Incident";
const BRANCH: &str = "refs/remotes/origin/branch";
const SOURCE: &str = "refs/remotes/origin/source";
/// So many commits are reverted at once.
const AT_MOST: usize = 200;

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Job {
    pub namespace: String,
    pub change: GitChange,
    pub commits: String,
    /// What the commit's line says: this incident's step and no other's.
    pub mark: String,
    /// What the commit says of the reason.
    pub reason: String,
}

/// What came of it before anything is pushed.
pub enum Made {
    /// A commit that is to be pushed.
    Commit(Box<Ready>),
    /// It is on the branch already: pushed before.
    There(String),
    /// The branch is as the change would make it.
    Nothing,
}

/// A commit that is not pushed yet.
pub struct Ready {
    desk: Desk,
    branch: String,
    pub commit: String,
    pub parent: String,
}

/// What came of a push.
#[derive(Debug, PartialEq, Eq)]
pub enum Pushed {
    Done,
    /// The branch moved meanwhile.
    Moved(String),
}

impl Job {
    /// Looks whether it is done; if not, makes the commit.
    pub fn make(&self, program: &Program, within: Duration) -> Result<Made, Trouble> {
        let desk = program.desk(&self.namespace, &self.change.repository, within)?;
        let tip = self.fetch(&desk)?;
        let line = format!("{TRAILER}: {}", self.mark);
        let grep = format!("--grep={line}");
        let found = desk.must(&["log", "-n1", "--format=%H", "--fixed-strings", &grep, &tip])?;
        if !found.is_empty() {
            return Ok(Made::There(found));
        }
        let subject = match &self.change.checkout {
            Some(checkout) => self.take(&desk, checkout, &tip)?,
            None => self.revert(&desk, &tip)?,
        };
        let tree = desk.must(&["write-tree"])?;
        if tree == desk.must(&["rev-parse", &format!("{tip}^{{tree}}")])? {
            return Ok(Made::Nothing);
        }
        let message = format!("{subject}\n\n{}\n\n{line}\n", self.reason);
        let said = desk.run_with(&["commit-tree", "-p", &tip, "-F", "-", &tree], &message)?;
        let commit = said.out.trim().to_owned();
        if !said.status.success() || !is_commit(&commit) {
            return Err(Trouble::Unsure(format!(
                "the commit cannot be made: {}",
                said.complaint
            )));
        }
        Ok(Made::Commit(Box::new(Ready {
            desk,
            branch: self.change.branch.clone(),
            commit,
            parent: tip,
        })))
    }

    /// Brings the history here. Gives the branch's newest commit.
    fn fetch(&self, desk: &Desk) -> Result<String, Trouble> {
        desk.begin()?;
        let mut wanted = vec![format!("+refs/heads/{}:{BRANCH}", self.change.branch)];
        if let Some(from) = source(&self.change) {
            wanted.push(format!("+refs/heads/{from}:{SOURCE}"));
        }
        let mut arguments = vec![
            "fetch",
            "-q",
            "--no-tags",
            "--filter=blob:none",
            "--end-of-options",
            "origin",
        ];
        arguments.extend(wanted.iter().map(String::as_str));
        let said = desk.run(&arguments)?;
        if !said.status.success() {
            return Err(unreachable(&self.change.repository, &said.complaint));
        }
        desk.must(&["rev-parse", "--verify", &format!("{BRANCH}^{{commit}}")])
    }

    /// Puts the index to what the branch is without these commits. Gives the subject.
    fn revert(&self, desk: &Desk, tip: &str) -> Result<String, Trouble> {
        let commits = self.reverted(desk, tip)?;
        desk.must(&["checkout", "-q", "--detach", tip])?;
        let mut arguments = vec!["revert", "--no-commit", "-m", "1"];
        arguments.extend(commits.iter().map(String::as_str));
        let said = desk.run(&arguments)?;
        if !said.status.success() {
            let files = desk.must(&["diff", "--name-only", "--diff-filter=U", "-z"])?;
            let files: Vec<&str> = files.split('\0').filter(|file| !file.is_empty()).collect();
            return Err(if files.is_empty() {
                Trouble::Unsure(format!("git revert: {}", said.complaint))
            } else {
                Trouble::Refused(self.conflict(&files))
            });
        }
        match commits.as_slice() {
            [one] => {
                let title = desk.must(&["log", "-n1", "--format=%s", one])?;
                Ok(format!("Revert \"{title}\"\n\nThis reverts commit {one}."))
            }
            several => {
                let lines: Vec<String> = several
                    .iter()
                    .map(|one| format!("This reverts commit {one}."))
                    .collect();
                Ok(format!("Revert {}\n\n{}", short(&self.commits), lines.join("\n")))
            }
        }
    }

    fn conflict(&self, files: &[&str]) -> String {
        const SHOWN: usize = 10;
        let named: Vec<String> = files.iter().take(SHOWN).map(|file| mask_line(file)).collect();
        let more = match files.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let what = words(&self.change, &self.commits);
        format!(
            "does not apply, conflicts in {}{more}; nothing was pushed ({what})",
            named.join(", ")
        )
    }

    /// The commits that are reverted, newest first.
    fn reverted(&self, desk: &Desk, tip: &str) -> Result<Vec<String>, Trouble> {
        let line = desk.must(&["rev-list", "--first-parent", tip])?;
        let line: Vec<&str> = line.lines().collect();
        let Some((from, to)) = range(&self.commits) else {
            return if self.change.revert.as_deref() == Some(MERGE_OF_CHANGE) {
                let place = self.brought_by(desk, &self.commits, tip, &line)?;
                Ok(line.get(place).map(|one| (*one).to_owned()).into_iter().collect())
            } else {
                self.is_on_branch(desk, &self.commits, tip)?;
                Ok(vec![self.commits.clone()])
            };
        };
        let begin = self.brought_by(desk, to, tip, &line)?;
        let end = self.brought_by(desk, from, tip, &line)?;
        match line.get(begin..end) {
            Some(commits) if (1..=AT_MOST).contains(&commits.len()) => {
                Ok(commits.iter().map(|one| (*one).to_owned()).collect())
            }
            Some(commits) if commits.len() > AT_MOST => {
                let count = commits.len();
                Err(Trouble::Refused(format!(
                    "{} are {count} commits, more than {AT_MOST}",
                    short(&self.commits)
                )))
            }
            Some(_) | None => {
                let branch = &self.change.branch;
                Err(Trouble::Refused(format!(
                    "{} came no earlier to {branch} than {}",
                    short(from),
                    short(to)
                )))
            }
        }
    }

    /// The place of the commit with which this one came to the branch, among those that were the branch's newest once.
    fn brought_by(&self, desk: &Desk, commit: &str, tip: &str, line: &[&str]) -> Result<usize, Trouble> {
        self.is_on_branch(desk, commit, tip)?;
        if let Some(place) = line.iter().position(|one| *one == commit) {
            return Ok(place);
        }
        let later = desk.must(&["rev-list", "--ancestry-path", &format!("{commit}..{tip}")])?;
        let later: std::collections::BTreeSet<&str> = later.lines().collect();
        let place = line.iter().rposition(|one| later.contains(one));
        place.ok_or_else(|| Trouble::Unsure(format!("nothing brought {} to {}", short(commit), self.change.branch)))
    }

    fn is_on_branch(&self, desk: &Desk, commit: &str, tip: &str) -> Result<(), Trouble> {
        if holds(desk, tip, commit)? {
            return Ok(());
        }
        let (branch, repository) = (&self.change.branch, mask_line(&self.change.repository));
        Err(Trouble::Refused(format!(
            "{} is not on {branch} of {repository}",
            short(commit)
        )))
    }

    /// Puts the index to what the branch is with the path as it is elsewhere. Gives the subject.
    fn take(&self, desk: &Desk, checkout: &Checkout, tip: &str) -> Result<String, Trouble> {
        let Checkout { path, from } = checkout;
        let commit = &self.commits;
        if source(&self.change).is_none() {
            self.is_on_branch(desk, commit, tip)?;
        } else if !holds(desk, SOURCE, commit)? {
            return Err(Trouble::Refused(format!("{} is not on {from}", short(commit))));
        }
        let entry = desk.must(&["ls-tree", "-z", commit, "--", path])?;
        let entry = entry.split(['\0', '\t']).next().unwrap_or_default();
        let mut words = entry.split(' ');
        let (Some(mode), Some(kind), Some(object)) = (words.next(), words.next(), words.next()) else {
            let shown = mask_line(path);
            return Err(Trouble::Refused(format!(
                "there is no {shown} in {} of {from}",
                short(commit)
            )));
        };
        desk.must(&["read-tree", tip])?;
        desk.must(&[
            "rm",
            "-r",
            "-q",
            "-f",
            "--cached",
            "--ignore-unmatch",
            "--sparse",
            "--",
            path,
        ])?;
        if kind == "tree" {
            desk.must(&["read-tree", &format!("--prefix={path}/"), object])?;
        } else {
            desk.must(&[
                "update-index",
                "--add",
                "--cacheinfo",
                &format!("{mode},{object},{path}"),
            ])?;
        }
        let from = if is_commit(from) {
            short(from)
        } else {
            format!("{from} ({})", short(commit))
        };
        Ok(format!("Put {path} back to {from}"))
    }
}

impl Ready {
    /// Pushes it, until `stop`. A branch that moved is never pushed over.
    pub fn push(mut self, within: Duration, stop: CancellationToken) -> Result<Pushed, Trouble> {
        self.desk.extend(within, stop);
        let what = format!("{}:refs/heads/{}", self.commit, self.branch);
        let said = self.desk.run(&[
            "push",
            "--porcelain",
            "--no-verify",
            "--end-of-options",
            "origin",
            &what,
        ])?;
        let mut lines = said.out.lines().filter(|line| line.contains(&what));
        match lines.next() {
            Some(line) if said.status.success() && !line.starts_with('!') => Ok(Pushed::Done),
            Some(line) if line.starts_with('!') => refusal(line, &said.complaint),
            Some(_) | None => Err(Trouble::Unsure(format!("git push: {}", said.complaint))),
        }
    }
}

/// `! <what> [rejected] (fetch first)`, with tabs between them: somebody was faster, or the server does not want it.
fn refusal(line: &str, complaint: &str) -> Result<Pushed, Trouble> {
    let why = mask_line(line.rsplit('\t').next().unwrap_or_default());
    let faster = [
        "[rejected]",
        "cannot lock ref",
        "failed to update ref",
        "incorrect old value",
        "reference already exists",
    ];
    if faster.iter().any(|words| why.contains(words)) {
        Ok(Pushed::Moved(why))
    } else {
        Err(Trouble::Refused(format!(
            "the server does not take it: {why}; {complaint}"
        )))
    }
}

/// The other branch that a path is taken from.
pub fn source(change: &GitChange) -> Option<&str> {
    let from = change.checkout.as_ref().map(|checkout| checkout.from.as_str());
    from.filter(|from| !is_commit(from))
}

/// Whether a commit is on the way to another one. One that is not there at all is not.
fn holds(desk: &Desk, tip: &str, commit: &str) -> Result<bool, Trouble> {
    let said = desk.run(&["merge-base", "--is-ancestor", commit, tip])?;
    Ok(said.status.success())
}

/// Whether it would be the same the next time shows in the words alone.
pub(super) fn unreachable(repository: &str, complaint: &str) -> Trouble {
    let lasting = [
        "couldn't find remote ref",
        "Authentication failed",
        "could not read Username",
        "terminal prompts disabled",
        "Permission denied",
        "returned error: 401",
        "returned error: 403",
        "returned error: 404",
        "' not found",
        "does not appear to be a git repository",
        "Host key verification failed",
        "not allowed",
    ];
    let words = format!("{} cannot be reached: {complaint}", mask_line(repository));
    if lasting.iter().any(|part| complaint.contains(part)) {
        Trouble::Refused(words)
    } else {
        Trouble::Unsure(words)
    }
}

#[cfg(test)]
#[path = "work_tests.rs"]
mod tests;
