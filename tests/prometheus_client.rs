//! The Prometheus client on real sockets: what is sent, and that each way to fail has its own words.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a test may stop at the first surprise"
)]

use std::{path::Path, time::Duration};

use modosu::{
    model::units::Length,
    observe::{
        answer::{Answer, Failure},
        prometheus::{BasicAuth, Prometheus, Settings},
        query::Moment,
    },
};
use serde_json::{Value, json};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{body_string_contains, header, method, path},
};

fn settings(server: &MockServer) -> Settings {
    Settings {
        url: server.uri(),
        timeout: Length(Duration::from_millis(500)),
        ..Settings::default()
    }
}

async fn answered(response: ResponseTemplate) -> Result<Answer, Failure> {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/api/v1/query"))
        .respond_with(response)
        .mount(&server)
        .await;
    Prometheus::http(&settings(&server)).unwrap().query("up", None).await
}

fn vector(rows: &Value) -> Value {
    json!({"status": "success", "data": {"resultType": "vector", "result": rows}})
}

async fn json_answer(body: Value) -> Result<Answer, Failure> {
    answered(ResponseTemplate::new(200).set_body_json(body)).await
}

async fn error_answer(status: u16, kind: &str, error: &str) -> Failure {
    let body = json!({"status": "error", "errorType": kind, "error": error});
    answered(ResponseTemplate::new(status).set_body_json(body))
        .await
        .unwrap_err()
}

fn no_answer(failure: Failure) -> String {
    let Failure::NoAnswer(words) = failure else {
        panic!("{failure:?} is not NoAnswer")
    };
    words
}

#[tokio::test]
async fn a_query_is_a_posted_form_with_time_timeout_and_headers() {
    let server = MockServer::start().await;
    Mock::given(path("/prometheus/api/v1/query"))
        .and(header("x-scope-orgid", "shop"))
        .and(header("content-type", "application/x-www-form-urlencoded"))
        .and(body_string_contains("query=sum%28up%29"))
        .and(body_string_contains("time=1700000000.500"))
        .and(body_string_contains("timeout=500ms"))
        .respond_with(
            ResponseTemplate::new(200).set_body_json(vector(&json!([{"metric": {"job": "a"}, "value": [1, "4"]}]))),
        )
        .mount(&server)
        .await;
    let mut settings = settings(&server);
    settings.url += "/prometheus/";
    settings.headers.insert("X-Scope-OrgID".into(), "shop".into());
    let at = Moment::from_seconds(1_700_000_000.5);
    let answer = Prometheus::http(&settings).unwrap().query("sum(up)", at).await.unwrap();
    assert_eq!(answer.rows.len(), 1);
    assert_eq!(answer.rows[0].labels["job"], "a");
    assert_eq!(answer.number(), Ok(Some(4.0)));
}

async fn credentials_sent(change: impl FnOnce(&mut Settings), write: &[(&Path, &str)], expected: &[&str]) {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200).set_body_json(vector(&json!([]))))
        .mount(&server)
        .await;
    let mut settings = settings(&server);
    change(&mut settings);
    let prometheus = Prometheus::http(&settings).unwrap();
    for (file, text) in write {
        std::fs::write(file, text).unwrap();
        prometheus.query("up", None).await.unwrap();
    }
    let sent = server.received_requests().await.unwrap();
    let sent: Vec<_> = sent
        .iter()
        .map(|request| request.headers["authorization"].to_str().unwrap())
        .collect();
    assert_eq!(sent, expected);
}

#[tokio::test]
async fn a_rotated_token_counts_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let settings = |settings: &mut Settings| settings.bearer_token_file = Some(file.clone());
    credentials_sent(
        settings,
        &[(&file, "old\n"), (&file, "new\n")],
        &["Bearer old", "Bearer new"],
    )
    .await;
}

#[tokio::test]
async fn basic_auth_takes_its_password_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    let basic = BasicAuth {
        username: "modosu".into(),
        password_file: file.clone(),
    };
    let settings = |settings: &mut Settings| settings.basic_auth = Some(basic);
    credentials_sent(
        settings,
        &[(&file, "open sesame\n")],
        &["Basic bW9kb3N1Om9wZW4gc2VzYW1l"],
    )
    .await;
}

