//! IO, blocking. The git program: it is told nothing by its surroundings, asks nobody, and ends in time.
//!
//! What it is told comes through its environment, where other users of the machine cannot read it. Arguments are hashes, checked
//! names, or stand behind `--`.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{GitCredentials, GitSettings},
    report::mask::{MASK, mask_line, mask_text},
};

/// So much of what it says is read, and so much of its complaints is shown.
const READ: u64 = 16 << 20;
const SHOWN: usize = 1000;
/// What stays of the daemon's environment: where programs are, and how one gets out.
const KEPT: [&str; 9] = [
    "PATH",
    "TMPDIR",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
];

/// Why something could not be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// There is no git program.
    Missing(String),
    /// It would be the same the next time.
    Refused(String),
    /// It may be different the next time; what was asked for may have been done.
    Unsure(String),
}

impl Trouble {
    pub fn words(self) -> String {
        match self {
            Self::Missing(words) | Self::Refused(words) | Self::Unsure(words) => words,
        }
    }
}

/// Where the program is, and what the settings say.
#[derive(Clone)]
pub struct Program {
    pub path: PathBuf,
    pub settings: GitSettings,
    /// Whatever runs ends with the daemon.
    pub stop: CancellationToken,
}

/// A folder of its own in which the program works for one repository. It is removed in the end.
pub struct Desk {
    program: Program,
    folder: TempDir,
    environment: Vec<(String, String)>,
    /// Never shown.
    secret: Option<String>,
    deadline: Instant,
}

/// What the program said.
pub struct Said {
    pub status: ExitStatus,
    pub out: String,
    /// For people: short and masked.
    pub complaint: String,
}

impl Program {
    /// A place to work, if the settings let this repository be reached. `within` counts from now on.
    pub fn desk(&self, namespace: &str, repository: &str, within: Duration) -> Result<Desk, Trouble> {
        let scheme = repository.split(':').next().unwrap_or_default();
        if !self.settings.protocols.iter().any(|protocol| protocol == scheme) {
            let allowed = self.settings.protocols.join(", ");
            return Err(Trouble::Refused(format!(
                "the settings let repositories be reached by {allowed}, not by {scheme}"
            )));
        }
        let credentials = self.settings.credentials(namespace, repository);
        if scheme == "ssh" && credentials.is_none() {
            let shown = mask_line(repository);
            return Err(Trouble::Refused(format!("the settings hold no key for {shown}")));
        }
        let folder = tempfile::Builder::new().prefix("modosu-git-").tempdir();
        let folder = folder.map_err(odd)?;
        let secret = credentials
            .and_then(|one| one.password_file.as_deref())
            .map(read_secret)
            .transpose()?;
        let mut environment = surroundings(folder.path(), &self.settings);
        environment.extend(
            credentials
                .and_then(over_ssh)
                .map(|command| ("GIT_SSH_COMMAND".to_owned(), command)),
        );
        environment.extend(told(&self.settings, credentials, repository, secret.as_deref()));
        Ok(Desk {
            program: self.clone(),
            folder,
            environment,
            secret,
            deadline: Instant::now() + within,
        })
    }
}

impl Desk {
    /// An empty repository. Of what will be checked out in it only files at the top are written.
    pub fn begin(&self) -> Result<(), Trouble> {
        self.must(&["init", "-q", "--template="])?;
        let info = self.tree().map_err(odd)?.join(".git/info");
        fs::create_dir_all(&info).map_err(odd)?;
        fs::write(info.join("sparse-checkout"), "/*\n!/*/\n").map_err(odd)
    }

    /// Runs it to its end. Whatever its exit code, that is an answer.
    pub fn run(&self, arguments: &[&str]) -> Result<Said, Trouble> {
        self.run_with(arguments, "")
    }

    /// Runs it with a text to read.
    pub fn run_with(&self, arguments: &[&str], input: &str) -> Result<Said, Trouble> {
        let file = |name: &str| self.folder.path().join(name);
        fs::write(file("input"), input).map_err(odd)?;
        let mut command = Command::new(&self.program.path);
        command
            .args(arguments)
            .env_clear()
            .envs(KEPT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.tree().map_err(odd)?)
            .stdin(Stdio::from(File::open(file("input")).map_err(odd)?))
            .stdout(Stdio::from(File::create(file("out")).map_err(odd)?))
            .stderr(Stdio::from(File::create(file("complaint")).map_err(odd)?));
        let status = self.wait(&mut command)?;
        let complaint = read(&file("complaint")).map_err(odd)?;
        Ok(Said {
            status,
            out: read(&file("out")).map_err(odd)?,
            complaint: shown(&complaint, self.secret.as_deref()),
        })
    }

