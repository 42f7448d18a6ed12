//! Stories on the test cluster itself: what the other stories stand on is real, and nothing of it stays behind.

#![expect(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use modosu_cluster::{Behaviour, Cluster, Filter, Point, Program, Verdict, eventually, orders};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(90);

async fn orders_in(namespace: &str, replicas: u32, env: Value) -> &'static Cluster {
    let cluster = Cluster::shared().await.unwrap();
    cluster.namespace(namespace).await.unwrap();
    cluster
        .apply(&orders::deployment(namespace, "orders", replicas, &env))
        .await
        .unwrap();
    cluster
}

async fn pods(cluster: &Cluster, namespace: &str) -> Vec<Pod> {
    let pods = Api::<Pod>::namespaced(cluster.client("admin").await.unwrap(), namespace);
    pods.list(&ListParams::default()).await.unwrap().items
}

/// The value of the only row, `None` while there is none.
async fn value(cluster: &Cluster, promql: &str) -> anyhow::Result<Option<f64>> {
    Ok(cluster
        .prometheus()
        .query(promql)
        .await?
        .first()
        .map(|sample| sample.value))
}

#[tokio::test]
async fn the_parts_are_real_and_serve() {
    let cluster = Cluster::shared().await.unwrap();
    let version: Value = serde_json::from_str(&cluster.kubectl(&["version", "-o", "json"]).await.unwrap()).unwrap();
    assert!(
        version["serverVersion"]["gitVersion"]
            .as_str()
            .unwrap()
            .starts_with("v1."),
        "{version}"
    );
    let nodes = Api::<Node>::all(cluster.client("admin").await.unwrap())
        .list(&ListParams::default())
        .await
        .unwrap();
    let conditions = nodes.items[0].status.as_ref().unwrap().conditions.clone().unwrap();
    assert!(
        conditions
            .iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
    );
}

#[tokio::test]
async fn settings_reach_the_program_and_its_metrics_reach_prometheus() {
    let env = json!([
        {"name": "ERROR_SHARE", "value": "0.2"},
        {"name": "LATENCY_MS", "valueFrom": {"configMapKeyRef": {"name": "tuning", "key": "latency"}}},
        {"name": "ME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ]);
    let cluster = Cluster::shared().await.unwrap();
    cluster.namespace("smoke-settings").await.unwrap();
    let map = |name: &str, data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "smoke-settings", "name": name}, "data": data});
    cluster.apply(&map("tuning", json!({"latency": "300"}))).await.unwrap();
    cluster.apply(&map("rates", json!({"PS": "40"}))).await.unwrap();
    let mut deployment = orders::deployment("smoke-settings", "orders", 2, &env);
    deployment["spec"]["template"]["spec"]["containers"][0]["envFrom"] = json!([{"prefix": "R", "configMapRef": {"name": "rates"}}, {"configMapRef": {"name": "none", "optional": true}}]);
    cluster.apply(&deployment).await.unwrap();
    cluster.rolled_out("smoke-settings", "orders", SOON).await.unwrap();

    // envFrom: RPS=40, on each of two pods.
    let rate = async || {
        let rate = value(
            cluster,
            r#"sum(rate(http_requests_total{namespace="smoke-settings",job="orders"}[5s]))"#,
        )
        .await?;
        anyhow::Ok(rate.filter(|rate| (70.0..90.0).contains(rate)))
    };
    eventually("80 requests a second", SOON, rate).await.unwrap();
    // env: exactly one of five requests fails. configMapKeyRef: 300 ms.
    let errors = r#"sum(http_requests_total{namespace="smoke-settings",code="500"}) / sum(http_requests_total{namespace="smoke-settings"})"#;
    assert!((value(cluster, errors).await.unwrap().unwrap() - 0.2).abs() < 0.02);
    let median = r#"histogram_quantile(0.5, sum by (le) (rate(http_request_duration_seconds_bucket{namespace="smoke-settings"}[5s])))"#;
    assert!((0.25..0.5).contains(&value(cluster, median).await.unwrap().unwrap()));

    let pods = pods(cluster, "smoke-settings").await;
    let rows = cluster
        .prometheus()
        .query(r#"http_requests_total{namespace="smoke-settings",code="200"}"#)
        .await
        .unwrap();
    assert_eq!(rows.len(), 2);
    for row in rows {
        let pod = pods.iter().find(|pod| pod.name_any() == row.labels["pod"]).unwrap();
        assert_eq!(row.labels["job"], "orders");
        assert_eq!(row.labels["pod_template_hash"], pod.labels()["pod-template-hash"]);
    }
}

#[tokio::test]
async fn a_missing_config_map_keeps_the_container_waiting() {
    let env = json!([{"name": "RPS", "valueFrom": {"configMapKeyRef": {"name": "absent", "key": "rps"}}}]);
    let cluster = orders_in("smoke-missing", 1, env).await;
    let reason = async || {
        anyhow::Ok(
            waiting_reason(cluster, "smoke-missing")
                .await
                .filter(|it| it == "CreateContainerConfigError"),
        )
    };
    eventually("CreateContainerConfigError", SOON, reason).await.unwrap();
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "smoke-missing", "name": "absent"}, "data": {"rps": "5"}});
    cluster.apply(&map).await.unwrap();
    cluster.rolled_out("smoke-missing", "orders", SOON).await.unwrap();
}

