//! The shape of the sources: what the compiler does not check and a reviewer would tire of.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a test may stop at the first surprise"
)]

use std::{
    fs,
    path::{Path, PathBuf},
};
const LIMIT: usize = 400;
const DENY: &str = "#![deny(clippy::disallowed_methods, clippy::disallowed_types)]";

struct Source {
    /// Below the project's folder, with slashes.
    path: String,
    text: String,
    /// Another file names it, by its path, as a module of its tests.
    only_in_tests: bool,
}

impl Source {
    /// What comes before the file's own tests.
    fn code(&self) -> &str {
        self.text.split("#[cfg(test)]\nmod tests").next().unwrap()
    }

    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/") || self.only_in_tests
    }

    fn is_in(&self, modules: &[&str]) -> bool {
        modules
            .iter()
            .any(|module| self.path == format!("src/{module}.rs") || self.path.starts_with(&format!("src/{module}/")))
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let mut entries: Vec<PathBuf> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                found.push(Source {
                    path,
                    text,
                    only_in_tests: false,
                });
            }
        }
    }
    for place in 0..found.len() {
        let name = found[place].path.rsplit('/').next().unwrap();
        let declared = format!("#[cfg(test)]\n#[path = \"{name}\"]\n");
        found[place].only_in_tests = found.iter().any(|file| file.text.contains(&declared));
    }
    found
}

fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is_and_stays_short() {
    let mut wrong = Vec::new();
    for file in sources("src").iter().filter(|file| !file.is_test()) {
        let (path, lines) = (&file.path, file.code().lines().count());
        if !file.text.starts_with("//! ") {
            wrong.push(format!("{path}: begins with `//!` and what it is for"));
        }
        if lines > LIMIT {
            wrong.push(format!("{path}: {lines} lines before its tests, at most {LIMIT}"));
        }
    }
    none(&wrong);
}

#[test]
fn names_say_what_is_inside_and_nothing_is_left_for_later() {
    let empty = ["mod", "utils", "util", "helpers", "helper", "common", "manager", "misc"];
    let mut wrong = Vec::new();
    for Source { path, text, .. } in sources("src") {
        let name = Path::new(&path).file_stem().unwrap().to_str().unwrap();
        if empty.contains(&name) {
            wrong.push(format!("{path}: `{name}` says nothing"));
        }
        for (number, line) in text.lines().enumerate() {
            if ["TODO", "FIXME", "XXX"].iter().any(|word| line.contains(word)) {
                wrong.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    none(&wrong);
}

#[test]
fn pure_modules_ask_nothing_and_nobody() {
    let forbidden = [
        "tokio::",
        "kube::",
        "reqwest::",
        "std::env",
        "std::fs",
        "std::net",
        "std::process",
        "std::thread",
    ];
    let mut wrong = Vec::new();
    for file in sources("src").iter().filter(|file| !file.is_test()) {
        let (path, code) = (&file.path, file.code());
        let has_code = code.lines().any(|line| !line.is_empty() && !line.starts_with("//"));
        let is_top = !path["src/".len()..].contains('/');
        if file.is_in(&["judge", "decide", "verify"]) && is_top && has_code && !code.contains(DENY) {
            wrong.push(format!("{path}: a pure module opens with {DENY}"));
        }
        if !file.is_in(&["judge", "decide", "verify", "model"]) {
            continue;
        }
        for (number, line) in code
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
        {
            let derives = ["use kube::{CustomResource, KubeSchema};", "use kube::KubeSchema;"];
            let derive = file.is_in(&["model"]) && derives.contains(&line);
            if !derive && forbidden.iter().any(|name| line.contains(name)) {
                wrong.push(format!("{path}:{}: not in a pure module: {}", number + 1, line.trim()));
            }
        }
    }
    none(&wrong);
}

#[test]
fn every_test_that_the_architecture_names_exists() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let all = ["src", "tests"]
        .map(sources)
        .into_iter()
        .flatten()
        .map(|file| file.text)
        .collect::<String>();
    let mut wrong = Vec::new();
    let mut named = 0;
    for line in text.lines().filter_map(|line| line.split_once("Held by: ")) {
        for name in line.1.split('`').skip(1).step_by(2) {
            named += 1;
            // A story that is told on real servers alone is a module.
            if !all.contains(&format!("fn {name}(")) && !all.contains(&format!("mod {name} {{")) {
                wrong.push(format!("ARCHITECTURE.md: there is no test {name}"));
            }
        }
    }
    assert!(named > 0, "ARCHITECTURE.md names no tests");
    none(&wrong);
}

#[test]
fn every_file_of_the_sources_is_in_the_architectures_table() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let top = |file: &Source| !file.path["src/".len()..].contains('/');
    let missing = |file: Source| (!text.contains(&format!("`{}`", file.path))).then_some(file.path);
    let missing: Vec<String> = sources("src").into_iter().filter(top).filter_map(missing).collect();
    none(&missing);
}
