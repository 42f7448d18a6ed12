use super::*;
use crate::model::guard::{Rollback, Trigger};

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
            "error_rate > 5%",
            "worse(error_rate)"
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
evidence: {alpha: '60%', floor: '0'}
scheme: levels
triggers:
  - {name: a, condition: success_rate < 70ms, action: automatic_rollback}
  - {name: a, condition: "latency > 1s", action: monitor, grade: Critical}
  - {name: crash_looping, condition: "error_rate >", action: monitor}
verify: {conditions: ["change(throughput) > -2%"]}
"#
    ), @r#"
spec.metrics.signals.both: is exactly one of ratio, quantile, gauge, rate, complement, alerts
spec.metrics.signals.lag.gauge: `sum(x`: a `)` is missing
spec.metrics.signals.min: `min` is a word of the condition language; name it with letters, digits and `_`, such as `queue_depth`
spec.metrics.signals.queue depth: `queue depth` cannot stand in a condition; name it with letters, digits and `_`, such as `queue_depth`
spec.metrics.signals.share.ratio.total: `sum(y)` is more than a selector; name the counter alone, modosu counts and sums it: `metric{label="value"}`
spec.metrics.signals.share.ratio.bad: `x{code="5`: a " is never closed
spec.metrics.signals.tail.quantile.histogram: name the histogram without `_bucket`: `h`
spec.metrics.signals.tail.quantile.q: 95 is not between 0 and 1; 0.95 is the time within which 95 of 100 were answered
spec.metrics.signals.late.complement: `response_time` is not a ratio; a complement is one minus a ratio
spec.metrics.signals.rest.complement: there is no ratio `eror_rate`; did you mean `error_rate`?
spec.targets[1]: Deployment/orders is named twice; leave one out
spec.metrics.window: must be longer than nothing, such as `1m`
spec.automaticFor: 2h is longer than watchFor, 1h: after watchFor nothing is put down to the change any more
spec.evidence.alpha: 0.6 is not a small chance of being wrong; the default is `'1e-4'`, the most is `'10%'`
spec.evidence.floor: 0 is not between 0 and 50 %; it is the smallest share that may be called worse, such as `'0.1%'`
spec.triggers[0].condition: column 16: `success_rate` is a share, `70ms` is a time; a share is compared with one such as `5%` or `0.05`
success_rate < 70ms
               ^
spec.triggers[1].name: two triggers are named `a`; people tell them apart by name
spec.triggers[1].grade: the scheme has no grade `Critical`; known are: 3, 2, 1
spec.triggers[1].condition: column 1: there is no signal `latency`; did you mean `late`?
latency > 1s
^
spec.triggers[2].name: `crash_looping` is the name of a hard fact; choose another
spec.triggers[2].condition: column 13: the condition ends here; expected a signal, a number or `(`
error_rate >
            ^
spec.verify.conditions[0]: column 8: there is no signal `throughput`; known are: error_rate, late, request_rate, response_time, rest, success_rate
change(throughput) > -2%
       ^
"#);
}

