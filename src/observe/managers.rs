//! Pure. Tools that put objects where they want them: who looks after an object, and whether it undoes what modosu writes.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use serde_json::Value;

/// Where Argo CD keeps its Applications, unless their name says otherwise.
const ARGO_CD: &str = "argocd";

/// Who looks after an object, as its labels and annotations say.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manager {
    ArgoCd { namespace: String, application: String },
    Kustomization { namespace: String, name: String },
    HelmRelease { namespace: String, name: String },
    Helm { namespace: String, release: String },
    Kubectl { server_side: bool },
}

/// What that means for a rollback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Managed {
    pub words: String,
    /// It puts its own state back over modosu's, or that is not known: people decide.
    pub heals: bool,
}

/// The object of a tool that says what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    pub plural: &'static str,
    pub namespace: String,
    pub name: String,
}

impl Manager {
    /// The one that would undo a change soonest.
    pub fn of(metadata: &ObjectMeta) -> Option<Self> {
        let label = |key: &str| metadata.labels.as_ref()?.get(key).map(String::as_str);
        let note = |key: &str| metadata.annotations.as_ref()?.get(key).map(String::as_str);
        let off = |key: &str| label(key) == Some("disabled") || note(key) == Some("disabled");
        let own = metadata.namespace.as_deref().unwrap_or_default();
        let flux = |group: &str| {
            let name = label(&format!("{group}/name"))?.to_owned();
            let namespace = label(&format!("{group}/namespace")).unwrap_or(own).to_owned();
            Some((namespace, name))
        };
        if let Some((namespace, name)) = flux("kustomize.toolkit.fluxcd.io")
            && !off("kustomize.toolkit.fluxcd.io/reconcile")
        {
            return Some(Self::Kustomization { namespace, name });
        }
        if let Some((namespace, name)) = flux("helm.toolkit.fluxcd.io")
            && !off("helm.toolkit.fluxcd.io/driftDetection")
        {
            return Some(Self::HelmRelease { namespace, name });
        }
        let tracked = note("argocd.argoproj.io/tracking-id").and_then(|id| id.split(':').next());
        let named = tracked.or_else(|| label("argocd.argoproj.io/instance"));
        let wrote = |name: &str| written_by(metadata, |writer| writer.manager.as_deref() == Some(name));
        // Until version 3 it tracked by a label that others use as well: then only what it wrote tells.
        let argo = || {
            ["argocd-controller", "argocd-application-controller"]
                .into_iter()
                .any(wrote)
        };
        let labelled = || Some(label("app.kubernetes.io/instance").unwrap_or("unknown")).filter(|_| argo());
        if let Some(application) = named.or_else(labelled) {
            // Of an Application elsewhere it is `namespace_name`.
            let (namespace, application) = application.split_once('_').unwrap_or((ARGO_CD, application));
            return Some(Self::ArgoCd {
                namespace: namespace.to_owned(),
                application: application.to_owned(),
            });
        }
        if let Some(release) = note("meta.helm.sh/release-name") {
            return Some(Self::Helm {
                namespace: note("meta.helm.sh/release-namespace").unwrap_or(own).to_owned(),
                release: release.to_owned(),
            });
        }
        let server_side = written_by(metadata, |writer| {
            writer.operation.as_deref() == Some("Apply") && writer.manager.as_deref() == Some("kubectl")
        });
        let applied = note("kubectl.kubernetes.io/last-applied-configuration").is_some();
        (server_side || applied).then_some(Self::Kubectl { server_side })
    }

    /// What to read to know whether it heals.
    pub fn wish(&self) -> Option<Wish> {
        let wish = |group, version, kind, plural, namespace: &str, name: &str| {
            Some(Wish {
                group,
                version,
                kind,
                plural,
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            })
        };
        match self {
            Self::ArgoCd { namespace, application } => wish(
                "argoproj.io",
                "v1alpha1",
                "Application",
                "applications",
                namespace,
                application,
            ),
            Self::Kustomization { namespace, name } => {
                let group = "kustomize.toolkit.fluxcd.io";
                wish(group, "v1", "Kustomization", "kustomizations", namespace, name)
            }
            Self::HelmRelease { namespace, name } => wish(
                "helm.toolkit.fluxcd.io",
                "v2",
                "HelmRelease",
                "helmreleases",
                namespace,
                name,
            ),
            Self::Helm { .. } | Self::Kubectl { .. } => None,
        }
    }

