//! IO. Everything wired together and run until it is told to stop.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Context;
use kube::Client;
use tokio::{net::TcpListener, time::MissedTickBehavior};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    act::{Api, asks::Asks, fence::Fence, git::Git, http::Http, joint::Joint, lease::Election, record::Versions},
    clock::Clock,
    config::Settings,
    model::preset::Preset,
    observe::{cluster::Cluster, poll::Poller, prometheus::Prometheus},
    report::{board::Board, events::Events, http, metrics::Metrics, view::StatusView},
    turn::{Daemon, lanes::Lanes},
};

/// Changes that come together are looked at together.
const TOGETHER: Duration = Duration::from_millis(20);
/// A turn in flight may finish for so long when the daemon is told to stop.
const GRACE: Duration = Duration::from_millis(2500);
/// And for so long before another copy may lead.
const LAST_TURN: Duration = Duration::from_secs(1);

/// What the daemon is made of; a story puts an embedded world in the place of servers.
pub struct Parts {
    pub settings: Settings,
    pub client: Client,
    pub prometheus: Prometheus,
    pub clock: Clock,
    /// What sends the requests of checks and steps.
    pub http: Http,
}

/// The daemon, running.
pub struct Running {
    pub board: Board,
    pub metrics: Metrics,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Runs on real servers until `stop`.
pub async fn run(settings: Settings, client: Client, stop: CancellationToken) -> anyhow::Result<()> {
    let listen = settings.http.listen;
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    let prometheus = Prometheus::http(&settings.prometheus)?;
    let address = listener.local_addr()?;
    tracing::info!(%address, "modosu {} shows its status at http://{address}/status", env!("CARGO_PKG_VERSION"));
    if settings.read_only {
        tracing::info!("read-only: statuses, Events and the lease are written, and nothing else; nothing is put back");
    }
    let running = start(
        Parts {
            settings,
            client,
            prometheus,
            clock: Clock::Wall,
            http: Http::network()?,
        },
        stop.clone(),
    )?;
    let router = http::router(running.board.clone(), running.metrics.clone());
    http::serve(listener, router, stop.cancelled_owned()).await?;
    running.finish().await;
    Ok(())
}

/// Starts watches and turns on the current runtime.
pub fn start(parts: Parts, stop: CancellationToken) -> anyhow::Result<Running> {
    let Parts {
        settings,
        client,
        prometheus,
        clock,
        http: requests,
    } = parts;
    let tasks = TaskTracker::new();
    let metrics = Metrics::new(env!("CARGO_PKG_VERSION"), env!("MODOSU_REVISION"));
    let board = Board::new(StatusView::starting(
        settings.mode,
        settings.prometheus.url.clone(),
        clock.now(),
    ));
    let lanes = Lanes::default();
    let elected = settings.leader_election.enabled;
    let fence = Fence::new(elected, clock.clone());
    let election = elected.then(|| Election::new(&settings, &client, clock.clone(), fence.clone()));
    let fenced = fence.around(&client);
    let instance = election.as_ref().map(|election| election.identity().to_owned());
    let (events, teller) = Events::new(fenced.clone(), instance, lanes.ahead());
    let cluster = Cluster::watch(&client, &namespaces(&settings), &stop);
    let mut presets = Preset::shipped();
    presets.extend(settings.presets.clone());
    let daemon = Daemon {
        presets,
        schemes: settings.all_schemes(),
        api: Api {
            client: fenced,
            metrics: metrics.clone(),
            asks: Asks::new(requests, fence.clone(), cluster.changes.clone()),
            versions: Versions::default(),
            git: Git::new(
                settings.git.clone(),
                fence.clone(),
                cluster.changes.clone(),
                stop.clone(),
            ),
            freezes: Joint::default(),
        },
        // Where there is no election, from now on.
        term: fence.term(),
        fence,
        lagged_at: None,
        poller: Poller::new(prometheus),
        cluster,
        clock,
        board: board.clone(),
        metrics: metrics.clone(),
        events,
        lanes,
        guards: BTreeMap::new(),
        health: None,
        quota: crate::turn::quota::Quota::default(),
        rehearsals: crate::turn::rehearsals::Rehearsals::default(),
        asked_around: None,
        benchmarks: crate::turn::given::Benchmarks::default(),
        orphans_closed: None,
        incidents_forgotten: None,
        settings: Arc::new(settings),
    };
    let turns = turns(daemon, stop.clone());
    let acting = async move { _ = tokio::join!(turns, teller) };
    act(&tasks, acting, election, stop.clone());
    tasks.close();
    Ok(Running {
        board,
        metrics,
        tasks,
        stop,
    })
}

/// Does it, as one of several copies where there is an election. The lease is given back when nothing more is done, or the
/// last turn takes its time: what is under way is cut off then.
fn act(
    tasks: &TaskTracker,
    acting: impl Future<Output = ()> + Send + 'static,
    election: Option<Election>,
    stop: CancellationToken,
) {
    let acting = tasks.spawn(acting);
    let Some(election) = election else { return };
    let done = CancellationToken::new();
    tasks.spawn(election.run(done.clone()));
    tasks.spawn(async move {
        stop.cancelled().await;
        _ = tokio::time::timeout(LAST_TURN, acting).await;
        done.cancel();
    });
}

impl Running {
    /// Stops: the turn in flight may finish, bounded; its journal is consistent at every point anyway.
    pub async fn finish(self) {
        self.stop.cancel();
        if tokio::time::timeout(GRACE, self.tasks.wait()).await.is_err() {
            tracing::warn!("stopped in the middle of a turn; the next start carries on");
        }
    }
}

/// Turns until told to stop.
async fn turns(mut daemon: Daemon, stop: CancellationToken) {
    let mut poll = tokio::time::interval(daemon.settings.poll.0);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (changes, fence) = (daemon.cluster.changes.clone(), daemon.fence.clone());
    let mut term = None;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            // Who begins to lead acts at once.
            begun = fence.begins(term) => {
                term = Some(begun);
                poll.reset_immediately();
            }
            _ = poll.tick() => daemon.poll().await,
            () = changes.wait() => {
                tokio::time::sleep(TOGETHER).await;
                daemon.look_again(&changes.take()).await;
            }
        }
    }
}

fn namespaces(settings: &Settings) -> Vec<String> {
    settings
        .guard
        .as_ref()
        .map_or_else(|| settings.namespaces.clone(), |guard| vec![guard.namespace.clone()])
}
