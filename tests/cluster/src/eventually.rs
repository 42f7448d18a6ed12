//! Waiting for what takes its time.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::bail;
use tokio::time::{Instant, sleep};

/// Asks ten times a second until `look` gives `Ok(Some(_))`. An error (a server that is down, say) counts as "not yet"; the last one is
/// in the message after `within`.
pub async fn eventually<T, E: Debug>(
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> Result<Option<T>, E>,
) -> anyhow::Result<T> {
    let asked = Instant::now();
    let mut last = None;
    while asked.elapsed() < within {
        match look().await {
            Ok(Some(seen)) => return Ok(seen),
            Ok(None) => last = None,
            Err(error) => last = Some(error),
        }
        sleep(Duration::from_millis(100)).await;
    }
    match last {
        Some(error) => bail!("not seen within {within:?}: {what} (last error: {error:?})"),
        None => bail!("not seen within {within:?}: {what}"),
    }
}
