//! IO. What Prometheus measures and what the cluster holds, as values. A partial observation is a value, not an error.

/// What Prometheus answered, read without believing it.
pub mod answer;
/// What is asked beside a turn's readings.
pub mod aside;
/// One kind of object, watched into a map of trimmed values.
pub mod cache;
/// The cluster as watches show it.
pub mod cluster;
/// A counter, or a native histogram's count, as PromQL.
mod counter;
/// Queries as people would ask them.
pub mod for_people;
/// What counters grew, as PromQL.
mod growth;
/// Tools that put objects where they want them.
pub mod managers;
/// Who uses a ConfigMap makes no other state of it.
pub mod membership;
/// Times on Prometheus' own clock.
mod moment;
/// The cluster's objects, trimmed to what modosu judges by.
pub mod objects;
/// Revisions that nobody proved.
pub mod older;
/// What past turns would have read.
pub mod past;
/// One turn of reading Prometheus for all guards.
pub mod poll;
/// Whether a roll-out comes on.
pub mod progress;
/// One question to Prometheus, over HTTP or in this process.
pub mod prometheus;
/// One query for many guards, split where one guard's series spoil it.
pub mod prometheus_batch;
/// Whether Prometheus answers, and when to ask again.
pub mod prometheus_health;
/// Which values a guard's labels could have, where it has no rows.
pub mod prometheus_hints;
/// How often targets are scraped, and how long that takes.
pub mod prometheus_learned;
/// From one query's number to one signal's measurement.
mod prometheus_numbers;
/// From a guard's signals to queries, and from numbers to measurements.
pub mod prometheus_plan;
/// Which alerting rules there are.
pub mod prometheus_rules;
/// Which selectors and queries signals are read from.
mod prometheus_selectors;
/// Where Prometheus is and how one gets in.
pub mod prometheus_settings;
/// The PromQL that modosu sends.
pub mod query;
/// A guard's targets as they are now.
pub mod seen;
/// Old and new pods of a roll-out, and what each counted.
pub mod sides;
/// Moments at even distances.
pub mod steps;
/// Who uses ConfigMaps.
pub mod users;
