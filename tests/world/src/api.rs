//! The API server: a service from HTTP requests to answers, over the store.

pub(crate) mod applying;
pub(crate) mod discovery;
pub mod failure;
pub(crate) mod fieldset;
pub(crate) mod filling;
pub(crate) mod kind;
pub(crate) mod owning;
pub(crate) mod patching;
pub(crate) mod reading;
pub mod route;
pub(crate) mod schema;
pub(crate) mod select;
pub(crate) mod shape;
pub(crate) mod validating;
pub(crate) mod watching;
pub(crate) mod writing;

use std::{convert::Infallible, io, sync::Arc};

use bytes::Bytes;
use futures::StreamExt;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use kube::client::Body;
use serde_json::{Value, json};
use tower::BoxError;

use self::{
    failure::Failure,
    kind::Kind,
    route::{Route, Verb},
    select::Selection,
    watching::Watch,
};
use crate::{
    audit::{self, Answer, Call, Stage, Write},
    json::{map, text},
    world::{Inner, State},
};

type AnswerBody = UnsyncBoxBody<Bytes, Infallible>;

/// What a request led to.
enum Outcome {
    Object(u16, Value),
    Text(String),
    Events(Box<Watch>),
}

/// Answers one request of `user`.
pub(crate) async fn serve(
    world: Arc<Inner>,
    user: Arc<str>,
    request: Request<Body>,
) -> Result<Response<AnswerBody>, BoxError> {
    let (parts, body) = request.into_parts();
    let body = body.collect_bytes().await?;
    let route = match Route::of(&parts) {
        Ok(route) => route,
        Err(failure) => return Ok(refusal(&failure)),
    };
    let body = if body.is_empty() {
        Ok(Value::Null)
    } else {
        serde_json::from_slice(&body)
    };
    let Ok(body) = body else {
        let failure = Failure::bad_request("the object provided is unrecognized: invalid JSON");
        return Ok(refusal(&failure));
    };
    let (mut call, hooks) = world.with(|state| {
        let number = state.audit.counted(route.verb, &route.plural);
        (called(&user, &route, &body, number), state.audit.hooks())
    });
    let mut lost = false;
    match audit::asked(&hooks, &call) {
        Answer::GoOn => {}
        Answer::Fail(failure) => return Ok(refused(&world, &call, &failure)),
        Answer::Delay(time) => tokio::time::sleep(time).await,
        Answer::Late(time) => {
            tokio::spawn(async move {
                tokio::time::sleep(time).await;
                let _ = finished(&world, &call, &route, &body);
            });
            return futures::future::pending().await;
        }
        Answer::Cut => return Err(cut()),
        Answer::LoseAnswer => lost = true,
        Answer::Hang => futures::future::pending().await,
    }
    let (code, outcome) = finished(&world, &call, &route, &body);
    call.stage = Stage::After(code);
    match audit::asked(&hooks, &call) {
        Answer::GoOn => {}
        Answer::Fail(failure) => return Ok(refusal(&failure)),
        Answer::Delay(time) => tokio::time::sleep(time).await,
        Answer::Cut | Answer::LoseAnswer => lost = true,
        Answer::Late(_) | Answer::Hang => futures::future::pending().await,
    }
    if lost {
        return Err(cut());
    }
    Ok(match outcome {
        Ok(Outcome::Object(code, value)) => object(code, &value),
        Ok(Outcome::Text(text)) => plain(200, text),
        Ok(Outcome::Events(watch)) => events(*watch, world),
        Err(failure) => refusal(&failure),
    })
}

/// Carries a request out, and writes it down.
fn finished(world: &Inner, call: &Call, route: &Route, body: &Value) -> (u16, Result<Outcome, Failure>) {
    let outcome = world.with(|state| carried_out(state, route, body));
    let code = match &outcome {
        Ok(Outcome::Object(code, _)) => *code,
        Ok(Outcome::Text(_) | Outcome::Events(_)) => 200,
        Err(failure) => failure.code,
    };
    record(world, call, code);
    world.wake();
    (code, outcome)
}

