//! What containers print, as a kubelet gives it to the API server: `/containerLogs/NAMESPACE/POD/CONTAINER`, its end only.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, ensure};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::scratch::Scratch;

/// A request is no longer.
const LONGEST: usize = 16 << 10;

/// Where a container's output is written.
pub(crate) fn name(namespace: &str, pod: &str, container: &str) -> String {
    format!("pod-{namespace}-{pod}-{container}")
}

/// Listens; gives the port and what serves.
pub(crate) async fn serve(scratch: &Arc<Scratch>) -> anyhow::Result<(u16, impl Future<Output = ()> + use<>)> {
    let acceptor = TlsAcceptor::from(Arc::new(tls(scratch).await?));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let scratch = scratch.clone();
    let serving = async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, scratch) = (acceptor.clone(), scratch.clone());
            tokio::spawn(async move {
                if let Err(error) = answer(&acceptor, &scratch, stream).await {
                    tracing::debug!(%error, "a log could not be given");
                }
            });
        }
    };
    Ok((port, serving))
}

/// Under a certificate of its own, which the API server does not look at.
async fn tls(scratch: &Scratch) -> anyhow::Result<ServerConfig> {
    let (key, certificate) = (scratch.join("kubelet.key"), scratch.join("kubelet.crt"));
    let made = tokio::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
        ])
        .args(["-nodes", "-days", "2", "-subj", "/CN=node-1", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .stderr(Stdio::null())
        .status()
        .await
        .context("openssl is missing: apt-get install openssl")?;
    ensure!(made.success(), "openssl could not make a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let chain = vec![CertificateDer::from_pem_file(certificate)?];
    Ok(config
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?)
}

async fn answer(acceptor: &TlsAcceptor, scratch: &Scratch, stream: TcpStream) -> anyhow::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let head = head(&mut stream).await?;
    let target = head.split(' ').nth(1).unwrap_or_default();
    let (status, body) = match asked(target) {
        Some((name, lines)) => {
            let log: PathBuf = scratch.join("logs").join(format!("{name}.log"));
            ("200 OK", tail(&std::fs::read(log).unwrap_or_default(), lines))
        }
        None => ("404 Not Found", Vec::new()),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    stream.shutdown().await?;
    Ok(())
}

async fn head(stream: &mut (impl AsyncRead + Unpin)) -> anyhow::Result<String> {
    let mut read = Vec::new();
    while !read.windows(4).any(|end| end == b"\r\n\r\n") {
        ensure!(stream.read_buf(&mut read).await? > 0, "the request ends early");
        ensure!(read.len() <= LONGEST, "the request is too long");
    }
    Ok(String::from_utf8_lossy(&read).into_owned())
}

/// Whose log, and how many lines of it.
fn asked(target: &str) -> Option<(String, usize)> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut parts = path.strip_prefix("/containerLogs/")?.split('/');
    let name = name(parts.next()?, parts.next()?, parts.next()?);
    let lines = query.split('&').find_map(|pair| pair.strip_prefix("tailLines="));
    Some((name, lines.and_then(|lines| lines.parse().ok()).unwrap_or(usize::MAX)))
}

fn tail(log: &[u8], lines: usize) -> Vec<u8> {
    let all: Vec<&[u8]> = log.split_inclusive(|byte| *byte == b'\n').collect();
    all[all.len().saturating_sub(lines)..].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_what_was_asked_for() {
        let target = "/containerLogs/shop/backup-1/tools?limitBytes=10&tailLines=2";
        assert_eq!(asked(target), Some(("pod-shop-backup-1-tools".to_owned(), 2)));
        assert_eq!(asked("/pods"), None);
        assert_eq!(tail(b"a\nb\nc", 2), b"b\nc");
        assert_eq!(tail(b"a\nb\n", 9), b"a\nb\n");
    }
}
