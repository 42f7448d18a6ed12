//! IO. `modosu run`: settings, a client, signals, then the daemon until it is told to stop.

use std::time::Duration;

use anyhow::{Context as _, bail};
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{ClusterArguments, RunArguments};
use crate::{app, config::Settings, telemetry};

/// How long the daemon may take to stop before it is left behind. The journal is consistent at every instant.
const GRACE: Duration = Duration::from_secs(5);

/// Runs the daemon until SIGTERM or SIGINT; a second signal ends it at once.
pub fn run(arguments: &RunArguments) -> anyhow::Result<()> {
    let flags = arguments.flags();
    let settings = Settings::load(arguments.settings.config.as_deref(), environment(), &flags)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(async {
        let _traces = telemetry::start(&settings.telemetry)?;
        let stop = CancellationToken::new();
        stop_on_signals(stop.clone())?;
        let client = client(&arguments.cluster).await?;
        bounded(app::run(settings, client, stop.clone()), &stop).await
    });
    runtime.shutdown_background();
    done
}

/// Does something at the API server as the calling user, and ends.
pub fn at<T, F: Future<Output = anyhow::Result<T>>>(
    arguments: &ClusterArguments,
    ask: impl FnOnce(kube::Client) -> F,
) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { ask(client(arguments).await?).await })
}

/// The environment as far as it is text.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// A client for the cluster that kubectl would talk to. Nothing is sent yet: the API server may come later.
async fn client(arguments: &ClusterArguments) -> anyhow::Result<kube::Client> {
    let options = KubeConfigOptions {
        context: arguments.context.clone(),
        ..KubeConfigOptions::default()
    };
    let mut config = match &arguments.kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path).with_context(|| format!("--kubeconfig {}", path.display()))?;
            kube::Config::from_custom_kubeconfig(file, &options)
                .await
                .context("the kubeconfig")?
        }
        None if arguments.context.is_some() => kube::Config::from_kubeconfig(&options)
            .await
            .context("the kubeconfig with --context")?,
        None => kube::Config::infer().await.context(
            "no cluster: neither a kubeconfig (--kubeconfig, KUBECONFIG, ~/.kube/config) nor a pod's service account",
        )?,
    };
    // Off: by default the client sends everything again on 429, 503 and 504, writes too, for up to three minutes. A patch
    // that arrives minutes after it was decided is not the patch that was decided; act asks anew instead.
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(5));
    // A watch lives for 290 s and may be silent all the while; longer silence is a dead connection. Single calls have
    // their own, much shorter, limits where they are made.
    config.read_timeout = Some(Duration::from_secs(300));
    kube::Client::try_from(config).context("a client for the cluster")
}

fn stop_on_signals(stop: CancellationToken) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        either(&mut terminate, &mut interrupt).await;
        info!("told to stop: finishing the step in flight; a second signal ends at once");
        stop.cancel();
        either(&mut terminate, &mut interrupt).await;
        std::process::exit(1);
    });
    Ok(())
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

/// Waits for the daemon, but once it was told to stop, not for ever: a watch that never connected may hang.
async fn bounded(daemon: impl Future<Output = anyhow::Result<()>>, stop: &CancellationToken) -> anyhow::Result<()> {
    tokio::pin!(daemon);
    tokio::select! {
        done = &mut daemon => return done,
        () = stop.cancelled() => {}
    }
    match timeout(GRACE, daemon).await {
        Ok(done) => done,
        Err(_) => bail!("not stopped after {}: left behind", humantime::format_duration(GRACE)),
    }
}
