//! Changes of real repositories, made by the git program on this machine's files.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{act::git::look::rehearse, config::GitSettings};

const MINUTE: Duration = Duration::from_secs(60);

/// A repository on a server, and somebody's clone of it.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            folder: TempDir::new().unwrap(),
        };
        fs::create_dir(place.path("work")).unwrap();
        fs::create_dir(place.path("server")).unwrap();
        place.at("server", &["init", "-q", "--bare", "-b", "main"]);
        place.at("server", &["config", "uploadpack.allowFilter", "true"]);
        place.git(&["init", "-q", "-b", "main"]);
        let server = place.path("server").display().to_string();
        place.git(&["remote", "add", "origin", &server]);
        let numbers: Vec<String> = (1..=20).map(|number| number.to_string()).collect();
        place.write("app/code", &numbers.join("\n"));
        place.write("app/limits/small", "1");
        place.write("README", "orders");
        place.commit("begin");
        place
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    fn at(&self, folder: &str, arguments: &[&str]) -> String {
        git(&self.path(folder), arguments)
    }

    fn git(&self, arguments: &[&str]) -> String {
        self.at("work", arguments)
    }

    fn write(&self, file: &str, text: &str) {
        let file = self.path("work").join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    fn commit(&self, subject: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", subject]);
        self.git(&["push", "-q", "origin", "HEAD"]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// A branch with one commit, merged into main. Gives both commits.
    fn merge(&self, name: &str, file: &str, text: &str) -> (String, String) {
        self.git(&["checkout", "-q", "-b", name]);
        self.write(file, text);
        let commit = self.commit(name);
        self.git(&["checkout", "-q", "main"]);
        self.git(&["merge", "-q", "--no-ff", "-m", &format!("Merge {name}"), name]);
        self.git(&["push", "-q", "origin", "main"]);
        (commit, self.git(&["rev-parse", "HEAD"]))
    }

    /// What the file holds on the server's main.
    fn holds(&self, file: &str) -> String {
        self.at("server", &["show", &format!("main:{file}")])
    }

    fn tip(&self) -> String {
        self.at("server", &["rev-parse", "main"])
    }

    fn job(&self, revert: Option<&str>, commits: &str) -> Job {
        Job {
            namespace: "shop".to_owned(),
            change: GitChange {
                repository: format!("file://{}", self.path("server").display()),
                branch: "main".to_owned(),
                revert: revert.map(str::to_owned),
                checkout: None,
            },
            commits: commits.to_owned(),
            mark: "shop/orders-8b21/uid#3".to_owned(),
            reason: "modosu puts shop/orders back.".to_owned(),
        }
    }

    fn path_job(&self, path: &str, from: &str, commits: &str) -> Job {
        let mut job = self.job(None, commits);
        job.change.checkout = Some(Checkout {
            path: path.to_owned(),
            from: from.to_owned(),
        });
        job
    }
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let who = ["AUTHOR_NAME", "AUTHOR_EMAIL", "COMMITTER_NAME", "COMMITTER_EMAIL"];
    let done = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .envs(who.map(|who| (format!("GIT_{who}"), "ann@example.com")))
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8(done.stdout).unwrap().trim_end().to_owned()
}

fn program() -> Program {
    Program {
        path: "git".into(),
        settings: GitSettings {
            protocols: vec!["file".to_owned()],
            ..GitSettings::default()
        },
        stop: CancellationToken::new(),
    }
}

fn ready(job: &Job) -> Ready {
    match job.make(&program(), MINUTE).unwrap() {
        Made::Commit(ready) => *ready,
        Made::There(commit) => panic!("there already: {commit}"),
        Made::Nothing => panic!("nothing to do"),
    }
}

fn pushed(job: &Job) -> String {
    let ready = ready(job);
    let commit = ready.commit.clone();
    assert_eq!(ready.push(MINUTE, CancellationToken::new()).unwrap(), Pushed::Done);
    commit
}

fn refused(job: &Job) -> String {
    match job.make(&program(), MINUTE) {
        Err(Trouble::Refused(words)) => words,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("not refused"),
    }
}

#[test]
fn a_merge_is_reverted_to_its_first_parent_and_what_came_later_stays() {
    let place = Place::new();
    let (_, merge) = place.merge("celery", "app/mode", "celery");
    place.write("README", "orders, later");
    place.commit("later");
    let made = pushed(&place.job(Some(&merge), &merge));
    assert_eq!(place.tip(), made);
    assert_eq!(
        place.at("server", &["ls-tree", "--name-only", "main", "app/"]),
        "app/code\napp/limits"
    );
    assert_eq!(place.holds("README"), "orders, later");
    let told = place.at("server", &["log", "-1", "--format=%an <%ae>%n%B", "main"]);
    let expected = format!(
        "modosu <modosu@localhost>\nRevert \"Merge celery\"\n\nThis reverts commit {merge}.\n\nmodosu puts shop/orders back.\n\n\
         Modosu-Incident: shop/orders-8b21/uid#3"
    );
    assert_eq!(told, expected);
    let line = place.at(
        "server",
        &[
            "log",
            "-1",
            "--format=%(trailers:key=Modosu-Incident,valueonly)",
            "main",
        ],
    );
    assert_eq!(line, "shop/orders-8b21/uid#3");
}

#[test]
fn the_merge_of_a_change_is_the_one_that_brought_its_commit() {
    let place = Place::new();
    let (commit, merge) = place.merge("celery", "app/mode", "celery");
    let (_, later) = place.merge("beat", "app/beat", "on");
    for (built_from, reverted) in [(&commit, &merge), (&merge, &merge), (&later, &later)] {
        let ready = ready(&place.job(Some(MERGE_OF_CHANGE), built_from));
        let told = ready.desk.must(&["log", "-1", "--format=%b", &ready.commit]).unwrap();
        assert!(told.contains(&format!("reverts commit {reverted}.")), "{told}");
    }
    place.git(&["checkout", "-q", "-b", "elsewhere"]);
    place.write("README", "elsewhere");
    let elsewhere = place.commit("elsewhere");
    for missing in [elsewhere.as_str(), "0123456789012345678901234567890123456789"] {
        let said = refused(&place.job(Some(MERGE_OF_CHANGE), missing));
        assert!(said.contains("is not on main of file://"), "{said}");
    }
    assert_eq!(place.tip(), later, "nothing is pushed");
}

#[test]
fn a_range_is_reverted_by_one_commit() {
    let place = Place::new();
    let begin = place.tip();
    place.write("README", "one");
    place.commit("one");
    let (commit, _) = place.merge("celery", "app/mode", "celery");
    place.write("app/limits/small", "2");
    let end = place.commit("two");
    place.write("app/other", "later");
    place.commit("later");
    let before = place.tip();
    pushed(&place.job(Some("range-of-change"), &format!("{begin}..{end}")));
    assert_eq!(place.at("server", &["rev-parse", "main^"]), before, "one commit");
    assert_eq!(
        (place.holds("README").as_str(), place.holds("app/limits/small").as_str()),
        ("orders", "1")
    );
    let there = place.at("server", &["ls-tree", "-r", "--name-only", "main"]);
    assert_eq!(there, "README\napp/code\napp/limits/small\napp/other");

    let other = |commits: String| Job {
        mark: "other".to_owned(),
        ..place.job(Some("x"), &commits)
    };
    let wrong = refused(&other(format!("{end}..{begin}")));
    assert!(wrong.contains("came no earlier to main than"), "{wrong}");
    let inside = refused(&other(format!("{commit}..{commit}")));
    assert!(inside.contains("came no earlier"), "{inside}");
}

#[test]
fn a_path_is_as_it_is_on_another_branch_and_nothing_else_changes() {
    let place = Place::new();
    place.git(&["checkout", "-q", "-b", "legacy"]);
    place.write("app/limits/small", "legacy");
    place.write("README", "legacy");
    let legacy = place.commit("legacy");
    place.git(&["checkout", "-q", "main"]);
    place.write("app/limits/big", "9");
    place.write("app/limits/deep/er", "9");
    let before = place.commit("limits");

    pushed(&place.path_job("app/limits", "legacy", &legacy));
    let there = place.at("server", &["ls-tree", "-r", "--name-only", "main"]);
    assert_eq!(
        there, "README\napp/code\napp/limits/small",
        "what is not there is removed"
    );
    assert_eq!(
        (place.holds("app/limits/small").as_str(), place.holds("README").as_str()),
        ("legacy", "orders")
    );
    let title = place.at("server", &["log", "-1", "--format=%s", "main"]);
    assert_eq!(title, format!("Put app/limits back to legacy ({})", short(&legacy)));

    let mut file = place.path_job("app/limits/deep", &before, &before);
    file.mark = "shop/orders-8b21/uid#4".to_owned();
    pushed(&file);
    assert_eq!(place.holds("app/limits/deep/er"), "9", "a commit of the same branch");
    file.mark = "shop/orders-8b21/uid#5".to_owned();
    assert!(
        matches!(file.make(&program(), MINUTE), Ok(Made::Nothing)),
        "it is so already"
    );

    let missing = refused(&Job {
        mark: "other".into(),
        ..place.path_job("nowhere", "legacy", &legacy)
    });
    assert!(missing.starts_with("there is no nowhere in "), "{missing}");
    let foreign = refused(&Job {
        mark: "other".into(),
        ..place.path_job("app", "legacy", &before)
    });
    assert_eq!(foreign, format!("{} is not on legacy", short(&before)));
}

#[test]
fn what_does_not_apply_names_the_files_and_pushes_nothing() {
    let place = Place::new();
    let (_, merge) = place.merge("celery", "app/limits/small", "celery");
    place.write("app/limits/small", "later");
    let before = place.commit("later");
    let said = refused(&place.job(Some(&merge), &merge));
    assert!(
        said.starts_with("does not apply, conflicts in app/limits/small; nothing was pushed"),
        "{said}"
    );
    assert_eq!(place.tip(), before);
}

#[test]
fn what_is_on_the_branch_is_found_and_never_made_twice() {
    let place = Place::new();
    let (_, merge) = place.merge("celery", "app/mode", "celery");
    let job = place.job(Some(&merge), &merge);
    let waiting = ready(&job);
    let made = pushed(&job);
    place.git(&["pull", "-q", "--ff-only", "origin", "main"]);
    place.write("README", "later");
    let later = place.commit("later");
    match job.make(&program(), MINUTE).unwrap() {
        Made::There(found) => assert_eq!(found, made),
        Made::Commit(_) | Made::Nothing => panic!("made twice"),
    }
    // One that was made before and is pushed late, as by a daemon that was taken for dead.
    assert!(matches!(
        waiting.push(MINUTE, CancellationToken::new()),
        Ok(Pushed::Moved(_))
    ));
    assert_eq!(place.tip(), later);
    let other = Job {
        mark: "shop/orders-8b21/uid#33".to_owned(),
        ..job
    };
    assert!(
        matches!(other.make(&program(), MINUTE), Ok(Made::Nothing)),
        "another step finds nothing to do"
    );
}

#[test]
fn what_is_cut_off_is_not_pushed() {
    let place = Place::new();
    let (_, merge) = place.merge("celery", "app/mode", "celery");
    let before = place.tip();
    let cut_off = CancellationToken::new();
    cut_off.cancel();
    let pushed = ready(&place.job(Some(&merge), &merge)).push(MINUTE, cut_off);
    assert!(matches!(pushed, Err(Trouble::Unsure(_))));
    assert_eq!(place.tip(), before);
}

#[test]
fn a_branch_that_moved_is_not_pushed_over() {
    let place = Place::new();
    let (_, merge) = place.merge("celery", "app/mode", "celery");
    let job = place.job(Some(&merge), &merge);
    let late = ready(&job);
    place.write("README", "faster");
    let faster = place.commit("faster");
    assert!(matches!(
        late.push(MINUTE, CancellationToken::new()),
        Ok(Pushed::Moved(_))
    ));
    assert_eq!(place.tip(), faster);
    pushed(&job);
    assert_eq!(place.holds("README"), "faster", "once more, on what is there now");
    assert_eq!(place.at("server", &["rev-parse", "main^"]), faster);
}

#[test]
fn what_the_server_does_not_take_is_told_in_its_words() {
    let place = Place::new();
    let (_, merge) = place.merge("celery", "app/mode", "celery");
    let hook = place.path("server/hooks/pre-receive");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, "#!/bin/sh\necho main is protected >&2\nexit 1\n").unwrap();
    let mut rights = fs::metadata(&hook).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut rights, 0o755);
    fs::set_permissions(&hook, rights).unwrap();
    match ready(&place.job(Some(&merge), &merge)).push(MINUTE, CancellationToken::new()) {
        Err(Trouble::Refused(said)) => {
            assert!(
                said.contains("pre-receive hook declined") && said.contains("main is protected"),
                "{said}"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn beforehand_it_is_known_what_is_not_there() {
    let place = Place::new();
    let tried = |change: &GitChange| rehearse(&program(), "shop", change, MINUTE);
    let mut change = place.job(Some(MERGE_OF_CHANGE), "").change;
    assert_eq!(tried(&change).unwrap(), None);
    let all = place.at("server", &["for-each-ref"]);
    assert_eq!(all.lines().count(), 1, "nothing is pushed: {all}");
    change.branch = "release".to_owned();
    match tried(&change) {
        Err(Trouble::Refused(said)) => assert!(said.starts_with("there is no branch release in file://"), "{said}"),
        other => panic!("{other:?}"),
    }
    change.repository += "-gone";
    match tried(&change) {
        Err(Trouble::Refused(said)) => assert!(said.contains("cannot be reached: fatal: "), "{said}"),
        other => panic!("{other:?}"),
    }
    let path = place.path_job("app", "legacy", "").change;
    assert!(tried(&path).is_err());
    place.git(&["push", "-q", "origin", "main:legacy"]);
    assert_eq!(tried(&path).unwrap(), Some(place.tip()));
}

#[test]
fn a_folder_is_left_behind_by_nothing() {
    let place = Place::new();
    let (_, merge) = place.merge("celery", "app/mode", "celery");
    let ready = ready(&place.job(Some(&merge), &merge));
    let folder = ready.desk.must(&["rev-parse", "--show-toplevel"]).unwrap();
    assert!(Path::new(&folder).exists());
    ready.push(MINUTE, CancellationToken::new()).unwrap();
    assert!(!Path::new(&folder).exists());
}
