//! A Git repository behind a socket on this machine, and somebody's clone of it. Git's own program serves it; it has a thread of its
//! own, so that it answers on a paused clock, too.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, Response, StatusCode, Uri},
};
use tempfile::TempDir;

pub struct Repository {
    folder: TempDir,
    pub url: String,
    server: Arc<Server>,
}

struct Server {
    root: PathBuf,
    /// Who may come in, as `user:password` in Base64.
    lets_in: Option<String>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    pushes: usize,
    /// Done once, right before the next push is taken.
    before_push: Option<Box<dyn FnOnce() + Send>>,
}

impl Repository {
    pub fn served() -> Self {
        Self::with(None)
    }

    /// For those alone who say this `user:password`, in Base64.
    pub fn locked(pair: &str) -> Self {
        Self::with(Some(pair.to_owned()))
    }

    fn with(lets_in: Option<String>) -> Self {
        let folder = TempDir::new().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["orders.git", "work"] {
            fs::create_dir(at(name)).unwrap();
        }
        git(&at("orders.git"), &["init", "-q", "--bare", "-b", "main"]);
        for setting in ["uploadpack.allowFilter", "http.receivepack"] {
            git(&at("orders.git"), &["config", setting, "true"]);
        }
        git(&at("work"), &["init", "-q", "-b", "main"]);
        let origin = at("orders.git").display().to_string();
        git(&at("work"), &["remote", "add", "origin", &origin]);
        let server = Arc::new(Server {
            root: folder.path().to_owned(),
            lets_in,
            inner: Mutex::default(),
        });
        let repository = Self {
            url: format!("{}/orders.git", listen(server.clone())),
            folder,
            server,
        };
        repository.commit("README", "orders");
        repository
    }

    /// In the clone of a person.
    pub fn git(&self, arguments: &[&str]) -> String {
        git(&self.folder.path().join("work"), arguments)
    }

    /// On the server.
    pub fn at_server(&self, arguments: &[&str]) -> String {
        git(&self.folder.path().join("orders.git"), arguments)
    }

    /// A person writes a file on the branch that is checked out, and pushes. Gives the commit.
    pub fn commit(&self, file: &str, text: &str) -> String {
        commit(&self.folder.path().join("work"), file, text)
    }

    /// A person merges a branch with one change of a file into main. Gives the merge.
    pub fn merge(&self, name: &str, file: &str, text: &str) -> String {
        self.git(&["checkout", "-q", "-b", name]);
        self.commit(file, text);
        self.git(&["checkout", "-q", "main"]);
        self.git(&["merge", "-q", "--no-ff", "-m", &format!("Merge {name}"), name]);
        self.git(&["push", "-q", "origin", "main"]);
        self.tip()
    }

    /// The newest commit of main on the server.
    pub fn tip(&self) -> String {
        self.at_server(&["rev-parse", "main"])
    }

    /// What a file holds on the server's main.
    pub fn holds(&self, file: &str) -> String {
        self.at_server(&["show", &format!("main:{file}")])
    }

    /// Commits on the server's main that modosu made.
    pub fn made(&self) -> usize {
        self.at_server(&["log", "--format=%H", "--author=modosu", "main"])
            .lines()
            .count()
    }

    /// How many pushes reached the server.
    pub fn pushes(&self) -> usize {
        self.server.inner.lock().unwrap().pushes
    }

    /// Somebody is faster than the next push.
    pub fn is_faster(&self, file: &'static str, text: &'static str) {
        let work = self.folder.path().join("work");
        let push = move || {
            commit(&work, file, text);
        };
        self.server.inner.lock().unwrap().before_push = Some(Box::new(push));
    }
}

fn commit(work: &Path, file: &str, text: &str) -> String {
    let path = work.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    git(work, &["add", "-A"]);
    git(work, &["commit", "-q", "-m", &format!("{file}: {text}")]);
    git(work, &["push", "-q", "origin", "HEAD"]);
    git(work, &["rev-parse", "HEAD"])
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let who = ["AUTHOR_NAME", "AUTHOR_EMAIL", "COMMITTER_NAME", "COMMITTER_EMAIL"];
    let done = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .envs(who.map(|who| (format!("GIT_{who}"), "ann@example.com")))
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8(done.stdout).unwrap().trim_end().to_owned()
}

/// Gives the address. It ends with the process of the tests.
fn listen(server: Arc<Server>) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, Router::new().fallback(answer).with_state(server))
                .await
                .unwrap();
        });
    });
    format!("http://{address}")
}

async fn answer(
    State(server): State<Arc<Server>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let said = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    let wanted = server.lets_in.as_ref().map(|pair| format!("Basic {pair}"));
    if wanted.is_some_and(|wanted| wanted != said("authorization")) {
        let refused = Response::builder().status(StatusCode::UNAUTHORIZED);
        return refused.header("www-authenticate", "Basic").body(Body::empty()).unwrap();
    }
    let path = uri.path().to_owned();
    let takes_push = method == Method::POST && path.ends_with("/git-receive-pack");
    let environment = [
        ("GIT_PROJECT_ROOT", server.root.display().to_string()),
        ("GIT_HTTP_EXPORT_ALL", "1".to_owned()),
        ("REQUEST_METHOD", method.to_string()),
        ("PATH_INFO", path),
        ("QUERY_STRING", uri.query().unwrap_or_default().to_owned()),
        ("CONTENT_TYPE", said("content-type")),
        ("HTTP_CONTENT_ENCODING", said("content-encoding")),
        ("CONTENT_LENGTH", body.len().to_string()),
        ("GIT_PROTOCOL", said("git-protocol")),
        ("GIT_CONFIG_GLOBAL", "/dev/null".to_owned()),
        ("GIT_CONFIG_NOSYSTEM", "1".to_owned()),
    ];
    let program = move || {
        if takes_push {
            let before = {
                let mut inner = server.inner.lock().unwrap();
                inner.pushes += 1;
                inner.before_push.take()
            };
            before.into_iter().for_each(|before| before());
        }
        let input = server.root.join(format!("body-{:?}", thread::current().id()));
        fs::write(&input, &body).unwrap();
        let mut command = Command::new("git");
        command
            .arg("http-backend")
            .envs(environment)
            .stdin(Stdio::from(fs::File::open(&input).unwrap()));
        command.output().unwrap().stdout
    };
    response(&tokio::task::spawn_blocking(program).await.unwrap())
}

/// What a CGI program says, as an answer.
fn response(said: &[u8]) -> Response<Body> {
    let end = said.windows(4).position(|part| part == b"\r\n\r\n").unwrap();
    let mut response = Response::builder();
    for line in std::str::from_utf8(&said[..end]).unwrap().lines() {
        let (name, value) = line.split_once(": ").unwrap();
        response = match name {
            "Status" => response.status(value.split(' ').next().unwrap().parse::<u16>().unwrap()),
            _ => response.header(name, value),
        };
    }
    response.body(Body::from(said[end + 4..].to_vec())).unwrap()
}
