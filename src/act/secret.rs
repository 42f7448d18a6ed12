//! IO. What is particular to Secrets: the salt of their hashes, and answers of which nothing is passed on that may hold content.

use std::collections::BTreeMap;

use futures::TryFutureExt;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Api as KubeApi, api::ObjectMeta, core::Status};
use serde::de::Error as _;

use super::{Api, ApiError, post_params};
use crate::model::content::{SALT, SALT_SECRET};

/// An API server's own words end with these; what follows them is an administrator's text, which may quote the object.
const OWN_WORDS: [&str; 4] = [
    "denied request",
    "denied the request",
    "exceeded quota",
    "does not support dry run",
];

/// Asks about a Secret: errors hold nothing of its content.
pub async fn ask<T>(
    api: &Api,
    kind: Option<&str>,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, ApiError> {
    api.ask(kind, request.map_err(quiet)).await
}

/// With what the Secrets of this namespace are hashed. It is made once, and readable for those who may read Secrets.
pub async fn salt(api: &Api, namespace: &str) -> Result<String, ApiError> {
    let secrets = secrets(api, namespace);
    let unusable = || {
        ApiError::Refused(format!(
            "Secret/{SALT_SECRET} holds no salt: delete it, and what is proven is proven anew"
        ))
    };
    if let Some(found) = ask(api, None, secrets.get_opt(SALT_SECRET)).await? {
        return of(&found).ok_or_else(unusable);
    }
    let mut bytes = vec![0; 32];
    let random = rustls::crypto::aws_lc_rs::default_provider().secure_random;
    random
        .fill(&mut bytes)
        .map_err(|_| ApiError::Unsure("no random numbers for a salt".into()))?;
    let made = Secret {
        metadata: ObjectMeta {
            name: Some(SALT_SECRET.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(SALT.to_owned(), ByteString(bytes))])),
        ..Secret::default()
    };
    match ask(api, Some("salt"), secrets.create(&post_params(), &made)).await {
        Ok(made) => of(&made).ok_or_else(unusable),
        // Somebody else was faster.
        Err(ApiError::Exists(_)) => of(&ask(api, None, secrets.get(SALT_SECRET)).await?).ok_or_else(unusable),
        Err(why) => Err(why),
    }
}

fn of(secret: &Secret) -> Option<String> {
    let bytes = &secret.data.as_ref()?.get(SALT)?.0;
    (!bytes.is_empty()).then(|| hex::encode(bytes))
}

pub fn secrets(api: &Api, namespace: &str) -> KubeApi<Secret> {
    KubeApi::namespaced(api.client.clone(), namespace)
}

/// The error without what may quote a Secret: a refused write is answered with the values that it was refused for.
fn quiet(why: kube::Error) -> kube::Error {
    if let kube::Error::Api(mut status) = why {
        status.message = words(&status);
        status.details = None;
        kube::Error::Api(status)
    } else if let kube::Error::SerdeError(_) = why {
        kube::Error::SerdeError(serde_json::Error::custom("the answer is unreadable"))
    } else {
        why
    }
}

fn words(status: &Status) -> String {
    let said = &status.message;
    let end = |part: &&str| said.find(*part).map(|at| at + part.len());
    if let Some(own) = OWN_WORDS.iter().filter_map(end).min().and_then(|end| said.get(..end)) {
        return format!("{own} (its reason is not shown, it may quote the Secret)");
    }
    if said.contains(" is forbidden: User \"") || matches!(status.code, 401 | 404 | 409) {
        return said.clone();
    }
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let fields: Vec<&str> = causes
        .map(|cause| cause.field.as_str())
        .filter(|field| !field.is_empty())
        .collect();
    let at = if fields.is_empty() {
        String::new()
    } else {
        format!(" at {}", fields.join(", "))
    };
    format!(
        "{} {}{at} (more is not shown, it may quote the Secret)",
        status.code, status.reason
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(status: serde_json::Value) -> String {
        quiet(kube::Error::Api(Box::new(serde_json::from_value(status).unwrap()))).to_string()
    }

    #[test]
    fn what_the_server_says_of_a_secret_is_told_without_its_values() {
        let invalid = json!({"status": "Failure", "code": 422, "reason": "Invalid",
            "message": "Secret \"db\" is invalid: data[DB_URL]: Invalid value: \"aHVudGVyMg==\": no",
            "details": {"causes": [{"reason": "FieldValueInvalid", "field": "data[DB_URL]", "message": "Invalid value: \"aHVudGVyMg==\""}]}});
        let policy = json!({"status": "Failure", "code": 422, "reason": "Invalid",
            "message": "secrets \"db\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: aHVudGVyMg== is weak"});
        let hook = json!({"status": "Failure", "code": 409, "reason": "Conflict",
            "message": "admission webhook \"w.example.org\" denied the request: aHVudGVyMg=="});
        let told = [invalid, policy, hook].map(said);
        for (told, part) in told.iter().zip([
            "422 Invalid at data[DB_URL]",
            "ValidatingAdmissionPolicy 'p'",
            "w.example.org",
        ]) {
            assert!(told.contains(part) && !told.contains("aHVudGVyMg"), "{told}");
        }
        let rights = "secrets \"db\" is forbidden: User \"modosu\" cannot patch resource \"secrets\" in API group \"\"";
        let told = said(json!({"status": "Failure", "code": 403, "reason": "Forbidden", "message": rights}));
        assert!(told.contains("cannot patch resource"), "{told}");
        let unreadable = serde_json::from_str::<u8>("\"hunter2\"").unwrap_err();
        assert!(
            !quiet(kube::Error::SerdeError(unreadable))
                .to_string()
                .contains("hunter2")
        );
    }
}
