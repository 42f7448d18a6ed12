//! The daemon's settings as people write them, and what they are told when they got them wrong.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a test may stop at the first surprise"
)]

use std::{collections::BTreeMap, fs, path::Path};

use modosu::{
    config::{Flags, LeaderElection, Mistakes, Settings},
    model::{guard::Mode, preset::Preset, units::Length},
    telemetry::Format,
};

/// Loads `text` as `modosu.yaml` with these variables; mistakes name the file without its folder.
fn load(text: &str, environment: &[(&str, &str)], flags: &Flags) -> Result<Settings, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("modosu.yaml");
    fs::write(&path, text).unwrap();
    let environment = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Settings::load(Some(&path), environment, flags).map_err(|mistakes: Mistakes| {
        mistakes
            .to_string()
            .replace(&format!("{}/", folder.path().display()), "")
    })
}

fn mistakes(text: &str, environment: &[(&str, &str)]) -> String {
    load(text, environment, &Flags::default()).unwrap_err()
}

#[test]
fn the_documented_file_holds_exactly_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/modosu.yaml");
    let settings = Settings::load(Some(&path), std::iter::empty(), &Flags::default()).unwrap();
    assert_eq!(settings, Settings::default());
    let text = fs::read_to_string(&path).unwrap();
    let defaults = serde_json::to_value(Settings::default()).unwrap();
    for (section, content) in defaults.as_object().unwrap() {
        assert!(
            text.contains(&format!("\n{section}:")),
            "config/modosu.yaml does not describe {section}"
        );
        for key in content.as_object().into_iter().flat_map(|keys| keys.keys()) {
            assert!(
                text.contains(&format!("\n  {key}:")),
                "config/modosu.yaml does not describe {section}.{key}"
            );
        }
    }
}

#[test]
fn an_empty_file_and_a_missing_default_file_are_the_defaults() {
    assert_eq!(load("", &[], &Flags::default()).unwrap(), Settings::default());
    assert_eq!(
        load("# nothing yet\n", &[], &Flags::default()).unwrap(),
        Settings::default()
    );
}

