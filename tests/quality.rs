//! What must hold of modosu's decisions also in a small simulation: `examples/quality`, a few hundred releases of it.
//!
//! The full size is in `docs/decision-quality.md`. The same seed gives the same figures, so that this never fails by chance.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    dead_code,
    clippy::allow_attributes,
    reason = "a test stops at the first surprise"
)]

/// For its own tests.
#[path = "../examples/quality/chance.rs"]
mod chance;

use std::{path::PathBuf, process::Command};

use serde_json::Value;

/// Cargo builds examples along with the tests, beside the folder of the tests.
fn quality() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let quality = test.parent().unwrap().parent().unwrap().join("examples/quality");
    assert!(
        quality.exists(),
        "{} is missing: cargo build --workspace --examples",
        quality.display()
    );
    quality
}

fn figures(size: &[&str]) -> Value {
    let told = Command::new(quality())
        .args(["--output", "json"])
        .args(size)
        .output()
        .unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    serde_json::from_slice(&told.stdout).unwrap()
}

#[test]
fn nobody_is_rolled_back_for_nothing_and_harm_is_noticed() {
    let small = figures(&["--seed", "1", "--changes", "100", "--minutes", "20"]);
    let number = |key: &str| {
        small[key]
            .as_f64()
            .unwrap_or_else(|| panic!("{key} is missing: {small}"))
    };
    for key in [
        "false_per_change",
        "changes",
        "false_per_service_week",
        "wald_ratio_uncapped_mean",
        "wald_ratio_uncapped_worst",
        "capped_delay_over_bound_median",
        "capped_delay_over_bound_p95",
        "recall",
        "precision",
    ] {
        assert!(number(key).is_finite(), "{key}");
    }
    assert!(number("false_automatic_without_bursts").abs() < 0.5, "{small:#}");
    assert!(number("changes_without_bursts") >= 20.0, "{small:#}");
    assert!(number("recall") >= 0.998 && number("precision") >= 0.995, "{small:#}");
    assert!(number("wald_ratio_uncapped_mean") <= 1.3, "{small:#}");
}
