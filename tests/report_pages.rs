//! The pages and their JSON, as a browser, a script, an alert's link and a hostile label value meet them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a test may stop at the first surprise"
)]

use std::{collections::BTreeMap, sync::Arc};

use axum::{Router, body::Body};
use http::{Request, Response, StatusCode, header};
use modosu::{
    model::{
        guard::{Action, Guard, Mode, RolledOut, State, Unit, Worse},
        incident::{
            Decision, Evidence, Fix, Harm, Incident, IncidentSpec, IncidentState, IncidentStatus, JournalEntry,
            PlannedStep, StateRef, Timings, Verb,
        },
        units::Length,
    },
    report::{
        board::Board,
        http::{router, serve},
        metrics::Metrics,
        view::{
            BaselineView, ConditionView, CurrentView, FreezeView, GuardView, IncidentLine, PrometheusState,
            PrometheusView, RestoreToView, SignalVerdict, SignalView, StatusView, TriggerView,
        },
    },
};
use tower::ServiceExt as _;

const NOW: &str = "2026-11-22T03:05:00Z";

fn at(text: &str) -> jiff::Timestamp {
    text.parse().unwrap()
}

fn error_rate() -> SignalView {
    SignalView {
        name: "error_rate".to_owned(),
        value: Some(0.31),
        unit: Unit::Ratio,
        worse: Worse::Up,
        baseline: Some(0.002),
        limit: Some(0.05),
        verdict: SignalVerdict::Breached,
        because: None,
        at: Some(at(NOW)),
    }
}

fn guard(name: &str, state: State) -> GuardView {
    GuardView {
        namespace: "shop".to_owned(),
        name: name.to_owned(),
        mode: Mode::Enforce,
        mode_because: None,
        state,
        reason: "success rate dropped".to_owned(),
        since: Some(at("2026-11-22T03:01:00Z")),
        waits_for: Some("the roll-out of 1 Deployment".to_owned()),
        signals: vec![error_rate()],
        baseline: BaselineView {
            origin: "up to 1 h of healthy time before a change".to_owned(),
            taken_at: Some(at("2026-11-22T03:00:00Z")),
            hash: Some("6f9cbeef".to_owned()),
            images: vec!["ghcr.io/shop/orders:1.4.2".to_owned()],
        },
        triggers: Vec::new(),
        conditions: Vec::new(),
        current: Some(CurrentView {
            hash: "8b21c0de".to_owned(),
            since: at("2026-11-22T03:00:00Z"),
            proven: false,
            images: vec!["ghcr.io/shop/orders:1.5.0".to_owned()],
        }),
        restore_to: Some(RestoreToView {
            name: "orders-6f9c".to_owned(),
            hash: "6f9cbeef".to_owned(),
            proven_at: at("2026-11-21T12:00:00Z"),
            images: vec!["ghcr.io/shop/orders:1.4.2".to_owned()],
            blocked: None,
        }),
        other_tools: Vec::new(),
        freeze: None,
        shared_config: Vec::new(),
        incident: None,
        harm: None,
        impact_per_minute: None,
        roll_out: None,
        links: BTreeMap::new(),
    }
}

fn quiet(name: &str) -> GuardView {
    GuardView {
        signals: vec![SignalView {
            value: Some(0.001),
            verdict: SignalVerdict::Healthy,
            ..error_rate()
        }],
        reason: String::new(),
        waits_for: None,
        ..guard(name, State::Steady)
    }
}

fn status(guards: Vec<GuardView>) -> StatusView {
    StatusView {
        version: "0.1.0".to_owned(),
        leader: true,
        holder: Some("modosu-0".to_owned()),
        prometheus: PrometheusView {
            url: "http://prometheus:9090".to_owned(),
            state: PrometheusState::Up,
            since: Some(at("2026-11-22T01:00:00Z")),
            last_success: Some(at("2026-11-22T03:04:58Z")),
            error: None,
        },
        guards,
        ..StatusView::starting(Mode::Enforce, String::new(), at(NOW))
    }
}

