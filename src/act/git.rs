//! IO. Changes of repositories, worked on beside the turns: a turn begins one, looks how far it is, lets it push, and takes in
//! what came of it. The git program runs on threads of its own and ends with the daemon.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};
use tokio_util::sync::CancellationToken;

/// What is asked while nothing is wrong.
pub mod look;
/// The git program.
pub mod program;
/// One commit, made and pushed.
pub mod work;

use super::fence::Fence;
use crate::{config::GitSettings, decide::plan::git::Tips, model::guard::GitChange, observe::cache::Changes};
use program::{Program, Trouble};
use work::{Job, Made, Pushed};

/// A push takes no longer.
const PUSH: Duration = Duration::from_secs(60);
/// So long it is asked what could be pushed and where branches stand, while nothing is wrong.
const LOOK: Duration = Duration::from_secs(5);
/// What was read of a branch counts for so long.
const FRESH: Duration = Duration::from_secs(300);
/// Between two attempts, once more for each.
const PAUSE: Duration = Duration::from_secs(2);

/// The incident's uid and the number of the step.
pub type Key = (String, u32);

/// Who changes repositories. Cheap to clone.
#[derive(Clone)]
pub struct Git(Arc<Inner>);

struct Inner {
    program: Program,
    fence: Fence,
    /// Rung when something came of a work.
    changes: Arc<Changes>,
    works: Mutex<BTreeMap<Key, Work>>,
    branches: Mutex<BTreeMap<(String, String), Branch>>,
}

/// A branch that a path is taken from.
#[derive(Default)]
struct Branch {
    /// Its newest commit, or why it could not be read.
    tip: Option<Result<String, String>>,
    read_at: Option<Instant>,
    reading: bool,
}

struct Work {
    /// How often it was begun.
    attempts: u32,
    stage: Stage,
}

/// How far a work is.
enum Stage {
    Makes,
    Ready(Commit, oneshot::Sender<()>),
    Pushes(Commit),
    Ended(End),
}

/// How far a work is, as a turn sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing is known of it.
    Nothing,
    /// The commit is being made: nothing is pushed before a turn says so.
    Makes,
    Ready(Commit),
    Pushes(Commit),
    /// After so many attempts.
    Ended(End, u32),
}

/// A commit that is made, and what it lies on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub commit: String,
    pub parent: String,
}

/// What came of a work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// This commit stands on the branch.
    Pushed(String),
    /// The branch is as the change would make it.
    Nothing,
    /// It may go better from the beginning.
    Again(String),
    Failed(String),
}

impl Git {
    pub fn new(settings: GitSettings, fence: Fence, changes: Arc<Changes>, stop: CancellationToken) -> Self {
        let program = Program {
            path: PathBuf::from("git"),
            settings,
            stop,
        };
        Self(Arc::new(Inner {
            program,
            fence,
            changes,
            works: Mutex::default(),
            branches: Mutex::default(),
        }))
    }

    pub fn see(&self, key: &Key) -> Seen {
        let works = self.works();
        let Some(work) = works.get(key) else {
            return Seen::Nothing;
        };
        match &work.stage {
            Stage::Makes => Seen::Makes,
            Stage::Ready(commit, _) => Seen::Ready(commit.clone()),
            Stage::Pushes(commit) => Seen::Pushes(commit.clone()),
            Stage::Ended(end) => Seen::Ended(end.clone(), work.attempts),
        }
    }

    /// Begins, maybe once more. Nothing is pushed before [`Git::push`]; if that does not come in time it is forgotten.
    pub fn begin(&self, key: Key, job: Job, within: Duration) {
        let attempts = self.works().get(&key).map_or(0, |work| work.attempts);
        let work = Work {
            attempts: attempts.saturating_add(1),
            stage: Stage::Makes,
        };
        self.works().insert(key.clone(), work);
        let own = self.clone();
        tokio::spawn(async move {
            let namespace = job.namespace.clone();
            tokio::time::sleep(PAUSE * attempts).await;
            match own.work(&key, job, within).await {
                Some(end) => own.put(&key, Stage::Ended(end)),
                None => own.forget(&key),
            }
            own.0.changes.touch(&namespace);
        });
    }

    /// Lets a commit that is ready be pushed.
    pub fn push(&self, key: &Key) {
        let mut works = self.works();
        if let Some(work) = works.get_mut(key)
            && let Stage::Ready(commit, _) = &work.stage
        {
            let commit = commit.clone();
            if let Stage::Ready(_, go) = std::mem::replace(&mut work.stage, Stage::Pushes(commit)) {
                // Where nobody waits for it any more it is forgotten by itself.
                _ = go.send(());
            }
        }
    }

    /// What came of it is taken in, or nobody wants it any more: what is not pushed yet is not pushed.
    pub fn forget(&self, key: &Key) {
        self.works().remove(key);
    }

