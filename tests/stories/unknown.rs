//! Each way to know nothing has its own words on `/status.json`, and another guard's queries go on.
//!
//! The failures on the embedded world alone: real servers do not fail in these ways on demand. What the client makes of each answer on
//! real sockets, `tests/prometheus_client.rs` asks.

use modosu_world::Reply;
use serde_json::{Value, json};

use crate::{
    stage::{Bad, Stage},
    story,
};

const JSON: &str = "application/json";

/// What is answered to which queries, and what the guard's error rate says then.
struct Case {
    name: &'static str,
    /// Queries with all of this are answered so.
    asked: &'static [&'static str],
    /// And with none of this.
    but: &'static str,
    reply: Reply,
    because: &'static str,
}

/// Of errors, which are a part of all requests.
const BAD: &[&str] = &["clamp_min(http_requests_total", "5.."];
const NOTHING: &str = "no query has this";

fn error(code: u16, kind: &str, words: &str) -> Reply {
    Reply::Fail(code, kind.into(), words.into())
}

fn rows(rows: &Value, more: &Value) -> Reply {
    let mut body = json!({"status": "success", "data": {"resultType": "vector", "result": rows}});
    json_patch::merge(&mut body, more);
    Reply::Instead(200, JSON.into(), body.to_string())
}

