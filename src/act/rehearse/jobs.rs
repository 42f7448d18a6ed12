//! IO. Whether the Jobs of a plan could be made tonight, those of its steps and those that are checks before the first write:
//! the settings allow them, their templates are there, and the server would take them.

use std::time::Duration;

use kube::{
    Api as KubeApi,
    api::{ApiResource, DynamicObject, PostParams},
};

use super::{Rehearsal, final_answer};
use crate::{
    act::{ApiError, post_params, run::job},
    decide::{
        plan::job::{For, template},
        ready::{Answer, is_unsupported},
    },
    judge::policy::NO_JOBS,
    model::guard::{OnFailure, RunJob},
};

impl Rehearsal {
    /// An error is what is wrong. What may fail without stopping the plan does not stop it here either.
    pub(super) async fn jobs(&self) -> Result<(), Answer> {
        for (name, wanted, timeout) in self.policy.before_jobs() {
            let what = format!("the check `{name}`");
            if !self.policy.jobs {
                return Err(Answer::impossible("CheckImpossible", &format!("{what}: {NO_JOBS}")));
            }
            self.try_job(&what, wanted, timeout).await?;
        }
        let steps = self.policy.steps.iter();
        for step in steps.filter(|step| step.on_failure == OnFailure::Escalate) {
            if let Some(wanted) = &step.job {
                self.try_job("a step's Job", wanted, step.timeout().0).await?;
            }
        }
        Ok(())
    }

    async fn try_job(&self, what: &str, wanted: &RunJob, timeout: Duration) -> Result<(), Answer> {
        let templates = job::templates(&self.api, &self.namespace, &[wanted]).await;
        let templates = templates.map_err(|why| final_answer(what, why))?;
        let made_for = For {
            incident: "modosu",
            uid: "dry-run",
            guard: &self.guard,
            what: "dry-run".to_owned(),
            timeout,
        };
        let impossible = |why: String| Answer::impossible("NoWayToPlan", &format!("{what}: {why}"));
        let template = template(wanted, &templates).map_err(impossible)?;
        let object = made_for.object(template).map_err(impossible)?;
        let object: DynamicObject = serde_json::from_value(object).map_err(|why| impossible(why.to_string()))?;
        let resource = ApiResource::erase::<k8s_openapi::api::batch::v1::Job>(&());
        let jobs: KubeApi<DynamicObject> =
            KubeApi::namespaced_with(self.api.client.clone(), &self.namespace, &resource);
        let tried = PostParams {
            dry_run: true,
            ..post_params()
        };
        match self.api.ask(None, jobs.create(&tried, &object)).await {
            Ok(_) => Ok(()),
            Err(ApiError::Refused(why)) if is_unsupported(&why) => Ok(()),
            Err(why) => Err(final_answer(what, why)),
        }
    }
}
