//! Pure. The condition language.

/// A parsed, unit-checked condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition;
