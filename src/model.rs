//! The nouns of modosu, without any IO. The custom resources `Guard` and `Incident` are these types.

/// What of an object is restored, and the hash by which it is known.
pub mod content;
/// Until when nothing is written, who said so and why.
pub mod freeze;
/// The two schemes of grades, as data.
pub mod grade;
/// What a guard's owner writes and what modosu answers: `kind: Guard`.
pub mod guard;
/// One opened case: evidence, plan, journal, outcome: `kind: Incident`.
pub mod incident;
/// Named sets of signals and triggers for one kind of exporter.
pub mod preset;
/// What one turn learned about one guard from Prometheus.
pub mod reading;
/// Numbers with units, lengths of time, shares: one parser each.
pub mod units;
