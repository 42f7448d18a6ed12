//! IO. `modosu health`: whether the modosu of these settings is alive, for whoever runs its container without a kubelet.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::bail;
use clap::Args;

use super::{SettingsArguments, run::environment};
use crate::config::{Flags, Settings};

/// What `modosu health` takes.
#[derive(Args, Debug)]
pub struct HealthArguments {
    #[command(flatten)]
    pub settings: SettingsArguments,
    /// Where the pages are served, where the settings do not say so.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,
}

/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(3);

/// Nobody answers there.
#[derive(thiserror::Error, Debug)]
#[error("nobody answers at http://{at}/livez")]
pub struct Unreached {
    at: SocketAddr,
    source: io::Error,
}

/// Asks `/livez` at the address that the settings name. Plain HTTP by hand: it is asked every few seconds, and a client that can do
/// more reads all certificates first.
pub fn health(arguments: &HealthArguments) -> anyhow::Result<String> {
    let flags = Flags {
        listen: arguments.listen.clone(),
        ..Flags::default()
    };
    let settings = Settings::load(arguments.settings.config.as_deref(), environment(), &flags)?;
    let at = own(settings.http.listen);
    let answer = ask(at).map_err(|source| Unreached { at, source })?;
    let status = answer.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        bail!("http://{at}/livez answers {status:?} and not 200");
    }
    Ok(format!("alive at http://{at}\n"))
}

fn ask(at: SocketAddr) -> io::Result<String> {
    let mut line = TcpStream::connect_timeout(&at, PATIENCE)?;
    line.set_read_timeout(Some(PATIENCE))?;
    line.set_write_timeout(Some(PATIENCE))?;
    // In one piece: who answers a part of it closes the line before the rest.
    line.write_all(format!("GET /livez HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    line.take(1024).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Whoever listens everywhere listens here as well.
fn own(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_it_listens_everywhere_it_is_asked_here() {
        for (listen, asked) in [
            ("0.0.0.0:9191", "127.0.0.1:9191"),
            ("[::]:80", "[::1]:80"),
            ("10.0.0.7:9191", "10.0.0.7:9191"),
        ] {
            assert_eq!(own(listen.parse().unwrap()).to_string(), asked);
        }
    }
}
