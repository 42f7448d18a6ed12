//! IO free. Who goes first while many guards are put back in the same turn: what hurts before what is told of it.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::timeout,
};

/// So many guards are carried out at the same time.
const AT_ONCE: usize = 32;
/// Who lets others go first waits no longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The guards of a turn, each in its lane.
pub struct Lanes {
    permits: Arc<Semaphore>,
    /// Those that have not put back yet what they put back in this turn.
    ahead: watch::Sender<usize>,
}

impl Default for Lanes {
    fn default() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(AT_ONCE)),
            ahead: watch::Sender::new(0),
        }
    }
}

impl Lanes {
    /// A turn of so many guards begins.
    pub fn begin(&self, guards: usize) {
        self.ahead.send_replace(guards);
    }

    /// A guard's turn, when there is room for it: who asks first goes first.
    pub async fn enter(&self) -> Lane {
        Lane {
            permit: self.permits.clone().acquire_owned().await.ok(),
            permits: self.permits.clone(),
            ahead: Some(self.ahead.clone()),
        }
    }

    /// How many guards are ahead of what can wait.
    pub fn ahead(&self) -> watch::Receiver<usize> {
        self.ahead.subscribe()
    }
}

/// One guard's place, given up when it is dropped.
pub struct Lane {
    permit: Option<OwnedSemaphorePermit>,
    permits: Arc<Semaphore>,
    /// While it has not put back yet.
    ahead: Option<watch::Sender<usize>>,
}

impl Lane {
    /// What hurt is put back here. What is still to be written of it waits for those who are not so far.
    pub async fn step_back(&mut self) {
        let Some(ahead) = self.no_longer_ahead() else { return };
        drop(self.permit.take());
        let mut ahead = ahead.subscribe();
        let all = ahead.wait_for(|ahead| *ahead == 0);
        // Beyond that it goes on, whoever is not so far.
        timeout(PATIENCE, all).await.ok();
        self.permit = self.permits.clone().acquire_owned().await.ok();
    }

    fn no_longer_ahead(&mut self) -> Option<watch::Sender<usize>> {
        let ahead = self.ahead.take()?;
        ahead.send_modify(|ahead| *ahead = ahead.saturating_sub(1));
        Some(ahead)
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.no_longer_ahead();
    }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, stream};
    use std::sync::Mutex;

    use super::*;

    /// Puts back, which takes a second, then writes what it did.
    async fn play(lanes: &Lanes, guard: usize, log: &Mutex<Vec<(usize, &'static str)>>) {
        let mut lane = lanes.enter().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        log.lock().unwrap().push((guard, "put back"));
        lane.step_back().await;
        log.lock().unwrap().push((guard, "told"));
    }

    #[tokio::test(start_paused = true)]
    async fn all_are_put_back_in_their_order_before_it_is_told_of_one() {
        let (lanes, log) = (Lanes::default(), Mutex::default());
        let guards = AT_ONCE * 3;
        lanes.begin(guards);
        let turns = (0..guards).map(|guard| play(&lanes, guard, &log));
        stream::iter(turns).for_each_concurrent(None, |turn| turn).await;
        let log = log.into_inner().unwrap();
        let order = |what| {
            log.iter()
                .filter(move |(_, done)| *done == what)
                .map(|(guard, _)| *guard)
        };
        assert!(order("put back").eq(0..guards), "{log:?}");
        assert!(log[..guards].iter().all(|(_, what)| *what == "put back"), "{log:?}");
        assert_eq!(order("told").count(), guards);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_hangs_keeps_nobody_for_long() {
        let (lanes, log) = (Lanes::default(), Mutex::default());
        lanes.begin(2);
        let hangs = async {
            let lane = lanes.enter().await;
            tokio::time::sleep(Duration::from_secs(60)).await;
            drop(lane);
        };
        let began = tokio::time::Instant::now();
        let told = async {
            play(&lanes, 1, &log).await;
            began.elapsed()
        };
        let ((), told) = tokio::join!(hangs, told);
        assert_eq!(told, Duration::from_secs(6));
    }
}
