//! How soon what hurts is put back: on a real API server and a real Prometheus, from the API server's audit log.
//!
//! ```text
//! cargo bench --bench speed                 everything
//! cargo bench --bench speed -- one          one service after another
//! cargo bench --bench speed -- storm 300    so many at the same time; needs KWOK, which is built once
//! cargo bench --bench speed -- crash 300    the same, and the daemon is killed in the middle of it
//! ```
//! Everything runs on this machine, beside the daemon: the figures are of all of it together. Beside each stands what is
//! wanted; a figure that is above it is no failure of the bench.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::allow_attributes,
    reason = "a benchmark prints, and may stop at the first surprise"
)]

mod exporter;
mod many;
mod one;
mod place;

use std::time::Duration;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // cargo passes --bench.
    let arguments: Vec<_> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    let count = |default| arguments.get(1).map_or(Ok(default), |count| count.parse::<usize>());
    match arguments.first().map(String::as_str) {
        Some("one") => one::run().await,
        Some("storm") => many::storm(count(300)?).await,
        Some("crash") => many::crash(count(300)?).await,
        Some(other) => anyhow::bail!("{other} is not known: one, storm or crash"),
        None => {
            one::run().await?;
            many::storm(300).await?;
            many::storm(500).await?;
            many::crash(300).await
        }
    }
}

/// The middle one, and the last but so many of a hundred.
fn quantile(times: &[Duration], q: f64) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    let last = times.len().saturating_sub(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in a short list"
    )]
    let place = (q * last as f64).round() as usize;
    times.get(place).copied().unwrap_or_default()
}

fn between(from: jiff::Timestamp, to: jiff::Timestamp) -> Duration {
    to.duration_since(from).unsigned_abs()
}
