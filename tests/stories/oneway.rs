//! Where there is no way back that modosu may take by itself: across a migration, and when it hurts again.

use serde_json::json;

use crate::{
    stage::{Bad, Stage},
    story,
};

story!(across_a_migration_a_person_decides);
async fn across_a_migration_a_person_decides(stage: &Stage) {
    stage.deploy("orders", json!([{"name": "VERSION", "value": "1"}])).await;
    stage.guard("orders", json!({})).await;
    stage.daemon().await;
    stage.proven("orders").await;
    let env = json!([{"name": "VERSION", "value": "2"}, {"name": "ERROR_SHARE", "value": "0.5"}]);
    let migrated = json!({"modosu.dev/no-way-back": "schema 42"});
    stage
        .release("orders", env, |template| template["metadata"]["annotations"] = migrated)
        .await;

    let blocked = async || {
        let to = stage.guard_now("orders").await.status?.restore_to?;
        to.blocked.map(|why| (why, to.printed))
    };
    let said = stage.until("it is said when it comes", 20, blocked).await;
    let printed = "orders:1.0.0 (blocked: schema 42)";
    assert_eq!(
        said,
        ("schema 42".to_owned(), printed.to_owned()),
        "as `kubectl get guards` prints it"
    );
    let waiting = stage.incident_in("AwaitingDecision", 60).await;
    let because = waiting.status.unwrap().reason;
    assert!(because.contains("schema 42"), "{because}");
    assert_eq!(stage.target_writes(), 0, "nobody decided yet");
    let page = stage.page(&format!("/guards/{}/orders", stage.namespace)).await;
    assert!(page.contains("(blocked: schema 42)"), "{page}");

    stage.decide(&waiting.metadata.name.unwrap(), "rollback").await;
    stage.incident_in("Recovered", 90).await;
    assert_eq!(stage.env("orders", "VERSION").await, "1");
}

story!(what_hurts_again_soon_is_a_relapse_for_people);
async fn what_hurts_again_soon_is_a_relapse_for_people(stage: &Stage) {
    stage.deploy("orders", json!([{"name": "VERSION", "value": "1"}])).await;
    stage.guard("orders", json!({"cooldown": "1s"})).await;
    stage.daemon().await;
    stage.proven("orders").await;
    stage.set_env("orders", "ERROR_SHARE", "0.5").await;
    let first = stage.incident_in("Recovered", 90).await.metadata.name;

    stage.misbehave(
        "orders",
        Bad {
            error_share: Some(0.5),
            ..Bad::default()
        },
    );
    let relapse = stage.incident_in("AwaitingDecision", 60).await;
    let status = relapse.status.unwrap();
    assert_eq!(status.relapse_of, first);
    assert!(status.reason.contains("relapse"), "{}", status.reason);
    assert_eq!(stage.template_patches("orders"), 1, "nothing is put back by itself");
}
