//! IO (files are looked for). How the repositories are reached that steps change, and who one is there.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::Url;

use super::{check::unreadable, source::Way};
use crate::judge::policy::git::{SCHEMES, address};

/// How repositories are reached that steps change.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct GitSettings {
    /// Who makes the commits.
    pub name: String,
    pub email: String,
    /// Of https, ssh, http and file.
    #[serde(deserialize_with = "super::list")]
    pub protocols: Vec<String>,
    /// A PEM file with the authorities that are trusted in the place of the system's.
    pub ca: Option<PathBuf>,
    /// By the beginning of a repository's address; the longest that fits counts.
    pub credentials: Vec<GitCredentials>,
}

/// Who one is where the address begins so: a password or token over https, a key over ssh. Files are read again each time.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GitCredentials {
    pub url: String,
    /// Guards of these namespaces alone; empty: of all.
    #[serde(default)]
    pub namespaces: Vec<String>,
    #[serde(default)]
    pub username: Option<String>,
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    #[serde(default)]
    pub known_hosts_file: Option<PathBuf>,
}

impl Default for GitSettings {
    fn default() -> Self {
        Self {
            name: "modosu".to_owned(),
            email: "modosu@localhost".to_owned(),
            protocols: vec!["https".to_owned(), "ssh".to_owned()],
            ca: None,
            credentials: Vec::new(),
        }
    }
}

impl GitSettings {
    /// The credentials that a guard of this namespace has for a repository.
    pub fn credentials(&self, namespace: &str, repository: &str) -> Option<&GitCredentials> {
        let mine =
            |one: &&GitCredentials| one.namespaces.is_empty() || one.namespaces.iter().any(|own| own == namespace);
        let fits = self.credentials.iter().filter(|one| one.holds(repository)).filter(mine);
        fits.max_by_key(|one| one.url.len())
    }

    /// Everything that does not hold.
    pub(super) fn findings(&self) -> Vec<(Way, String)> {
        let mut found = Vec::new();
        let mut wrong = |way: &[&str], said: String| {
            let whole = ["git"].iter().chain(way).map(|part| (*part).to_owned());
            found.push((whole.collect(), said));
        };
        for (field, text) in [("name", &self.name), ("email", &self.email)] {
            let odd = |c: char| c.is_control() || "<>".contains(c);
            if text.trim().is_empty() || text.contains(odd) {
                wrong(&[field], "this cannot stand in a commit".to_owned());
            }
        }
        for (place, protocol) in self.protocols.iter().enumerate() {
            if !SCHEMES.contains(&protocol.as_str()) {
                wrong(
                    &["protocols", &place.to_string()],
                    format!("`{protocol}` is none of them"),
                );
            }
        }
        if let Some(said) = self.ca.as_deref().and_then(unreadable) {
            wrong(&["ca"], said);
        }
        for (place, one) in self.credentials.iter().enumerate() {
            for (field, said) in one.findings() {
                let place = place.to_string();
                let way: Vec<&str> = ["credentials", &place].into_iter().chain(field).collect();
                wrong(&way, said);
            }
        }
        found
    }
}

impl GitCredentials {
    /// The same server, and the path begins so, up to a slash.
    fn holds(&self, repository: &str) -> bool {
        let (Ok(own), Ok(other)) = (Url::parse(&self.url), Url::parse(repository)) else {
            return false;
        };
        let place = |url: &Url| (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port());
        let user = own.username().is_empty() || own.username() == other.username();
        let path = own.path().trim_end_matches('/');
        let rest = other.path().strip_prefix(path);
        place(&own) == place(&other) && user && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    fn findings(&self) -> Vec<(Option<&'static str>, String)> {
        let mut found = Vec::new();
        if let Some(said) = address(&self.url) {
            found.push((Some("url"), said.to_owned()));
        }
        let form = if self.url.starts_with("ssh:") {
            self.key_file.is_some() && self.known_hosts_file.is_some() && self.password_file.is_none()
        } else {
            self.username.is_some() && self.password_file.is_some() && self.key_file.is_none()
        };
        if !form {
            let said =
                "an address of https goes with username and passwordFile, one of ssh with keyFile and knownHostsFile";
            found.push((None, said.to_owned()));
        }
        let files = [
            ("passwordFile", &self.password_file),
            ("keyFile", &self.key_file),
            ("knownHostsFile", &self.known_hosts_file),
        ];
        let missing = files
            .into_iter()
            .filter_map(|(field, file)| Some((field, unreadable(file.as_deref()?)?)));
        found.extend(missing.map(|(field, said)| (Some(field), said)));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(url: &str, namespaces: &[&str]) -> GitCredentials {
        GitCredentials {
            url: url.to_owned(),
            namespaces: namespaces.iter().map(|name| (*name).to_owned()).collect(),
            username: None,
            password_file: None,
            key_file: None,
            known_hosts_file: None,
        }
    }

    #[test]
    fn credentials_go_only_where_the_settings_send_them() {
        let settings = GitSettings {
            credentials: vec![
                credentials("https://git.example.com/", &["shop"]),
                credentials("https://git.example.com/shop", &[]),
                credentials("ssh://git@git.example.com/", &[]),
            ],
            ..GitSettings::default()
        };
        let found = |namespace: &str, repository: &str| {
            let found = settings.credentials(namespace, repository);
            found.map(|one| one.url.as_str())
        };
        let own = found("shop", "https://git.example.com/shop/orders.git");
        assert_eq!(own, Some("https://git.example.com/shop"), "the longest");
        assert_eq!(
            found("shop", "https://git.example.com/shopping.git"),
            Some("https://git.example.com/")
        );
        assert_eq!(
            found("billing", "https://git.example.com/shopping.git"),
            None,
            "not of this namespace"
        );
        assert!(found("billing", "ssh://git@git.example.com/a.git").is_some());
        let elsewhere = [
            "https://git.example.com.evil.org/shop/a.git",
            "https://git.example.com:8443/shop/a.git",
            "http://git.example.com/shop/a.git",
            "ssh://root@git.example.com/a.git",
        ];
        for repository in elsewhere {
            assert_eq!(found("shop", repository), None, "{repository}");
        }
    }
}