fn incident(state: IncidentState) -> Incident {
    let place = |hash: &str, image: &str| StateRef {
        name: None,
        hash: hash.to_owned(),
        since: Some(at("2026-11-22T03:00:00Z")),
        images: vec![image.to_owned()],
    };
    let spec = IncidentSpec {
        guard: "orders".to_owned(),
        first_bad_at: at("2026-11-22T03:01:00Z"),
        opened_at: at("2026-11-22T03:01:21Z"),
        grade: "Critical".to_owned(),
        action: Action::AutomaticRollback,
        summary: "error_rate is 31 % over 412 requests, the limit is 5 %".to_owned(),
        triggers: vec![Evidence {
            name: "error rate rose".to_owned(),
            condition: "error_rate > 5%".to_owned(),
            sentence: "error_rate is 31 % over 412 requests, the limit is 5 %".to_owned(),
            grade: "Critical".to_owned(),
            signal: Some("error_rate".to_owned()),
            value: Some(0.31),
            limit: Some(0.05),
            baseline: Some(0.002),
            requests: Some(412),
            query: Some("sum(increase(http_requests_total{code=~\"5..\"}[15s]))".to_owned()),
            ..Evidence::default()
        }],
        bad: place("8b21c0de", "ghcr.io/shop/orders:1.5.0"),
        restore_to: Some(place("6f9cbeef", "ghcr.io/shop/orders:1.4.2")),
        decision: None,
    };
    let mut incident = Incident::new("orders-8b21", spec);
    incident.metadata.namespace = Some("shop".to_owned());
    incident.status = Some(IncidentStatus {
        state: Some(state),
        plan: vec![PlannedStep {
            step: "restore".to_owned(),
            target: Some("Deployment/orders".to_owned()),
            from: Some("8b21c0de".to_owned()),
            to: Some("6f9cbeef".to_owned()),
            diff: Some(
                "@@ -1,4 +1,4 @@\n-image: orders:1.5.0\n+image: orders:1.4.2\n   - name: DB_PASSWORD\n-    value: hunter2\n+    value: hunter3\n   - name: WORKER_MODE\n-    value: celery\n+    value: legacy"
                    .to_owned(),
            ),
            ..PlannedStep::default()
        }],
        journal: journal(),
        respond_by: Some(at("2026-11-22T03:16:30Z")),
        timings: Some(Timings {
            detected: Some("21s".to_owned()),
            ..Timings::default()
        }),
        ..IncidentStatus::default()
    });
    incident
}

fn journal() -> Vec<JournalEntry> {
    let entry = |text: &str, intent: Option<&str>, receipt: Option<&str>| JournalEntry {
        seq: 1,
        at: at(text),
        intent: intent.map(str::to_owned),
        receipt: receipt.map(str::to_owned),
        target: Some("Deployment/orders".to_owned()),
        resource_version: Some("812".to_owned()),
        note: None,
    };
    vec![
        entry("2026-11-22T03:01:22Z", Some("patch"), None),
        entry("2026-11-22T03:01:23Z", None, Some("done")),
    ]
}

fn served(status: StatusView, incidents: Vec<Incident>) -> Router {
    let board = Board::new(StatusView::starting(Mode::Enforce, String::new(), at(NOW)));
    let key = |i: &Incident| (i.metadata.namespace.clone().unwrap(), i.metadata.name.clone().unwrap());
    board.publish(status, incidents.into_iter().map(|i| (key(&i), Arc::new(i))).collect());
    board.set_ready(true);
    router(board, Metrics::new("0.1.0", "abc"))
}

async fn ask(router: &Router, request: Request<Body>) -> Response<Body> {
    router.clone().oneshot(request).await.unwrap()
}

async fn get(router: &Router, path: &str, accept: &str) -> (StatusCode, String) {
    let request = Request::get(path)
        .header(header::ACCEPT, accept)
        .body(Body::empty())
        .unwrap();
    let answer = ask(router, request).await;
    let code = answer.status();
    let body = axum::body::to_bytes(answer.into_body(), 1 << 22).await.unwrap();
    (code, String::from_utf8(body.to_vec()).unwrap())
}

