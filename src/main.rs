//! The binary: everything is in the library.

use clap::Parser as _;

fn main() -> std::process::ExitCode {
    modosu::cli::Cli::parse().execute()
}
