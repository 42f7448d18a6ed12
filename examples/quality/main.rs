//! How good are modosu's decisions? Seeded simulations of whole guards: readings → `judge` → `decide`.
//!
//! ```text
//! cargo run --release --example quality                           the table, in under three minutes
//! cargo run --release --example quality -- --output json          the same figures for programs
//! cargo run --release --example quality -- --seed 7 --changes 300000 --minutes 120
//! ```
//!
//! `docs/decision-quality.md` says what is done, what came out, and what it does not show.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::print_stdout,
    clippy::too_many_lines,
    clippy::expect_used,
    clippy::allow_attributes,
    reason = "a program for people at a terminal: numbers are small, and it may stop at the first surprise"
)]

mod bad;
mod chance;
mod figures;
mod guard;
mod healthy;
mod life;
mod outage;
mod service;
mod summary;
mod table;
mod wald;
mod worlds;

use clap::{Parser, ValueEnum};

use figures::Size;
use summary::Summary;

/// Simulates guards and tells how often they were wrong, and how soon they were right.
#[derive(Debug, Parser)]
#[command(name = "quality")]
struct Arguments {
    /// The same seed gives the same figures, on every machine.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Healthy releases, at least one of each kind; everything else grows with them.
    #[arg(long, default_value_t = 30_000)]
    changes: usize,
    /// How long each healthy release is watched. After two hours modosu no longer acts by itself.
    #[arg(long, default_value_t = 120.0)]
    minutes: f64,
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    Table,
    Json,
}

fn main() {
    let arguments = Arguments::parse();
    let figures = figures::measure(Size {
        seed: arguments.seed,
        changes: arguments.changes,
        minutes: arguments.minutes,
    });
    match arguments.output {
        Output::Table => print!("{}", table::table(&figures)),
        Output::Json => {
            let summary = serde_json::to_string_pretty(&Summary::of(&figures));
            println!("{}", summary.expect("numbers and texts"));
        }
    }
}