    /// Runs what must end well. Gives what it said, without the line's end.
    pub fn must(&self, arguments: &[&str]) -> Result<String, Trouble> {
        let said = self.run(arguments)?;
        if said.status.success() {
            Ok(said.out.trim_end_matches('\n').to_owned())
        } else {
            Err(Trouble::Unsure(format!(
                "git {}: {}",
                arguments.first().unwrap_or(&""),
                said.complaint
            )))
        }
    }

    /// Where files of the repository lie.
    fn tree(&self) -> std::io::Result<PathBuf> {
        let tree = self.folder.path().join("tree");
        fs::create_dir_all(&tree)?;
        Ok(tree)
    }

    fn wait(&self, command: &mut Command) -> Result<ExitStatus, Trouble> {
        let mut child = command.spawn().map_err(|why| {
            if why.kind() == std::io::ErrorKind::NotFound {
                Trouble::Missing("there is no git program where modosu runs".to_owned())
            } else {
                Trouble::Unsure(format!("the git program cannot be started: {why}"))
            }
        })?;
        let mut pause = Duration::from_millis(1);
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if self.program.stop.is_cancelled() => {
                    end(&mut child);
                    return Err(Trouble::Unsure("modosu is told to stop".to_owned()));
                }
                Ok(None) if Instant::now() >= self.deadline => {
                    end(&mut child);
                    return Err(Trouble::Unsure("the git program was not done in time".to_owned()));
                }
                Ok(None) => thread::sleep(pause),
                Err(why) => return Err(Trouble::Unsure(format!("the git program is lost: {why}"))),
            }
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    /// More time, counted from now on, and another end of it.
    pub fn extend(&mut self, within: Duration, stop: CancellationToken) {
        self.deadline = Instant::now() + within;
        self.program.stop = stop;
    }
}

fn odd(why: std::io::Error) -> Trouble {
    Trouble::Unsure(format!("there is no place to work in: {why}"))
}

fn end(child: &mut std::process::Child) {
    // It may have ended by itself meanwhile.
    _ = child.kill();
    _ = child.wait();
}