#[tokio::test]
async fn a_missing_token_file_is_named() {
    let server = MockServer::start().await;
    let settings = Settings {
        bearer_token_file: Some("/nowhere/token".into()),
        ..settings(&server)
    };
    let failure = Prometheus::http(&settings)
        .unwrap()
        .query("up", None)
        .await
        .unwrap_err();
    assert!(no_answer(failure).starts_with("/nowhere/token: "));
}

#[tokio::test]
async fn nobody_listens() {
    let settings = Settings {
        url: "http://127.0.0.1:1".into(),
        ..Settings::default()
    };
    let failure = Prometheus::http(&settings)
        .unwrap()
        .query("up", None)
        .await
        .unwrap_err();
    let words = no_answer(failure);
    assert!(words.contains("refused"), "{words}");
}

#[tokio::test]
async fn a_slow_answer_is_no_answer() {
    let slow = ResponseTemplate::new(200)
        .set_body_json(vector(&json!([])))
        .set_delay(Duration::from_secs(5));
    assert_eq!(no_answer(answered(slow).await.unwrap_err()), "no answer within 500ms");
}

#[tokio::test]
async fn a_login_page_is_no_answer_redirected_to_or_not() {
    let redirect = ResponseTemplate::new(302).insert_header("location", "https://login.example/");
    let words = no_answer(answered(redirect).await.unwrap_err());
    assert_eq!(
        words,
        "HTTP 302 Found, a redirect to https://login.example/: redirects are not followed, it may be a login page"
    );
    let page = ResponseTemplate::new(200).set_body_raw("<html>\n <title>Sign in</title>", "text/html");
    let words = no_answer(answered(page).await.unwrap_err());
    assert_eq!(words, "not JSON (text/html): <html> <title>Sign in</title>");
}

#[tokio::test]
async fn refusals_carry_the_servers_words() {
    let failure = error_answer(400, "bad_data", "parse error: unexpected }").await;
    assert_eq!(
        failure,
        Failure::Refused {
            words: "parse error: unexpected }".into(),
            while_running: false
        }
    );
    let failure = error_answer(422, "execution", "many-to-many matching not allowed").await;
    assert_eq!(
        failure,
        Failure::Refused {
            words: "many-to-many matching not allowed".into(),
            while_running: true
        }
    );
    let failure = error_answer(422, "422", "cannot parse").await;
    assert!(
        matches!(failure, Failure::Refused { .. }),
        "VictoriaMetrics' way to say it"
    );
}

#[tokio::test]
async fn other_errors_are_no_answer() {
    let words = no_answer(error_answer(503, "timeout", "query timed out").await);
    assert_eq!(words, "HTTP 503 Service Unavailable, timeout: query timed out");
    let words = no_answer(error_answer(429, "too_many_requests", "slow down").await);
    assert_eq!(words, "HTTP 429 Too Many Requests, too_many_requests: slow down");
    let proxy = ResponseTemplate::new(502).set_body_string("upstream\nunreachable");
    assert_eq!(
        no_answer(answered(proxy).await.unwrap_err()),
        "HTTP 502 Bad Gateway: upstream unreachable"
    );
    let unauthorized = ResponseTemplate::new(401);
    assert_eq!(
        no_answer(answered(unauthorized).await.unwrap_err()),
        "HTTP 401 Unauthorized"
    );
}

