//! IO (files are looked for). What must hold beyond the types, and what would be right at each place.

use std::{path::Path, time::Duration};

use tracing_subscriber::filter::LevelFilter;

use super::{Settings, source::Way};
use crate::model::{grade::Scheme, guard::Mode};

/// In seconds.
const DAY: u64 = 24 * 3600;

/// Everything that does not hold: where, and what is wrong there.
pub fn findings(settings: &Settings) -> Vec<(Way, String)> {
    let prometheus = &settings.prometheus;
    let files = [
        ("prometheus.bearerTokenFile", prometheus.bearer_token_file.as_deref()),
        (
            "prometheus.basicAuth.passwordFile",
            prometheus.basic_auth.as_ref().map(|auth| auth.password_file.as_path()),
        ),
        ("prometheus.ca", prometheus.ca.as_deref()),
    ];
    let mut found: Vec<(&str, Option<String>)> = vec![
        ("prometheus.url", web_address(&prometheus.url)),
        ("prometheus.timeout", outside(prometheus.timeout.0, 1, 60)),
        ("poll", outside(settings.poll.0, 1, 3600)),
        ("incidents.keep", outside(settings.incidents.keep.0, DAY, 3660 * DAY)),
        ("incidents.perGuard", none_kept(settings.incidents.per_guard)),
        ("commonCause.guards", too_few(settings.common_cause.guards)),
        ("commonCause.within", outside(settings.common_cause.within.0, 1, 3600)),
        ("commonCause.related", outside(settings.common_cause.related.0, 1, 1800)),
        (
            "http.publicUrl",
            settings.http.public_url.as_deref().and_then(web_address),
        ),
        (
            "telemetry.otlp",
            settings.telemetry.otlp.as_deref().and_then(web_address),
        ),
        ("telemetry.log", filter(&settings.telemetry.log)),
    ];
    found.extend(files.map(|(path, file)| (path, file.and_then(unreadable))));
    if prometheus.basic_auth.is_some() && prometheus.bearer_token_file.is_some() {
        let both = "there is a bearerTokenFile too: a query carries one of them".to_owned();
        found.push(("prometheus.basicAuth", Some(both)));
    }
    if settings.read_only && settings.mode != Mode::Observe {
        let acts = "whoever writes nothing puts nothing back: with `mode: observe` alone".to_owned();
        found.push(("readOnly", Some(acts)));
    }
    found
        .into_iter()
        .filter_map(|(path, wrong)| Some((path.split('.').map(str::to_owned).collect(), wrong?)))
        .chain(headers(settings))
        .chain(namespaces(settings))
        .chain(freezes(settings))
        .chain(schemes(settings))
        .chain(settings.git.findings())
        .chain(settings.leader_election.findings())
        .chain(super::presets::findings(settings))
        .collect()
}

/// What would be right at a place.
pub fn right(path: &str) -> Option<&'static str> {
    Some(match path {
        "prometheus.url" => "an http or https address such as http://prometheus:9090",
        "prometheus.timeout" => "a length of time from 1s to 1m, such as 5s",
        "prometheus.bearerTokenFile" => "the path of a readable file that holds the token",
        "prometheus.basicAuth" => "username and passwordFile",
        "prometheus.basicAuth.passwordFile" => "the path of a readable file that holds the password",
        "prometheus.ca" => "the path of a readable file with PEM certificates",
        "poll" => "a length of time from 1s to 1h, such as 5s",
        "commonCause.guards" => "how many guards breach together, 2 or more, such as 3",
        "commonCause.within" => "a length of time from 1s to 1h, such as 2m",
        "commonCause.related" => "a length of time from 1s to 30m, such as 10m",
        "incidents.keep" => "a length of time from 1d to 3660d, such as 90d",
        "incidents.perGuard" => "how many, 1 or more, such as 50",
        "budget.rollbacksPerHour" | "budget.concurrent" => "how many, 0 or more: 0 leaves all to people",
        "git.name" | "git.email" => "who makes commits, such as modosu and modosu@example.com",
        "git.ca" => "the path of a readable file with PEM certificates",
        _ if path.starts_with("git.protocols") => "some of https, ssh, http and file",
        _ if path.starts_with("git.credentials") => {
            "as in [{url: https://git.example.com/shop, username: modosu, passwordFile: /etc/modosu-git/token}]"
        }
        "leaderElection.enabled" => "true, or false where there is no other copy",
        "leaderElection.leaseName" => "the name of a Lease, such as modosu",
        "leaderElection.namespace" => "the name of a namespace, such as modosu",
        "leaderElection.identity" => "a name that no other copy has, or null",
        "mode" => "observe, ask or enforce",
        "readOnly" => "false, or true with `mode: observe`",
        "guard" => "namespace/name of one guard, such as shop/orders",
        "http.listen" => "an address and a port such as 0.0.0.0:9191 or [::]:9191",
        "http.publicUrl" => "an http or https address such as https://modosu.example.com",
        "telemetry.log" => "error, warn, info, debug or trace, or a filter such as info,modosu::decide=debug",
        "telemetry.format" => "text or json",
        "telemetry.otlp" => "an http or https address such as http://otel-collector:4318",
        _ if path.starts_with("prometheus.headers.") => {
            "the name and the value of an HTTP header, such as X-Scope-OrgID: shop"
        }
        _ if path.starts_with("schemes.") => scheme(path),
        _ if path.starts_with("freeze") => {
            "from, until and reason, as in [{from: 2026-12-24T12:00:00Z, until: 2026-12-27T06:00:00Z, reason: holidays}]"
        }
        _ if path.starts_with("namespaces") => "names of namespaces, such as [shop, billing]",
        _ => return None,
    })
}

