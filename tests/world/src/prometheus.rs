//! The embedded Prometheus: scrapes the world's pods and answers instant and range queries.

pub(crate) mod aggregate;
pub(crate) mod answer;
pub(crate) mod ast;
pub(crate) mod binary;
pub(crate) mod evaluate;
pub(crate) mod exposition;
pub(crate) mod function;
pub(crate) mod lex;
pub(crate) mod parse;
pub(crate) mod pattern;
pub(crate) mod quantile;
pub(crate) mod range;
pub(crate) mod scrape;
pub(crate) mod series;
pub(crate) mod server;
pub(crate) mod target;

pub use answer::{Prometheus, Refused};
pub(crate) use server::Server;
