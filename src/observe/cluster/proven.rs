//! Pure. A proven state, as the metadata of its snapshot tells.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::{ResourceExt, core::PartialObjectMeta};

use crate::model::{content::NO_WAY_BACK, guard::TargetRef};

/// The label by which a snapshot belongs to its guard.
pub const GUARD_LABEL: &str = "modosu.dev/guard";
/// The annotations of a snapshot.
pub const HASH: &str = "modosu.dev/hash";
pub const PROVEN_AT: &str = "modosu.dev/proven-at";
pub const LAST_RUNNING: &str = "modosu.dev/last-running";
pub const IMAGES: &str = "modosu.dev/images";
/// The ConfigMaps and Secrets that it holds, with their hashes.
pub const SETTINGS: &str = "modosu.dev/settings";

/// A proven state: the metadata of its snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The snapshot's name.
    pub name: String,
    pub guard: String,
    pub hash: String,
    pub proven_at: Timestamp,
    /// When it last began to run: the newest is where a rollback goes.
    pub last_running: Timestamp,
    pub images: Vec<String>,
    /// Why there is no way back from it.
    pub no_way_back: Vec<String>,
    /// The ConfigMaps and Secrets that it holds, with their hashes.
    pub settings: BTreeMap<TargetRef, String>,
}

impl Proven {
    pub(super) fn read(object: &PartialObjectMeta<ControllerRevision>) -> Option<Self> {
        let note = |key: &str| object.annotations().get(key);
        let time = |key: &str| note(key)?.parse::<Timestamp>().ok();
        Some(Self {
            name: object.name_any(),
            guard: object.labels().get(GUARD_LABEL)?.clone(),
            hash: note(HASH)?.clone(),
            proven_at: time(PROVEN_AT)?,
            last_running: time(LAST_RUNNING)?,
            images: note(IMAGES)
                .map(|list| list.split_whitespace().map(str::to_owned).collect())
                .unwrap_or_default(),
            no_way_back: note(NO_WAY_BACK)
                .map(|text| text.lines().map(str::to_owned).collect())
                .unwrap_or_default(),
            settings: note(SETTINGS).map(|text| read_settings(text)).unwrap_or_default(),
        })
    }
}

/// The ConfigMaps and Secrets of a state with their hashes, as its snapshot's annotation has them: `Secret/db=8b21…`.
pub fn settings<'a>(hashes: impl Iterator<Item = (&'a TargetRef, String)>) -> String {
    let settings = hashes.filter(|(target, _)| !target.kind.is_workload());
    let words: Vec<String> = settings.map(|(target, hash)| format!("{target}={hash}")).collect();
    words.join(" ")
}

fn read_settings(text: &str) -> BTreeMap<TargetRef, String> {
    let words = text.split_whitespace().filter_map(|word| word.split_once('='));
    words
        .filter_map(|(target, hash)| Some((target.parse().ok()?, hash.to_owned())))
        .collect()
}