    /// The newest commits of branches that paths are taken from, of these changes, as of a few minutes ago at most; or why they
    /// cannot be read. `None`: they are being read.
    pub fn tips<'a>(&self, namespace: &str, changes: impl Iterator<Item = &'a GitChange>) -> Option<Tips> {
        let mut tips = Some(Tips::new());
        for change in changes {
            let Some(place) = place(change) else { continue };
            let mut branches = self.branches();
            let branch = branches.entry(place.clone()).or_default();
            let is_fresh = branch.read_at.is_some_and(|at| at.elapsed() < FRESH);
            match branch.tip.clone().filter(|_| is_fresh) {
                Some(tip) => tips = tips.map(|tips| tips.into_iter().chain([(place, tip)]).collect()),
                None => {
                    tips = None;
                    if !std::mem::replace(&mut branch.reading, true) {
                        self.read_tip(namespace.to_owned(), change.clone());
                    }
                }
            }
        }
        tips
    }

    /// Whether it could be done, asked while nothing is wrong.
    pub async fn rehearse(&self, namespace: &str, change: &GitChange) -> Result<(), Trouble> {
        let (program, namespace, asked) = (self.0.program.clone(), namespace.to_owned(), change.clone());
        let heard = blocking(move || look::rehearse(&program, &namespace, &asked, LOOK)).await;
        if let (Some(place), Ok(Some(tip))) = (place(change), &heard) {
            self.branches().entry(place).or_default().take_in(Ok(tip.clone()));
        }
        heard.map(drop)
    }

    fn read_tip(&self, namespace: String, change: GitChange) {
        let own = self.clone();
        tokio::spawn(async move {
            let (program, asked, whose) = (own.0.program.clone(), change.clone(), namespace.clone());
            let heard = blocking(move || look::tip(&program, &whose, &asked, LOOK)).await;
            if let Some(place) = place(&change) {
                let mut branches = own.branches();
                let branch = branches.entry(place).or_default();
                branch.reading = false;
                branch.take_in(heard.map(Option::unwrap_or_default).map_err(Trouble::words));
            }
            own.0.changes.touch(&namespace);
        });
    }

    /// From the beginning to the end. `None`: nobody let it push.
    async fn work(&self, key: &Key, job: Job, within: Duration) -> Option<End> {
        let (program, namespace) = (self.0.program.clone(), job.namespace.clone());
        let ready = match blocking(move || job.make(&program, within)).await {
            Ok(Made::Commit(ready)) => ready,
            Ok(Made::There(commit)) => return Some(End::Pushed(commit)),
            Ok(Made::Nothing) => return Some(End::Nothing),
            Err(why) => return Some(End::of(why)),
        };
        let commit = Commit {
            commit: ready.commit.clone(),
            parent: ready.parent.clone(),
        };
        let (go, told) = oneshot::channel();
        {
            let mut works = self.works();
            // Else it is forgotten meanwhile.
            works.get_mut(key)?.stage = Stage::Ready(commit.clone(), go);
        }
        self.0.changes.touch(&namespace);
        tokio::time::timeout(within, told).await.ok()?.ok()?;
        // Cut off by the fence, the program is ended as well.
        let stop = self.0.program.stop.child_token();
        let _ends = stop.clone().drop_guard();
        let pushed = self.0.fence.lead(blocking(move || ready.push(PUSH, stop))).await;
        Some(match pushed.ok()? {
            Ok(Pushed::Done) => End::Pushed(commit.commit),
            Ok(Pushed::Moved(why)) => End::Again(why),
            Err(why) => End::of(why),
        })
    }

    fn put(&self, key: &Key, stage: Stage) {
        if let Some(work) = self.works().get_mut(key) {
            work.stage = stage;
        }
    }

    fn works(&self) -> MutexGuard<'_, BTreeMap<Key, Work>> {
        self.0.works.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn branches(&self) -> MutexGuard<'_, BTreeMap<(String, String), Branch>> {
        self.0.branches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Branch {
    /// Where it stood is better than not to know.
    fn take_in(&mut self, heard: Result<String, String>) {
        self.read_at = Some(Instant::now());
        if heard.is_ok() || !matches!(self.tip, Some(Ok(_))) {
            self.tip = Some(heard);
        }
    }
}

impl End {
    fn of(why: Trouble) -> Self {
        match why {
            Trouble::Missing(words) | Trouble::Refused(words) => Self::Failed(words),
            Trouble::Unsure(words) => Self::Again(words),
        }
    }
}

/// The branch that a path is taken from, and where.
fn place(change: &GitChange) -> Option<(String, String)> {
    work::source(change).map(|from| (change.repository.clone(), from.to_owned()))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Trouble> + Send + 'static) -> Result<T, Trouble> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|why| Err(Trouble::Unsure(format!("the work was lost: {why}"))))
}
