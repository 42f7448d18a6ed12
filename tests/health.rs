//! `modosu health`, which containers run that no kubelet looks after: what it says by its exit code.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a test may stop at the first surprise"
)]

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    process::Command,
    thread,
};

/// Exit code and words, where `answer` is what comes to its request; nothing: nobody listens.
fn health(answer: Option<&'static str>) -> (i32, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answering = answer.map(|answer| {
        thread::spawn(move || {
            let (mut line, _) = listener.accept().unwrap();
            let mut request = [0; 512];
            let read = line.read(&mut request).unwrap();
            line.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&request[..read]).into_owned()
        })
    });
    let done = Command::new(env!("CARGO_BIN_EXE_modosu"))
        .args(["health", "--listen", &address])
        .output()
        .unwrap();
    if let Some(answering) = answering {
        assert!(answering.join().unwrap().starts_with("GET /livez HTTP/1.1\r\n"));
    }
    let said = [done.stdout, done.stderr].concat();
    (
        done.status.code().unwrap(),
        String::from_utf8(said).unwrap().replace(&address, "HERE"),
    )
}

#[test]
fn who_is_alive_is_healthy() {
    let (code, said) = health(Some("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"));
    assert_eq!((code, said.as_str()), (0, "alive at http://HERE\n"));
}

#[test]
fn another_answer_is_a_no() {
    let (code, said) = health(Some("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("answers \"503\" and not 200"), "{said}");
}

#[test]
fn who_does_not_answer_is_not_reached() {
    let (code, said) = health(None);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("nobody answers at http://HERE/livez"), "{said}");
}

#[test]
fn wrong_settings_are_the_callers() {
    let wrong = Command::new(env!("CARGO_BIN_EXE_modosu"))
        .args(["health", "--listen", "everywhere"])
        .output()
        .unwrap();
    assert_eq!(wrong.status.code(), Some(2));
}
