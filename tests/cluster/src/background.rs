//! The runtime on which clusters live. Every `#[tokio::test]` has a runtime of its own that ends with the test; the node, the taps and the
//! processes of a shared cluster must outlive it, so they run here, for as long as the test process.

use std::future::Future;
use std::sync::OnceLock;

use anyhow::Context;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let built = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("modosu-cluster")
            .enable_all()
            .build();
        built.expect("the operating system gives a thread")
    })
}

pub(crate) fn spawn<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    runtime().spawn(work)
}

/// Runs `work` on the cluster's runtime and waits for it on the caller's.
pub(crate) async fn run<T: Send + 'static>(
    work: impl Future<Output = anyhow::Result<T>> + Send + 'static,
) -> anyhow::Result<T> {
    spawn(work).await.context("a task of the cluster ended early")?
}

/// Ends the task when it is dropped.
#[derive(Debug)]
pub(crate) struct Task(JoinHandle<()>);

impl Task {
    pub(crate) fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(spawn(work))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