#[tokio::test]
async fn json_that_is_not_an_answer_is_no_answer() {
    let words = no_answer(json_answer(json!({"hello": "world"})).await.unwrap_err());
    assert!(
        words.starts_with("not an answer of Prometheus' query API: missing field `status`"),
        "{words}"
    );
    let cut = ResponseTemplate::new(200).set_body_raw(r#"{"status":"success","data":{"res"#, "application/json");
    let words = no_answer(answered(cut).await.unwrap_err());
    assert!(words.starts_with("not JSON (application/json): {\"status\""), "{words}");
}

#[tokio::test]
async fn an_answer_that_is_not_whole_is_partial() {
    let mut body = vector(&json!([{"metric": {}, "value": [1, "4"]}]));
    body["warnings"] = json!(["store 1 is down", "store 2 is down"]);
    let failure = json_answer(body.clone()).await.unwrap_err();
    assert_eq!(failure, Failure::Partial("store 1 is down; store 2 is down".into()));
    body["warnings"] = json!([]);
    body["isPartial"] = json!(true);
    let failure = json_answer(body.clone()).await.unwrap_err();
    assert_eq!(failure, Failure::Partial("the answer is marked isPartial".into()));
    body["isPartial"] = json!(false);
    body["infos"] = json!(["metric might not be a counter"]);
    assert_eq!(json_answer(body).await.unwrap().infos.len(), 1);
}

#[tokio::test]
async fn numbers_come_as_prometheus_writes_them_and_a_native_histogram_spoils_nothing() {
    let answer = json_answer(vector(&json!([
        {"metric": {"job": "a"}, "value": [1.5, "NaN"]},
        {"metric": {"job": "b"}, "value": [1.5, "+Inf"]},
        {"metric": {"job": "c"}, "histogram": [1.5, {"count": "4", "sum": "2", "buckets": [[0, "0", "1", "4"]]}]},
        {"metric": {"job": "d"}, "value": [1.5, "0.25"]},
    ])))
    .await
    .unwrap();
    assert!(answer.rows[0].value.unwrap().is_nan());
    assert_eq!(answer.rows[1].value, Some(f64::INFINITY));
    assert_eq!((answer.rows[2].value, answer.rows[3].value), (None, Some(0.25)));
    let several = answer.number().unwrap_err().to_string();
    assert_eq!(several, "the query gives 4 rows, one number is needed");
}

#[tokio::test]
async fn scalars_are_numbers_and_ranges_are_not() {
    let of = |kind: &str, result: Value| json!({"status": "success", "data": {"resultType": kind, "result": result}});
    assert_eq!(
        json_answer(of("scalar", json!([1.5, "7"]))).await.unwrap().number(),
        Ok(Some(7.0))
    );
    assert_eq!(json_answer(vector(&json!([]))).await.unwrap().number(), Ok(None));
    for (kind, result) in [("matrix", json!([])), ("string", json!([1.5, "x"]))] {
        let failure = json_answer(of(kind, result)).await.unwrap_err();
        assert!(
            matches!(
                failure,
                Failure::Refused {
                    while_running: false,
                    ..
                }
            ),
            "{kind}"
        );
    }
}

#[tokio::test]
async fn an_endless_answer_is_cut() {
    let server = MockServer::start().await;
    let endless = ResponseTemplate::new(200).set_body_raw(vec![b' '; 65 << 20], "application/json");
    Mock::given(method("POST")).respond_with(endless).mount(&server).await;
    let settings = Settings {
        timeout: Length::seconds(60),
        ..settings(&server)
    };
    let failure = Prometheus::http(&settings)
        .unwrap()
        .query("up", None)
        .await
        .unwrap_err();
    assert_eq!(no_answer(failure), "the answer is larger than 64 MiB");
}

#[test]
fn wrong_settings_say_which_and_why() {
    let wrong = |change: fn(&mut Settings)| {
        let mut settings = Settings::default();
        change(&mut settings);
        Prometheus::http(&settings).unwrap_err().to_string()
    };
    assert!(
        wrong(|s| s.url = "prometheus:9090".into()).starts_with("prometheus.url: `prometheus:9090` is not an address")
    );
    assert!(wrong(|s| s.ca = Some("/nowhere/ca.pem".into())).starts_with("prometheus.ca: /nowhere/ca.pem: "));
    assert!(wrong(|s| s.headers = [("a b".into(), "c".into())].into()).starts_with("prometheus.headers: `a b`"));
    let both = wrong(|s| {
        s.bearer_token_file = Some("token".into());
        s.basic_auth = Some(BasicAuth {
            username: "a".into(),
            password_file: "b".into(),
        });
    });
    assert!(both.contains("both set"));
}

#[test]
fn settings_read_as_the_daemons_file_has_them() {
    let read = |value: Value| serde_json::from_value::<Settings>(value);
    let settings = read(json!({
        "url": "https://mimir/prometheus", "timeout": "3s", "bearerTokenFile": null,
        "basicAuth": {"username": "a", "passwordFile": "/p"}, "headers": {"X-Scope-OrgID": "shop"}, "ca": null,
    }))
    .unwrap();
    assert_eq!(settings.timeout, Length::seconds(3));
    assert_eq!(read(json!({})).unwrap(), Settings::default());
    assert!(read(json!({"timeOut": "3s"})).is_err());
}