async fn waiting_reason(cluster: &Cluster, namespace: &str) -> Option<String> {
    let pods = pods(cluster, namespace).await;
    let container = pods
        .first()?
        .status
        .as_ref()?
        .container_statuses
        .as_ref()?
        .first()?
        .clone();
    container.state?.waiting?.reason
}

#[tokio::test]
async fn a_crash_loop_is_told_as_the_kubelet_tells_it() {
    let cluster = orders_in("smoke-crash", 1, json!([{"name": "CRASH_AFTER_MS", "value": "300"}])).await;
    let seen = async || {
        let pods = pods(cluster, "smoke-crash").await;
        let Some(status) = pods.first().and_then(|pod| pod.status.clone()) else {
            return anyhow::Ok(None);
        };
        let Some(container) = status.container_statuses.and_then(|all| all.first().cloned()) else {
            return Ok(None);
        };
        let waiting = container
            .state
            .and_then(|state| state.waiting)
            .and_then(|waiting| waiting.reason);
        let last = container
            .last_state
            .and_then(|last| last.terminated)
            .map(|end| end.exit_code);
        let looping = waiting.as_deref() == Some("CrashLoopBackOff") && container.restart_count >= 2;
        Ok(looping.then_some((status.phase, last, container.ready)))
    };
    let (phase, exit_code, ready) = eventually("a second restart and CrashLoopBackOff", SOON, seen)
        .await
        .unwrap();
    assert_eq!((phase.as_deref(), exit_code, ready), (Some("Running"), Some(1), false));
}

#[tokio::test]
async fn an_image_that_does_not_exist_is_never_pulled() {
    let cluster = Cluster::shared().await.unwrap();
    cluster.namespace("smoke-image").await.unwrap();
    let mut deployment = orders::deployment("smoke-image", "orders", 1, &json!([]));
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] =
        json!("registry.example/orders-does-not-exist:9");
    cluster.apply(&deployment).await.unwrap();
    let reason = async || {
        anyhow::Ok(
            waiting_reason(cluster, "smoke-image")
                .await
                .filter(|reason| reason == "ImagePullBackOff"),
        )
    };
    eventually("ImagePullBackOff", SOON, reason).await.unwrap();
    assert_eq!(
        pods(cluster, "smoke-image").await[0]
            .status
            .as_ref()
            .unwrap()
            .phase
            .as_deref(),
        Some("Pending")
    );
}

