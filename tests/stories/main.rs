//! The stories: what a person would see modosu do, each told on the embedded world and on real servers.
//!
//! A story is one function over a [`stage::Stage`]; `story!` makes two tests of it. On the embedded world Tokio's
//! clock is paused, so that waiting costs nothing; on real servers it is the wall's.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a story stops at the first surprise")]

mod asked;
mod baselines;
mod beside;
mod clocks;
mod config;
mod decisions;
mod facts;
mod frozen;
mod gone;
mod hands;
mod invalid;
mod kills;
mod kinds;
mod leader;
mod limits;
mod locked;
mod oneway;
mod outages;
mod pace;
mod races;
mod ready;
mod releases;
mod repositories;
mod secrets;
mod several;
mod sidecar;
mod stage;
mod stages;
mod starts;
mod steps;
mod stuck;
mod sweep;
mod together;
mod tools;
mod triggers;
mod trust;
mod unknown;
mod worse;

/// One story, two tests: `name::embedded` and `name::real`; a story that measures time is `name::alone` on real
/// servers, and `tests/run` tells it when nothing else runs.
#[macro_export]
macro_rules! story {
    ($name:ident) => {
        $crate::story!($name, real);
    };
    ($name:ident, $real:ident) => {
        mod $name {
            #[tokio::test(start_paused = true)]
            async fn embedded() {
                let stage = $crate::stage::Stage::embedded(stringify!($name)).await;
                super::$name(&stage).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $real() {
                let stage = $crate::stage::Stage::real(stringify!($name)).await;
                stage.tell_all(super::$name(&stage)).await;
            }
        }
    };
}