fn case(name: &'static str, asked: &'static [&'static str], reply: Reply, because: &'static str) -> Case {
    Case {
        name,
        asked,
        but: NOTHING,
        reply,
        because,
    }
}

/// Answers that are none, or not whole.
fn no_answers() -> Vec<Case> {
    let instead = |code, header: &str, body: &str| Reply::Instead(code, header.into(), body.into());
    vec![
        case(
            "warning",
            BAD,
            Reply::Warn("a store is missing".into()),
            "Prometheus warns that the answer is not whole: a store is missing",
        ),
        case(
            "isPartial",
            BAD,
            rows(&json!([]), &json!({"isPartial": true})),
            "Prometheus warns that the answer is not whole: the answer is marked isPartial",
        ),
        case(
            "not JSON",
            BAD,
            instead(200, "text/html", "<html>Welcome</html>"),
            "Prometheus did not answer: not JSON (text/html): <html>Welcome</html>",
        ),
        case(
            "400",
            BAD,
            error(400, "bad_data", "parse error"),
            "Prometheus refused the query: parse error",
        ),
        case(
            "422",
            BAD,
            error(422, "execution", "many-to-many matching"),
            "Prometheus refused the query: many-to-many matching",
        ),
        case(
            "404",
            BAD,
            instead(404, "text/plain", "no such page"),
            "Prometheus did not answer: HTTP 404 Not Found: no such page",
        ),
        case(
            "401",
            BAD,
            instead(401, "text/plain", ""),
            "Prometheus did not answer: HTTP 401 Unauthorized",
        ),
        case(
            "503",
            BAD,
            error(503, "unavailable", "starting up"),
            "Prometheus did not answer: HTTP 503 Service Unavailable, unavailable: starting up",
        ),
        case(
            "502",
            BAD,
            instead(502, "text/html", "<h1>Bad gateway</h1>"),
            "Prometheus did not answer: HTTP 502 Bad Gateway: <h1>Bad gateway</h1>",
        ),
        case(
            "time-out",
            BAD,
            Reply::Hang,
            "Prometheus did not answer: no answer within 5s",
        ),
        case(
            "login page",
            BAD,
            instead(302, "https://login.example/", ""),
            "Prometheus did not answer: HTTP 302 Found, a redirect to https://login.example/: redirects are not followed, it may be a login page",
        ),
    ]
}

/// Whole answers without a number to act on.
fn no_numbers(stage: &Stage) -> Vec<Case> {
    let of_orders = |value: String| {
        let metric = json!({"job": "orders", "namespace": stage.namespace});
        json!([{"metric": metric, "value": [0, value]}])
    };
    let old = stage.world().now().as_second() - 100;
    vec![
        case(
            "NaN",
            BAD,
            rows(&of_orders("NaN".into()), &json!({})),
            "the value is not a finite number",
        ),
        case(
            "infinite",
            BAD,
            rows(&of_orders("+Inf".into()), &json!({})),
            "the value is not a finite number",
        ),
        Case {
            but: "5..",
            ..case(
                "no total",
                &["clamp_min(http_requests_total"],
                rows(&json!([]), &json!({})),
                "Prometheus has no such series for this guard",
            )
        },
        Case {
            but: "offset",
            ..case(
                "stale",
                &["timestamp(http_requests_total"],
                rows(&of_orders(old.to_string()), &json!({})),
                "old, samples come every 1s",
            )
        },
    ]
}

#[tokio::test(start_paused = true)]
async fn each_way_to_know_nothing_has_its_own_words_and_blinds_no_other_guard() {
    let stage = Stage::embedded("each_way_to_know_nothing").await;
    stage.deploy("orders", json!([])).await;
    stage.deploy("beside", json!([])).await;
    stage.guard("orders", json!({})).await;
    let beside = json!({"metrics": {"preset": null, "match": {"job": "beside", "namespace": stage.namespace},
        "signals": {"request_rate": {"rate": "http_request_duration_seconds_count"}}},
        "triggers": [{"name": "busy", "condition": "request_rate > 1000000/s", "action": "alert_and_manual_review"}]});
    stage.guard("beside", beside).await;
    stage.daemon().await;
    stage.proven("orders").await;
    let known = async || stage.signal("orders", "error_rate").await.map(|_| ());
    for case in no_answers().into_iter().chain(no_numbers(&stage)) {
        stage.until("all is known", 60, known).await;
        let (asked, but, reply) = (case.asked, case.but, case.reply);
        stage.world().on_query(move |query| {
            let meant = asked.iter().all(|part| query.contains(part)) && !query.contains(but);
            if meant { reply.clone() } else { Reply::GoOn }
        });
        let words = stage.until(case.name, 30, async || because(&stage).await).await;
        let other = stage.signal("beside", "request_rate").await;
        stage.world().on_query(|_| Reply::GoOn);
        assert!(words.contains(case.because), "{}: {words}", case.name);
        let says = stage.shown("orders").await["reason"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert!(says.starts_with("Unknown"), "{}: {says}", case.name);
        let beside = stage.shown("beside").await;
        assert!(other.is_some(), "{}: the other guard is blind: {beside}", case.name);
    }
    assert!(stage.incidents().await.is_empty(), "nothing known is no incident");
}

story!(without_any_request_ever_nothing_is_known);
async fn without_any_request_ever_nothing_is_known(stage: &Stage) {
    stage.deploy("orders", json!([{"name": "RPS", "value": "0"}])).await;
    stage.guard("orders", json!({})).await;
    stage.daemon().await;
    let none = "Prometheus has no such series for this guard";
    stage
        .until("nobody asks, and it says so", 60, async || {
            because(stage).await.filter(|words| words.starts_with(none))
        })
        .await;
}

story!(when_requests_cease_it_says_of_how_many_it_speaks);
async fn when_requests_cease_it_says_of_how_many_it_speaks(stage: &Stage) {
    stage.deploy("orders", json!([{"name": "RPS", "value": "5"}])).await;
    stage.guard("orders", json!({})).await;
    stage.daemon().await;
    stage.proven("orders").await;

    let nobody = Bad {
        rps: Some(0.0),
        ..Bad::default()
    };
    stage.misbehave("orders", nobody);
    let older = "no requests in the last 60 s; this is of the ";
    let shown = stage
        .until("it says that the share is of earlier requests", 120, async || {
            let shown = stage.shown("orders").await;
            let because = one(&shown, "error_rate")["because"].as_str()?.to_owned();
            let ceased = one(&shown, "request_rate")["value"] == 0.0;
            (ceased && because.starts_with(older)).then_some(shown)
        })
        .await;
    assert_eq!(one(&shown, "error_rate")["value"], 0.0, "{shown}");
    let reason = shown["reason"].as_str().unwrap();
    assert!(reason.starts_with("healthy: error_rate 0 % (limit 5 %)"), "{reason}");
    assert!(reason.contains(older), "{reason}");

    let a = stage.current("orders").await.unwrap().hash;
    stage.set_env("orders", "VERSION", "b").await;
    stage.changed("orders", &a).await;
    let words = stage
        .until("of nothing there is no share", 60, async || {
            let words = because(stage).await?;
            let none = ["no requests since the change", "Prometheus has no such series"];
            none.iter().any(|none| words.starts_with(none)).then_some(words)
        })
        .await;
    stage
        .always("what nobody asked for proves nothing", 20, async || {
            let current = stage.current("orders").await;
            current.is_some_and(|current| !current.proven) && because(stage).await.is_some()
        })
        .await;
    assert!(stage.incidents().await.is_empty(), "{words}");
}

/// The signal of that name.
fn one(shown: &Value, name: &str) -> Value {
    let mut signals = shown["signals"].as_array().into_iter().flatten();
    signals
        .find(|signal| signal["name"] == name)
        .cloned()
        .unwrap_or_default()
}

/// Why the error rate is not known.
async fn because(stage: &Stage) -> Option<String> {
    let shown = stage.shown("orders").await;
    let signals = shown["signals"].as_array()?;
    let signal = signals.iter().find(|signal| signal["name"] == "error_rate")?;
    let words = signal["because"].as_str()?.to_owned();
    signal["value"].is_null().then_some(words)
}