#[test]
fn a_named_file_that_is_missing_is_a_mistake() {
    let wrong = Settings::load(Some(Path::new("nowhere.yaml")), std::iter::empty(), &Flags::default()).unwrap_err();
    insta::assert_snapshot!(wrong, @r"
    1 mistake:
    nowhere.yaml
        the file cannot be read: No such file or directory (os error 2)
        right: the path of a readable file after --config, or none for the defaults
    ");
}

#[test]
fn flags_win_over_the_environment_and_the_environment_over_the_file() {
    let file =
        "poll: 10s\nmode: observe\nprometheus: {url: http://file:9090, timeout: 2s}\nhttp: {listen: 127.0.0.1:1}\n";
    let flags = Flags {
        prometheus: Some("http://flag:9090".to_owned()),
        guard: Some("shop/orders".to_owned()),
        ..Flags::default()
    };
    let environment = [
        ("MODOSU__PROMETHEUS__URL", "http://environment:9090"),
        ("MODOSU__PROMETHEUS__TIMEOUT", "3s"),
        ("MODOSU__MODE", "ask"),
        ("MODOSU__NAMESPACES", "shop, billing"),
        ("MODOSU__TELEMETRY__FORMAT", "json"),
        ("MODOSU_SERVICE_HOST", "10.0.0.1"),
        ("MODOSU_PORT_9191_TCP", "tcp://10.0.0.1:9191"),
        ("PATH", "/bin"),
    ];
    let settings = load(file, &environment, &flags).unwrap();
    assert_eq!(settings.prometheus.url, "http://flag:9090");
    assert_eq!(settings.prometheus.timeout, Length::seconds(3));
    assert_eq!((settings.poll, settings.mode), (Length::seconds(10), Mode::Ask));
    assert_eq!(settings.namespaces, ["shop", "billing"]);
    assert_eq!(settings.telemetry.format, Format::Json);
    assert_eq!(settings.http.listen.to_string(), "127.0.0.1:1");
    assert_eq!(settings.guard.unwrap().to_string(), "shop/orders");
}

#[test]
fn names_and_values_that_people_chose_come_through_as_written() {
    let file = "prometheus:\n  headers: {X-Scope-OrgID: 007, X-Version: 1.10, app.example.com/a: on}\n";
    let wrong = mistakes(file, &[]);
    insta::assert_snapshot!(wrong, @r"
    1 mistake:
    modosu.yaml:2  prometheus.headers.app.example.com/a: ***
        `app.example.com/a` cannot be the name of a header
        right: the name and the value of an HTTP header, such as X-Scope-OrgID: shop
    ");
    let settings = load(&file.replace("app.example.com/a", "X-On"), &[], &Flags::default()).unwrap();
    let headers = [("X-On", "on"), ("X-Scope-OrgID", "007"), ("X-Version", "1.10")];
    let headers: BTreeMap<String, String> = headers.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    assert_eq!(settings.prometheus.headers, headers);
}

/// Nearly everything in it is wrong.
const WRONG: &str = r#"
prometheus:
  urll: http://prometheus:9090
  url: prometheus:9090
  timeout: soon
  bearerTokenFile: /nowhere/token
  basicAuth:
    username: modosu
  headers:
    "X Scope": shop
poll: 100ms
mode: enforced
namespaces: [shop, Shop_2]
guard: orders
http:
  listen: 9191
  publicUrl: ftp://modosu
telemetry:
  log: loud
  format: jsn
paging: {}
"#;

#[test]
fn every_mistake_is_told_at_once_with_its_place_and_what_would_be_right() {
    let environment = [
        ("MODOSU__HTTP__PUBLIC_URL", "https://me:hunter2@modosu.example.com"),
        ("MODOSU__PROMETHEUS__TIME_OUT", "3s"),
        ("MODOSU__HTTP__", "x"),
    ];
    insta::assert_snapshot!(mistakes(WRONG, &environment), @r"
    17 mistakes:
    modosu.yaml:3  prometheus.urll: http://prometheus:9090
        there is no such setting; did you mean `url`?
    modosu.yaml:4  prometheus.url: prometheus:9090
        `prometheus` is neither http nor https
        right: an http or https address such as http://prometheus:9090
    modosu.yaml:5  prometheus.timeout: soon
        `soon` is not a length of time such as `90s`, `15m` or `7d`: expected number at 0
        right: a length of time from 1s to 1m, such as 5s
    modosu.yaml:6  prometheus.bearerTokenFile: /nowhere/token
        /nowhere/token cannot be read: No such file or directory (os error 2)
        right: the path of a readable file that holds the token
    modosu.yaml:7  prometheus.basicAuth: ***
        `passwordFile` is missing
        right: username and passwordFile
    modosu.yaml:10  prometheus.headers.X Scope: ***
        `X Scope` cannot be the name of a header
        right: the name and the value of an HTTP header, such as X-Scope-OrgID: shop
    modosu.yaml:11  poll: 100ms
        shorter than 1s
        right: a length of time from 1s to 1h, such as 5s
    modosu.yaml:12  mode: enforced
        `enforced` is not one of the words for it
        right: observe, ask or enforce
    modosu.yaml:13  namespaces[1]: Shop_2
        `Shop_2` cannot be the name of a namespace
        right: names of namespaces, such as [shop, billing]
    modosu.yaml:14  guard: orders
        `orders` is not a guard written `namespace/name`
        right: namespace/name of one guard, such as shop/orders
    modosu.yaml:16  http.listen: 9191
        invalid socket address syntax
        right: an address and a port such as 0.0.0.0:9191 or [::]:9191
    modosu.yaml:19  telemetry.log: loud
        `loud` is not a level
        right: error, warn, info, debug or trace, or a filter such as info,modosu::decide=debug
    modosu.yaml:20  telemetry.format: jsn
        `jsn` is not one of the words for it
        right: text or json
    modosu.yaml:21  paging: {}
        there is no such setting
        right: one of prometheus, poll, mode, readOnly, namespaces, guard, http, budget, commonCause, freeze, steps, incidents, git, leaderElection, presets, schemes, telemetry
    MODOSU__HTTP__: x
        this is not the name of a setting
        right: MODOSU__SECTION__KEY, such as MODOSU__PROMETHEUS__URL
    MODOSU__HTTP__PUBLIC_URL  http.publicUrl: https://***@modosu.example.com
        an address is shown on pages and in logs: credentials belong in basicAuth or bearerTokenFile
        right: an http or https address such as https://modosu.example.com
    MODOSU__PROMETHEUS__TIME_OUT  prometheus.timeOut: 3s
        there is no such setting; did you mean `timeout`?
    ");
}

#[test]
fn which_copy_acts_is_read_as_written_and_names_are_checked() {
    let file = "leaderElection: {leaseName: modosu-shop, namespace: platform}\n";
    let environment = [("MODOSU__LEADER_ELECTION__IDENTITY", "one")];
    let elected = load(file, &environment, &Flags::default()).unwrap().leader_election;
    let expected = LeaderElection {
        enabled: true,
        lease_name: "modosu-shop".to_owned(),
        namespace: Some("platform".to_owned()),
        identity: Some("one".to_owned()),
    };
    assert_eq!(elected, expected);
    let alone = load("leaderElection: {enabled: false}\n", &[], &Flags::default()).unwrap();
    assert!(!alone.leader_election.enabled);

    let wrong = r#"
leaderElection:
  enabled: perhaps
  leaseName: Modosu
  namespace: my_platform
  identity: " "
  lease: modosu
"#;
    insta::assert_snapshot!(mistakes(wrong, &[]), @r"
    5 mistakes:
    modosu.yaml:3  leaderElection.enabled: perhaps
        expected a boolean
        right: true, or false where there is no other copy
    modosu.yaml:4  leaderElection.leaseName: Modosu
        `Modosu` cannot be the name of a Lease
        right: the name of a Lease, such as modosu
    modosu.yaml:5  leaderElection.namespace: my_platform
        `my_platform` cannot be the name of a namespace
        right: the name of a namespace, such as modosu
    modosu.yaml:6  leaderElection.identity:  
        it is empty
        right: a name that no other copy has, or null
    modosu.yaml:7  leaderElection.lease: modosu
        there is no such setting
        right: one of enabled, leaseName, namespace, identity
    ");
}

#[test]
fn a_file_that_is_not_yaml_shows_the_line() {
    insta::assert_snapshot!(mistakes("poll: 5s\nhttp: {listen: [\n", &[]), @r"
    1 mistake:
    modosu.yaml:2
        error: line 2 column 16: unclosed bracket '['
         --> <input>:2:16
          |
        1 | poll: 5s
        2 | http: {listen: [
          |                ^ unclosed bracket '['
        right: YAML, see config/modosu.yaml for every setting
    ");
    insta::assert_snapshot!(mistakes("- a list\n", &[]), @r"
    1 mistake:
    modosu.yaml:1
        keys and values are expected here
        right: YAML, see config/modosu.yaml for every setting
    ");
    insta::assert_snapshot!(mistakes("poll: 5s\npoll: 6s\n", &[]), @r"
    1 mistake:
    modosu.yaml:2
        error: line 2 column 1: duplicate mapping key: poll
         --> <input>:2:1
          |
        1 | poll: 5s
        2 | poll: 6s
          | ^ duplicate mapping key: poll
        right: YAML, see config/modosu.yaml for every setting
    ");
}

#[test]
fn a_flag_can_be_a_mistake_too() {
    let flags = Flags {
        listen: Some("everywhere".to_owned()),
        mode: Some("enforce".to_owned()),
        ..Flags::default()
    };
    insta::assert_snapshot!(load("mode: nonsense\n", &[], &flags).unwrap_err(), @r"
    1 mistake:
    --listen  http.listen: everywhere
        invalid socket address syntax
        right: an address and a port such as 0.0.0.0:9191 or [::]:9191
    ");
}

#[test]
fn own_schemes_are_read_as_schemes() {
    let file = "schemes:
  colours:
    grades:
      - {name: red, decider: oncall, decideWithin: 5m, doneWithin: 1h, chain: [{role: boss, after: 10m, onlyFrom: red}]}
      - {name: green, decider: team, decideWithin: 7d, response: later}
";
    let settings = load(file, &[], &Flags::default()).unwrap();
    let schemes = settings.all_schemes();
    assert_eq!(schemes.keys().collect::<Vec<_>>(), ["colours", "levels", "severities"]);
    let red = schemes["colours"].find("red").unwrap();
    assert_eq!(
        (red.decide_within, red.done_within),
        (Some(Length::minutes(5)), Some(Length::hours(1)))
    );
    assert_eq!(
        (red.chain[0].after, red.chain[0].only_from.as_deref()),
        (Length::minutes(10), Some("red"))
    );
}

#[test]
fn every_mistake_in_a_scheme_is_told_with_its_line() {
    let file = "schemes:
  levels:
    grades: [{name: mine, decider: me}]
  none:
    grades: []
  colours:
    grades:
      - {name: red, decider: '', decideWithin: 2h, doneWithin: 1h}
      - name: red
        decider: me
        doneWithin: soon
        chain:
          - {role: you, onlyFrom: blue}
          - {role: you, affter: 5m}
";
    insta::assert_snapshot!(mistakes(file, &[]), @r#"
11 mistakes:
modosu.yaml:2  schemes.levels: {"grades":[{"decider":"me","name":"mine"}]}
    `levels` comes with modosu: an own scheme needs a name of its own
    right: the form of config/schemes/severities.yaml
modosu.yaml:3  schemes.levels.grades[0]: {"decider":"me","name":"mine"}
    `mine` has no clock, so nobody would ever be late; it needs decideWithin or doneWithin, such as `decideWithin: 24h`
    right: the form of config/schemes/severities.yaml
modosu.yaml:5  schemes.none.grades: []
    a scheme needs at least one grade
    right: the form of config/schemes/severities.yaml
modosu.yaml:8  schemes.colours.grades[0].decideWithin: 2h
    2h is longer than doneWithin, 1h: it is decided before it is done
    right: a length of time such as 15m, 24h or 7d
modosu.yaml:8  schemes.colours.grades[0].decider: 
    name the role that decides, such as oncall
    right: a role, such as oncall, that `people` of a guard knows
modosu.yaml:9  schemes.colours.grades[1]: {"chain":[{"onlyFrom":"blue","role":"you"},{"role":"you"}],"…
    `red` has no clock, so nobody would ever be late; it needs decideWithin or doneWithin, such as `decideWithin: 24h`
    right: the form of config/schemes/severities.yaml
modosu.yaml:9  schemes.colours.grades[1].name: red
    two grades are named `red`
    right: the form of config/schemes/severities.yaml
modosu.yaml:11  schemes.colours.grades[1].doneWithin: soon
    `soon` is not a length of time such as `90s`, `15m` or `7d`: expected number at 0
    right: a length of time such as 15m, 24h or 7d
modosu.yaml:13  schemes.colours.grades[1].chain[0].onlyFrom: blue
    there is no grade `blue`; there are red, red
    right: the name of one of the scheme's grades
modosu.yaml:14  schemes.colours.grades[1].chain[1].affter: 5m
    there is no such setting; did you mean `after`?
    right: the form of config/schemes/severities.yaml
modosu.yaml:14  schemes.colours.grades[1].chain[1].role: you
    `you` was asked already: a role is asked once
    right: a role, such as oncall, that `people` of a guard knows
"#);
}

#[test]
fn own_presets_are_read_as_presets() {
    let file = "presets:
  worker:
    labels: {namespace: ns, workload: app}
    signals: {slow: {quantile: {histogram: task_seconds, q: 0.950}}}
    triggers: [{name: slow, condition: slow > 2s, action: monitor, certainty: off}]
";
    let settings = load(file, &[], &Flags::default()).unwrap();
    let preset: &Preset = &settings.presets["worker"];
    let q = preset.signals["slow"].quantile.as_ref().unwrap().q;
    assert!((q - 0.95).abs() < 1e-12, "{q}");
    let wrong = file
        .replace("histogram:", "histgram:")
        .replace("action: monitor", "action: shout");
    insta::assert_snapshot!(mistakes(&wrong, &[]), @r#"
    3 mistakes:
    modosu.yaml:4  presets.worker.signals.slow.quantile: {"q":"0.950"}
        `histogram` is missing
    modosu.yaml:4  presets.worker.signals.slow.quantile.histgram: task_seconds
        there is no such setting; did you mean `histogram`?
    modosu.yaml:5  presets.worker.triggers[0].action: shout
        `shout` is not one of the words for it
    "#);
}

#[test]
fn what_own_presets_ask_for_is_checked_like_what_a_guard_asks_for() {
    let file = r#"presets:
  worker:
    labels: {}
    signals:
      error_rate: {ratio: {bad: 'sum(x)', total: all_total}}
      waiting: {gauge: 'sum(queue{$match})'}
      slow: {quantile: {histogram: task_ms, q: 0.95, scale: 0}}
      calm: {alerts: {severity: page}}
      rest: {gauge: up}
    triggers:
      - {name: slow, condition: restt > 2, action: monitor}
      - {name: late, condition: rest > 250ms, action: monitor, grade: of another scheme}
"#;
    insta::assert_snapshot!(mistakes(file, &[]), @r#"
    7 mistakes:
    modosu.yaml:3  presets.worker.labels: {}
        without labels nothing tells one guard's rows from another's; name `namespace` and `workload`, or `match`: labels that every guard must name
    modosu.yaml:5  presets.worker.signals.error_rate.ratio.bad: sum(x)
        `sum(x)` is more than a selector; name the counter alone, modosu counts and sums it: `metric{label="value"}`
    modosu.yaml:6  presets.worker.signals.waiting.gauge: sum(queue{$match})
        `$match` and `$by` go together, as in `sum by ($by) (queue_length{$match})`
    modosu.yaml:7  presets.worker.signals.slow.quantile.scale: 0
        0 is not a factor; 0.001 makes seconds of a histogram of milliseconds
    modosu.yaml:8  presets.worker.signals.calm.alerts: {"severity":"page"}
        names no alert; add its `alertname`, or nobody can tell a quiet alert from one that does not exist
    modosu.yaml:11  presets.worker.triggers[0].condition: restt > 2
        column 1: there is no signal `restt`; did you mean `rest`?
        restt > 2
        ^
    modosu.yaml:12  presets.worker.triggers[1].condition: rest > 250ms
        column 8: `rest` is a count, `250ms` is a time; a count is compared with a number such as `100`
        rest > 250ms
               ^
    "#);
    let right = "presets:\n  own:\n    labels: {match: [testid]}\n    signals: {rest: {gauge: up}}\n    triggers: []\n";
    assert!(load(right, &[], &Flags::default()).is_ok());
}
