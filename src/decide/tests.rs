//! The rules of time as pictures: what the world shows on the left, what follows on the right.

mod grades;
mod play;
mod rails;
mod rules;
mod sequences;
mod stages;
