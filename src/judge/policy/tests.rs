use super::*;
use crate::model::guard::Trigger;

/// Plan A's triggers, byte for byte as its file has them.
const PLAN_A: &str = r#"triggers:
  - name: "テスト成功率低下"
    condition: "success_rate < 70%"
    action: "automatic_rollback"

  - name: "パフォーマンス劣化"
    condition: "response_time > baseline * 1.5"
    action: "alert_and_manual_review"

  - name: "エラー率上昇"
    condition: "error_rate > 5%"
    action: "automatic_rollback"
"#;

const SMALLEST: &str = "targets: [{kind: Deployment, name: orders}]\nmetrics: {preset: prometheus-http}\n";

fn compile(yaml: &str) -> Result<Policy, Vec<Mistake>> {
    let spec: GuardSpec = serde_saphyr::from_str(yaml).unwrap_or_else(|why| panic!("{why}"));
    Policy::compile("shop", &spec, &Preset::shipped())
}

fn mistakes(yaml: &str) -> String {
    let all: Vec<_> = compile(yaml)
        .map(|_| ())
        .unwrap_err()
        .iter()
        .map(ToString::to_string)
        .collect();
    all.join("\n")
}

#[test]
fn plan_a_word_for_word() {
    let triggers: BTreeMap<String, Vec<Trigger>> = serde_saphyr::from_str(PLAN_A).unwrap();
    assert_eq!(triggers["triggers"].len(), 3);
    let policy = compile(&format!("{SMALLEST}{PLAN_A}")).unwrap();
    let told: Vec<_> = policy
        .triggers
        .iter()
        .map(|t| (t.name.as_str(), t.action, t.grade.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("テスト成功率低下", Action::AutomaticRollback, "Critical"),
            ("パフォーマンス劣化", Action::AlertAndManualReview, "High"),
            ("エラー率上昇", Action::AutomaticRollback, "Critical"),
        ]
    );
    let levels = compile(&format!("{SMALLEST}scheme: levels\n{PLAN_A}")).unwrap();
    assert_eq!(
        levels.triggers.iter().map(|t| t.grade.as_str()).collect::<Vec<_>>(),
        ["3", "2", "3"]
    );
}

#[test]
fn the_smallest_guard_has_the_presets_signals_triggers_and_rows() {
    let policy = compile(SMALLEST).unwrap();
    assert_eq!(
        policy.matching,
        [
            ("namespace".to_owned(), "shop".to_owned()),
            ("job".to_owned(), "orders".to_owned())
        ]
        .into()
    );
    assert_eq!(
        policy.signals.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(),
        ["error_rate", "request_rate", "response_time", "success_rate"]
    );
    assert_eq!(policy.signals[3].source, Source::Complement { of: 0 });
    assert_eq!(
        policy.triggers.iter().map(|t| t.text.as_str()).collect::<Vec<_>>(),
        [
            "success_rate < 70%",
            "response_time > baseline * 1.5",
            "error_rate > 5%"
        ]
    );
    assert_eq!(
        (policy.mode, policy.hard_facts, policy.window),
        (Mode::Enforce, Some(Action::AutomaticRollback), Duration::from_secs(60))
    );
    assert_eq!(policy.triggers[0].hold, Duration::from_secs(10));
}

#[test]
fn own_signals_take_the_presets_place() {
    let policy = compile(&format!(
        "{SMALLEST}triggers: [{{name: a, condition: 'queue_depth > 100 and error_rate > 1%', action: monitor}}]\n"
    )
    .replace("prometheus-http}", "prometheus-http, match: {app: orders}, signals: {queue_depth: {gauge: 'sum(q{a=\"b\"})'}, error_rate: {ratio: {good: ok_total, total: all_total}}}}"))
    .unwrap();
    assert_eq!(policy.matching, [("app".to_owned(), "orders".to_owned())].into());
    let error_rate = &policy.signals[policy.signal("error_rate").unwrap()];
    assert_eq!(
        error_rate.source,
        Source::Good {
            good: "ok_total".into(),
            total: "all_total".into()
        }
    );
    assert_eq!(policy.triggers[0].grade, "Low");
}

#[test]
fn every_mistake_is_told_at_once() {
    insta::assert_snapshot!(mistakes(
        r#"
targets: [{kind: Deployment, name: orders}, {kind: Deployment, name: orders}]
metrics:
  preset: prometheus-http
  window: 0s
  signals:
    "queue depth": {gauge: up}
    min: {gauge: up}
    lag: {gauge: 'sum(x'}
    share: {ratio: {bad: 'x{code="5', total: 'sum(y)'}}
    both: {gauge: up, rate: up}
    tail: {quantile: {histogram: h_bucket, q: 95}}
    rest: {complement: eror_rate}
    late: {complement: response_time}
watchFor: 1h
scheme: levels
rollback:
  steps:
    - setEnv: {target: orders, env: {A: b}, remove: [A]}
    - {}
triggers:
  - {name: a, condition: success_rate < 70ms, action: automatic_rollback}
  - {name: a, condition: "latency > 1s", action: monitor, grade: Critical}
  - {name: crash_looping, condition: "error_rate >", action: monitor}
verify: {conditions: ["change(throughput) > -2%"]}
"#
    ));
    insta::assert_snapshot!(mistakes(
        "targets: [{kind: ConfigMap, name: a}]\nmetrics: {preset: prometheus-htp}\nrollback: {steps: []}\n"
    ));
    insta::assert_snapshot!(mistakes("targets: [{kind: ConfigMap, name: a}]\nmetrics: {}\n"));
}
