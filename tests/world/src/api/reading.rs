//! Get and list, with pages: the rest of a list is kept as it was when the first page was read,
//! as the real server does by reading an old revision.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use serde_json::{Value, json};

use crate::{
    api::{failure::Failure, kind::Kind, route::Route, select::Selection, shape},
    number::{length, signed},
    store::Store,
};

/// Lists under way that are remembered.
const OPEN_PAGES: usize = 64;

/// The rests of lists whose first pages were read.
#[derive(Default)]
pub(crate) struct Pages {
    next: u64,
    open: BTreeMap<u64, (u64, VecDeque<Arc<Value>>)>,
}

pub(crate) fn get(store: &Store, kind: &Kind, route: &Route) -> Result<Value, Failure> {
    let found = store.get(&kind.key(&route.namespace, &route.name));
    let object = found.ok_or_else(|| Failure::not_found(kind, &route.name))?;
    Ok(shape::outgoing(kind, object, route.metadata_only))
}

/// The selected objects of a kind, in key order.
pub(crate) fn selected<'a>(
    store: &'a Store,
    kind: &'a Kind,
    route: &'a Route,
    selection: &'a Selection,
) -> impl Iterator<Item = &'a Arc<Value>> {
    let namespace = (!route.namespace.is_empty()).then_some(route.namespace.as_str());
    let all = store.all(kind.stored_group(), &kind.plural, namespace);
    all.map(|(_, object)| object).filter(|object| selection.takes(object))
}

pub(crate) fn list(store: &Store, pages: &mut Pages, kind: &Kind, route: &Route) -> Result<Value, Failure> {
    let selection = Selection::of(route)?;
    let (version, mut objects) = match route.parameter("continue") {
        "" => (
            store.version(),
            selected(store, kind, route, &selection).cloned().collect(),
        ),
        token => pages.resume(token)?,
    };
    let limit = length(route.parameter("limit").parse().unwrap_or(0));
    let here = if limit == 0 {
        objects.len()
    } else {
        limit.min(objects.len())
    };
    let rest = objects.split_off(here);
    let (list_kind, api_version) = shape::list_type(kind, route.metadata_only);
    let mut metadata = json!({"resourceVersion": version.to_string()});
    if !rest.is_empty() {
        if selection.is_everything() {
            metadata["remainingItemCount"] = signed(rest.len()).into();
        }
        metadata["continue"] = pages.keep(version, rest).into();
    }
    let mut items: Vec<Value> = objects
        .iter()
        .map(|object| shape::outgoing(kind, object, route.metadata_only))
        .collect();
    if !route.metadata_only && !kind.is_custom() {
        // Elements of a typed list do not repeat their type.
        for fields in items.iter_mut().filter_map(Value::as_object_mut) {
            fields.remove("apiVersion");
            fields.remove("kind");
        }
    }
    Ok(json!({
        "kind": list_kind, "apiVersion": api_version, "metadata": metadata, "items": items,
    }))
}

impl Pages {
    fn keep(&mut self, version: u64, rest: VecDeque<Arc<Value>>) -> String {
        self.next += 1;
        self.open.insert(self.next, (version, rest));
        if self.open.len() > OPEN_PAGES {
            self.open.pop_first();
        }
        format!("rest-{}", self.next)
    }

    fn resume(&mut self, token: &str) -> Result<(u64, VecDeque<Arc<Value>>), Failure> {
        let id = token.strip_prefix("rest-").and_then(|id| id.parse::<u64>().ok());
        let Some(id) = id else {
            return Err(Failure::bad_request(
                "invalid continue token: continue key is not valid",
            ));
        };
        self.open.get(&id).cloned().ok_or_else(|| {
            Failure::expired(
                "The provided continue parameter is too old to display a consistent list result. \
                 You can start a new list without the continue parameter.",
            )
        })
    }

    /// Forgets all lists under way, as a compaction does.
    pub(crate) fn forget(&mut self) {
        self.open.clear();
    }
}
