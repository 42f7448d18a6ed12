//! Readiness: the probe's own schedule and thresholds. Until a container was ready for the first time it is asked every 250 ms, so that a
//! story does not wait a whole period for a program that needs 20 ms to listen.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Probe};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

const AT_FIRST: Duration = Duration::from_millis(250);

/// Calls `report` whenever readiness changes; never ends. Without a probe a container that runs is ready.
pub(crate) async fn watch(client: &reqwest::Client, probe: Option<Probe>, port: u16, report: impl Fn(bool)) {
    let Some(probe) = probe else {
        report(true);
        return std::future::pending().await;
    };
    let seconds =
        |value: Option<i32>, default: u64| value.and_then(|value| u64::try_from(value).ok()).unwrap_or(default);
    sleep(Duration::from_secs(seconds(probe.initial_delay_seconds, 0))).await;
    let period = Duration::from_secs(seconds(probe.period_seconds, 1).max(1));
    let limit = Duration::from_secs(seconds(probe.timeout_seconds, 1).max(1));
    let failures = probe.failure_threshold.unwrap_or(3).max(1);
    let successes = probe.success_threshold.unwrap_or(1).max(1);

    let (mut ready, mut ever_ready, mut in_a_row) = (false, false, 0);
    loop {
        let agrees = timeout(limit, ask(client, &probe, port)).await.unwrap_or(false) == ready;
        in_a_row = if agrees { 0 } else { in_a_row + 1 };
        if in_a_row >= if ready { failures } else { successes } {
            (ready, ever_ready, in_a_row) = (!ready, true, 0);
            report(ready);
        }
        sleep(if ever_ready { period } else { AT_FIRST.min(period) }).await;
    }
}

/// Who asks, for all probes of the node: as the kubelet's, each has a connection of its own.
pub(crate) fn client() -> anyhow::Result<reqwest::Client> {
    Ok(reqwest::Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(0)
        .build()?)
}

async fn ask(client: &reqwest::Client, probe: &Probe, port: u16) -> bool {
    let Some(get) = &probe.http_get else {
        return TcpStream::connect(("127.0.0.1", port)).await.is_ok();
    };
    let path = get.path.as_deref().unwrap_or("/").trim_start_matches('/');
    let answer = client.get(format!("http://127.0.0.1:{port}/{path}")).send().await;
    answer.is_ok_and(|answer| answer.status().is_success() || answer.status().is_redirection())
}

/// What this node cannot probe.
pub(crate) fn unsupported(container: &Container) -> Option<String> {
    let probe = container.readiness_probe.as_ref()?;
    let known = probe.http_get.is_some() || probe.tcp_socket.is_some();
    (!known).then(|| "this node knows httpGet and tcpSocket readiness probes only".into())
}
