//! IO. What modosu knows and did, rendered: pages, JSON, metrics, Kubernetes Events.
//!
//! The turn publishes one [`view::StatusView`] with the incidents behind it on the [`board::Board`]; everything that
//! people and programs read is rendered from there. Nothing here decides anything, and no page can change anything.

/// What the turn published last, behind the HTTP server.
pub mod board;
/// The incidents that one follows on.
mod earlier;
/// Kubernetes Events on guards and their workloads.
pub mod events;
/// Pure: guards and incidents as the cluster holds them, turned into what is shown.
pub mod fill;
/// The HTTP server: routes, limits, headers.
pub mod http;
/// Pure: values that look like secrets, made unreadable.
pub mod mask;
/// modosu's own metrics.
pub mod metrics;
/// Pure: where an incident stands in time, and what is to be seen to.
pub mod phases;
/// Pure: what is shown, as `/status.json` gives it.
pub mod view;
/// Pure: what the person who decides weighs.
pub mod weighing;
/// Pure: numbers, times, hashes and verbs as people read them.
pub mod words;

/// How answers are made.
mod answer;
/// Pure: guards, signals and incidents, ready to print.
mod cards;
/// Pure: what signals are compared with, in words.
mod compared;
/// Pure: what a person needs to know first.
mod first_screen;
/// Pure: what every page has around its content.
mod frame;
/// Pure: the guard's page.
mod guard_page;
/// Pure: the incident's page, whose first screen answers five questions.
mod incident_page;
/// Pure: which guards need a person.
mod need;
/// Pure: the stages of a plan.
mod stages;
/// Pure: the page of everything, one line of truth on top.
mod status_page;
