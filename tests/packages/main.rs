//! What `deploy/` ships: rendered, compared with what is kept, looked at by the tools of the trade, and installed on a real API server.
//!
//! `MODOSU_WRITE=1` writes what is kept anew.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a test may stop at the first surprise"
)]

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use serde_json::Value;

/// On a real API server, as the accounts that are shipped.
mod installed;
/// What tools that know Kubernetes, Helm and Prometheus say.
mod looked_at;
/// Compared with what is kept.
mod rendered;
/// Who may do what.
mod rights;

/// One set of objects that is shipped.
#[derive(Clone, Copy, Debug)]
pub enum Package {
    /// A folder with a kustomization, below the project's.
    Kustomize(&'static str),
    /// A file of `tests/packages/values`.
    Helm(&'static str),
}

pub const OVERLAYS: [&str; 4] = ["operator", "namespaced", "read-only", "sidecar"];
pub const VALUES: [&str; 4] = ["defaults", "everything", "namespaced", "read-only"];
/// Where the release goes that `helm template` renders.
pub const RELEASE: &str = "modosu";

impl Package {
    pub fn overlay(name: &str) -> Self {
        let all = [
            "deploy/overlays/operator",
            "deploy/overlays/namespaced",
            "deploy/overlays/read-only",
            "deploy/overlays/sidecar",
        ];
        let path = all.into_iter().find(|path| path.ends_with(name)).unwrap();
        Self::Kustomize(path)
    }

    pub fn all() -> Vec<Self> {
        let overlays = OVERLAYS.into_iter().map(Self::overlay);
        let rest = [
            Self::Kustomize("deploy/base"),
            Self::Kustomize("tests/packages/components"),
        ];
        overlays.chain(rest).chain(VALUES.into_iter().map(Self::Helm)).collect()
    }

    /// As the tool prints it, without the custom resource definitions.
    pub fn text(self) -> String {
        let printed = match self {
            Self::Kustomize(folder) => kubectl(&["kustomize", root().join(folder).to_str().unwrap()]),
            Self::Helm(values) => helm(&[
                "template",
                RELEASE,
                &chart(),
                "--namespace",
                "modosu",
                "--values",
                &self::values(values),
            ]),
        };
        let documents = printed
            .split("\n---\n")
            .map(|one| one.trim_start_matches("---\n").trim_end());
        let shipped = documents.filter(|one| !one.is_empty() && !one.contains("\nkind: CustomResourceDefinition"));
        shipped.collect::<Vec<_>>().join("\n---\n") + "\n"
    }

    pub fn objects(self) -> Vec<Value> {
        let text = self.text();
        let documents = text.split("\n---\n");
        let objects =
            documents.map(|one| serde_saphyr::from_str::<Value>(one).unwrap_or_else(|why| panic!("{one}\n{why}")));
        objects.filter(|object| !object.is_null()).collect()
    }

    /// The one object of that kind and name.
    pub fn object(self, kind: &str, name: &str) -> Value {
        let found = self.find(kind, name);
        found.unwrap_or_else(|| panic!("{self:?} has no {kind} {name}"))
    }

    pub fn find(self, kind: &str, name: &str) -> Option<Value> {
        let mut all = self.objects().into_iter();
        all.find(|one| one["kind"] == kind && one["metadata"]["name"].as_str().unwrap().starts_with(name))
    }
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn chart() -> String {
    root().join("deploy/helm/modosu").to_str().unwrap().to_owned()
}

pub fn values(name: &str) -> String {
    let path = root().join(format!("tests/packages/values/{name}.yaml"));
    path.to_str().unwrap().to_owned()
}

/// A program of `tests/cluster/build packages`, which builds them once per user.
pub fn tool(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        if let Some(folder) = std::env::var_os("MODOSU_PACKAGES_BIN") {
            return folder.into();
        }
        let mut build = Command::new(root().join("tests/cluster/build"));
        let built = build.arg("packages").stderr(Stdio::inherit()).output().unwrap();
        assert!(
            built.status.success(),
            "tests/cluster/build packages failed; what it lacks stands above"
        );
        PathBuf::from(String::from_utf8(built.stdout).unwrap().trim_end())
    });
    folder.join(name)
}

/// What it prints; fails with what it complains about.
pub fn run(program: &Path, arguments: &[&str]) -> Result<String, String> {
    let done = Command::new(program).args(arguments).output().unwrap();
    let (printed, complained) = (
        String::from_utf8(done.stdout).unwrap(),
        String::from_utf8_lossy(&done.stderr),
    );
    if done.status.success() {
        Ok(printed)
    } else {
        Err(format!(
            "{} {}: {complained}{printed}",
            program.display(),
            arguments.join(" ")
        ))
    }
}

pub fn kubectl(arguments: &[&str]) -> String {
    run(&modosu_cluster::programs().unwrap().join("kubectl"), arguments).unwrap_or_else(|why| panic!("{why}"))
}

pub fn helm(arguments: &[&str]) -> String {
    run(&tool("helm"), arguments).unwrap_or_else(|why| panic!("{why}"))
}