fn carried_out(state: &mut State, route: &Route, body: &Value) -> Result<Outcome, Failure> {
    if route.verb == Verb::Discover {
        let answer = discovery::answer(&state.cluster.store, &route.path)?;
        return Ok(Outcome::Object(200, answer));
    }
    let store = &state.cluster.store;
    let Some(kind) = Kind::find(store, &route.group, &route.version, &route.plural) else {
        let known = Kind::serves(store, &route.group, &route.version);
        return Err(if known {
            Failure::no_such_path()
        } else {
            Failure::no_such_group()
        });
    };
    if (kind.plural.as_str(), route.subresource.as_str(), route.verb) == ("pods", "log", Verb::Get) {
        reading::get(store, &kind, route)?;
        return Ok(Outcome::Text(state.node.log(route)));
    }
    let known = match route.subresource.as_str() {
        "" => true,
        "status" => kind.status,
        _ => false,
    };
    if !known && kind.is_custom() {
        return Err(Failure::not_found(&kind, &route.name));
    }
    if !known {
        return Err(Failure::no_such_path());
    }
    let read = |value| Ok(Outcome::Object(200, value));
    match route.verb {
        Verb::Get => read(reading::get(store, &kind, route)?),
        Verb::List => read(reading::list(store, &mut state.pages, &kind, route)?),
        Verb::Watch => Ok(Outcome::Events(Box::new(Watch::open(store, kind, route)?))),
        Verb::Create => create(state, &kind, route, body),
        Verb::Update => update(state, &kind, route, body),
        Verb::Patch => patch(state, &kind, route, body),
        Verb::Delete => delete(state, &kind, route, body),
        Verb::DeleteCollection => delete_all(state, &kind, route, body),
        Verb::Discover => Err(Failure::no_such_path()),
    }
}

fn create(state: &mut State, kind: &Kind, route: &Route, body: &Value) -> Result<Outcome, Failure> {
    let cluster = &mut state.cluster;
    let object = shape::incoming(kind, body.clone());
    let writer = cluster.writer(kind, manager(route), &route.subresource);
    let dry_run = route.dry_run(body);
    let made = cluster.create(kind, &route.namespace, object, &writer, dry_run)?;
    Ok(Outcome::Object(201, shape::outgoing(kind, &made, route.metadata_only)))
}

fn update(state: &mut State, kind: &Kind, route: &Route, body: &Value) -> Result<Outcome, Failure> {
    writing::refuse_other_type(kind, body)?;
    refuse_other_name(route, body)?;
    let name = text(body, "/metadata/name");
    let key = kind.key(&route.namespace, &route.name);
    let unversioned = text(body, "/metadata/resourceVersion").is_empty();
    if kind.is_custom() && unversioned && state.cluster.store.get(&key).is_some() {
        return Err(Failure::unversioned(kind, name));
    }
    let object = shape::incoming(kind, body.clone());
    let writer = state.cluster.writer(kind, manager(route), &route.subresource);
    let made = state
        .cluster
        .replace(kind, &key, object, &writer, route.dry_run(body))?;
    Ok(Outcome::Object(200, shape::outgoing(kind, &made, route.metadata_only)))
}

fn refuse_other_name(route: &Route, object: &Value) -> Result<(), Failure> {
    for (field, wanted) in [("name", &route.name), ("namespace", &route.namespace)] {
        let found = text(object, &format!("/metadata/{field}"));
        if found != wanted && !(field == "namespace" && found.is_empty()) {
            return Err(Failure::bad_request(format!(
                "the {field} of the object ({found}) does not match the {field} on the URL ({wanted})"
            )));
        }
    }
    Ok(())
}

fn patch(state: &mut State, kind: &Kind, route: &Route, body: &Value) -> Result<Outcome, Failure> {
    let key = kind.key(&route.namespace, &route.name);
    let cluster = &mut state.cluster;
    let mut writer = cluster.writer(kind, manager(route), &route.subresource);
    let live = cluster.store.get(&key).cloned();
    let dry_run = route.dry_run(body);
    if route.content_type == patching::APPLY {
        writer.operation = "Apply";
        let force = route.flag("force");
        let base = live.as_deref().cloned().unwrap_or_else(|| json!({}));
        let mut object = applying::applied(kind, &base, body, &writer, force)?;
        map(&mut object).remove("kind");
        let (code, made) = match live {
            Some(_) => (200, cluster.replace(kind, &key, object, &writer, dry_run)?),
            None => {
                crate::json::metadata(&mut object).insert("name".into(), route.name.clone().into());
                (201, cluster.create(kind, &route.namespace, object, &writer, dry_run)?)
            }
        };
        return Ok(Outcome::Object(code, shape::outgoing(kind, &made, route.metadata_only)));
    }
    let live = live.ok_or_else(|| Failure::not_found(kind, &route.name))?;
    let seen = shape::outgoing(kind, &live, false);
    let object = patching::patched(kind, &seen, &route.content_type, body)?;
    refuse_other_name(route, &object)?;
    let object = shape::incoming(kind, object);
    let made = cluster.replace(kind, &key, object, &writer, dry_run)?;
    Ok(Outcome::Object(200, shape::outgoing(kind, &made, route.metadata_only)))
}

