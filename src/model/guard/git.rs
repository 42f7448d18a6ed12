//! Pure. A change of a branch of a Git repository: something is reverted, or a path is as it is elsewhere.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `revert`: the merge that brought the commit which the bad state's templates name in `modosu.dev/commit`.
pub const MERGE_OF_CHANGE: &str = "merge-of-change";
/// `revert`: everything from the commit of the proven state to that of the bad one.
pub const RANGE_OF_CHANGE: &str = "range-of-change";

/// One commit on a branch, made and pushed: exactly one of `revert`, `checkout`. It is never forced.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[x_kube(validation = ("has(self.revert) != has(self.checkout)", "a change of a repository is exactly one of revert, checkout"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GitChange {
    /// Its address, such as `https://git.example.com/shop/orders.git`. Credentials stand in the daemon's settings.
    #[schemars(length(min = 1, max = 1000))]
    pub repository: String,
    /// The branch that is changed.
    #[schemars(length(min = 1, max = 250))]
    pub branch: String,
    /// `merge-of-change`, `range-of-change`, a whole commit hash, or two of them as `FROM..TO` (`FROM` itself stays). Merges are
    /// reverted to their first parent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 130))]
    pub revert: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkout: Option<Checkout>,
}

/// A file or a folder as it is elsewhere: what is not there is removed.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Checkout {
    /// From the top of the repository, such as `config/actor_system.toml`.
    #[schemars(length(min = 1, max = 1000))]
    pub path: String,
    /// Another branch, or a whole commit hash of the same one.
    #[schemars(length(min = 1, max = 250))]
    pub from: String,
}

/// Whether that is the whole hash of a commit.
pub fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Both ends of `FROM..TO`.
pub fn range(text: &str) -> Option<(&str, &str)> {
    text.split_once("..")
        .filter(|(from, to)| is_commit(from) && is_commit(to))
}
