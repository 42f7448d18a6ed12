//! IO. Carries out what was decided, once. Holds no policy.
//!
//! Every write goes through here: bounded in time, under the field manager `modosu`, never forced, never retried
//! blindly. An answer that was lost is found out by reading, not by writing again. Nothing is written past the [`fence`].

/// Requests of checks and steps, which no turn waits for.
pub mod asks;
/// The door to everything that changes something: open while this copy leads.
pub mod fence;
/// Whether somebody stopped modosu from writing.
pub mod frozen;
/// Commits that are made and pushed.
pub mod git;
/// Requests of an owner's checks and steps.
pub mod http;
/// Reads that many ask for at the same time.
pub mod joint;
/// Which of several copies leads.
pub mod lease;
/// Statuses of guards and incidents, and new incidents.
pub mod record;
/// A plan that the server is only asked about: `dryRun=All`.
pub mod rehearse;
/// Revisions that ReplicaSets still hold.
pub mod replica_set;
/// The plan, step by step: intent, write, receipt.
pub mod run;
/// What is particular to Secrets.
pub mod secret;
/// Known-good states: kept as ControllerRevisions, Secrets' content in Secrets; read back and checked.
pub mod snapshot;
/// JSON Patches with tests on what was judged.
pub mod target;

use std::{future::Future, time::Duration};

use kube::{
    Client,
    api::{PatchParams, PostParams},
};
use thiserror::Error;

use crate::model::freeze::Freeze;

/// Who modosu is in `managedFields`. Never `kubectl`: GitOps tools strip that.
pub const FIELD_MANAGER: &str = "modosu";
/// A request to the API server takes no longer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a request was not carried out, by what to do next.
#[derive(Clone, Debug, Error)]
pub enum ApiError {
    /// It may or may not have been carried out: look before doing anything.
    #[error("the API server gave no clear answer: {0}")]
    Unsure(String),
    /// The object is not what was judged, or the server finds it invalid.
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Exists(String),
    /// Refused for good: permissions, admission, a malformed request.
    #[error("the API server refused: {0}")]
    Refused(String),
}

/// The API server as the act stage uses it.
#[derive(Clone)]
pub struct Api {
    /// Behind the fence.
    pub client: Client,
    pub metrics: crate::report::metrics::Metrics,
    pub asks: asks::Asks,
    pub versions: record::Versions,
    pub git: git::Git,
    /// What may freeze many guards, by where it stands.
    pub freezes: joint::Joint<Option<Freeze>>,
}

impl Api {
    /// A request with a bound on its time. `kind` names what is written, for the metrics; `None`: a read.
    pub async fn ask<T>(
        &self,
        kind: Option<&str>,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, ApiError> {
        let answer = match tokio::time::timeout(TIMEOUT, request).await {
            Ok(answer) => answer.map_err(classify),
            Err(_) => Err(ApiError::Unsure(format!("nothing within {} s", TIMEOUT.as_secs()))),
        };
        if let Some(kind) = kind {
            self.metrics
                .write_done(kind, if answer.is_ok() { "ok" } else { "failed" });
        }
        answer
    }
}

/// Parameters of every patch.
pub fn patch_params() -> PatchParams {
    PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

/// Parameters of every creation.
pub fn post_params() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

fn classify(why: kube::Error) -> ApiError {
    let kube::Error::Api(status) = why else {
        return ApiError::Unsure(why.to_string());
    };
    let text = status.message.clone();
    match status.code {
        404 => ApiError::NotFound(text),
        409 if status.reason == "AlreadyExists" => ApiError::Exists(text),
        409 | 422 => ApiError::Invalid(text),
        400 | 401 | 403 | 405 | 413 | 415 => ApiError::Refused(text),
        code => ApiError::Unsure(format!("{code}: {text}")),
    }
}
