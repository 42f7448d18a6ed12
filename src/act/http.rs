//! IO. Requests of an owner's checks and steps: over the network, or to a service in this process (tests, the demo).
//!
//! Headers may hold secrets and are told nowhere; of an answer people see 1 kB, masked.

use std::{fmt::Write as _, time::Duration};

use axum::body::Bytes;
use tower::{BoxError, Service, ServiceExt, util::BoxCloneSyncService};

use crate::{
    model::guard::HttpCheck,
    report::mask::{MASK, mask_line, mask_text},
};

/// One answer takes no longer.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(1);
/// So much of a body is read.
const BODY_LIMIT: usize = 64 << 10;
/// So much of it is shown.
const SHOWN: usize = 1024;

/// What sends requests. Cheap to clone.
#[derive(Clone)]
pub struct Http(Transport);

#[derive(Clone)]
enum Transport {
    Network(reqwest::Client),
    InProcess(BoxCloneSyncService<http::Request<Bytes>, http::Response<Bytes>, BoxError>),
}

impl Http {
    /// Redirects are answers: no header ever goes to another place.
    pub fn network() -> reqwest::Result<Self> {
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        client.build().map(|client| Self(Transport::Network(client)))
    }

    /// A service in this process that gets whole requests.
    pub fn from_service<S>(service: S) -> Self
    where
        S: Service<http::Request<Bytes>, Response = http::Response<Bytes>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError> + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        Self(Transport::InProcess(BoxCloneSyncService::new(
            service.map_err(Into::into),
        )))
    }

    /// Asks until it is answered as expected, as often as the owner lets it. Gives what was answered, in words.
    pub async fn ask(&self, asked: &HttpCheck, within: Duration) -> Result<String, String> {
        let late = |_| Err(format!("{}: not answered as expected within {within:?}", named(asked)));
        tokio::time::timeout(within, self.attempts(asked))
            .await
            .unwrap_or_else(late)
    }

    async fn attempts(&self, asked: &HttpCheck) -> Result<String, String> {
        let mut left = if asked.repeats() { asked.retries } else { 0 };
        loop {
            let sent = tokio::time::timeout(TIMEOUT, self.send(asked)).await;
            let answer = sent.unwrap_or_else(|_| Err(format!("no answer within {} s", TIMEOUT.as_secs())));
            match answer.and_then(|(status, body)| expected(asked, status, &body)) {
                Ok(words) => return Ok(format!("{} {words}", named(asked))),
                Err(why) if left == 0 => return Err(format!("{}: {why}", named(asked))),
                Err(_) => left -= 1,
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn send(&self, asked: &HttpCheck) -> Result<(u16, Vec<u8>), String> {
        let (method, url) = asked.request();
        let mut request = http::Request::builder().method(method.name()).uri(url);
        for (name, value) in &asked.headers {
            request = request.header(name, value);
        }
        let request = request.body(Bytes::new()).map_err(|_| "it cannot be sent".to_owned())?;
        match &self.0 {
            Transport::Network(client) => over_network(client, request).await,
            Transport::InProcess(service) => {
                let response = service.clone().oneshot(request).await;
                let response = response.map_err(|why| why.to_string())?;
                Ok((response.status().as_u16(), response.body().to_vec()))
            }
        }
    }
}

async fn over_network(client: &reqwest::Client, request: http::Request<Bytes>) -> Result<(u16, Vec<u8>), String> {
    let said = |why: reqwest::Error| root_cause(&why.without_url());
    let request = reqwest::Request::try_from(request).map_err(said)?;
    let mut response = client.execute(request).await.map_err(said)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(said)? {
        body.extend_from_slice(&chunk);
        if body.len() > BODY_LIMIT {
            body.truncate(BODY_LIMIT);
            break;
        }
    }
    Ok((response.status().as_u16(), body))
}

/// `GET http://orders/health`, masked.
pub fn named(asked: &HttpCheck) -> String {
    let (method, url) = asked.request();
    mask_line(&format!("{} {url}", method.name()))
}

fn expected(asked: &HttpCheck, status: u16, body: &[u8]) -> Result<String, String> {
    let text = String::from_utf8_lossy(body);
    let mut wrong = String::new();
    if status != asked.expect {
        let _ = write!(wrong, "answered {status}, expected {}", asked.expect);
    } else if asked.body.as_ref().is_some_and(|part| !text.contains(part)) {
        let _ = write!(wrong, "answered {status} without the expected text");
    } else {
        return Ok(format!("answered {status}"));
    }
    match shown(asked, &text) {
        body if body.is_empty() => Err(wrong),
        body => Err(format!("{wrong}; it said: {body}")),
    }
}

/// What people see of a body: one line, cut, without what looks like a secret or was sent as a header.
fn shown(asked: &HttpCheck, text: &str) -> String {
    let mut text = text.to_owned();
    for word in asked.headers.values().flat_map(|value| value.split_whitespace()) {
        if word.len() > 3 {
            text = text.replace(word, MASK);
        }
    }
    let line = mask_text(&text).split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().find(|(at, c)| at + c.len_utf8() > SHOWN) {
        Some((at, _)) => format!("{}…", line.get(..at).unwrap_or_default()),
        None => line,
    }
}

/// The innermost error says what happened.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{
            Arc,
            atomic::{AtomicU16, Ordering},
        },
    };

    use super::*;
    use crate::model::guard::Method;

    /// Fails so often, then answers 200; and counts.
    fn service(failures: u16, body: &'static str) -> (Http, Arc<AtomicU16>) {
        let asked = Arc::new(AtomicU16::new(0));
        let count = asked.clone();
        let answer = move |_: http::Request<Bytes>| {
            let number = count.fetch_add(1, Ordering::Relaxed);
            let status = if number < failures { 503 } else { 200 };
            let response = http::Response::builder().status(status).body(Bytes::from(body));
            async move { Ok::<_, Infallible>(response.unwrap()) }
        };
        (Http::from_service(tower::service_fn(answer)), asked)
    }

    fn get() -> HttpCheck {
        HttpCheck {
            get: Some("http://ann:hunter2@orders/health".into()),
            ..HttpCheck::default()
        }
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn it_is_asked_again_until_it_answers_as_expected() {
        let (http, asked) = service(3, "");
        assert!(http.ask(&get(), MINUTE).await.unwrap().ends_with("answered 200"));
        assert_eq!(asked.load(Ordering::Relaxed), 4, "once and three retries");
        let (http, asked) = service(4, "");
        let why = http.ask(&get(), MINUTE).await.unwrap_err();
        assert!(why.ends_with("answered 503, expected 200"), "{why}");
        assert_eq!(asked.load(Ordering::Relaxed), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn what_changes_something_is_sent_once() {
        let (http, asked) = service(1, "");
        let post = HttpCheck {
            get: None,
            method: Some(Method::Post),
            url: Some("http://orders/switch".into()),
            ..HttpCheck::default()
        };
        assert!(http.ask(&post, MINUTE).await.is_err());
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_of_the_body_is_expected_and_no_secret_is_told() {
        let (http, _) = service(0, "you are hunter3, token: abc123, backup: none");
        let mut check = HttpCheck {
            body: Some("backup: ok".into()),
            retries: 0,
            ..get()
        };
        check.headers.insert("Authorization".into(), "Bearer hunter3".into());
        let why = http.ask(&check, MINUTE).await.unwrap_err();
        assert!(why.contains("without the expected text"), "{why}");
        for secret in ["hunter2", "hunter3", "abc123"] {
            assert!(!why.contains(secret), "{why}");
        }
        check.body = Some("backup: none".into());
        assert!(http.ask(&check, MINUTE).await.is_ok());
    }

    #[test]
    fn a_long_answer_is_cut() {
        let long = "é ".repeat(2000);
        assert!(shown(&get(), &long).len() <= SHOWN + '…'.len_utf8());
    }
}