#[test]
fn what_is_missing_is_told_too() {
    insta::assert_snapshot!(mistakes(
        "targets: [{kind: ConfigMap, name: a}]\nmetrics: {preset: prometheus-htp}\nrollback: {steps: []}\n"
    ), @r#"
spec.metrics.preset: there is no preset `prometheus-htp`; did you mean `prometheus-http`?
spec.rollback.steps: a rollback needs at least one step, such as `restore: {}`
"#);
    insta::assert_snapshot!(mistakes("targets: [{kind: ConfigMap, name: a}]\nmetrics: {}\n"), @r#"
spec.metrics.match: without a preset, say which rows are this guard's, such as `{namespace: shop, job: orders}`
spec.triggers: without a preset there are no default triggers; write at least one, or `[]` for hard facts alone
"#);
}

#[test]
fn a_scheme_is_looked_up_when_the_guard_is_compiled() {
    insta::assert_snapshot!(mistakes("scheme: severity\ntargets: [{kind: Deployment, name: a}]\nmetrics: {preset: prometheus-http}\n"), @r#"
spec.scheme: there is no scheme `severity`; did you mean `severities`?
"#);
    let spec: GuardSpec = serde_saphyr::from_str(&format!("{SMALLEST}scheme: colours\n{PLAN_A}")).unwrap();
    let colours = Scheme::parse("grades: [{name: red, decider: me}, {name: green, decider: me}]").unwrap();
    let schemes = [("colours".to_owned(), colours.into())].into();
    let policy = Policy::compile_with("shop", &spec, &Preset::shipped(), &schemes).unwrap();
    let grades: Vec<_> = policy.triggers.iter().map(|rule| rule.grade.as_str()).collect();
    assert_eq!(
        grades,
        ["red", "green", "red"],
        "by their actions: worst, second, worst"
    );
}

#[test]
fn every_signal_says_which_way_it_gets_worse() {
    let told = |spec: &str| {
        let spec: GuardSpec = serde_saphyr::from_str(spec).unwrap();
        let policy = Policy::compile("shop", &spec, &Preset::shipped()).unwrap();
        let signals = policy.signals.iter();
        let told = signals.map(|signal| format!("{} {:?}", signal.name, signal.worse));
        told.collect::<Vec<_>>().join(", ")
    };
    let own = "targets: [{kind: Deployment, name: a}]
metrics:
  match: {a: b}
  signals:
    hits: {ratio: {good: hits_total, total: gets_total}}
    misses: {complement: hits}
    queue: {gauge: q}
    free: {gauge: f, worse: down}
    done: {rate: done_total, worse: down}
    firing: {alerts: {alertname: A}}
triggers: []";
    assert_eq!(
        told(own),
        "done Down, firing Up, free Down, hits Down, misses Up, queue Up"
    );
    assert_eq!(
        told(&format!("{SMALLEST}{PLAN_A}")),
        "error_rate Up, request_rate Down, response_time Up, success_rate Down"
    );
    insta::assert_snapshot!(mistakes(
        "targets: [{kind: Deployment, name: a}]
metrics: {preset: prometheus-http, signals: {hits: {ratio: {good: a, total: b}, worse: up}, score: {quantile: {histogram: h, q: 0.5}, worse: down}}}
triggers: [{name: a, condition: worse(score), action: monitor}]"
    ), @r#"
spec.metrics.signals.hits.worse: it is counted so that less of it is worse; leave `worse` out
spec.triggers[0].condition: column 7: `worse` weighs what is slower, and less of `score` is worse; compare it with its baseline, as in `change(score) < -20%`
worse(score)
      ^
"#);
}

#[test]
fn every_mistake_of_a_rollback_is_told_at_once() {
    insta::assert_snapshot!(mistakes(
        r#"
targets: [{kind: Deployment, name: orders}]
metrics: {preset: prometheus-http}
rollback:
  steps:
    - setEnv: {target: orders, env: {A: b}, remove: [A]}
    - {}
    - setConfig: {target: Deployment/orders}
    - scale: {target: DaemonSet/agent, replicas: 0}
    - http: {get: 'orders:8080/health', headers: {"a b": x}, expect: 20}
    - http: {get: 'http://orders', method: POST}
    - ask: {role: tech-lead, text: ' '}
    - job: {from: runbook, key: job.yaml}
    - git: {repository: 'git@git.example.com:shop', branch: -f, revert: HEAD}
    - git: {repository: 'https://ann:hunter2@git.example.com/shop', branch: main, checkout: {path: /etc, from: main}}
    - git: {repository: 'https://git.example.com/shop', branch: main}
  before:
    - {name: both, condition: error_rate < 1%, http: {get: 'http://orders'}}
    - {condition: backup > 0}
    - {job: {from: runbook, key: backup.yaml}, timeout: 0s}
    - {job: {from: ConfigMap/runbook, key: backup.yaml}, timeout: 10m}
    - {job: {from: ConfigMap/runbook, key: backup.yaml}}
    - {condition: error_rate < 1%, timeout: 1m}
"#
    ), @r#"
spec.rollback.steps[0].setEnv.target: `orders` is not of the form `Deployment/name`
spec.rollback.steps[0].setEnv.remove: `A` is both set and removed; leave one out
spec.rollback.steps[1]: a step is exactly one of restore, setEnv, setConfig, scale, waitReady, http, ask, job, git
spec.rollback.steps[2].setConfig.target: `Deployment/orders` is not of the form `ConfigMap/name`
spec.rollback.steps[2].setConfig: sets nothing and removes nothing; name keys in `data` or `remove`
spec.rollback.steps[3].scale.target: `DaemonSet/agent` is not of the form `Deployment/name`
spec.rollback.steps[4].http.get: is no address such as `http://orders.shop:8080/health`
spec.rollback.steps[4].http.headers.a b: cannot be sent as a header
spec.rollback.steps[4].http.expect: 20 is no status of an answer, such as 200
spec.rollback.steps[5].http: a request is either get, or method and url
spec.rollback.steps[6].ask.text: says nothing: who is asked, and for what?
spec.rollback.steps[7].job: is not of the form `{from: ConfigMap/name, key: job.yaml}`
spec.rollback.steps[8].git.repository: is no address such as `https://git.example.com/shop/orders.git` or `ssh://git@git.example.com/shop/orders.git`
spec.rollback.steps[8].git.branch: `-f` is not the name of a branch, such as `main`
spec.rollback.steps[8].git.revert: `HEAD` is not one of merge-of-change, range-of-change, the whole hash of a commit, two of them as `FROM..TO`
spec.rollback.steps[9].git.repository: an address is shown to people: credentials stand in the daemon's settings
spec.rollback.steps[9].git.checkout.path: `/etc` is no path from the top of a repository, such as `config/settings.toml`
spec.rollback.steps[9].git.checkout.from: `main` is the branch that is changed
spec.rollback.steps[10].git: a change of a repository is exactly one of revert, checkout
spec.rollback.before[0]: a check is exactly one of condition, http, job
spec.rollback.before[1].condition: column 1: there is no signal `backup`; known are: error_rate, request_rate, response_time, success_rate
backup > 0
^
spec.rollback.before[2].job: is not of the form `{from: ConfigMap/name, key: job.yaml}`
spec.rollback.before[4].job: is the Job of another check already, and runs once: leave one out
spec.rollback.before[5].timeout: only a job has a timeout
spec.rollback.before[2].timeout: must be longer than nothing, such as `5m`
spec.rollback.before: its Jobs may take 15m, and the rollback is over after 15m: give each a shorter `timeout` (default: 5m)
"#);
}

#[test]
fn every_mistake_of_stages_is_told_at_once() {
    insta::assert_snapshot!(mistakes(
        r#"
targets: [{kind: Deployment, name: orders}]
metrics: {preset: prometheus-http}
rollback:
  steps: [{restore: {}}]
  before: [{job: {from: ConfigMap/runbook, key: backup.yaml}}]
  stages:
    - {name: flag-off, within: 0s, steps: [{http: {get: 'http://orders', expect: 20}}]}
    - {name: flag-off, within: 1h, ask: ' ', steps: []}
    - {name: ' ', within: 1h, steps: [{waitReady: {}}]}
"#
    ), @r#"
spec.rollback.steps: a rollback has either steps or stages: move these into the stage that they belong to
spec.rollback.stages: none of them changes anything: a plan has at least one of restore, setEnv, setConfig, scale
spec.rollback.stages[0].within: must be longer than nothing, such as `5m`
spec.rollback.stages[0].steps[0].http.expect: 20 is no status of an answer, such as 200
spec.rollback.stages[1].name: `flag-off` is another stage already; give each a name of its own
spec.rollback.stages[1].ask: says nothing: who begins it? such as `tech-lead`; leave it out where it begins by itself
spec.rollback.stages[1].steps: a stage needs at least one step, such as `restore: {}`
spec.rollback.stages[2].name: says nothing: what do people call this stage? such as `flag-off`
spec.rollback.before: its Jobs may take 5m, and stage flag-off is over after 0s: give each a shorter `timeout` (default: 5m)
"#);
    let stages: Rollback =
        serde_saphyr::from_str("{stages: [{name: a, within: 1m, steps: [{restore: {}}, {http: {get: 'http://b'}}]}]}")
            .unwrap();
    assert_eq!(
        forbidden(&stages, false, true, true)[0].path,
        "spec.rollback.stages[0].steps[1].http"
    );
}

#[test]
fn requests_that_the_daemon_may_not_send_are_named() {
    let rollback: Rollback = serde_saphyr::from_str(
        "{before: [{condition: error_rate < 1%}, {http: {get: 'http://a'}}], steps: [{restore: {}}, {http: {get: 'http://b'}}, {job: {from: ConfigMap/a, key: b}}, {git: {repository: 'https://a', branch: b, revert: merge-of-change}}]}",
    )
    .unwrap();
    assert_eq!(forbidden(&rollback, true, true, true), []);
    let checks: Rollback =
        serde_saphyr::from_str("{before: [{condition: error_rate < 1%}, {job: {from: ConfigMap/a, key: b}}]}").unwrap();
    assert_eq!(
        forbidden(&checks, false, false, false),
        [],
        "it fails, and people decide"
    );
    assert_eq!(forbidden_checks(&checks.before, true), []);
    assert_eq!(
        forbidden_checks(&checks.before, false)[0].path,
        "spec.rollback.before[1].job"
    );
    let paths: Vec<_> = forbidden(&rollback, false, false, false)
        .into_iter()
        .map(|wrong| wrong.path)
        .collect();
    assert_eq!(
        paths,
        [
            "spec.rollback.before[1].http",
            "spec.rollback.steps[1].http",
            "spec.rollback.steps[2].job",
            "spec.rollback.steps[3].git"
        ]
    );
}