fn delete(state: &mut State, kind: &Kind, route: &Route, body: &Value) -> Result<Outcome, Failure> {
    let key = kind.key(&route.namespace, &route.name);
    let uid = state
        .cluster
        .store
        .get(&key)
        .map(|old| text(old, "/metadata/uid").to_owned());
    let dry_run = route.dry_run(body);
    let gone = state.cluster.delete(kind, &key, body, dry_run)?;
    if !dry_run && state.cluster.store.get(&key).is_some() {
        let answer = shape::outgoing(kind, &gone, route.metadata_only);
        return Ok(Outcome::Object(200, answer));
    }
    let mut details = json!({"name": route.name, "kind": kind.plural, "uid": uid});
    if !kind.group.is_empty() {
        details["group"] = kind.group.clone().into();
    }
    Ok(Outcome::Object(
        200,
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
            "details": details,
        }),
    ))
}

fn delete_all(state: &mut State, kind: &Kind, route: &Route, body: &Value) -> Result<Outcome, Failure> {
    let selection = Selection::of(route)?;
    let store = &state.cluster.store;
    let names: Vec<_> = reading::selected(store, kind, route, &selection)
        .map(|object| kind.key(text(object, "/metadata/namespace"), text(object, "/metadata/name")))
        .collect();
    let deleted = reading::list(store, &mut state.pages, kind, route)?;
    for key in names {
        state.cluster.delete(kind, &key, body, route.dry_run(body))?;
    }
    Ok(Outcome::Object(200, deleted))
}

/// The field manager: said, or "unknown" as where a client names no agent.
fn manager(route: &Route) -> &str {
    match route.parameter("fieldManager") {
        "" => "unknown",
        manager => manager,
    }
}

fn called(user: &str, route: &Route, body: &Value, number: u64) -> Call {
    let name = match route.name.as_str() {
        "" => text(body, "/metadata/name"),
        name => name,
    };
    Call {
        stage: Stage::Before,
        number,
        user: user.into(),
        verb: route.verb,
        resource: route.plural.clone(),
        subresource: route.subresource.clone(),
        namespace: route.namespace.clone(),
        name: name.into(),
        dry_run: route.dry_run(body),
        body: body.clone(),
    }
}

fn record(world: &Inner, call: &Call, code: u16) {
    if !call.verb.writes() {
        return;
    }
    world.with(|state| {
        state.audit.record(Write {
            number: call.number,
            user: call.user.clone(),
            verb: call.verb,
            resource: call.resource.clone(),
            subresource: call.subresource.clone(),
            namespace: call.namespace.clone(),
            name: call.name.clone(),
            code,
            at: state.cluster.clock.now(),
            dry_run: call.dry_run,
            body: call.body.clone(),
        });
    });
}

fn refused(world: &Inner, call: &Call, failure: &Failure) -> Response<AnswerBody> {
    record(world, call, failure.code);
    refusal(failure)
}

fn refusal(failure: &Failure) -> Response<AnswerBody> {
    if *failure == Failure::no_such_group() {
        return plain(404, format!("{}\n", failure.message));
    }
    let mut answer = object(failure.code, &failure.status());
    if let Some(seconds) = failure.details.get("retryAfterSeconds").and_then(Value::as_u64) {
        answer.headers_mut().insert(http::header::RETRY_AFTER, seconds.into());
    }
    answer
}

fn plain(code: u16, text: String) -> Response<AnswerBody> {
    answer(code, Full::new(Bytes::from(text)).boxed_unsync())
}

fn object(code: u16, value: &Value) -> Response<AnswerBody> {
    let body = Full::new(Bytes::from(value.to_string())).boxed_unsync();
    answer(code, body)
}

fn events(watch: Watch, world: Arc<Inner>) -> Response<AnswerBody> {
    // `frame` is the only way to a frame without naming another crate's type.
    let frames = watch
        .lines(world)
        .filter_map(|line| async move { Full::new(line).frame().await });
    answer(200, StreamBody::new(frames).boxed_unsync())
}

fn answer(code: u16, body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    response
        .headers_mut()
        .insert("content-type", http::HeaderValue::from_static("application/json"));
    response
}

fn cut() -> BoxError {
    io::Error::new(io::ErrorKind::ConnectionReset, "connection reset by the hook").into()
}
