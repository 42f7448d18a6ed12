//! IO. What Prometheus measures and what the cluster holds, as values. A partial observation is a value, not an error.

/// One kind of object, watched into a map of trimmed values.
pub mod cache;
/// The cluster as watches show it.
pub mod cluster;
/// The cluster's objects, trimmed to what modosu judges by.
pub mod objects;
/// A guard's targets as they are now.
pub mod seen;