/// The text of a page without its tags, one line for each line that says something.
fn text_of(html: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for c in html.chars() {
        match c {
            '<' => inside = true,
            '>' if inside => inside = false,
            _ if !inside => text.push(c),
            _ => {}
        }
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("\n")
}

/// The headline and the line under it.
async fn top(status: StatusView) -> String {
    let (_, html) = get(&served(status, Vec::new()), "/status", "text/html").await;
    let main = html.split_once("<main>").unwrap().1;
    let end = main.find("<section").unwrap();
    text_of(main.get(..end).unwrap())
}

#[tokio::test]
async fn the_line_on_top_tells_the_whole_truth() {
    let calm = status(vec![quiet("a"), quiet("b")]);
    assert_eq!(top(calm.clone()).await, "All 2 guards are quiet");
    let needy = status(vec![
        quiet("a"),
        guard("b", State::Escalated),
        guard("c", State::Verifying),
    ]);
    insta::assert_snapshot!(top(needy.clone()).await, @r"
    1 of 3 guards needs you
    modosu is working on 1 of 3 guards.
    ");
    let mut blind = needy;
    blind.prometheus.state = PrometheusState::Down;
    insta::assert_snapshot!(top(blind).await, @r"
    Prometheus does not answer since 01:00:00 UTC (2 h 5 min ago): nothing will be done until it does
    1 of 3 guards needs you. modosu is working on 1 of 3 guards.
    ");
    assert_eq!(top(status(Vec::new())).await, "There are no guards: nothing is watched");
    let starting = router(Board::new(calm), Metrics::new("0", "0"));
    let (_, html) = get(&starting, "/status", "*/*").await;
    assert!(html.contains("modosu is starting: nothing was looked at yet"));
    assert_eq!(
        get(&starting, "/readyz", "*/*").await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(get(&starting, "/livez", "*/*").await.0, StatusCode::OK);
}

#[tokio::test]
async fn guards_are_sorted_by_need() {
    let states = [
        State::Steady,
        State::Suspect,
        State::AwaitingDecision,
        State::Escalated,
        State::Frozen,
    ];
    let guards = states
        .iter()
        .map(|s| guard(&format!("{s:?}").to_lowercase(), *s))
        .collect();
    let (_, html) = get(&served(status(guards), Vec::new()), "/status", "text/html").await;
    let mut places: Vec<(usize, &str)> = ["escalated", "awaitingdecision", "suspect", "frozen", "steady"]
        .into_iter()
        .map(|name| (html.find(&format!("/guards/shop/{name}\"")).unwrap(), name))
        .collect();
    let named = places.clone();
    places.sort_unstable();
    assert_eq!(places, named);
}

#[tokio::test]
async fn the_json_is_the_promised_form_and_missing_numbers_are_null() {
    let mut orders = guard("orders", State::Probation);
    orders.signals.push(SignalView {
        name: "response_time".to_owned(),
        value: Some(f64::NAN),
        unit: Unit::Seconds,
        worse: Worse::Up,
        baseline: None,
        limit: Some(f64::INFINITY),
        verdict: SignalVerdict::Unknown,
        because: Some("Prometheus has no such series for this guard".to_owned()),
        at: None,
    });
    let mut everything = status(vec![orders]);
    everything.incidents = vec![IncidentLine::of(&incident(IncidentState::RollingBack))];
    let router = served(everything, Vec::new());
    let (code, json) = get(&router, "/status.json", "*/*").await;
    assert_eq!(code, StatusCode::OK);
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    insta::assert_json_snapshot!(value, @r#"
    {
      "freeze": null,
      "guards": [
        {
          "baseline": {
            "hash": "6f9cbeef",
            "images": [
              "ghcr.io/shop/orders:1.4.2"
            ],
            "origin": "up to 1 h of healthy time before a change",
            "takenAt": "2026-11-22T03:00:00Z"
          },
          "conditions": [],
          "current": {
            "hash": "8b21c0de",
            "images": [
              "ghcr.io/shop/orders:1.5.0"
            ],
            "proven": false,
            "since": "2026-11-22T03:00:00Z"
          },
          "freeze": null,
          "harm": null,
          "impactPerMinute": null,
          "incident": null,
          "links": {},
          "mode": "enforce",
          "modeBecause": null,
          "name": "orders",
          "namespace": "shop",
          "otherTools": [],
          "reason": "success rate dropped",
          "restoreTo": {
            "blocked": null,
            "hash": "6f9cbeef",
            "images": [
              "ghcr.io/shop/orders:1.4.2"
            ],
            "name": "orders-6f9c",
            "provenAt": "2026-11-21T12:00:00Z"
          },
          "rollOut": null,
          "sharedConfig": [],
          "signals": [
            {
              "at": "2026-11-22T03:05:00Z",
              "baseline": 0.002,
              "because": null,
              "limit": 0.05,
              "name": "error_rate",
              "unit": "ratio",
              "value": 0.31,
              "verdict": "Breached",
              "worse": "up"
            },
            {
              "at": null,
              "baseline": null,
              "because": "Prometheus has no such series for this guard",
              "limit": null,
              "name": "response_time",
              "unit": "seconds",
              "value": null,
              "verdict": "Unknown",
              "worse": "up"
            }
          ],
          "since": "2026-11-22T03:01:00Z",
          "state": "Probation",
          "triggers": [],
          "waitsFor": "the roll-out of 1 Deployment"
        }
      ],
      "holder": "modosu-0",
      "incidents": [
        {
          "decideBy": null,
          "decider": null,
          "doneBy": null,
          "grade": "Critical",
          "guard": "orders",
          "name": "orders-8b21",
          "namespace": "shop",
          "openedAt": "2026-11-22T03:01:21Z",
          "state": "RollingBack",
          "summary": "error_rate is 31 % over 412 requests, the limit is 5 %"
        }
      ],
      "leader": true,
      "mode": "enforce",
      "now": "2026-11-22T03:05:00Z",
      "prometheus": {
        "error": null,
        "lastSuccess": "2026-11-22T03:04:58Z",
        "since": "2026-11-22T01:00:00Z",
        "state": "up",
        "url": "http://prometheus:9090"
      },
      "version": "0.1.0"
    }
    "#);
    for accept in ["application/json", "text/html;q=0.5, application/json"] {
        assert_eq!(get(&router, "/status", accept).await.1, json);
    }
    for accept in ["*/*", "", "text/html,application/xhtml+xml,application/json;q=0.9"] {
        assert!(get(&router, "/status", accept).await.1.starts_with("<!doctype html>"));
    }
}

/// What joined an incident later.
fn success_rate_dropped() -> Evidence {
    Evidence {
        name: "success rate dropped".to_owned(),
        sentence: "success_rate is 41 % over 900 requests".to_owned(),
        odds: Some(18_400.6),
        readings: Some(3),
        requests: Some(900),
        ..Evidence::default()
    }
}

#[tokio::test]
async fn what_a_person_weighs_stands_side_by_side_and_what_is_not_known_says_so() {
    let path = "/incidents/shop/orders-8b21";
    let bare = served(
        status(vec![guard("orders", State::AwaitingDecision)]),
        vec![incident(IncidentState::AwaitingDecision)],
    );
    let (_, html) = get(&bare, path, "*/*").await;
    for said in [
        "how many requests failed: not known",
        "not known: nobody entered",
        "not known: no drill, no rollback and no whole roll-out was seen yet",
        "no other guard has an open incident",
        "error rate rose: 412 requests",
    ] {
        assert!(html.contains(said), "{said}\n{html}");
    }
    let json = |text: String| serde_json::from_str::<serde_json::Value>(&text).unwrap()["weighing"].clone();
    let weighing = json(get(&bare, &format!("{path}.json"), "*/*").await.1);
    for missing in [
        "/howBad/counted",
        "/howBad/failedPerMinute",
        "/timeToFix",
        "/timeToRollBack/seconds",
    ] {
        assert_eq!(
            weighing.pointer(missing),
            Some(&serde_json::Value::Null),
            "{missing}: {weighing}"
        );
    }

    let mut told = guard("orders", State::AwaitingDecision);
    told.incident = Some("orders-8b21".to_owned());
    told.impact_per_minute = Some("about 40 orders".to_owned());
    told.harm = Some(Harm {
        since: at("2026-11-22T03:01:00Z"),
        until: at("2026-11-22T03:05:00Z"),
        counted: Length::minutes(4),
        failed: 1240,
        requests: 4000,
    });
    told.roll_out = Some(RolledOut {
        hash: "8b21c0de".to_owned(),
        at: at("2026-11-22T03:01:00Z"),
        took: Length::seconds(48),
    });
    let mut case = incident(IncidentState::AwaitingDecision);
    let own = case.status.as_mut().unwrap();
    own.fix = Some(Fix {
        eta: Length::hours(2),
        told_at: at("2026-11-22T03:04:00Z"),
        ready_at: at("2026-11-22T05:04:00Z"),
        by: Some("sam".to_owned()),
    });
    own.decider = Some("tech-lead".to_owned());
    own.asked_at = Some(at("2026-11-22T03:04:00Z"));
    own.decide_by = Some(at("2026-11-22T03:14:00Z"));
    own.done_by = Some(at("2026-11-22T04:04:00Z"));
    own.triggers = vec![success_rate_dropped()];
    own.not_restored = vec!["ConfigMap/shared, shared with billing, left alone".to_owned()];
    let mut other = IncidentLine::of(&incident(IncidentState::Escalated));
    other.guard = "billing".to_owned();
    other.name = "billing-1".to_owned();
    let mut all = status(vec![told]);
    all.incidents = vec![IncidentLine::of(&case), other];
    let full = served(all.clone(), vec![case.clone()]);
    let (_, html) = get(&full, path, "*/*").await;
    for said in [
        "1240 of 4000 requests failed (310 per minute). The guard says, per minute: about 40 orders",
        "fixed by 05:04:00 UTC (in 119 min), says sam",
        "no drill yet: estimate from the last roll-out, 48 s",
        "success rate dropped: 3 readings, 900 requests, odds 18,000 : 1",
        "success_rate is 41 % over 900 requests",
        "undone: <bdi>Deployment/orders (the plan below)</bdi>",
        "ConfigMap/shared, shared with billing, left alone",
        "/incidents/shop/billing-1",
        "tech-lead since 03:04:00 UTC (60 s ago); decide by 03:14:00 UTC (in 9 min); over by 04:04:00 UTC (in 59 min)",
        "<code>fixEta</code>: <bdi>say when it will be fixed; that decides nothing</bdi>",
    ] {
        assert!(html.contains(said), "{said}\n{html}");
    }
    let weighing = json(get(&full, &format!("{path}.json"), "*/*").await.1);
    assert_eq!(weighing["howBad"]["failedPerMinute"], 310.0);
    assert_eq!(weighing["timeToRollBack"]["seconds"], 48);
    assert_eq!(weighing["alsoBad"][0]["guard"], "billing");
    assert_eq!(weighing["undone"][0]["target"], "Deployment/orders");
    assert!(!weighing.to_string().contains("hunter2"), "{weighing}");

    let mut earlier = incident(IncidentState::Recovered);
    earlier.metadata.name = Some("orders-old".to_owned());
    let old = earlier.status.as_mut().unwrap();
    old.closed_at = Some(at("2026-10-01T00:00:00Z"));
    old.timings.as_mut().unwrap().restored = Some("4s".to_owned());
    let (_, html) = get(&served(all, vec![case, earlier]), path, "*/*").await;
    let said = "the rollback of 2026-10-01 took it (incident orders-old), 4 s";
    assert!(
        html.contains(said),
        "a rollback that was measured comes before an estimate\n{html}"
    );
}

#[tokio::test]
async fn the_first_screen_answers_five_questions_in_every_state() {
    let states = [
        IncidentState::AwaitingDecision,
        IncidentState::RollingBack,
        IncidentState::Verifying,
        IncidentState::Recovered,
        IncidentState::RecoveredByHand,
        IncidentState::Escalated,
        IncidentState::Kept,
        IncidentState::Passed,
        IncidentState::Superseded,
        IncidentState::Abandoned,
        IncidentState::Observed,
    ];
    let mut all = String::new();
    for state in states {
        let mut case = incident(state);
        let healthy = !state.is_open();
        if let Some(status) = case.status.as_mut().filter(|_| healthy) {
            status.recovered_at = Some(at("2026-11-22T03:03:40Z"));
            // What ends it without a person is told otherwise: its target is gone.
            status.decided = (state == IncidentState::Abandoned).then(|| Decision {
                verb: Some(Verb::Abandon),
                ..Decision::default()
            });
        }
        let view = if healthy {
            quiet("orders")
        } else {
            guard("orders", State::Escalated)
        };
        let (_, html) = get(
            &served(status(vec![view]), vec![case]),
            "/incidents/shop/orders-8b21",
            "*/*",
        )
        .await;
        let first = html.split_once("<dl class=\"first\">").unwrap().1;
        let (first, _) = first.split_once("</dl>").unwrap();
        all.push_str(&format!("{state:?}\n{}\n\n", text_of(&first.replace("</dt>", ": "))));
    }
    insta::assert_snapshot!(all, @r"
    AwaitingDecision
    What broke: error_rate is 31 % over 412 requests, the limit is 5 %
    Since when: 03:01:00 UTC (4 min ago)
    What was put back: Nothing yet: modosu waits for a decision.
    Better now?: No. error_rate is 31 % now (was 31 %, limit 5 %).
    What you must do: Decide by 03:16:30 UTC (in 11 min): put orders BACK to 6f9c (orders:1.4.2), or KEEP 8b21 (orders:1.5.0) running. How

    RollingBack
    What broke: error_rate is 31 % over 412 requests, the limit is 5 %
    Since when: 03:01:00 UTC (4 min ago)
    What was put back: Being put back now: orders to 6f9c (orders:1.4.2). 1 of 1 step done.
    Better now?: No. error_rate is 31 % now (was 31 %, limit 5 %).
    What you must do: Nothing. modosu puts it back and then proves that it helped.

    Verifying
    What broke: error_rate is 31 % over 412 requests, the limit is 5 %
    Since when: 03:01:00 UTC (4 min ago)
    What was put back: Put back: orders to 6f9c (orders:1.4.2).
    Better now?: No. error_rate is 31 % now (was 31 %, limit 5 %).
    What you must do: Nothing. modosu is proving that it helped.

    Recovered
    What broke: error_rate is 31 % over 412 requests, the limit is 5 %
    Since when: 03:01:00 UTC to 03:03:40 UTC, 2 min 40 s
    What was put back: Put back: orders to 6f9c (orders:1.4.2).
    Better now?: Yes. error_rate is 0.1 % now (was 31 %, limit 5 %). Proven 03:03:40 UTC.
    What you must do: Nothing. Find out why 8b21 (orders:1.5.0) failed before it is released again.

    RecoveredByHand
    What broke: error_rate is 31 % over 412 requests, the limit is 5 %
    Since when: 03:01:00 UTC to 03:03:40 UTC, 2 min 40 s
    What was put back: A person changed it back; modosu wrote nothing more.
    Better now?: Yes. error_rate is 0.1 % now (was 31 %, limit 5 %). Proven 03:03:40 UTC.
    What you must do: Nothing. It is over.

    Escalated
    What broke: error_rate is 31 % over 412 requests, the limit is 5 %
    Since when: 03:01:00 UTC (4 min ago)
    What was put back: Tried: orders to 6f9c (orders:1.4.2). 1 of 1 step done.
    Better now?: No. error_rate is 31 % now (was 31 %, limit 5 %).
    What you must do: Act by 03:16:30 UTC (in 11 min): modosu has stopped; nothing more happens until you act. Put orders BACK to 6f9c (orders:1.4.2), or KEEP 8b21 (orders:1.5.0) running. How

    Kept
    What broke: error_rate is 31 % over 412 requests, the limit is 5 %
    Since when: 03:01:00 UTC to 03:03:40 UTC, 2 min 40 s
    What was put back: 1 of 1 step had been done when it was decided to KEEP 8b21 (orders:1.5.0) running.
    Better now?: Yes. error_rate is 0.1 % now (was 31 %, limit 5 %). Proven 03:03:40 UTC.
    What you must do: Nothing. From here on modosu only reports on this state.

    Passed
    What broke: error_rate is 31 % over 412 requests, the limit is 5 %
    Since when: 03:01:00 UTC to 03:03:40 UTC, 2 min 40 s
    What was put back: Nothing: it became healthy by itself.
    Better now?: Yes. error_rate is 0.1 % now (was 31 %, limit 5 %). Proven 03:03:40 UTC.
    What you must do: Nothing. It has been healthy again since.

    Superseded
    What broke: error_rate is 31 % over 412 requests, the limit is 5 %
    Since when: 03:01:00 UTC to 03:03:40 UTC, 2 min 40 s
    What was put back: A newer change came. 1 of 1 step had been done by then.
    Better now?: Yes. error_rate is 0.1 % now (was 31 %, limit 5 %). Proven 03:03:40 UTC.
    What you must do: Nothing. The newer change is watched by itself.

    Abandoned
    What broke: error_rate is 31 % over 412 requests, the limit is 5 %
    Since when: 03:01:00 UTC to 03:03:40 UTC, 2 min 40 s
    What was put back: Stopped by a person. 1 of 1 step had been done by then.
    Better now?: Yes. error_rate is 0.1 % now (was 31 %, limit 5 %). Proven 03:03:40 UTC.
    What you must do: Nothing. modosu does no more here.

    Observed
    What broke: error_rate is 31 % over 412 requests, the limit is 5 %
    Since when: 03:01:00 UTC (4 min ago)
    What was put back: Nothing: here modosu only records.
    Better now?: No. error_rate is 31 % now (was 31 %, limit 5 %).
    What you must do: Nothing. modosu does not act here; put it back yourself if it hurts.
    ");
}

#[tokio::test]
async fn the_commands_to_decide_are_there_while_people_decide() {
    let router = served(
        status(vec![guard("orders", State::AwaitingDecision)]),
        vec![incident(IncidentState::AwaitingDecision)],
    );
    let (_, html) = get(&router, "/incidents/shop/orders-8b21", "*/*").await;
    let text = text_of(&html).replace("&#34;", "\"").replace("&#39;", "'");
    for line in [
        "modosu rollback shop/orders-8b21 --reason '…'",
        "modosu keep shop/orders-8b21 --reason '…'",
        "rollback: put orders BACK to 6f9c (orders:1.4.2)",
        "keep: KEEP 8b21 (orders:1.5.0) running",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    let done = served(status(Vec::new()), vec![incident(IncidentState::Recovered)]);
    let (_, html) = get(&done, "/incidents/shop/orders-8b21", "*/*").await;
    assert!(!html.contains("kubectl"));
}

#[tokio::test]
async fn what_came_from_outside_is_escaped_everywhere() {
    let evil = "<script>alert('x')</script>\"' onload=x \u{202E}txt.exe";
    let mut hostile = guard(evil, State::AwaitingDecision);
    hostile.mode_because = Some(evil.to_owned());
    hostile.reason = evil.to_owned();
    hostile.waits_for = Some(evil.to_owned());
    hostile.signals[0].name = evil.to_owned();
    hostile.signals[0].because = Some(evil.to_owned());
    hostile.current.as_mut().unwrap().images = vec![evil.to_owned()];
    hostile.current.as_mut().unwrap().hash = evil.to_owned();
    hostile.restore_to.as_mut().unwrap().images = vec![evil.to_owned()];
    hostile.shared_config = vec![evil.to_owned()];
    hostile.incident = Some(evil.to_owned());
    hostile.links = [
        ("run".to_owned(), "javascript:alert(1)".to_owned()),
        (evil.to_owned(), format!("https://x/{evil}")),
    ]
    .into();
    hostile.triggers = vec![TriggerView {
        name: evil.to_owned(),
        status: evil.to_owned(),
        sentence: evil.to_owned(),
    }];
    hostile.conditions = vec![ConditionView {
        kind: evil.to_owned(),
        status: "False".to_owned(),
        reason: evil.to_owned(),
        message: evil.to_owned(),
    }];
    let mut case = hostile_incident(evil);
    case.spec.guard = evil.to_owned();
    let mut view = status(vec![hostile]);
    view.prometheus.error = Some(evil.to_owned());
    view.prometheus.url = evil.to_owned();
    view.freeze = Some(FreezeView {
        by: Some(evil.to_owned()),
        reason: Some(evil.to_owned()),
        until: None,
        of: "ConfigMap/modosu-freeze".to_owned(),
    });
    view.incidents = vec![IncidentLine::of(&case)];
    let router = served(view, vec![case]);
    let name = "%3Cscript%3Ealert('x')%3C%2Fscript%3E%22'%20onload=x%20%E2%80%AEtxt.exe";
    for path in [
        "/status",
        &format!("/guards/shop/{name}"),
        "/incidents/shop/orders-8b21",
        &format!("/guards/{name}/x"),
    ] {
        let (_, html) = get(&router, path, "text/html").await;
        assert!(html.contains("alert("), "{path} does not show it\n{html}");
        for raw in ["<script", "javascript:", "\u{202E}", "\"' onload", "' onload"] {
            assert!(!html.contains(raw), "{path} holds {raw}\n{html}");
        }
    }
}

fn hostile_incident(evil: &str) -> Incident {
    let mut case = incident(IncidentState::Escalated);
    let spec = &mut case.spec;
    evil.clone_into(&mut spec.summary);
    evil.clone_into(&mut spec.grade);
    spec.triggers = vec![Evidence {
        name: evil.to_owned(),
        condition: evil.to_owned(),
        sentence: evil.to_owned(),
        grade: evil.to_owned(),
        signal: Some(evil.to_owned()),
        query: Some(evil.to_owned()),
        ..Evidence::default()
    }];
    spec.bad.images = vec![evil.to_owned()];
    spec.decision = Some(Decision {
        verb: Some(Verb::Keep),
        by: Some(evil.to_owned()),
        reason: Some(evil.to_owned()),
        fix_eta: None,
        ..Decision::default()
    });
    let status = case.status.as_mut().unwrap();
    evil.clone_into(&mut status.reason);
    status.plan[0].diff = Some(format!("+{evil}"));
    status.plan[0].step = evil.to_owned();
    status.journal[0].note = Some(evil.to_owned());
    status.journal[0].intent = Some(evil.to_owned());
    status.timings.as_mut().unwrap().detected = Some(evil.to_owned());
    case
}

#[tokio::test]
async fn secrets_are_masked_on_the_page_and_in_its_json() {
    let router = served(status(Vec::new()), vec![incident(IncidentState::Verifying)]);
    for path in ["/incidents/shop/orders-8b21", "/incidents/shop/orders-8b21.json"] {
        let (code, body) = get(&router, path, "*/*").await;
        assert_eq!(code, StatusCode::OK);
        assert!(
            body.contains("DB_PASSWORD") && body.contains("legacy") && body.contains("•••"),
            "{body}"
        );
        assert!(!body.contains("hunter"), "{body}");
    }
}

#[tokio::test]
async fn a_link_from_an_alert_never_ends_nowhere() {
    let mut older = incident(IncidentState::Recovered);
    older.metadata.name = Some("orders-0000".to_owned());
    older.spec.opened_at = at("2026-11-20T00:00:00Z");
    let guards = vec![guard("orders", State::Verifying), guard("carts", State::Steady)];
    let router = served(status(guards), vec![older, incident(IncidentState::Verifying)]);
    for (query, goes_to) in [
        ("?namespace=shop&guard=orders", "/incidents/shop/orders-8b21"),
        ("?namespace=shop", "/incidents/shop/orders-8b21"),
        ("?namespace=shop&guard=carts", "/guards/shop/carts"),
        ("?namespace=shop&guard=%0d%0aX: y", "/status"),
        ("?namespace=none&guard=orders", "/status"),
        ("", "/status"),
    ] {
        let request = Request::get(format!("/decisions{}", query.replace(' ', "%20")))
            .body(Body::empty())
            .unwrap();
        let answer = ask(&router, request).await;
        assert_eq!(answer.status(), StatusCode::FOUND);
        assert_eq!(answer.headers()[header::LOCATION], goes_to, "{query}");
    }
}

#[tokio::test]
async fn a_404_says_what_there_is() {
    let router = served(
        status(vec![guard("orders", State::Steady)]),
        vec![incident(IncidentState::Verifying)],
    );
    for (path, says) in [
        ("/guards/shop/order", "/guards/shop/orders"),
        ("/incidents/shop/x", "/incidents/shop/orders-8b21"),
        ("/what", "/status.json"),
    ] {
        let (code, html) = get(&router, path, "text/html").await;
        assert_eq!(code, StatusCode::NOT_FOUND);
        assert!(html.contains(says), "{html}");
        let (code, json) = get(&router, path, "application/json").await;
        assert_eq!(code, StatusCode::NOT_FOUND);
        assert!(json.starts_with("{\"error\":\"There is no "), "{json}");
    }
}

#[tokio::test]
async fn readers_cannot_write_and_headers_are_strict() {
    let router = served(status(vec![guard("orders", State::Steady)]), Vec::new());
    for path in ["/status", "/guards/shop/orders", "/metrics", "/livez", "/what"] {
        let head = ask(&router, Request::head(path).body(Body::empty()).unwrap()).await;
        let policy = head.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'self'"), "{policy}");
        assert_eq!(head.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert!(axum::body::to_bytes(head.into_body(), 1).await.unwrap().is_empty());
    }
    for path in ["/status", "/guards/shop/orders", "/what"] {
        let post = ask(&router, Request::post(path).body(Body::from("{}")).unwrap()).await;
        assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
    let small = Request::get("/status")
        .header(header::ACCEPT_ENCODING, "gzip")
        .body(Body::empty())
        .unwrap();
    assert_eq!(ask(&router, small).await.headers()[header::CONTENT_ENCODING], "gzip");
    let (_, metrics) = get(&router, "/metrics", "*/*").await;
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
}

#[tokio::test]
async fn the_guards_page_and_its_json_agree() {
    let router = served(status(vec![guard("orders", State::Suspect)]), Vec::new());
    let (code, html) = get(&router, "/guards/shop/orders", "text/html").await;
    assert_eq!(code, StatusCode::OK);
    let text = text_of(&html);
    for shown in [
        "Suspect",
        "31 %",
        "0.2 %",
        "taken 03:00:00 UTC (5 min ago) of 6f9c (orders:1.4.2)",
        "8b21 (orders:1.5.0)",
        "6f9c (orders:1.4.2), proven",
    ] {
        assert!(text.contains(shown), "{shown} is missing in\n{text}");
    }
    let (_, json) = get(&router, "/guards/shop/orders.json", "text/html").await;
    let view: GuardView = serde_json::from_str(&json).unwrap();
    assert_eq!(view, guard("orders", State::Suspect));
}

/// As the guard asks for it and its status holds it, one line of the page for each kind.
#[tokio::test]
async fn what_signals_are_compared_with_is_told_on_the_guards_page() {
    let mut told = String::new();
    for spec in [
        "",
        "baseline: {window: 30m}",
        "baseline: {offset: 7d}",
        "baseline: {fixed: {response_time: 200ms, error_rate: 1%}}",
        "baseline: {query: {response_time: 'max(benchmark_seconds)'}}",
    ] {
        let written =
            format!("targets: [{{kind: Deployment, name: orders}}]\nmetrics: {{preset: prometheus-http}}\n{spec}");
        let guard = Guard::new("orders", serde_saphyr::from_str(&written).unwrap());
        let taken = serde_json::json!({
            "baseline": {"takenAt": "2026-11-22T03:00:00Z", "hash": "6f9cbeef", "error_rate": 0.002},
            "restoreTo": {"name": "orders-6f9c", "hash": "6f9cbeef", "provenAt": NOW, "images": ["orders:1.4.2"]},
        });
        for status_of in [serde_json::json!({}), taken] {
            let mut view = GuardView::of(&guard, &serde_json::from_value(status_of).unwrap());
            view.namespace = "shop".to_owned();
            view.signals = vec![error_rate()];
            let router = served(status(vec![view]), Vec::new());
            let (_, html) = get(&router, "/guards/shop/orders", "text/html").await;
            let text = text_of(&html);
            let lines = text.lines().filter(|line| line.starts_with("Before: "));
            told.extend(lines.map(|line| format!("{line}\n")));
        }
    }
    insta::assert_snapshot!(told, @r"
    Before: up to 1 h of healthy time before a change; not taken yet.
    Before: up to 1 h of healthy time before a change; taken 03:00:00 UTC (5 min ago) of 6f9c (orders:1.4.2).
    Before: up to 30 min of healthy time before a change; not taken yet.
    Before: up to 30 min of healthy time before a change; taken 03:00:00 UTC (5 min ago) of 6f9c (orders:1.4.2).
    Before: the same time 7 days before a change; not taken yet.
    Before: the same time 7 days before a change; taken 03:00:00 UTC (5 min ago) of 6f9c (orders:1.4.2).
    Before: fixed numbers for error_rate, response_time; for other signals up to 1 h of healthy time before a change.
    Before: fixed numbers for error_rate, response_time; for other signals up to 1 h of healthy time before a change; taken 03:00:00 UTC (5 min ago) of 6f9c (orders:1.4.2).
    Before: a query asked at a change for response_time; for other signals up to 1 h of healthy time before a change; not taken yet.
    Before: a query asked at a change for response_time; for other signals up to 1 h of healthy time before a change; taken 03:00:00 UTC (5 min ago) of 6f9c (orders:1.4.2).
    ");
}

#[tokio::test]
async fn serving_ends_when_told_though_a_reader_stays_connected() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let router = served(status(Vec::new()), Vec::new());
    let serving = tokio::spawn(serve(listener, router, async { stopped.await.unwrap_or_default() }));
    let mut reader = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut silent = tokio::net::TcpStream::connect(address).await.unwrap();
    reader
        .write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    silent.write_all(b"GET /livez HTT").await.unwrap();
    let mut answer = [0; 15];
    reader.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    stop.send(()).unwrap();
    let ended = tokio::time::timeout(std::time::Duration::from_secs(4), serving).await;
    ended.unwrap().unwrap().unwrap();
}
