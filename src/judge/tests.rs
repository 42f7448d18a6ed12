//! Stories: a guard, a timeline of readings as text, and the picture of what the judge said at each of them.

mod baselines;
mod clocks;
mod ladders;
mod noise;
mod recall;
mod stages;
mod stories;
mod timeline;
mod verification;
mod worse;