#[tokio::test]
async fn a_release_replaces_the_pods_and_the_audit_log_knows_who_made_it() {
    let cluster = orders_in("smoke-release", 2, json!([])).await;
    cluster.rolled_out("smoke-release", "orders", SOON).await.unwrap();
    let before: Vec<_> = pods(cluster, "smoke-release")
        .await
        .iter()
        .map(ResourceExt::name_any)
        .collect();

    let deployments = Api::<Deployment>::namespaced(cluster.client("modosu").await.unwrap(), "smoke-release");
    let image = json!([
        {"op": "test", "path": "/metadata/name", "value": "orders"},
        {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "orders:2.0.0"},
    ]);
    let patch = Patch::<()>::Json(serde_json::from_value(image.clone()).unwrap());
    deployments
        .patch(
            "orders",
            &PatchParams {
                dry_run: true,
                ..PatchParams::default()
            },
            &patch,
        )
        .await
        .unwrap();
    deployments
        .patch("orders", &PatchParams::default(), &patch)
        .await
        .unwrap();
    let refused = Patch::<()>::Json(
        serde_json::from_value(json!([{"op": "test", "path": "/metadata/name", "value": "no"}])).unwrap(),
    );
    deployments
        .patch("orders", &PatchParams::default(), &refused)
        .await
        .unwrap_err();
    cluster.rolled_out("smoke-release", "orders", SOON).await.unwrap();
    let old_are_gone = async || {
        let now: Vec<_> = pods(cluster, "smoke-release")
            .await
            .iter()
            .map(ResourceExt::name_any)
            .collect();
        anyhow::Ok((now.len() == 2 && now.iter().all(|pod| !before.contains(pod))).then_some(()))
    };
    eventually("two new pods, no old ones", SOON, old_are_gone)
        .await
        .unwrap();

    let patches = cluster.template_patches("smoke-release", "orders").unwrap();
    assert_eq!(patches.len(), 1, "{patches:?}");
    assert_eq!(
        (patches[0].user.as_str(), patches[0].code, &patches[0].request_body),
        ("modosu", 200, &image)
    );
    let by_modosu = Filter {
        user: Some("modosu"),
        namespace: Some("smoke-release"),
        ..Filter::default()
    };
    let codes: Vec<_> = cluster
        .writes(by_modosu)
        .unwrap()
        .iter()
        .map(|write| (write.code, write.dry_run))
        .collect();
    assert_eq!(codes, [(200, true), (200, false), (422, false)]);
}

#[tokio::test]
async fn a_service_goes_bad_and_good_from_outside() {
    let cluster = orders_in("smoke-bad", 2, json!([])).await;
    cluster.rolled_out("smoke-bad", "orders", SOON).await.unwrap();
    let total = r#"sum(rate(http_requests_total{namespace="smoke-bad"}[3s]))"#;
    let share = format!(r#"sum(rate(http_requests_total{{namespace="smoke-bad",code="500"}}[3s])) / {total}"#);
    let scraped = async || anyhow::Ok(value(cluster, total).await?.filter(|rate| *rate > 0.0));
    eventually("traffic", SOON, scraped).await.unwrap();
    assert!(
        cluster.prometheus().query(&share).await.unwrap().is_empty(),
        "no error series before the first error"
    );

    cluster
        .misbehave(
            "smoke-bad",
            "orders",
            Behaviour {
                error_share: Some(0.3),
                ..Behaviour::default()
            },
        )
        .unwrap();
    let bad = async || {
        anyhow::Ok(
            value(cluster, &share)
                .await?
                .filter(|share| (0.25..0.35).contains(share)),
        )
    };
    eventually("30 % errors", SOON, bad).await.unwrap();
    cluster.behave("smoke-bad", "orders").unwrap();
    let good = async || anyhow::Ok(value(cluster, &share).await?.filter(|share| *share < 0.001));
    eventually("no errors", SOON, good).await.unwrap();

    cluster
        .misbehave(
            "smoke-bad",
            "orders",
            Behaviour {
                ready: Some(false),
                ..Behaviour::default()
            },
        )
        .unwrap();
    let not_ready = async || {
        let pods = pods(cluster, "smoke-bad").await;
        anyhow::Ok(pods.iter().all(|pod| !is_ready(pod)).then_some(()))
    };
    eventually("not ready", SOON, not_ready).await.unwrap();
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|it| it.type_ == "Ready" && it.status == "True"))
}

