//! Pure. Policy, readings and baseline in; a verdict with evidence out.

/// The condition language: text to a checked tree, a tree to three-valued truth.
pub mod condition;
/// A guard's wishes, compiled once.
pub mod policy;

/// Past counts of one guard, bounded.
pub mod history;
/// How sure a share is.
pub mod share;
