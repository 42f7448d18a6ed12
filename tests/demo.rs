//! The demo comes out: it ends with success after the first story, and tells it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a test stops at the first surprise"
)]

use std::{path::PathBuf, process::Stdio, time::Duration};

use tokio::{process::Command, time::timeout};

/// The README promises a minute; a machine that does other things as well may take longer.
const PATIENCE: Duration = Duration::from_secs(400);

/// Cargo builds examples along with the tests, beside the folder of the tests.
fn demo() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let demo = test.parent().unwrap().parent().unwrap().join("examples/demo");
    assert!(
        demo.exists(),
        "{} is missing: cargo build --workspace --examples",
        demo.display()
    );
    demo
}

#[tokio::test]
async fn the_demo_tells_its_first_story_and_ends_well() {
    let demo = Command::new(demo())
        .args(["--once", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let done = timeout(PATIENCE, demo.wait_with_output()).await.unwrap().unwrap();
    let (told, log) = (
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr),
    );
    assert!(done.status.success(), "{}\n{told}\n{log}", done.status);
    let mut rest = told.as_ref();
    for word in [
        "live status page   http://127.0.0.1:",
        "orders: guarding ",
        " is proven: a rollback may go back to it",
        "release orders:1.1.0, which sets WORKER_MODE=celery",
        "orders: a change came: ",
        "orders: suspect: error_rate ",
        "orders: error_rate ",
        "put orders BACK to ",
        "Deployment/orders is put back: done",
        "orders: recovered ",
        "why and how: http://127.0.0.1:",
    ] {
        let at = rest
            .find(word)
            .unwrap_or_else(|| panic!("not told, or not then: {word}\n{told}"));
        rest = &rest[at + word.len()..];
    }
    assert!(!told.contains('\u{1b}'), "colours where no terminal shows them");
    assert!(log.is_empty(), "the daemon's log is in the way of the story: {log}");
}

#[tokio::test]
async fn an_address_that_is_taken_is_an_error_where_it_was_asked_for() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let demo = Command::new(demo()).args(["--once", "--listen", &address]).output();
    let done = timeout(PATIENCE, demo).await.unwrap().unwrap();
    assert_eq!(done.status.code(), Some(1));
    let told = String::from_utf8_lossy(&done.stdout);
    assert!(told.contains(&format!("cannot listen on {address}")), "{told}");
}