/// What would be right within a scheme.
fn scheme(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or(path) {
        "decideWithin" | "doneWithin" | "after" => "a length of time such as 15m, 24h or 7d",
        "onlyFrom" => "the name of one of the scheme's grades",
        "decider" | "role" => "a role, such as oncall, that `people` of a guard knows",
        _ => "the form of config/schemes/severities.yaml",
    }
}

/// The value as a message may show it: neither secrets nor credentials in addresses.
pub fn masked(path: &str, value: String) -> String {
    let key = path.rsplit('.').next().unwrap_or(path).to_lowercase();
    let secret = ["pass", "secret", "token", "key", "credential", "dsn", "auth"];
    if path.starts_with("prometheus.headers.")
        || (!key.ends_with("file") && secret.iter().any(|word| key.contains(word)))
    {
        return "***".to_owned();
    }
    match value
        .split_once("://")
        .map(|(scheme, rest)| (scheme, rest.rsplit_once('@')))
    {
        Some((scheme, Some((_, rest)))) => format!("{scheme}://***@{rest}"),
        Some((_, None)) | None => value,
    }
}

/// Freezes that end before they begin.
fn freezes(settings: &Settings) -> Vec<(Way, String)> {
    let places = settings.freeze.iter().enumerate();
    let wrong = places.filter(|(_, window)| window.until <= window.from);
    let found = wrong.map(|(place, _)| {
        let way = ["freeze".to_owned(), place.to_string(), "until".to_owned()];
        (way.into(), "it ends before it begins".to_owned())
    });
    found.collect()
}

fn web_address(text: &str) -> Option<String> {
    match url::Url::parse(text) {
        Err(why) => Some(format!("this is not an address: {why}")),
        Ok(url) if !matches!(url.scheme(), "http" | "https") => {
            Some(format!("`{}` is neither http nor https", url.scheme()))
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => Some(
            "an address is shown on pages and in logs: credentials belong in basicAuth or bearerTokenFile".to_owned(),
        ),
        Ok(url) if url.query().is_some() || url.fragment().is_some() => {
            Some("an address ends with its path: no `?` and no `#`".to_owned())
        }
        Ok(_) => None,
    }
}

fn none_kept(incidents: u32) -> Option<String> {
    (incidents == 0).then(|| "the last one of a guard stays".to_owned())
}

fn too_few(guards: u32) -> Option<String> {
    (guards < 2).then(|| "one guard alone does not breach together with others".to_owned())
}

fn outside(length: Duration, least: u64, most: u64) -> Option<String> {
    let (least, most) = (Duration::from_secs(least), Duration::from_secs(most));
    if length < least {
        Some(format!("shorter than {}", humantime::format_duration(least)))
    } else if length > most {
        Some(format!("longer than {}", humantime::format_duration(most)))
    } else {
        None
    }
}

/// A word without `=` is a level: as the name of a module it would switch everything else off.
fn filter(text: &str) -> Option<String> {
    let level = |part: &str| part.rsplit('=').next().unwrap_or_default().trim().to_owned();
    let odd = text
        .split(',')
        .map(level)
        .find(|level| level.parse::<LevelFilter>().is_err())?;
    Some(format!("`{odd}` is not a level"))
}

pub(super) fn unreadable(path: &Path) -> Option<String> {
    match std::fs::File::open(path).and_then(|file| file.metadata()) {
        Ok(file) if file.is_dir() => Some(format!("{} is a directory", path.display())),
        Ok(_) => None,
        Err(why) => Some(format!("{} cannot be read: {why}", path.display())),
    }
}

fn headers(settings: &Settings) -> impl Iterator<Item = (Way, String)> {
    settings.prometheus.headers.iter().filter_map(|(name, value)| {
        let wrong = if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
            format!("`{name}` cannot be the name of a header")
        } else if http::HeaderValue::from_str(value).is_err() {
            "this cannot be the value of a header".to_owned()
        } else {
            return None;
        };
        Some((["prometheus", "headers", name].map(str::to_owned).to_vec(), wrong))
    })
}

fn schemes(settings: &Settings) -> impl Iterator<Item = (Way, String)> {
    let shipped = Scheme::shipped();
    settings.schemes.iter().flat_map(move |(name, scheme)| {
        let way = |rest: Vec<String>| [vec!["schemes".to_owned(), name.clone()], rest].concat();
        let shadows = shipped.contains_key(name).then(|| {
            let wrong = format!("`{name}` comes with modosu: an own scheme needs a name of its own");
            (way(Vec::new()), wrong)
        });
        let inside = scheme.mistakes().into_iter();
        shadows
            .into_iter()
            .chain(inside.map(|(rest, wrong)| (way(rest), wrong)))
            .collect::<Vec<_>>()
    })
}

fn namespaces(settings: &Settings) -> impl Iterator<Item = (Way, String)> {
    let wrong = |(index, name): (usize, &String)| {
        let way = vec!["namespaces".to_owned(), index.to_string()];
        (!super::is_dns_name(name)).then(|| (way, format!("`{name}` cannot be the name of a namespace")))
    };
    settings.namespaces.iter().enumerate().filter_map(wrong)
}
