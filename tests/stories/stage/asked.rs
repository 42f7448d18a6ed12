//! Somebody whom the daemon asks over HTTP: in this process on the embedded world, behind a socket on real servers.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Bytes, extract::State};
use http::{Request, Response};

/// What is answered, and what was asked. Cheap to clone.
#[derive(Clone)]
pub struct Asked {
    pub url: String,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    answer: (u16, &'static str),
    requests: Vec<String>,
}

impl Asked {
    /// Asked without a socket.
    pub fn in_process() -> Self {
        Self::at("http://asked.example".to_owned())
    }

    /// On a port of its own.
    pub async fn listening() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let asked = Self::at(format!("http://{}", listener.local_addr().unwrap()));
        let answer = async |State(asked): State<Self>, request: axum::extract::Request| {
            let (status, body) = asked.answers(&request);
            (axum::http::StatusCode::from_u16(status).unwrap(), body)
        };
        let router = Router::new().fallback(answer).with_state(asked.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        asked
    }

    fn at(url: String) -> Self {
        let inner = Inner {
            answer: (200, "fine"),
            requests: Vec::new(),
        };
        Self {
            url,
            inner: Arc::new(Mutex::new(inner)),
        }
    }

    /// What is answered from now on.
    pub fn answer(&self, status: u16, body: &'static str) {
        self.inner.lock().unwrap().answer = (status, body);
    }

    /// What was asked so far: `GET /health`.
    pub fn requests(&self) -> Vec<String> {
        self.inner.lock().unwrap().requests.clone()
    }

    fn answers<B>(&self, request: &Request<B>) -> (u16, &'static str) {
        let mut inner = self.inner.lock().unwrap();
        inner
            .requests
            .push(format!("{} {}", request.method(), request.uri().path()));
        inner.answer
    }

    /// For the daemon in this process.
    pub fn serve(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let (status, body) = self.answers(request);
        let response = Response::builder().status(status).body(Bytes::from(body));
        response.unwrap()
    }
}
