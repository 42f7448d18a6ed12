//! Jobs of the embedded world: who makes their pods, and what these come to. Their first container says what its environment holds
//! in `SAYS`, takes `TAKES` seconds and ends with `EXITS`; on real servers its command does the same.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
};
use modosu_world::World;
use serde_json::{Value, json};

/// A template whose container does so.
pub fn template(says: &str, takes: u32, exits: u8) -> String {
    let env = json!([
        {"name": "SAYS", "value": says}, {"name": "TAKES", "value": takes.to_string()}, {"name": "EXITS", "value": exits.to_string()},
    ]);
    let command = json!(["sh", "-c", r#"printf '%s\n' "$SAYS"; sleep "$TAKES"; exit "$EXITS""#]);
    let container = json!({"name": "tools", "image": "tools", "command": command, "env": env});
    let pod = json!({"terminationGracePeriodSeconds": 1, "automountServiceAccountToken": false, "restartPolicy": "Never", "containers": [container]});
    json!({"apiVersion": "batch/v1", "kind": "Job", "spec": {"backoffLimit": 0, "template": {"spec": pod}}}).to_string()
}

/// Runs every Job of the namespace from now on.
pub fn run(world: World, namespace: String) {
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            for job in world.objects("batch", "jobs", &namespace) {
                if job["spec"]["suspend"] != true && job["status"]["conditions"].is_null() {
                    go_on(&world, &namespace, &job).await;
                }
            }
        }
    });
}

/// Its pod is made, or is over.
async fn go_on(world: &World, namespace: &str, job: &Value) {
    let name = job["metadata"]["name"].as_str().unwrap();
    let pod = format!("{name}-pod");
    let spec = &job["spec"]["template"]["spec"];
    let Some(there) = world.object("", "pods", namespace, &pod) else {
        let made = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod, "labels": {"job-name": name}}, "spec": spec});
        let made: DynamicObject = serde_json::from_value(made).unwrap();
        let pods = api(world, namespace, "", "Pod");
        pods.create(&PostParams::default(), &made).await.unwrap();
        world.says(namespace, &pod, &format!("{}\n", of(spec, "SAYS")));
        return;
    };
    let began: Timestamp = there["metadata"]["creationTimestamp"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let age = world.now().duration_since(began);
    let is_over = |seconds: i64| age >= SignedDuration::from_secs(seconds);
    let exits: i64 = of(spec, "EXITS").parse().unwrap();
    let (kind, reason) = match job["spec"]["activeDeadlineSeconds"].as_i64() {
        Some(seconds) if is_over(seconds) => ("Failed", "DeadlineExceeded"),
        _ if !is_over(of(spec, "TAKES").parse().unwrap()) => return,
        _ if exits == 0 => ("Complete", "CompletionsReached"),
        _ => ("Failed", "BackoffLimitExceeded"),
    };
    let ended = json!({"name": "tools", "image": "tools", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": exits}}});
    let phase = if exits == 0 { "Succeeded" } else { "Failed" };
    let pod_status = json!({"phase": phase, "containerStatuses": [ended]});
    let conditions = json!([{"type": kind, "status": "True", "reason": reason}]);
    if reason != "DeadlineExceeded" {
        write(world, namespace, ("", "Pod", &pod), &pod_status).await;
    }
    write(
        world,
        namespace,
        ("batch", "Job", name),
        &json!({"conditions": conditions}),
    )
    .await;
}

async fn write(world: &World, namespace: &str, of: (&str, &str, &str), status: &Value) {
    let (group, kind, name) = of;
    let patch = Patch::Merge(json!({"status": status}));
    let api = api(world, namespace, group, kind);
    api.patch_status(name, &PatchParams::default(), &patch).await.unwrap();
}

fn api(world: &World, namespace: &str, group: &str, kind: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind));
    Api::namespaced_with(world.client("job-controller"), namespace, &resource)
}

fn of<'s>(spec: &'s Value, variable: &str) -> &'s str {
    let env = spec["containers"][0]["env"].as_array().unwrap();
    let found = env.iter().find(|entry| entry["name"] == variable);
    found.and_then(|entry| entry["value"].as_str()).unwrap()
}
