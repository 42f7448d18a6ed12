//! modosu (戻す, "to put back") watches what was just changed on Kubernetes, and puts it back when it hurts.
//!
//! ```text
//!       ┌────────────── one turn, every `poll` or when a watched object changes ───────────────┐
//! observe ──► judge ──► decide ──► record intent ──► act ──► record receipt ──► verify ──► report
//!  (IO)      (pure)    (pure)        (IO)           (IO)        (IO)           (pure)      (IO)
//! ```
//!
//! The modules, in the order of that flow:
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::panic,
        clippy::allow_attributes,
        reason = "a test may stop at the first surprise"
    )
)]

/// IO: carries out what was decided, once.
pub mod act;
/// Everything wired together and run until it is told to stop.
pub mod app;
/// The commands of the binary.
pub mod cli;
/// What time it is: the one place that asks.
pub mod clock;
/// The daemon's settings: file as written, environment and flags over it, validated, all mistakes at once.
pub mod config;
/// Pure: record, verdict and cluster in; next record and actions out.
pub mod decide;
/// Pure: policy, readings and baseline in, verdict with evidence out.
pub mod judge;
/// The nouns: guards, incidents, signals, grades, units. The custom resources are these types.
pub mod model;
/// IO: Prometheus' answers and the cluster's objects, as values; a partial observation is a value too.
pub mod observe;
/// IO: one record, rendered many ways: pages, metrics, Events.
pub mod report;
/// Logs and traces of the daemon itself.
pub mod telemetry;
/// One pass of the ring for all guards.
pub mod turn;
/// Pure: did what was done help?
pub mod verify;
