//! A tap on the line between the daemon and a server: plain HTTP in, the real server out. It records requests and, at a point that the test
//! names, runs the test's own code while the request or its answer is held back; that code may also refuse, or cut the line.

mod line;
mod proxy;
mod seen;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::background::Task;
use crate::process::Process;
pub use seen::Seen;

/// When a rule acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The server has not seen the request.
    Before,
    /// The server has answered (and done what was asked); the client has not got the answer.
    After,
}

/// What becomes of the request, or of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    /// This status instead, with a Kubernetes `Status` as its body.
    Refuse(u16),
    /// The connection ends without an answer.
    Cut,
}

type Held = Pin<Box<dyn Future<Output = Verdict> + Send>>;

struct Rule {
    point: Point,
    matches: Box<dyn Fn(&Seen) -> bool + Send + Sync>,
    action: Arc<dyn Fn(Seen) -> Held + Send + Sync>,
    times: usize,
}

pub(crate) struct Shared {
    upstream: String,
    token: Option<String>,
    http: reqwest::Client,
    rules: Mutex<Vec<Rule>>,
    seen: Mutex<Vec<Seen>>,
    /// Counts up to end every open answer.
    cuts: watch::Sender<u64>,
    outage: watch::Sender<bool>,
}

/// Dropping it closes the door.
pub struct Tap {
    url: String,
    kubeconfig: Option<PathBuf>,
    shared: Arc<Shared>,
    _task: Task,
}

impl Tap {
    pub(crate) fn open(upstream: &str, token: Option<String>, http: reqwest::ClientBuilder) -> anyhow::Result<Self> {
        let http = http
            .no_gzip()
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let url = format!("http://{}", listener.local_addr()?);
        let (rules, seen) = (Mutex::default(), Mutex::default());
        let (cuts, outage) = (watch::channel(0).0, watch::channel(false).0);
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            token,
            http,
            rules,
            seen,
            cuts,
            outage,
        });
        let serving = shared.clone();
        let task = Task::spawn(async move {
            match TcpListener::from_std(listener) {
                Ok(listener) => proxy::serve(listener, serving).await,
                Err(error) => tracing::warn!(%error, "the tap cannot listen"),
            }
        });
        Ok(Self {
            url,
            kubeconfig: None,
            shared,
            _task: task,
        })
    }

    pub(crate) fn with_kubeconfig(mut self, path: PathBuf) -> Self {
        self.kubeconfig = Some(path);
        self
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// For the daemon: its API server is the tap. Only of `Cluster::tap`.
    pub fn kubeconfig(&self) -> &Path {
        self.kubeconfig.as_deref().unwrap_or_else(|| Path::new(""))
    }

    /// Every request so far, in the order of their arrival.
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs `action` for the next `times` requests that match; the line waits for it. The first rule that matches wins.
    pub fn on<F>(
        &self,
        point: Point,
        times: usize,
        matches: impl Fn(&Seen) -> bool + Send + Sync + 'static,
        action: impl Fn(Seen) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Verdict> + Send + 'static,
    {
        let action = Arc::new(move |seen| Box::pin(action(seen)) as Held);
        let rule = Rule {
            point,
            matches: Box::new(matches),
            action,
            times,
        };
        self.shared
            .rules
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(rule);
    }

    /// The server never sees them; the client gets this status.
    pub fn refuse(&self, status: u16, times: usize, matches: impl Fn(&Seen) -> bool + Send + Sync + 'static) {
        self.on(Point::Before, times, matches, move |_| async move {
            Verdict::Refuse(status)
        });
    }

    /// The line is cut, before the server sees them or after it has done what they ask.
    pub fn cut(&self, point: Point, times: usize, matches: impl Fn(&Seen) -> bool + Send + Sync + 'static) {
        self.on(point, times, matches, |_| async { Verdict::Cut });
    }

    /// `kill -9` to the process at that point of its next matching request; the answer never reaches it.
    pub fn kill(&self, process: &Process, point: Point, matches: impl Fn(&Seen) -> bool + Send + Sync + 'static) {
        let process = process.clone();
        self.on(point, 1, matches, move |_| {
            let process = process.clone();
            async move {
                process.kill().await;
                Verdict::Cut
            }
        });
    }

    pub fn delay(&self, delay: Duration, times: usize, matches: impl Fn(&Seen) -> bool + Send + Sync + 'static) {
        self.on(Point::Before, times, matches, move |_| async move {
            tokio::time::sleep(delay).await;
            Verdict::Pass
        });
    }

    /// Forgets all rules.
    pub fn clear(&self) {
        self.shared.rules.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Ends every answer that is still open: the watches.
    pub fn cut_watches(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// While `true` every request, new or open, is cut.
    pub fn outage(&self, outage: bool) {
        self.shared.outage.send_replace(outage);
        if outage {
            self.cut_watches();
        }
    }
}

impl Shared {
    /// The action of the first rule that matches, used up once.
    fn action_for(&self, point: Point, seen: &Seen) -> Option<Arc<dyn Fn(Seen) -> Held + Send + Sync>> {
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let rule = rules
            .iter_mut()
            .find(|rule| rule.times > 0 && rule.point == point && (rule.matches)(seen))?;
        rule.times -= 1;
        Some(rule.action.clone())
    }

    async fn verdict(&self, point: Point, seen: &Seen) -> Verdict {
        if *self.outage.borrow() {
            return Verdict::Cut;
        }
        match self.action_for(point, seen) {
            Some(action) => action(seen.clone()).await,
            None => Verdict::Pass,
        }
    }

    fn record(&self, seen: &Seen) -> usize {
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(seen.clone());
        all.len() - 1
    }

    fn record_answer(&self, index: usize, status: u16) {
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = all.get_mut(index) {
            seen.status = Some(status);
        }
    }
}
