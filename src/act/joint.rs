//! IO. The same read, asked for by many at the same time: one request answers all who asked before it was sent, and nobody gets
//! an answer to one that was sent before they asked.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};

use super::ApiError;

type Read<T> = Shared<BoxFuture<'static, Result<T, ApiError>>>;

/// Reads by what they are of.
pub struct Joint<T>(Arc<Mutex<BTreeMap<String, Of<T>>>>);

/// The reads of one thing.
struct Of<T> {
    /// Held by the one that is on its way.
    way: Arc<tokio::sync::Mutex<()>>,
    /// The one that is not sent yet.
    next: Option<Read<T>>,
}

impl<T> Clone for Joint<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for Joint<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Clone + Send + Sync + 'static> Joint<T> {
    /// The answer to a request that is sent from now on.
    pub async fn ask(
        &self,
        of: &str,
        request: impl Future<Output = Result<T, ApiError>> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.join(of, request).await
    }

    fn join(&self, of: &str, request: impl Future<Output = Result<T, ApiError>> + Send + 'static) -> Read<T> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(of.to_owned()).or_insert_with(|| Of {
            way: Arc::default(),
            next: None,
        });
        if let Some(next) = &known.next {
            return next.clone();
        }
        let (way, own, of) = (known.way.clone(), self.clone(), of.to_owned());
        let next = async move {
            let _way = way.lock_owned().await;
            own.sent(&of);
            request.await
        };
        let next = next.boxed().shared();
        known.next = Some(next.clone());
        next
    }

    /// Who asks from now on gets another one.
    fn sent(&self, of: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get_mut(of) {
            known.next = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        time::Duration,
    };

    use futures::future::join_all;
    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_request_answers_all_who_asked_before_it_was_sent() {
        let (joint, sent) = (Joint::default(), Arc::new(AtomicU32::new(0)));
        let ask = async |after: u64| {
            sleep(Duration::from_millis(after)).await;
            let (asked, sent) = (Instant::now(), sent.clone());
            let request = async move {
                sent.fetch_add(1, Ordering::Relaxed);
                let began = Instant::now();
                sleep(Duration::from_millis(10)).await;
                Ok(began)
            };
            let began = joint.ask("a", request).await.unwrap();
            assert!(began >= asked, "what was sent before it was asked for is no answer");
        };
        // The first goes alone; those who come while it is on its way go together; who comes later goes alone.
        join_all([0, 1, 2, 3, 9, 50].map(ask)).await;
        assert_eq!(sent.load(Ordering::Relaxed), 3);
    }
}
