//! etcd, kube-apiserver, kube-controller-manager and kube-scheduler with the flags that make them small, quick and loopback only.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::time::{Instant, sleep};

use crate::access::Access;
use crate::audit;
use crate::part::{Part, Ready, program};
use crate::port::free_port;
use crate::process::Program;
use crate::scratch::Scratch;

#[derive(Debug)]
pub(crate) struct ControlPlane {
    pub(crate) etcd: Part,
    pub(crate) api_server: Part,
    pub(crate) controller_manager: Part,
    pub(crate) scheduler: Part,
}

impl ControlPlane {
    pub(crate) async fn start(scratch: &Arc<Scratch>) -> anyhow::Result<(Self, Access)> {
        let (etcd_port, peer_port, api_port) = (free_port()?, free_port()?, free_port()?);
        let access = Access::new(scratch, format!("https://127.0.0.1:{api_port}"))?;
        service_account_key(scratch).await?;
        std::fs::write(scratch.join("audit-policy.json"), audit::policy().to_string())?;

        let etcd = etcd(scratch, etcd_port, peer_port)?;
        etcd.launch().await?;
        let api_server = api_server(scratch, &access, etcd_port, api_port)?;
        api_server.launch().await?;
        wait_for_certificate(&access).await?;
        // The certificate is kept over restarts, so one client serves for all of them.
        let api_server = api_server.asked_with(authorized(&access)?);
        api_server
            .wait_ready()
            .await
            .context("kube-apiserver does not come up")?;

        let controller_manager = controller_manager(scratch, &access)?;
        let scheduler = scheduler(scratch, &access)?;
        tokio::try_join!(controller_manager.start(), scheduler.start()).context("the controllers do not come up")?;
        Ok((
            Self {
                etcd,
                api_server,
                controller_manager,
                scheduler,
            },
            access,
        ))
    }
}

fn etcd(scratch: &Arc<Scratch>, client_port: u16, peer_port: u16) -> anyhow::Result<Part> {
    let (client, peer) = (
        format!("http://127.0.0.1:{client_port}"),
        format!("http://127.0.0.1:{peer_port}"),
    );
    let args = [
        format!("--data-dir={}", scratch.join("etcd").display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        "--unsafe-no-fsync".into(),
        "--log-level=warn".into(),
    ];
    let ready = Ready {
        url: format!("{client}/health"),
        client: plain()?,
    };
    Ok(Part::new(
        scratch,
        Program::new("etcd", program("etcd")?).args(args),
        ready,
    ))
}

fn api_server(scratch: &Arc<Scratch>, access: &Access, etcd_port: u16, port: u16) -> anyhow::Result<Part> {
    let key = scratch.join("sa.key");
    let args = [
        format!("--etcd-servers=http://127.0.0.1:{etcd_port}"),
        format!("--secure-port={port}"),
        "--bind-address=127.0.0.1".into(),
        "--advertise-address=127.0.0.1".into(),
        "--endpoint-reconciler-type=none".into(),
        // The node has no name that could be looked up.
        "--kubelet-preferred-address-types=InternalIP".into(),
        format!("--cert-dir={}", scratch.join("certs").display()),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        format!("--service-account-signing-key-file={}", key.display()),
        format!("--service-account-key-file={}", key.display()),
        format!("--token-auth-file={}", access.token_file().display()),
        "--authorization-mode=RBAC".into(),
        "--service-cluster-ip-range=10.0.0.0/24".into(),
        "--profiling=false".into(),
        format!("--audit-policy-file={}", scratch.join("audit-policy.json").display()),
        format!("--audit-log-path={}", audit::path(scratch).display()),
        // A write is in the log before its answer leaves.
        "--audit-log-mode=blocking".into(),
        "--audit-log-maxsize=4000".into(),
    ];
    let ready = Ready {
        url: format!("{}/readyz", access.server),
        client: plain()?,
    };
    Ok(Part::new(
        scratch,
        Program::new("kube-apiserver", program("kube-apiserver")?).args(args),
        ready,
    ))
}

fn controller_manager(scratch: &Arc<Scratch>, access: &Access) -> anyhow::Result<Part> {
    let port = free_port()?;
    let args = [
        format!("--kubeconfig={}", access.kubeconfig("admin")?.display()),
        format!(
            "--service-account-private-key-file={}",
            scratch.join("sa.key").display()
        ),
        "--use-service-account-credentials=true".into(),
        "--leader-elect=false".into(),
        format!("--root-ca-file={}", access.ca_file().display()),
        format!("--secure-port={port}"),
        "--bind-address=127.0.0.1".into(),
        format!("--cert-dir={}", scratch.join("certs-kcm").display()),
        // Many stories at once must not wait for the controllers' own rate limit.
        "--kube-api-qps=300".into(),
        "--kube-api-burst=600".into(),
    ];
    let ready = Ready {
        url: format!("https://127.0.0.1:{port}/healthz"),
        client: trusting()?,
    };
    let binary = program("kube-controller-manager")?;
    Ok(Part::new(
        scratch,
        Program::new("kube-controller-manager", binary).args(args),
        ready,
    ))
}

fn scheduler(scratch: &Arc<Scratch>, access: &Access) -> anyhow::Result<Part> {
    let port = free_port()?;
    let args = [
        format!("--kubeconfig={}", access.kubeconfig("admin")?.display()),
        "--leader-elect=false".into(),
        format!("--secure-port={port}"),
        "--bind-address=127.0.0.1".into(),
        format!("--cert-dir={}", scratch.join("certs-scheduler").display()),
    ];
    let ready = Ready {
        url: format!("https://127.0.0.1:{port}/healthz"),
        client: trusting()?,
    };
    Ok(Part::new(
        scratch,
        Program::new("kube-scheduler", program("kube-scheduler")?).args(args),
        ready,
    ))
}

async fn service_account_key(scratch: &Scratch) -> anyhow::Result<()> {
    let made = tokio::process::Command::new("openssl")
        .args(["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out"])
        .arg(scratch.join("sa.key"))
        .stderr(Stdio::null())
        .status()
        .await
        .context("openssl is missing: apt-get install openssl")?;
    ensure!(made.success(), "openssl could not make a key");
    Ok(())
}

async fn wait_for_certificate(access: &Access) -> anyhow::Result<()> {
    let asked = Instant::now();
    while access.http().is_err() {
        ensure!(
            asked.elapsed() < Duration::from_secs(30),
            "kube-apiserver writes no certificate"
        );
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

fn authorized(access: &Access) -> anyhow::Result<reqwest::Client> {
    let mut bearer = reqwest::header::HeaderMap::new();
    let value = format!("Bearer {}", crate::access::token("admin"));
    bearer.insert(reqwest::header::AUTHORIZATION, value.parse()?);
    Ok(access.http()?.default_headers(bearer).build()?)
}

/// For health checks of parts whose certificate is of no interest.
fn trusting() -> anyhow::Result<reqwest::Client> {
    Ok(reqwest::Client::builder()
        .danger_accept_invalid_certs(true)
        .no_proxy()
        .build()?)
}

pub(crate) fn plain() -> anyhow::Result<reqwest::Client> {
    Ok(reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(30))
        .build()?)
}
