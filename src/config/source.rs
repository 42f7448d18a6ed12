//! IO. Where values come from: a YAML file that remembers its positions, the environment, flags.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::{Path, PathBuf},
};

use config::Source as _;
use serde::{Deserialize, Deserializer, de};
use serde_json::Value as Json;
use serde_saphyr::Spanned;

use super::mistake::Place;

/// A way down the tree: keys, and indexes as text.
pub type Way = Vec<String>;

/// All that was written, the strongest last. What turns out unreadable is taken out again.
#[derive(Debug, Default)]
pub struct Sources {
    pub file: Option<File>,
    /// Way to variable and value.
    pub environment: BTreeMap<Way, (String, String)>,
    /// Way to flag and value.
    pub flags: BTreeMap<Way, (&'static str, String)>,
}

/// A file as it was written.
#[derive(Debug)]
pub struct File {
    pub path: PathBuf,
    pub content: Json,
    lines: BTreeMap<Way, u64>,
}

impl File {
    /// Reads YAML of one document; a file without content is an empty map.
    pub fn parse(path: &Path, text: &str) -> Result<Self, (u64, String)> {
        let mut documents = Self::parse_all(path, text)?;
        match documents.len() {
            0 | 1 => Ok(documents.pop().unwrap_or_else(|| Self::empty(path))),
            _ => Err((0, "there is more than one document in it".to_owned())),
        }
    }

    /// Reads YAML of any number of documents, each of them a map. An error comes with its line.
    pub fn parse_all(path: &Path, text: &str) -> Result<Vec<Self>, (u64, String)> {
        // `on` and `yes` stay text: only `true` and `false` are switches
        let options = serde_saphyr::options! { strict_booleans: true };
        let roots = serde_saphyr::from_multiple_with_options::<Node>(text, options).map_err(|why| {
            let advice_for_programs = ", set DuplicateKeyPolicy in Options if acceptable";
            let said = why.to_string().replace(advice_for_programs, "");
            (why.location().map_or(0, |at| at.line()), said)
        })?;
        let document = |root: Node| {
            let (mut file, line) = (Self::empty(path), root.line);
            match file.take(root, text, &mut Vec::new()) {
                Some(content @ Json::Object(_)) => file.content = content,
                None => {}
                Some(_) => return Err((line, "keys and values are expected here".to_owned())),
            }
            Ok(file)
        };
        roots.into_iter().map(document).collect()
    }

    fn empty(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            content: Json::Object(serde_json::Map::new()),
            lines: BTreeMap::new(),
        }
    }

    /// Where `way` stands, or what is nearest above it, and what stands there.
    pub fn find(&self, way: &[String]) -> (Place, Option<String>) {
        let line = (0..=way.len()).rev().find_map(|n| self.lines.get(&way[..n]));
        let place = Place::File {
            path: self.path.clone(),
            line: line.copied().unwrap_or_default(),
        };
        (place, way.iter().try_fold(&self.content, descend).map(shown))
    }

    /// The tree without positions, which are noted by way. Nothing means something by being null: nulls are left out.
    fn take(&mut self, node: Node, text: &str, way: &mut Way) -> Option<Json> {
        self.lines.insert(way.clone(), node.line);
        Some(match node.kind {
            Kind::Null => return None,
            Kind::Bool(yes) => Json::Bool(yes),
            Kind::Text(text) => Json::String(text),
            // a number that would not come back as it was written stays text: 1.10 is not 1.1
            Kind::Number(number) => {
                let (written, again) = (node.written.and_then(|range| text.get(range)), number.to_string());
                match written {
                    Some(written) if written != again => Json::String(written.to_owned()),
                    Some(_) | None => number,
                }
            }
            Kind::List(items) => {
                let mut list = Vec::new();
                for (index, item) in items.into_iter().enumerate() {
                    way.push(index.to_string());
                    list.push(self.take(item, text, way).unwrap_or(Json::Null));
                    way.pop();
                }
                Json::Array(list)
            }
            Kind::Map(entries) => {
                let mut map = serde_json::Map::new();
                for (key, line, value) in entries {
                    way.push(key.clone());
                    if let Some(value) = self.take(value, text, way) {
                        map.insert(key, value);
                    }
                    self.lines.insert(way.clone(), line);
                    way.pop();
                }
                Json::Object(map)
            }
        })
    }
}

impl Sources {
    /// Takes what begins with `MODOSU__` from the environment; the variables that name no setting come back.
    pub fn environment(&mut self, variables: impl Iterator<Item = (String, String)>) -> Vec<(String, String)> {
        let mut odd = Vec::new();
        for (name, value) in variables.filter(|(name, _)| name.starts_with("MODOSU__")) {
            let found = environment([(name.clone(), value.clone())].into()).collect();
            match found.ok().and_then(|map| map.into_keys().next()) {
                Some(key) if key.split('.').all(|part| !part.is_empty()) => {
                    let way = key.split('.').map(str::to_owned).collect();
                    self.environment.insert(way, (name, value));
                }
                Some(_) | None => odd.push((name, value)),
            }
        }
        odd
    }

