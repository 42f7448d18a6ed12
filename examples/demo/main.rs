//! modosu at work, to watch: the whole daemon on a world in this process, without a cluster and without Prometheus.
//!
//! ```text
//! cargo run --release --example demo                  for ever, until Ctrl-C
//! cargo run --release --example demo -- --once        the first story: 0 if it came out, 1 if not
//! cargo run --release --example demo -- --cluster     the same on a real API server and a real Prometheus, built the first
//!                                                     time: about ten minutes
//! ```
//!
//! Nothing is played back: people's deeds are real API calls, the services count real requests, and every line of
//! modosu's is an Event that the daemon wrote or something on its status page.

mod narrator;
mod place;
mod scene;
mod services;
mod stories;
mod terminal;

use std::{
    net::{Ipv4Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use clap::Parser;
use modosu::{
    app,
    config::Settings,
    model::units::Length,
    report::http,
    telemetry::{self, TelemetrySettings},
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tokio_util::sync::CancellationToken;

use place::Place;
use scene::Scene;
use terminal::{Mood, Terminal};

/// Prometheus asks the services, and modosu asks Prometheus, this often.
const TICK: Duration = Duration::from_secs(1);
/// Where the pages are, unless told otherwise.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9191);
/// Between two stories.
const PAUSE: Duration = Duration::from_secs(15);

/// Watch modosu notice a bad release, put the last proven state back, and prove that it helped.
#[derive(Debug, Parser)]
#[command(name = "demo")]
struct Arguments {
    /// Ends after the first story: with 0 if it came out, with 1 if it did not.
    #[arg(long)]
    once: bool,
    /// Where the live pages are [default: 127.0.0.1:9191, or a free port where that is taken].
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Plays on a real Kubernetes API server and a real Prometheus, which `tests/cluster/build` builds.
    #[arg(long)]
    cluster: bool,
    /// How much of the daemon's own log is shown: `info` for everything that happens; the client of the API server is silent, as
    /// the real servers end before all that ask them.
    #[arg(long, default_value = "warn,kube_client=off", value_name = "LEVEL")]
    log: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let terminal = Terminal::new();
    match play(arguments, &terminal).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            terminal.plain("");
            terminal.line("demo", Mood::Bad, &format!("it did not come out: {why:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn play(arguments: Arguments, terminal: &Terminal) -> anyhow::Result<()> {
    let telemetry = TelemetrySettings {
        log: arguments.log.clone(),
        ..TelemetrySettings::default()
    };
    let _guard = telemetry::start(&telemetry)?;
    let listener = listen(arguments.listen, terminal).await?;
    let address = listener.local_addr()?;
    terminal.plain(if arguments.cluster {
        "modosu on a real Kubernetes API server and a real Prometheus; all of it runs on this machine and ends with the demo."
    } else {
        "modosu, the whole daemon, on a small world inside this process: no cluster, no Prometheus, nothing to clean up."
    });
    let place = Place::open(arguments.cluster).await?;
    let settings = Settings {
        poll: Length(TICK),
        namespaces: vec![services::NAMESPACE.to_owned()],
        telemetry,
        ..Settings::default()
    };

    let stop = CancellationToken::new();
    let running = app::start(place.parts(settings).await?, stop.clone())?;
    let router = http::router(running.board.clone(), running.metrics.clone());
    let pages = tokio::spawn(http::serve(listener, router, stop.clone().cancelled_owned()));
    terminal.plain(&format!(
        "\n  live status page   http://{address}/status\n  Ctrl-C ends it\n"
    ));
    let (hero, told_about) = watch::channel(services::ORDERS);
    let scene = Scene {
        hero,
        terminal: terminal.clone(),
        admin: place.client("admin").await?,
        board: running.board.clone(),
        pages: format!("http://{address}"),
        kubectl: place.kubectl(),
    };
    let narrator = tokio::spawn(narrator::narrate(
        terminal.clone(),
        scene.admin.clone(),
        scene.board.clone(),
        told_about,
    ));
    let told = tokio::select! {
        told = tell(&scene, arguments.once) => told,
        done = told_to_stop() => done,
    };
    narrator.abort();
    // It is gone before the servers that it watches are: nobody is told of their end.
    _ = narrator.await;
    stop.cancel();
    running.finish().await;
    pages.await.context("the pages")??;
    told
}

/// The stories in turn; a later one that does not come out is told and does not end the demo.
async fn tell(scene: &Scene, once: bool) -> anyhow::Result<()> {
    scene.stands().await?;
    services::create(scene).await?;
    stories::bad_release(scene, 1).await?;
    if once {
        return Ok(());
    }
    for round in 1.. {
        for story in 0..3 {
            scene.rest(PAUSE).await;
            let told = match story {
                0 => stories::slow_release(scene, round).await,
                1 => stories::bad_settings(scene, round).await,
                _ => stories::bad_release(scene, round + 1).await,
            };
            if let Err(why) = told {
                scene
                    .terminal
                    .line("demo", Mood::Bad, &format!("this story did not come out: {why:#}"));
            }
        }
    }
    Ok(())
}

async fn told_to_stop() -> anyhow::Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// The wanted address; where nobody wanted one and the usual one is taken, any free port.
async fn listen(wanted: Option<SocketAddr>, terminal: &Terminal) -> anyhow::Result<TcpListener> {
    if let Some(wanted) = wanted {
        return TcpListener::bind(wanted)
            .await
            .with_context(|| format!("cannot listen on {wanted}"));
    }
    match TcpListener::bind(LISTEN).await {
        Ok(listener) => Ok(listener),
        Err(why) => {
            terminal.plain(&format!("{LISTEN} cannot be used ({why}); taking a free port instead."));
            let any = SocketAddr::new(LISTEN.ip(), 0);
            TcpListener::bind(any).await.context("no free port to listen on")
        }
    }
}