    /// What it does, by what was read; `None`: that cannot be read, and is taken for the worst.
    pub fn does(&self, read: Option<&Value>) -> Managed {
        match self {
            Self::ArgoCd { namespace, application } => argo_cd(&format!("{namespace}/{application}"), read),
            Self::Kustomization { namespace, name } => kustomization(&format!("{namespace}/{name}"), read),
            Self::HelmRelease { namespace, name } => helm_release(&format!("{namespace}/{name}"), read),
            Self::Helm { namespace, release } => leaves(format!(
                "the next upgrade of the Helm release {release} brings it back: `helm rollback {release} -n {namespace}` first"
            )),
            Self::Kubectl { server_side: true } => leaves(
                "the next `kubectl apply` of the same manifest brings it back: mend that, then `kubectl apply \
                 --server-side --force-conflicts -f …`"
                    .to_owned(),
            ),
            Self::Kubectl { server_side: false } => {
                leaves("the next `kubectl apply` of the same manifest brings it back: mend that first".to_owned())
            }
        }
    }
}

fn written_by(metadata: &ObjectMeta, by: impl FnMut(&ManagedFieldsEntry) -> bool) -> bool {
    metadata.managed_fields.iter().flatten().any(by)
}

fn argo_cd(application: &str, read: Option<&Value>) -> Managed {
    let Some(read) = read else {
        return heals(format!(
            "Argo CD may heal it: its Application {application} cannot be read"
        ));
    };
    let automated = |key: &str| {
        read.pointer(&format!("/spec/syncPolicy/automated/{key}"))
            .and_then(Value::as_bool)
    };
    if automated("selfHeal") == Some(true) && automated("enabled") != Some(false) {
        heals(format!("Argo CD heals it within seconds (Application {application})"))
    } else {
        leaves(format!(
            "the next sync of the Argo CD Application {application} brings it back: revert it in Git first"
        ))
    }
}

fn kustomization(name: &str, read: Option<&Value>) -> Managed {
    if suspended(read) {
        return leaves(format!(
            "the Flux Kustomization {name} is suspended: it brings it back when it goes on"
        ));
    }
    heals(format!(
        "Flux will put this back within {} (Kustomization {name})",
        interval(read)
    ))
}

fn helm_release(name: &str, read: Option<&Value>) -> Managed {
    let mode = read.and_then(|read| read.pointer("/spec/driftDetection/mode").and_then(Value::as_str));
    match (read, mode) {
        (None, _) => heals(format!("Flux may put this back: its HelmRelease {name} cannot be read")),
        (Some(_), Some("enabled")) if !suspended(read) => heals(format!(
            "Flux will put this back within {} (HelmRelease {name})",
            interval(read)
        )),
        (Some(_), _) => leaves(format!(
            "the next upgrade of the Flux HelmRelease {name} brings it back: revert it in Git first"
        )),
    }
}

fn suspended(read: Option<&Value>) -> bool {
    read.and_then(|read| read.pointer("/spec/suspend"))
        .and_then(Value::as_bool)
        == Some(true)
}

/// `1m0s` as people write it.
fn interval(read: Option<&Value>) -> String {
    let text = read
        .and_then(|read| read.pointer("/spec/interval"))
        .and_then(Value::as_str);
    let length: Option<Duration> = text.and_then(|text| humantime::parse_duration(text).ok());
    length.map_or_else(
        || "its interval".to_owned(),
        |length| humantime::format_duration(length).to_string(),
    )
}

fn heals(words: String) -> Managed {
    Managed { words, heals: true }
}

