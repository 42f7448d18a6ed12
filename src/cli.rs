//! The commands of the binary: what they are called, what they take, and the code they end with.

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use kube::config::{InferConfigError, KubeconfigError};

use crate::{
    config::{Flags, GuardName, Mistakes},
    model::units::Length,
};

/// What commands write, and as whom.
mod caller;
/// `modosu check`: settings and guards, without a cluster.
pub mod check;
/// `modosu rollback`, `keep`: deciding.
pub mod choose;
/// `modosu crds`: the custom resources as YAML.
pub mod crds;
/// `modosu health`: whether the daemon is alive.
pub mod health;
/// `modosu run`: the daemon.
pub mod run;
/// `modosu freeze`, `resume`, `abandon`: stopping it.
pub mod stop;

/// Version and revision, as `modosu --version` says them.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("MODOSU_REVISION"), ")");

/// Watches what was just changed on Kubernetes, and puts it back when it hurts.
#[derive(Parser, Debug)]
#[command(name = "modosu", version = VERSION, max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  modosu crds | kubectl apply --server-side -f -
  modosu check --config modosu.yaml guards/*.yaml
  modosu run --prometheus http://localhost:9090 --mode observe

Exit codes: 0 fine, 1 the answer is no, 2 usage or settings, 3 a server could not be reached";

#[derive(Subcommand, Debug)]
enum Command {
    /// Watch, judge and put back until told to stop.
    Run(RunArguments),
    /// Check settings and guard files without a cluster; every mistake at once.
    Check(CheckArguments),
    /// Print the custom resource definitions as YAML.
    Crds,
    /// Ask the modosu that runs here whether it is alive.
    Health(health::HealthArguments),
    /// Put a guard back: to its last proven state, an older one, or only a part of it.
    Rollback(RollbackArguments),
    /// Let the state of an incident run; it is only reported from then on.
    Keep(KeepArguments),
    /// Stop modosu from writing, for a guard, a namespace or everything; also in the middle of a plan.
    Freeze(FreezeArguments),
    /// End a freeze; a plan that it stopped halfway goes on.
    Resume(ResumeArguments),
    /// Say that what a plan asked for is done: it goes on.
    Done(DoneArguments),
    /// End an incident as it is: modosu writes nothing more for it.
    Abandon(AbandonArguments),
    /// Let a state return that was put back: lifts its retry lock.
    Allow(AllowArguments),
}

/// What `modosu run` takes.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  modosu run                                        in a cluster: its own service account
  modosu run --context staging --mode observe       from a desk: looks, never acts
  modosu run --guard shop/orders                    as a sidecar: this guard alone
  MODOSU__PROMETHEUS__TIMEOUT=10s modosu run        every setting has a variable")]
pub struct RunArguments {
    #[command(flatten)]
    pub settings: SettingsArguments,
    /// Watch only this guard.
    #[arg(long, value_name = "NAMESPACE/NAME")]
    guard: Option<String>,
    /// The address of Prometheus, with the path in front of /api/v1 where there is one.
    #[arg(long, value_name = "URL")]
    prometheus: Option<String>,
    /// Where modosu's pages and metrics are served.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// What modosu may do at most: observe, ask or enforce.
    #[arg(long)]
    mode: Option<String>,
    #[command(flatten)]
    pub cluster: ClusterArguments,
}

/// Which cluster.
#[derive(Args, Debug)]
pub struct ClusterArguments {
    /// The kubeconfig file; else KUBECONFIG, ~/.kube/config, or the pod's service account.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

/// What `modosu rollback` takes.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  modosu rollback shop/orders --reason 'customers complain'              to the last proven state
  modosu rollback shop/orders --to 6f9c --reason 'the last good week'    to an older proven state
  modosu rollback shop/orders-8b21 --only ConfigMap/settings --reason '…'

By hand: kubectl annotate -n shop guard/orders modosu.dev/rollback=restoreTo")]
pub struct RollbackArguments {
    /// A guard, or an open incident.
    #[arg(value_name = "NAMESPACE/NAME")]
    pub at: GuardName,
    /// A proven state by its hash, at least four characters of it, or with `--only Deployment/NAME` the `pod-template-hash` of one of
    /// its ReplicaSets, which nobody proved; else where a rollback would go.
    #[arg(long, value_name = "HASH")]
    pub to: Option<String>,
    /// Only this target; can be said several times.
    #[arg(long, value_name = "KIND/NAME")]
    pub only: Vec<String>,
    /// Why, for everybody who wonders.
    #[arg(long)]
    pub reason: String,
    /// Do not ask once more.
    #[arg(long, short)]
    pub yes: bool,
    #[command(flatten)]
    pub cluster: ClusterArguments,
}

/// What `modosu keep` takes.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  modosu keep shop/orders-8b21 --reason 'the spike was a test'")]
pub struct KeepArguments {
    /// The open incident.
    #[arg(value_name = "NAMESPACE/INCIDENT")]
    pub incident: GuardName,
    /// Why, for everybody who wonders.
    #[arg(long)]
    pub reason: String,
    #[command(flatten)]
    pub cluster: ClusterArguments,
}

/// Where a freeze holds: one of the three.
#[derive(Args, Debug)]
#[group(required = true, multiple = false, args = ["guard", "namespace", "all"])]
pub struct Where {
    /// One guard.
    #[arg(value_name = "NAMESPACE/GUARD")]
    pub guard: Option<GuardName>,
    /// Every guard of a namespace.
    #[arg(long, short, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Everything.
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub daemon: DaemonPlace,
}

/// Beside the choice of a place: it is none.
#[derive(Args, Debug)]
pub struct DaemonPlace {
    /// Where the daemon runs; with --all.
    #[arg(long, value_name = "NAMESPACE", default_value = "modosu")]
    pub daemon_namespace: String,
}

/// What `modosu freeze` takes.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  modosu freeze shop/orders --reason 'repairing the database'     two hours
  modosu freeze -n shop --for 30m
  modosu freeze --all --for 8h --reason 'moving house'

By hand: kubectl annotate -n shop guard/orders modosu.dev/freeze-until=2026-03-01T04:00:00Z")]
pub struct FreezeArguments {
    #[command(flatten)]
    pub place: Where,
    /// For how long.
    #[arg(long = "for", value_name = "LENGTH", default_value = "2h")]
    pub length: Length,
    /// Why, for everybody who wonders.
    #[arg(long)]
    pub reason: Option<String>,
    #[command(flatten)]
    pub cluster: ClusterArguments,
}

/// What `modosu resume` takes.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  modosu resume shop/orders      a plan that was stopped halfway goes on, too
  modosu resume -n shop
  modosu resume --all")]
pub struct ResumeArguments {
    #[command(flatten)]
    pub place: Where,
    #[command(flatten)]
    pub cluster: ClusterArguments,
}

/// What `modosu done` takes.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  modosu done shop/orders-8b21 --reason 'the alias points to the old index'")]
pub struct DoneArguments {
    /// The incident whose plan waits.
    #[arg(value_name = "NAMESPACE/INCIDENT")]
    pub incident: GuardName,
    /// What was done, for the journal.
    #[arg(long)]
    pub reason: Option<String>,
    #[command(flatten)]
    pub cluster: ClusterArguments,
}

/// What `modosu abandon` takes.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  modosu abandon shop/orders-8b21 --reason 'we repair it by hand'")]
pub struct AbandonArguments {
    /// The open incident.
    #[arg(value_name = "NAMESPACE/INCIDENT")]
    pub incident: GuardName,
    /// Why, for the journal.
    #[arg(long)]
    pub reason: Option<String>,
    #[command(flatten)]
    pub cluster: ClusterArguments,
}

/// What `modosu allow` takes.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  modosu allow shop/orders 8b21c0de --reason 'the database is repaired'

By hand: kubectl annotate -n shop guard/orders modosu.dev/allow=8b21c0de")]
pub struct AllowArguments {
    #[arg(value_name = "NAMESPACE/GUARD")]
    pub guard: GuardName,
    /// The state's hash, as pages and `kubectl get guard -o yaml` show it under `status.bad`.
    #[arg(value_name = "HASH")]
    pub hash: String,
    /// Why, for everybody who wonders.
    #[arg(long)]
    pub reason: Option<String>,
    #[command(flatten)]
    pub cluster: ClusterArguments,
}

/// What `modosu check` takes.
#[derive(Args, Debug)]
pub struct CheckArguments {
    #[command(flatten)]
    pub settings: SettingsArguments,
    /// Files with guards.
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// Where the settings are.
#[derive(Args, Debug)]
pub struct SettingsArguments {
    /// The settings; default: config/modosu.yaml where it exists.
    #[arg(long, value_name = "FILE", env = "MODOSU_CONFIG")]
    pub config: Option<PathBuf>,
}

impl RunArguments {
    /// What these arguments say of the settings.
    pub fn flags(&self) -> Flags {
        Flags {
            guard: self.guard.clone(),
            prometheus: self.prometheus.clone(),
            listen: self.listen.clone(),
            mode: self.mode.clone(),
        }
    }
}

impl Cli {
    /// Carries out the command.
    pub fn execute(&self) -> ExitCode {
        let done = match &self.command {
            Command::Run(arguments) => run::run(arguments),
            Command::Check(arguments) => check::check(arguments).and_then(|said| print(&said)),
            Command::Crds => crds::stream().and_then(|text| print(&text)),
            Command::Health(arguments) => health::health(arguments).and_then(|said| print(&said)),
            Command::Rollback(told) => at(
                &told.cluster,
                |client| async move { choose::rollback(&client, told).await },
            ),
            Command::Keep(told) => at(&told.cluster, |client| async move { choose::keep(&client, told).await }),
            Command::Freeze(told) => at(&told.cluster, |client| async move { stop::freeze(&client, told).await }),
            Command::Resume(told) => at(&told.cluster, |client| async move { stop::resume(&client, told).await }),
            Command::Done(told) => at(&told.cluster, |client| async move { stop::done(&client, told).await }),
            Command::Allow(told) => at(&told.cluster, |client| async move { stop::allow(&client, told).await }),
            Command::Abandon(told) => at(
                &told.cluster,
                |client| async move { stop::abandon(&client, told).await },
            ),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("modosu: {}", in_words(&error));
                ExitCode::from(code(&error))
            }
        }
    }
}

/// Does something at the API server and says what.
fn at<F: Future<Output = anyhow::Result<String>>>(
    cluster: &ClusterArguments,
    ask: impl FnOnce(kube::Client) -> F,
) -> anyhow::Result<()> {
    print(&run::at(cluster, ask)?)
}

/// 2: usage or settings, 3: a server could not be reached, else 1.
fn code(error: &anyhow::Error) -> u8 {
    let unreached = |cause: &(dyn std::error::Error + 'static)| match cause.downcast_ref::<kube::Error>() {
        Some(kube::Error::HyperError(_) | kube::Error::Service(_)) => true,
        Some(_) | None => cause.is::<health::Unreached>(),
    };
    if by_its_caller(error) {
        2
    } else if error.chain().any(unreached) {
        3
    } else {
        1
    }
}

/// Whether the one who called the binary can put it right: settings, kubeconfig.
fn by_its_caller(error: &anyhow::Error) -> bool {
    let theirs = |cause: &(dyn std::error::Error + 'static)| {
        cause.is::<Mistakes>() || cause.is::<KubeconfigError>() || cause.is::<InferConfigError>()
    };
    error.chain().any(theirs)
}

/// A closed pipe (`modosu crds | head`) is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(why) if why.kind() != std::io::ErrorKind::BrokenPipe => Err(why.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The error with its causes, each said once. A client that finds no certificates to trust does not say what to do.
fn in_words(error: &anyhow::Error) -> String {
    let mut words = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !words.contains(&cause) {
            words = format!("{words}: {cause}");
        }
    }
    let unbuilt = |cause: &(dyn std::error::Error + 'static)| {
        cause
            .downcast_ref::<reqwest::Error>()
            .is_some_and(reqwest::Error::is_builder)
    };
    if words.contains("No CA certificates") || error.chain().any(unbuilt) {
        words.push_str(
            "\n    The system has no CA certificates that can be read, and without them no client works, not even for \
             http: install the package ca-certificates, or put a bundle at /etc/ssl/certs/ca-certificates.crt.",
        );
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn causes_are_said_once_and_missing_certificates_in_words() {
        let error = anyhow::anyhow!("No CA certificates were loaded from the system")
            .context("tls: No CA certificates were loaded from the system")
            .context("a client for the cluster");
        let words = in_words(&error);
        assert_eq!(words.matches("were loaded").count(), 1, "{words}");
        assert!(words.contains("install the package ca-certificates"), "{words}");
    }

    #[test]
    fn everything_is_frozen_where_the_daemon_runs() {
        let said = ["modosu", "freeze", "--all", "--daemon-namespace", "watch"];
        let Command::Freeze(arguments) = Cli::try_parse_from(said).unwrap().command else {
            panic!("not `freeze`")
        };
        assert!(arguments.place.all);
        assert_eq!(arguments.place.daemon.daemon_namespace, "watch");
        for wrong in [&["modosu", "freeze"][..], &["modosu", "freeze", "--all", "-n", "shop"]] {
            assert!(Cli::try_parse_from(wrong).is_err(), "one of three places: {wrong:?}");
        }
    }

    #[test]
    fn flags_reach_the_settings() {
        let cli = Cli::parse_from(["modosu", "run", "--mode", "ask", "--guard", "shop/orders"]);
        let Command::Run(arguments) = cli.command else {
            panic!("not `run`")
        };
        assert_eq!(arguments.flags().mode.as_deref(), Some("ask"));
        assert_eq!(arguments.flags().guard.as_deref(), Some("shop/orders"));
        assert_eq!(arguments.flags().listen, None);
    }
}