#[tokio::test]
async fn a_malformed_bucket_is_scraped_and_named_by_prometheus() {
    let cluster = orders_in("smoke-le", 1, json!([{"name": "BAD_LE", "value": "1"}])).await;
    let query = r#"histogram_quantile(0.5, http_request_duration_seconds_bucket{namespace="smoke-le"})"#;
    let named = async || {
        let answer = cluster.prometheus().query_raw(query).await?;
        let said = format!("{} {}", answer["infos"], answer["warnings"]);
        anyhow::Ok(said.contains("malformed").then_some(answer))
    };
    eventually("Prometheus complains of the bucket", SOON, named)
        .await
        .unwrap();
}

/// A cluster of its own: Prometheus is everybody's.
#[tokio::test]
async fn parts_come_back_with_their_data_and_a_dropped_cluster_leaves_nothing() {
    let began = Instant::now();
    let cluster = Cluster::start().await.unwrap();
    eprintln!("a cluster starts in {:?}", began.elapsed());
    cluster.namespace("smoke-own").await.unwrap();
    cluster
        .apply(&orders::deployment("smoke-own", "orders", 1, &json!([])))
        .await
        .unwrap();
    cluster.rolled_out("smoke-own", "orders", SOON).await.unwrap();
    let scraped = async || {
        anyhow::Ok(
            value(&cluster, r#"http_requests_total{namespace="smoke-own"}"#)
                .await?
                .filter(|count| *count > 100.0),
        )
    };
    let before = eventually("traffic", SOON, scraped).await.unwrap();

    cluster.prometheus().part().kill().await;
    assert!(cluster.prometheus().query("up").await.is_err());
    cluster.prometheus().part().start().await.unwrap();
    let kept = r#"min_over_time(http_requests_total{namespace="smoke-own"}[5m])"#;
    assert!(
        value(&cluster, kept).await.unwrap().unwrap() <= before,
        "the series from before the kill"
    );
    eventually("it goes on", SOON, scraped).await.unwrap();

    cluster.api_server().kill().await;
    assert!(cluster.kubectl(&["get", "nodes"]).await.is_err());
    cluster.api_server().start().await.unwrap();
    cluster
        .kubectl(&["--namespace=smoke-own", "scale", "deployment/orders", "--replicas=2"])
        .await
        .unwrap();
    cluster
        .rolled_out("smoke-own", "orders", Duration::from_secs(60))
        .await
        .unwrap();

    let folder = cluster.folder("mine").unwrap();
    let processes = cluster.processes().unwrap();
    assert!(processes.len() >= 7, "five parts and two pods: {processes:?}");
    drop(cluster);
    assert!(!folder.exists());
    assert_eq!(
        processes.into_iter().filter(|pid| lives(*pid)).collect::<Vec<_>>(),
        [0; 0]
    );
}

fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state follows the name, which stands in brackets; Z and X are dead.
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

#[tokio::test]
async fn a_tap_kills_at_the_point_asked() {
    let cluster = orders_in("smoke-tap", 1, json!([])).await;
    let tap = cluster.tap("smoke-tap", "modosu").unwrap();
    let annotate = |value: &str| {
        let script = format!(
            "{} annotate deployment/orders --overwrite smoke={value}; sleep 60",
            kubectl(&tap, "smoke-tap")
        );
        Program::new(format!("smoke-tap-{value}"), "sh").args(["-c", &script])
    };
    let annotation = async || {
        cluster
            .kubectl(&[
                "-n",
                "smoke-tap",
                "get",
                "deploy",
                "orders",
                "-o",
                "jsonpath={.metadata.annotations.smoke}",
            ])
            .await
            .unwrap()
    };

    // Before: the server never sees the patch. After: it is done, and the program died without knowing.
    for (point, value, expected) in [(Point::Before, "one", ""), (Point::After, "two", "two")] {
        let (tell, hear) = tokio::sync::watch::channel(None::<modosu_cluster::Process>);
        tap.on(
            point,
            1,
            |seen| seen.writes("deployments"),
            move |seen| {
                let mut hear = hear.clone();
                async move {
                    assert_eq!((seen.name.as_str(), seen.method.as_str()), ("orders", "PATCH"));
                    let program = hear.wait_for(Option::is_some).await.unwrap().clone().unwrap();
                    program.kill().await;
                    Verdict::Cut
                }
            },
        );
        let program = cluster.run(annotate(value)).await.unwrap();
        tell.send_replace(Some(program.clone()));
        assert!(!program.wait().await.success(), "{}", program.log());
        assert_eq!(annotation().await, expected);
    }
    let statuses: Vec<_> = tap
        .requests()
        .iter()
        .filter(|seen| seen.writes("deployments"))
        .map(|seen| seen.status)
        .collect();
    assert_eq!(statuses, [None, Some(200)]);
}

fn kubectl(tap: &modosu_cluster::Tap, namespace: &str) -> String {
    let program = modosu_cluster::programs().unwrap().join("kubectl");
    format!(
        "{} --kubeconfig {} -n {namespace}",
        program.display(),
        tap.kubeconfig().display()
    )
}

#[tokio::test]
async fn a_tap_refuses_delays_and_cuts() {
    use futures::TryStreamExt;
    let cluster = orders_in("smoke-cut", 1, json!([])).await;
    let tap = cluster.tap("smoke-cut", "modosu").unwrap();
    let mut config = kube::Config::new(tap.url().parse().unwrap());
    config.default_retry = false;
    let deployments = Api::<Deployment>::namespaced(kube::Client::try_from(config).unwrap(), "smoke-cut");
    assert_eq!(deployments.get("orders").await.unwrap().name_any(), "orders");

    tap.refuse(409, 1, |seen| seen.name == "orders");
    let refused = deployments.get("orders").await.unwrap_err();
    assert!(
        matches!(&refused, kube::Error::Api(status) if status.code == 409 && status.reason == "Conflict"),
        "{refused:?}"
    );

    tap.cut(Point::After, 1, |seen| seen.name == "orders");
    let cut = deployments.get("orders").await.unwrap_err();
    assert!(!matches!(cut, kube::Error::Api(_)), "{cut:?}");

    tap.delay(Duration::from_millis(500), 1, |seen| seen.name == "orders");
    let asked = Instant::now();
    deployments.get("orders").await.unwrap();
    assert!(asked.elapsed() >= Duration::from_millis(500));

    let mut watch = std::pin::pin!(
        deployments
            .watch(&kube::api::WatchParams::default(), "0")
            .await
            .unwrap()
    );
    assert!(watch.try_next().await.unwrap().is_some());
    tap.cut_watches();
    let end = tokio::time::timeout(SOON, async { while let Ok(Some(_)) = watch.try_next().await {} }).await;
    end.unwrap();

    tap.outage(true);
    deployments.get("orders").await.unwrap_err();
    tap.outage(false);
    deployments.get("orders").await.unwrap();
}

const CHILD: &str = "MODOSU_SMOKE_CHILD";

/// Runs itself again, kills that with SIGKILL in the middle of a story, and looks for what is left.
#[tokio::test]
async fn a_test_that_is_killed_leaves_nothing() {
    if std::env::var_os(CHILD).is_some() {
        return play_the_victim().await;
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "a_test_that_is_killed_leaves_nothing",
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said = tokio::task::spawn_blocking(move || {
        lines
            .map_while(Result::ok)
            .find_map(|line| Some(line.split_once("victim: ")?.1.to_owned()))
    });
    let said: Value = serde_json::from_str(&said.await.unwrap().unwrap()).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();

    let processes: Vec<u32> = serde_json::from_value(said["processes"].clone()).unwrap();
    assert!(processes.len() >= 6, "five parts and a pod: {processes:?}");
    let folder = PathBuf::from(said["folder"].as_str().unwrap());
    let nothing = async || anyhow::Ok((!processes.iter().any(|pid| lives(*pid)) && !folder.exists()).then_some(()));
    eventually("no process and no folder is left", Duration::from_secs(10), nothing)
        .await
        .unwrap();
}

#[expect(clippy::print_stdout, reason = "the parent reads it")]
async fn play_the_victim() {
    let cluster = orders_in("smoke-victim", 1, json!([])).await;
    cluster.rolled_out("smoke-victim", "orders", SOON).await.unwrap();
    println!(
        "victim: {}",
        json!({"processes": cluster.processes().unwrap(), "folder": cluster.folder("mine").unwrap()})
    );
    std::future::pending().await
}