/// Nothing of the machine's or the user's own settings, nobody to ask, only these protocols.
fn surroundings(folder: &Path, settings: &GitSettings) -> Vec<(String, String)> {
    let home = folder.display().to_string();
    let protocols = settings.protocols.join(":");
    let mut all = vec![
        ("HOME", home.as_str()),
        ("LC_ALL", "C"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_ATTR_NOSYSTEM", "1"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_ASKPASS", ""),
        ("SSH_ASKPASS", ""),
        ("GIT_EDITOR", "false"),
        ("GIT_LITERAL_PATHSPECS", "1"),
        ("GIT_ADVICE", "0"),
        ("GIT_ALLOW_PROTOCOL", protocols.as_str()),
        ("GIT_AUTHOR_NAME", settings.name.as_str()),
        ("GIT_AUTHOR_EMAIL", settings.email.as_str()),
        ("GIT_COMMITTER_NAME", settings.name.as_str()),
        ("GIT_COMMITTER_EMAIL", settings.email.as_str()),
    ];
    let authorities = settings.ca.as_deref().map(|file| file.display().to_string());
    all.extend(authorities.as_deref().map(|file| ("GIT_SSL_CAINFO", file)));
    all.into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Its settings. Of big repositories only what is looked at is brought here; of files none but those at the top.
fn told(
    settings: &GitSettings,
    credentials: Option<&GitCredentials>,
    repository: &str,
    secret: Option<&str>,
) -> Vec<(String, String)> {
    let mut all = vec![
        ("remote.origin.url".to_owned(), repository.to_owned()),
        ("remote.origin.promisor".to_owned(), "true".to_owned()),
        ("remote.origin.partialclonefilter".to_owned(), "blob:none".to_owned()),
        ("core.sparseCheckout".to_owned(), "true".to_owned()),
        ("core.sparseCheckoutCone".to_owned(), "true".to_owned()),
        ("core.hooksPath".to_owned(), "/dev/null".to_owned()),
        ("core.fsmonitor".to_owned(), "false".to_owned()),
        ("gc.auto".to_owned(), "0".to_owned()),
        ("maintenance.auto".to_owned(), "false".to_owned()),
        ("credential.helper".to_owned(), String::new()),
        // A header never goes to another place.
        ("http.followRedirects".to_owned(), "false".to_owned()),
        ("user.name".to_owned(), settings.name.clone()),
        ("user.email".to_owned(), settings.email.clone()),
    ];
    if let (Some(user), Some(secret)) = (credentials.and_then(|one| one.username.as_deref()), secret) {
        let pair = STANDARD.encode(format!("{user}:{secret}"));
        all.push((
            format!("http.{repository}.extraHeader"),
            format!("Authorization: Basic {pair}"),
        ));
    }
    let count = ("GIT_CONFIG_COUNT".to_owned(), all.len().to_string());
    let numbered = all.into_iter().enumerate().flat_map(|(number, (name, value))| {
        [
            (format!("GIT_CONFIG_KEY_{number}"), name),
            (format!("GIT_CONFIG_VALUE_{number}"), value),
        ]
    });
    numbered.chain([count]).collect()
}

fn over_ssh(credentials: &GitCredentials) -> Option<String> {
    let key = quoted(credentials.key_file.as_deref()?);
    let hosts = quoted(credentials.known_hosts_file.as_deref()?);
    Some(format!(
        "ssh -F /dev/null -o BatchMode=yes -o ConnectTimeout=10 -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes \
         -o UserKnownHostsFile={hosts} -i {key}"
    ))
}

/// For a shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

fn read_secret(file: &Path) -> Result<String, Trouble> {
    let text = fs::read_to_string(file);
    let text = text.map_err(|why| Trouble::Unsure(format!("{} cannot be read: {why}", file.display())))?;
    Ok(text.trim().to_owned())
}

fn read(file: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    File::open(file)?.take(READ).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// On one line, without advice and without secrets.
fn shown(complaint: &str, secret: Option<&str>) -> String {
    let useful = |line: &&str| !line.is_empty() && !line.starts_with("hint:");
    let lines: Vec<&str> = complaint.lines().map(str::trim).filter(useful).collect();
    let mut text = lines.join("; ");
    if let Some(secret) = secret.filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, MASK);
    }
    let text = mask_text(&text);
    match text.char_indices().nth(SHOWN) {
        _ if text.is_empty() => "it said nothing".to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(path: &str, protocols: &[&str]) -> Program {
        Program {
            path: path.into(),
            settings: GitSettings {
                protocols: protocols.iter().map(|one| (*one).to_owned()).collect(),
                ..GitSettings::default()
            },
            stop: CancellationToken::new(),
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn only_what_the_settings_allow_is_reached() {
        let own = program("git", &["https", "ssh"]);
        let said = |repository: &str| own.desk("shop", repository, SECOND).err().map(Trouble::words);
        assert_eq!(
            said("file:///srv/orders.git").as_deref(),
            Some("the settings let repositories be reached by https, ssh, not by file")
        );
        let no_key = said("ssh://git@git.example.com/orders.git");
        assert_eq!(
            no_key.as_deref(),
            Some("the settings hold no key for ssh://•••@git.example.com/orders.git")
        );
        let desk = own.desk("shop", "https://git.example.com/orders.git", SECOND).unwrap();
        let refused = desk.run(&["ls-remote", "--", "file:///nowhere"]).unwrap();
        assert!(
            refused.complaint.contains("transport 'file' not allowed"),
            "{}",
            refused.complaint
        );
    }

    #[test]
    fn a_program_that_is_not_there_or_does_not_end_is_told() {
        let missing = program("/nowhere/git", &["file"])
            .desk("shop", "file:///srv/a.git", SECOND)
            .unwrap();
        let said = missing.run(&["version"]).err();
        assert_eq!(
            said,
            Some(Trouble::Missing("there is no git program where modosu runs".to_owned()))
        );

        let own = program("sleep", &["file"]);
        let slow = own
            .desk("shop", "file:///srv/a.git", Duration::from_millis(50))
            .unwrap();
        let said = slow.run(&["600"]).err();
        assert_eq!(
            said,
            Some(Trouble::Unsure("the git program was not done in time".to_owned()))
        );
        own.stop.cancel();
        let stopped = own.desk("shop", "file:///srv/a.git", 600 * SECOND).unwrap();
        assert_eq!(
            stopped.run(&["600"]).err(),
            Some(Trouble::Unsure("modosu is told to stop".to_owned()))
        );
    }

    #[test]
    fn it_knows_nothing_of_the_user_and_of_the_machine() {
        let desk = program("git", &["file"])
            .desk("shop", "file:///srv/a.git", 60 * SECOND)
            .unwrap();
        let told = desk.must(&["config", "--list", "--show-scope"]).unwrap();
        assert!(told.lines().all(|line| line.starts_with("command\t")), "{told}");
        let who = desk.must(&["var", "GIT_COMMITTER_IDENT"]).unwrap();
        assert!(who.starts_with("modosu <modosu@localhost> "), "{who}");
    }

    #[test]
    fn no_secret_is_shown() {
        let said = "hint: try\nfatal: unable to access 'https://ann:hunter2@git.example.com/': hunter3 refused\n";
        let shown = shown(said, Some("hunter3"));
        assert!(
            shown.starts_with("fatal: unable") && !shown.contains("hunter"),
            "{shown}"
        );
    }
}
