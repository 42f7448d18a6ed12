//! Pure. What can be wrong with a change of a repository. Nothing that passes can be taken for an option of the git program.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use url::Url;

use super::Mistake;
use crate::model::guard::{
    Checkout, GitChange,
    git::{MERGE_OF_CHANGE, RANGE_OF_CHANGE, is_commit, range},
};

/// How repositories may be reached at all; the settings say which of these.
pub const SCHEMES: [&str; 4] = ["https", "ssh", "http", "file"];

pub fn change(path: &str, change: &GitChange, mistakes: &mut Vec<Mistake>) {
    let mut wrong = |field: &str, said: String| mistakes.push(Mistake::new(format!("{path}{field}"), said));
    if let Some(said) = address(&change.repository) {
        wrong(".repository", said.to_owned());
    }
    if !is_branch(&change.branch) {
        wrong(".branch", not_a_branch(&change.branch));
    }
    match (&change.revert, &change.checkout) {
        (Some(what), None) if !is_revertible(what) => {
            let said = format!(
                "`{what}` is not one of {MERGE_OF_CHANGE}, {RANGE_OF_CHANGE}, the whole hash of a commit, two of them as `FROM..TO`"
            );
            wrong(".revert", said);
        }
        (None, Some(Checkout { path, from })) => {
            if !is_path(path) {
                let said = format!("`{path}` is no path from the top of a repository, such as `config/settings.toml`");
                wrong(".checkout.path", said);
            }
            if !is_branch(from) {
                wrong(".checkout.from", not_a_branch(from));
            } else if *from == change.branch {
                wrong(".checkout.from", format!("`{from}` is the branch that is changed"));
            }
        }
        (Some(_), None) => {}
        (Some(_), Some(_)) | (None, None) => {
            wrong(
                "",
                "a change of a repository is exactly one of revert, checkout".to_owned(),
            );
        }
    }
}

/// What is wrong with the address of a repository.
pub fn address(text: &str) -> Option<&'static str> {
    let form = "is no address such as `https://git.example.com/shop/orders.git` or `ssh://git@git.example.com/shop/orders.git`";
    let plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic());
    let Some(url) = Url::parse(text).ok().filter(|_| plain) else {
        return Some(form);
    };
    let named = url
        .host_str()
        .is_some_and(|host| !host.is_empty() && !host.starts_with('-'));
    let is_file = url.scheme() == "file";
    if !SCHEMES.contains(&url.scheme()) || named == is_file || url.query().is_some() || url.fragment().is_some() {
        return Some(form);
    }
    let user_may_stand_there = url.scheme() == "ssh";
    if url.password().is_some() || !(url.username().is_empty() || user_may_stand_there) {
        return Some("an address is shown to people: credentials stand in the daemon's settings");
    }
    url.username().starts_with('-').then_some(form)
}

/// What git itself lets a branch be called, of plain characters.
fn is_branch(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._/+#-".contains(c);
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    let whole = !text.starts_with('-') && !text.ends_with('.') && !text.contains("..") && text != "HEAD";
    whole && text.chars().all(plain) && text.split('/').all(part)
}

fn not_a_branch(text: &str) -> String {
    format!("`{text}` is not the name of a branch, such as `main`")
}

fn is_revertible(text: &str) -> bool {
    [MERGE_OF_CHANGE, RANGE_OF_CHANGE].contains(&text) || is_commit(text) || range(text).is_some()
}

fn is_path(text: &str) -> bool {
    let part = |part: &str| !matches!(part, "" | "." | "..") && !part.eq_ignore_ascii_case(".git");
    text.split('/').all(part) && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_of_few_kinds_and_carry_no_credentials() {
        let right = [
            "https://git.example.com/shop/orders.git",
            "ssh://git@git.example.com:2222/shop/orders.git",
            "http://127.0.0.1:8080/orders.git",
            "file:///srv/git/orders.git",
        ];
        assert_eq!(right.map(address), [None; 4]);
        let wrong = [
            "",
            "orders.git",
            "git@git.example.com:shop/orders.git",
            "ext::sh -c touch% /tmp/x",
            "--upload-pack=touch /tmp/x",
            "git://git.example.com/orders.git",
            "ssh://-oProxyCommand=x/orders.git",
            "https://ann@git.example.com/orders.git",
            "https://ann:hunter2@git.example.com/orders.git",
            "https://git.example.com/orders.git?token=x",
        ];
        for address in wrong.map(|text| (text, address(text))) {
            assert!(address.1.is_some(), "{address:?}");
        }
    }

    #[test]
    fn names_of_branches_and_paths_are_never_options_or_ways_out() {
        for right in ["main", "release/1.4", "fix-#12"] {
            assert!(is_branch(right), "{right}");
        }
        let wrong = [
            "", "-f", "a..b", "/a", "a/", "a//b", "a.lock", ".a", "HEAD", "a b", "a:b", "a~1", "@{u}", "a\n",
        ];
        for wrong in wrong {
            assert!(!is_branch(wrong), "{wrong}");
        }
        for right in ["config", "config/a b.toml", ":x", "-x"] {
            assert!(is_path(right), "{right}");
        }
        for wrong in ["", "/etc", "../a", "a/../b", "a/./b", "a//b", ".git/config", "a\nb"] {
            assert!(!is_path(wrong), "{wrong}");
        }
    }

    #[test]
    fn commits_are_whole_hashes() {
        let whole = "0123456789abcdef0123456789abcdef01234567";
        let range = format!("{whole}..{whole}");
        for right in [MERGE_OF_CHANGE, RANGE_OF_CHANGE, whole, &range] {
            assert!(is_revertible(right), "{right}");
        }
        for wrong in [
            "HEAD",
            "0123456",
            "main..",
            &format!("{whole}...{whole}"),
            &whole.to_uppercase(),
        ] {
            assert!(!is_revertible(wrong), "{wrong}");
        }
    }
}
