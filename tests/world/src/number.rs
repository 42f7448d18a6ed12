//! Conversions between whole numbers and floats. Pure. Each saturates, so none can fail: the
//! casts live here and nowhere else.

/// The whole part of `value`, at the limits where it does not fit.
#[expect(clippy::cast_possible_truncation, reason = "a float cast saturates")]
pub(crate) fn whole(value: f64) -> i64 {
    value as i64
}

/// The whole part of `value` as a count: negative numbers are none.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float cast saturates, and below zero means none"
)]
pub(crate) fn count(value: f64) -> u64 {
    value as u64
}

/// A count as a float; exact up to 2^53.
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

/// Milliseconds as a float; exact up to 2^53.
pub(crate) fn ratio(millis: i64) -> f64 {
    millis as f64
}

/// A length as a number of elements for JSON.
pub(crate) fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// A number of elements from JSON as a length: negative numbers are none.
pub(crate) fn length(value: i64) -> usize {
    usize::try_from(value).unwrap_or(0)
}