fn leaves(words: String) -> Managed {
    Managed { words, heals: false }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn manager(metadata: Value) -> Option<Manager> {
        Manager::of(&serde_json::from_value(metadata).unwrap())
    }

    fn argo() -> Manager {
        manager(json!({"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/orders"}})).unwrap()
    }

    #[test]
    fn who_looks_after_an_object_is_read_from_its_labels_and_annotations() {
        let (namespace, application) = ("argocd".to_owned(), "shop".to_owned());
        assert_eq!(argo(), Manager::ArgoCd { namespace, application });
        let elsewhere =
            manager(json!({"annotations": {"argocd.argoproj.io/tracking-id": "team_shop:apps/Deployment:a/b"}}));
        let (namespace, application) = ("team".to_owned(), "shop".to_owned());
        assert_eq!(elsewhere, Some(Manager::ArgoCd { namespace, application }));

        let fields = json!([{"manager": "argocd-controller", "operation": "Apply"}]);
        let old = json!({"labels": {"app.kubernetes.io/instance": "shop"}, "managedFields": fields});
        assert_eq!(manager(old), Some(argo()), "as before version 3");
        let label = json!({"labels": {"app.kubernetes.io/instance": "shop"}});
        assert_eq!(manager(label), None, "a label alone is anybody's");

        let flux =
            json!({"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"});
        let (namespace, name) = ("flux-system".to_owned(), "apps".to_owned());
        assert_eq!(
            manager(json!({"labels": flux})),
            Some(Manager::Kustomization { namespace, name })
        );
        let left = json!({"kustomize.toolkit.fluxcd.io/reconcile": "disabled"});
        assert_eq!(
            manager(json!({"labels": flux, "annotations": left})),
            None,
            "it leaves this object alone"
        );

        let helm = json!({"meta.helm.sh/release-name": "orders", "meta.helm.sh/release-namespace": "shop"});
        let (namespace, release) = ("shop".to_owned(), "orders".to_owned());
        assert_eq!(
            manager(json!({"annotations": helm})),
            Some(Manager::Helm { namespace, release })
        );
        let applied = json!({"kubectl.kubernetes.io/last-applied-configuration": "{}"});
        assert_eq!(
            manager(json!({"annotations": applied})),
            Some(Manager::Kubectl { server_side: false })
        );
        let fields = json!([{"manager": "kubectl", "operation": "Apply"}]);
        assert_eq!(
            manager(json!({"managedFields": fields})),
            Some(Manager::Kubectl { server_side: true })
        );
        assert_eq!(manager(json!({"labels": {"app": "orders"}})), None);
    }

    #[test]
    fn argo_cd_heals_only_where_it_syncs_by_itself_and_is_asked_to() {
        let does = |automated: Value| {
            argo()
                .does(Some(&json!({"spec": {"syncPolicy": {"automated": automated}}})))
                .heals
        };
        assert!(does(json!({"selfHeal": true})));
        assert!(!does(json!({"selfHeal": true, "enabled": false})));
        assert!(!does(json!({})));
        assert!(!argo().does(Some(&json!({"spec": {}}))).heals);
        assert!(argo().does(None).heals, "what cannot be read is taken for the worst");
    }

    #[test]
    fn flux_puts_back_what_it_applies_unless_it_is_suspended() {
        let flux = |group: &str| {
            manager(json!({"labels": {format!("{group}.toolkit.fluxcd.io/name"): "apps"}, "namespace": "shop"}))
                .unwrap()
        };
        let kustomize = flux("kustomize");
        let does = kustomize.does(Some(&json!({"spec": {"interval": "1m0s"}})));
        assert_eq!(
            does.words,
            "Flux will put this back within 1m (Kustomization shop/apps)"
        );
        assert!(does.heals);
        assert!(!kustomize.does(Some(&json!({"spec": {"suspend": true}}))).heals);
        let helm = flux("helm");
        let drift = |mode: &str| {
            helm.does(Some(
                &json!({"spec": {"interval": "10m", "driftDetection": {"mode": mode}}}),
            ))
            .heals
        };
        assert!(drift("enabled"));
        assert!(!drift("warn"));
        assert!(!helm.does(Some(&json!({"spec": {}}))).heals);
        assert!(helm.does(None).heals);
    }
}
