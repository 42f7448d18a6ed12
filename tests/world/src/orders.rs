//! A typical guarded service, for the stories: its Deployment as JSON.

use serde_json::{Value, json};

use crate::{
    api::{failure::Failure, kind::Kind},
    world::World,
};

/// The Deployment of a service `name` with this environment: one replica, label `app`, one container `orders` with image
/// `orders:1.0.0` and a readiness probe; the same as the test cluster's. Change the JSON at will.
pub fn deployment(namespace: &str, name: &str, env: &[(&str, &str)]) -> Value {
    let env: Vec<Value> = env
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {
            "replicas": 1,
            "progressDeadlineSeconds": 60,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"terminationGracePeriodSeconds": 2, "containers": [{
                    "name": "orders",
                    "image": "orders:1.0.0",
                    "env": env,
                    "ports": [{"name": "http", "containerPort": 8080}],
                    "readinessProbe": {
                        "httpGet": {"path": "/health", "port": 8080},
                        "periodSeconds": 1,
                        "failureThreshold": 2,
                    },
                }]},
            },
        },
    })
}

impl World {
    /// Creates the Deployment of [`deployment`] with `extra` merged into it, and its namespace.
    /// It is nobody's request: the audit list does not show it.
    ///
    /// # Errors
    /// What the API server would answer.
    pub fn create_deployment(
        &self,
        namespace: &str,
        name: &str,
        env: &[(&str, &str)],
        extra: &Value,
    ) -> Result<Value, Failure> {
        self.create_namespace(namespace);
        let mut object = deployment(namespace, name, env);
        json_patch::merge(&mut object, extra);
        self.create_object("apps", "deployments", namespace, object)
    }

    /// Creates any object of Kubernetes' own kinds; nobody's request.
    ///
    /// # Errors
    /// What the API server would answer.
    pub fn create_object(&self, group: &str, plural: &str, namespace: &str, object: Value) -> Result<Value, Failure> {
        let kind = Kind::built_in(group, plural).ok_or_else(Failure::no_such_path)?;
        let made = self.inner.with(|state| {
            let writer = state.cluster.writer(&kind, "kubectl-create", "");
            state.cluster.create(&kind, namespace, object, &writer, false)
        });
        self.inner.wake();
        made.map(|object| Value::clone(&object))
    }
}
