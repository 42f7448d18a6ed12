//! Kubernetes Events (events.k8s.io/v1) on guards and their workloads.
//!
//! Telling never waits and never fails: a task of its own writes, what does not fit into its queue is dropped, and a
//! failure is logged once until a write works again.
//!
//! kube's `Recorder` joins Events of the same object, type, action and reason within six minutes into one series and
//! keeps the *first* note, so a second incident would hide behind the first one's words. Here only the same words are
//! joined: another note starts another Event.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

/// A storm of several hundred guards tells several thousand within seconds, and all of it is written.
const QUEUE: usize = 20_000;
const PATIENCE: Duration = Duration::from_secs(5);
/// While more guards than this put something back, it is told of it later.
const FEW: usize = 8;
/// A recorder forgets after six minutes; so many are kept for joining.
const REMEMBERED: usize = 1_000;

/// Whether somebody should look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Normal,
    Warning,
}

/// Where Events are told. Clones share one queue.
#[derive(Clone, Debug)]
pub struct Events(mpsc::Sender<Told>);

#[derive(Debug)]
struct Told {
    about: ObjectReference,
    kind: Kind,
    reason: String,
    action: String,
    note: String,
}

impl Events {
    /// The teller, and the future that writes until the last teller is gone. `instance` is this process's identity,
    /// `ahead` how many guards put something back right now: what they write comes first.
    pub fn new(
        client: Client,
        instance: Option<String>,
        ahead: watch::Receiver<usize>,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (sender, told) = mpsc::channel(QUEUE);
        let reporter = Reporter {
            controller: "modosu".to_owned(),
            instance,
        };
        (Self(sender), write(client, reporter, told, ahead))
    }

    /// Says it on that object. `reason` and `action` are single words in PascalCase, `note` is for people.
    pub fn tell(&self, about: &ObjectReference, kind: Kind, reason: &str, action: &str, note: &str) {
        let told = Told {
            about: about.clone(),
            kind,
            reason: cut(reason, 128),
            action: cut(action, 128),
            note: cut(note, 1_024),
        };
        if let Err(why) = self.0.try_send(told) {
            tracing::debug!(%why, "an Event was dropped");
        }
    }
}

async fn write(client: Client, reporter: Reporter, mut queue: mpsc::Receiver<Told>, mut ahead: watch::Receiver<usize>) {
    let mut recorders: BTreeMap<String, Recorder> = BTreeMap::new();
    let mut failing = false;
    while let Some(told) = queue.recv().await {
        timeout(PATIENCE, ahead.wait_for(|ahead| *ahead <= FEW)).await.ok();
        if recorders.len() >= REMEMBERED {
            recorders.clear();
        }
        let recorder = recorders
            .entry(format!("{:?} {} {}", told.about.uid, told.reason, told.note))
            .or_insert_with(|| Recorder::new(client.clone(), reporter.clone()));
        let about = told.about.clone();
        let failure = match timeout(PATIENCE, recorder.publish(&told.into(), &about)).await {
            Ok(Ok(())) => None,
            Ok(Err(why)) => Some(why.to_string()),
            Err(_) => Some("the API server did not answer in time".to_owned()),
        };
        if let Some(why) = failure.as_ref().filter(|_| !failing) {
            tracing::warn!(%why, object = about.name, "Kubernetes Events cannot be written; modosu goes on without");
        }
        failing = failure.is_some();
    }
}

impl From<Told> for Event {
    fn from(told: Told) -> Self {
        Self {
            type_: match told.kind {
                Kind::Normal => EventType::Normal,
                Kind::Warning => EventType::Warning,
            },
            reason: told.reason,
            note: Some(told.note),
            action: told.action,
            secondary: None,
        }
    }
}

/// At most so many bytes, at a character's border.
fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let room = bytes.saturating_sub('…'.len_utf8());
    let end = (0..=room).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", text.get(..end).unwrap_or(""))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use http::{Request, Response};
    use kube::client::Body;

    use super::*;

    fn calm() -> watch::Receiver<usize> {
        watch::Sender::new(0).subscribe()
    }

    #[test]
    fn a_long_note_is_cut_at_a_character() {
        let note = cut(&"戻す".repeat(400), 1_024);
        assert!(note.len() <= 1_024 && note.ends_with('…'), "{}", note.len());
    }

    #[tokio::test]
    async fn a_storm_is_told_whole() {
        let written = Arc::new(Mutex::new(0));
        let count = written.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let count = count.clone();
            async move {
                *count.lock().unwrap() += 1;
                let body = request.into_body().collect_bytes().await?;
                Ok::<_, tower::BoxError>(Response::new(Body::from(body.to_vec())))
            }
        });
        let (events, writer) = Events::new(Client::new(service, "shop"), None, calm());
        for guard in 0..1500 {
            let about = ObjectReference {
                namespace: Some("shop".to_owned()),
                uid: Some(format!("u{guard}")),
                ..ObjectReference::default()
            };
            events.tell(&about, Kind::Warning, "RollingBack", "RollingBack", "putting back");
        }
        drop(events);
        writer.await;
        assert_eq!(*written.lock().unwrap(), 1500);
    }

    #[tokio::test]
    async fn the_same_words_are_joined_and_other_words_are_not_lost() {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let seen = calls.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let seen = seen.clone();
            async move {
                let method = request.method().to_string();
                let body = request.into_body().collect_bytes().await?;
                let event: serde_json::Value = serde_json::from_slice(&body)?;
                seen.lock()
                    .unwrap()
                    .push(format!("{method} {} {}", event["regarding"]["kind"], event["note"]));
                Ok::<_, tower::BoxError>(Response::new(Body::from(body.to_vec())))
            }
        });
        let (events, writer) = Events::new(Client::new(service, "shop"), Some("modosu-0".to_owned()), calm());
        let about = ObjectReference {
            kind: Some("Guard".to_owned()),
            namespace: Some("shop".to_owned()),
            name: Some("orders".to_owned()),
            uid: Some("u1".to_owned()),
            ..ObjectReference::default()
        };
        for note in ["error_rate 31 %", "error_rate 31 %", "error_rate 12 %"] {
            events.tell(&about, Kind::Warning, "RolledBack", "Rollback", note);
        }
        drop(events);
        writer.await;
        assert_eq!(
            *calls.lock().unwrap(),
            [
                r#"POST "Guard" "error_rate 31 %""#,
                r#"PATCH "Guard" "error_rate 31 %""#,
                r#"POST "Guard" "error_rate 12 %""#
            ]
        );
    }
}
