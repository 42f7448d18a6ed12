//! The embedded world may only claim what the real servers do: the same calls, and the same queries over the same samples, against
//! both.

#![expect(clippy::unwrap_used, reason = "a test may end at the first surprise")]
#![expect(clippy::too_many_lines, reason = "a list of calls is read from top to bottom")]

mod both;
mod deployments;
mod direct;
mod objects;
mod others;
mod queries;
mod rollouts;
mod things;
mod watches;
