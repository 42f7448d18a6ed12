//! IO. Settings from a file, the environment and flags: either valid as a whole, or every mistake in them.

use std::path::Path;

use config::ConfigError;
use serde_path_to_error::Segment;

use super::{
    DEFAULT_FILE, Settings, check,
    mistake::{Mistake, Mistakes, Place, nearest},
    source::{File, Sources, Way},
};

/// What the command line says of the settings; it has the last word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    pub guard: Option<String>,
    pub prometheus: Option<String>,
    pub listen: Option<String>,
    pub mode: Option<String>,
}

impl Settings {
    /// Reads the settings. Without `path` the default file is read if it is there; a file that is named must be there.
    pub fn load(
        path: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        flags: &Flags,
    ) -> Result<Self, Mistakes> {
        let (mut sources, mut mistakes) = (Sources::default(), Vec::new());
        match read(path) {
            Ok(file) => sources.file = file,
            Err(Mistakes(found)) => mistakes.extend(found),
        }
        mistakes.extend(sources.environment(env).into_iter().map(|(name, value)| Mistake {
            place: Place::Variable(name),
            path: String::new(),
            value: Some(value),
            wrong: "this is not the name of a setting".to_owned(),
            right: Some("MODOSU__SECTION__KEY, such as MODOSU__PROMETHEUS__URL".to_owned()),
        }));
        sources.flags = flags.by_way();
        let settings = typed(&mut sources, &mut mistakes);
        for (way, wrong) in check::findings(&settings) {
            let (place, value) = sources.find(&way);
            mistakes.push(mistake(&way, place, value, wrong, None));
        }
        if mistakes.is_empty() {
            Ok(settings)
        } else {
            mistakes.sort();
            mistakes.dedup();
            Err(Mistakes(mistakes))
        }
    }
}

impl Flags {
    fn by_way(&self) -> std::collections::BTreeMap<Way, (&'static str, String)> {
        let way = |path: &str| path.split('.').map(str::to_owned).collect();
        [
            ("--guard", "guard", &self.guard),
            ("--prometheus", "prometheus.url", &self.prometheus),
            ("--listen", "http.listen", &self.listen),
            ("--mode", "mode", &self.mode),
        ]
        .into_iter()
        .filter_map(|(flag, path, value)| Some((way(path), (flag, value.clone()?))))
        .collect()
    }
}

fn read(path: Option<&Path>) -> Result<Option<File>, Mistakes> {
    let named = path.is_some();
    let path = path.unwrap_or(Path::new(DEFAULT_FILE));
    let whole = |line, wrong, right: Option<&str>| {
        Mistakes::from(Mistake {
            place: Place::File {
                path: path.to_owned(),
                line,
            },
            path: String::new(),
            value: None,
            wrong,
            right: right.map(str::to_owned),
        })
    };
    match std::fs::read_to_string(path) {
        Ok(text) => File::parse(path, &text)
            .map(Some)
            .map_err(|(line, why)| whole(line, why, Some("YAML, see config/modosu.yaml for every setting"))),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound && !named => Ok(None),
        Err(why) => Err(whole(
            0,
            format!("the file cannot be read: {why}"),
            Some("the path of a readable file after --config, or none for the defaults"),
        )),
    }
}

/// Reads what can be read. Serde stops at the first mistake: it is noted, taken out, and the rest is read again.
/// That something is missing which was itself taken out is no news.
fn typed(sources: &mut Sources, mistakes: &mut Vec<Mistake>) -> Settings {
    let mut gone: Vec<Way> = Vec::new();
    loop {
        let config = match sources.layered() {
            Ok(config) => config,
            Err(why) => {
                mistakes.push(mistake(&[], Place::Default, None, why.to_string(), None));
                return Settings::default();
            }
        };
        let failed = match serde_path_to_error::deserialize::<_, Settings>(config) {
            Ok(settings) => return settings,
            Err(failed) => failed,
        };
        let mut way: Way = failed.path().iter().filter_map(step).collect();
        let known = missing(failed.inner()).is_some_and(|key| gone.contains(&[&way[..], &[key]].concat()));
        if !known {
            let (wrong, right) = explain(failed.inner(), &mut way);
            let (place, value) = sources.find(&way);
            mistakes.push(mistake(&way, place, value, wrong, right));
        }
        match sources.take_out(&way) {
            Some(taken) => gone.push(taken),
            None => return Settings::default(),
        }
    }
}

/// The key that is missing, if that is what is wrong.
fn missing(error: &ConfigError) -> Option<String> {
    if let ConfigError::At { error, .. } = error {
        return missing(error);
    }
    if let ConfigError::NotFound(key) = error {
        return Some(key.rsplit(['.', ']']).next().unwrap_or(key).to_owned());
    }
    None
}

/// A segment of a path, as a step of a way.
pub(crate) fn step(segment: &Segment) -> Option<String> {
    match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

/// What is wrong, and what would be right where the error itself knows. An unknown key becomes the end of the way.
fn explain(error: &ConfigError, way: &mut Way) -> (String, Option<String>) {
    if let ConfigError::At { error, .. } = error {
        return explain(error, way);
    }
    if let ConfigError::Type { expected, .. } = error {
        return (format!("expected {expected}"), None);
    }
    if let Some(key) = missing(error) {
        return (format!("`{key}` is missing"), None);
    }
    let text = error.to_string();
    if let Some((_, word)) = text.split_once(" does not have variant constructor ") {
        return (format!("`{word}` is not one of the words for it"), None);
    }
    let Some(rest) = text.strip_prefix("unknown field `") else {
        return (text, None);
    };
    let mut words = rest.split('`').step_by(2);
    let unknown = words.next().unwrap_or_default();
    if way.last().map(String::as_str) != Some(unknown) {
        way.push(unknown.to_owned());
    }
    let known: Vec<&str> = words.collect();
    match nearest(unknown, known.iter().copied()) {
        Some(meant) => (format!("there is no such setting; did you mean `{meant}`?"), None),
        None => (
            "there is no such setting".to_owned(),
            Some(format!("one of {}", known.join(", "))),
        ),
    }
}

/// A mistake at `way`, with what would be right there unless `right` says it.
pub(crate) fn mistake(
    way: &[String],
    place: Place,
    value: Option<String>,
    wrong: String,
    right: Option<String>,
) -> Mistake {
    let path = way
        .iter()
        .fold(String::new(), |path, step| match step.parse::<usize>() {
            Ok(index) => format!("{path}[{index}]"),
            Err(_) if path.is_empty() => step.clone(),
            Err(_) => format!("{path}.{step}"),
        });
    Mistake {
        right: right.or_else(|| check::right(&path).map(str::to_owned)),
        value: value.map(|value| check::masked(&path, value)),
        place,
        path,
        wrong,
    }
}