    /// All sources laid over each other.
    pub fn layered(&self) -> Result<config::Config, config::ConfigError> {
        let mut builder = config::Config::builder();
        if let Some(file) = &self.file {
            let text = file.content.to_string();
            builder = builder.add_source(config::File::from_str(&text, config::FileFormat::Json));
        }
        builder = builder.add_source(environment(self.environment.values().cloned().collect()));
        for (way, (_, value)) in &self.flags {
            builder = builder.set_override(way.join("."), value.as_str())?;
        }
        builder.build()
    }

    /// Where the value in force at `way` stands, and what stands there.
    pub fn find(&self, way: &[String]) -> (Place, Option<String>) {
        let above = || (1..=way.len()).rev().map(|n| &way[..n]);
        if let Some((flag, value)) = above().find_map(|way| self.flags.get(way)) {
            return (Place::Flag((*flag).to_owned()), Some(value.clone()));
        }
        if let Some((name, value)) = above().find_map(|way| self.environment.get(way)) {
            return (Place::Variable(name.clone()), Some(value.clone()));
        }
        match &self.file {
            Some(file) if above().any(|way| file.lines.contains_key(way)) => file.find(way),
            Some(_) | None => (Place::Default, None),
        }
    }

    /// Takes out the value in force at `way`, so that the rest can be read; the way to what went, if anything did. An
    /// item takes its whole list with it: the others would stand elsewhere afterwards.
    pub fn take_out(&mut self, way: &[String]) -> Option<Way> {
        for above in (1..=way.len()).rev().map(|n| &way[..n]) {
            if self.flags.remove(above).is_some() || self.environment.remove(above).is_some() {
                return Some(above.to_vec());
            }
        }
        let content = &mut self.file.as_mut()?.content;
        let depth = deepest_key(content, way)?;
        let within = way[..depth].iter().try_fold(content, |json, step| {
            if json.is_array() {
                json.get_mut(step.parse::<usize>().ok()?)
            } else {
                json.get_mut(step)
            }
        })?;
        within.as_object_mut()?.remove(&way[depth])?;
        Some(way[..=depth].to_vec())
    }
}

/// The last step of the way that is a key: items of lists stay where they are.
fn deepest_key(content: &Json, way: &[String]) -> Option<usize> {
    let (mut within, mut deepest) = (content, None);
    for (depth, step) in way.iter().enumerate() {
        let Some(next) = descend(within, step) else { break };
        if within.is_object() {
            deepest = Some(depth);
        }
        within = next;
    }
    deepest
}

/// `MODOSU__SECTION__SOME_KEY` is `section.someKey`. The double underline after the prefix keeps the variables out that
/// Kubernetes sets for a Service named modosu.
fn environment(variables: HashMap<String, String>) -> config::Environment {
    config::Environment::with_prefix("MODOSU")
        .prefix_separator("__")
        .separator("__")
        .convert_case(config::Case::Camel)
        .source(Some(variables))
}

fn descend<'a>(json: &'a Json, step: &String) -> Option<&'a Json> {
    match json.as_array() {
        Some(list) => list.get(step.parse::<usize>().ok()?),
        None => json.get(step),
    }
}

/// A value on one short line.
fn shown(value: &Json) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// One node of a YAML tree and where it stands.
struct Node {
    kind: Kind,
    line: u64,
    /// The bytes of the text that it was read from.
    written: Option<std::ops::Range<usize>>,
}

enum Kind {
    Null,
    Bool(bool),
    Number(Json),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, u64, Node)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Kind>::deserialize(deserializer)?;
        let span = spanned.defined.span();
        let bytes = span.byte_offset().zip(span.byte_len());
        Ok(Self {
            kind: spanned.value,
            line: spanned.referenced.line(),
            written: bytes.and_then(|(from, len)| Some(usize::try_from(from).ok()?..usize::try_from(from + len).ok()?)),
        })
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything)
    }
}

struct Anything;

impl<'de> de::Visitor<'de> for Anything {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }
    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }
    fn visit_none<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }
    fn visit_bool<E>(self, yes: bool) -> Result<Kind, E> {
        Ok(Kind::Bool(yes))
    }
    fn visit_i64<E>(self, number: i64) -> Result<Kind, E> {
        Ok(Kind::Number(number.into()))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Kind, E> {
        Ok(Kind::Number(number.into()))
    }
    fn visit_f64<E>(self, number: f64) -> Result<Kind, E> {
        Ok(Kind::Number(number.into()))
    }
    fn visit_str<E>(self, text: &str) -> Result<Kind, E> {
        Ok(Kind::Text(text.to_owned()))
    }
    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Kind, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Kind::List(list))
    }
    fn visit_map<A: de::MapAccess<'de>>(self, mut entries: A) -> Result<Kind, A::Error> {
        let mut map = Vec::new();
        while let Some((key, value)) = entries.next_entry::<Spanned<String>, Node>()? {
            map.push((key.value, key.referenced.line(), value));
        }
        Ok(Kind::Map(map))
    }
}
