//! What modosu is made of: licences, bans and sources of all crates, as `deny.toml` says. Advisories need the network: `./release`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a test may stop at the first surprise"
)]

use std::{fs, path::Path, process::Command};

use serde_json::Value;

/// All crates that are compiled on Linux.
fn crates() -> Vec<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = [
        "metadata",
        "--format-version=1",
        "--locked",
        "--offline",
        "--filter-platform=x86_64-unknown-linux-gnu",
    ];
    let told = Command::new(cargo)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let mut told: Value = serde_json::from_slice(&told.stdout).unwrap();
    let all: Vec<Value> = serde_json::from_value(told["packages"].take()).unwrap();
    assert!(all.len() > 200);
    all
}

/// A list of texts in `deny.toml`.
fn list(key: &str) -> Vec<String> {
    let file = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deny.toml")).unwrap();
    let line = file
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{key} = ")))
        .unwrap();
    serde_json::from_str(line).unwrap()
}

fn wrong(why: impl Fn(&Value) -> Option<String>) -> Vec<String> {
    let name = |one: &Value| format!("{} {}", one["name"].as_str().unwrap(), one["version"].as_str().unwrap());
    let all = crates();
    all.iter()
        .filter_map(|one| Some(format!("{}: {}", name(one), why(one)?)))
        .collect()
}

/// Whether that can be used under these licences: `A OR B` under one of them, `A AND B` under both.
fn allowed(expression: &str, licences: &[String]) -> bool {
    // Before SPDX a slash was an OR.
    let expression = expression.replace('/', " OR ");
    let mut depth = 0_u32;
    let mut parts = vec![String::new()];
    for word in expression.replace('(', " ( ").replace(')', " ) ").split_whitespace() {
        match (word, depth) {
            ("OR" | "AND", 0) => parts.extend([word.to_owned(), String::new()]),
            _ => {
                depth = if word == "(" {
                    depth + 1
                } else {
                    depth - u32::from(word == ")")
                };
                let part = parts.last_mut().unwrap();
                *part = format!("{part} {word}").trim().to_owned();
            }
        }
    }
    if let [one] = &parts[..] {
        let inner = one.strip_prefix("( ").and_then(|one| one.strip_suffix(" )"));
        return inner.map_or_else(|| licences.contains(one), |inner| allowed(inner, licences));
    }
    // AND binds closer.
    parts.split(|part| part == "OR").any(|all| {
        all.iter()
            .filter(|part| *part != "AND")
            .all(|one| allowed(one, licences))
    })
}

#[test]
fn every_crate_can_be_used_under_a_permissive_licence() {
    let licences = list("allow");
    let wrong = wrong(|one| {
        let licence = one["license"].as_str().unwrap_or_default();
        (!allowed(licence, &licences)).then(|| format!("its licence is {licence:?}"))
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_crate_is_banned_and_all_come_from_one_registry() {
    let banned = list("deny");
    let wrong = wrong(|one| {
        let (name, source) = (one["name"].as_str().unwrap(), one["source"].as_str());
        let from = source.is_none_or(|source| source == "registry+https://github.com/rust-lang/crates.io-index");
        (banned.contains(&name.to_owned()) || !from).then(|| format!("banned, or from elsewhere: {source:?}"))
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn licences_are_read_as_spdx_says() {
    let licences = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned);
    for (expression, can_be_used) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("", false),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("MIT AND (GPL-3.0 OR Apache-2.0)", true),
        ("(MIT OR Apache-2.0) AND GPL-3.0", false),
        ("GPL-3.0 AND MIT OR Apache-2.0", true),
        ("MIT AND (Apache-2.0 AND (GPL-3.0 OR ISC))", false),
    ] {
        assert_eq!(allowed(expression, &licences), can_be_used, "{expression}");
    }
}
