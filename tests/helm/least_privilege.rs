//! No role has more than it needs, whatever the values.

use std::collections::BTreeSet;

use anyhow::Result;
use serde_json::{Value, json};

use crate::render;

fn roles(objects: &[Value]) -> Vec<&Value> {
    objects.iter().filter(|object| object["kind"] == "Role" || object["kind"] == "ClusterRole").collect()
}

/// Whether anything in a rule means "all".
fn has_wildcard(role: &Value) -> bool {
    let rules = role["rules"].as_array().into_iter().flatten();
    rules
        .flat_map(|rule| rule.as_object().into_iter().flat_map(|fields| fields.values()))
        .flat_map(|list| list.as_array().into_iter().flatten())
        .any(|word| word.as_str().is_some_and(|word| word.contains('*')))
}

#[tokio::test]
async fn no_role_has_a_wildcard() -> Result<()> {
    assert!(has_wildcard(&json!({"rules": [{"verbs": ["*"]}]})), "the test can't fail");
    let one_namespace: &[&str] = &["--set", "watchNamespace=mail,clusterId=production,replicas=2"];
    for rendered in
        [render::chart(&[]).await?, render::chart(one_namespace).await?, render::kustomize("config/default").await?]
    {
        let roles = roles(&rendered);
        assert!(roles.len() >= 4, "{:?}", render::names(&rendered));
        for role in roles {
            assert!(!has_wildcard(role), "{role:#}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_operator_may_do_these_things_and_no_others() -> Result<()> {
    let rendered = render::chart(&[]).await?;
    let rules = &render::object(&rendered, "ClusterRole", "ses-operator")?["rules"];
    let expected = json!([
        {"apiGroups": ["ses-operator.dev"], "resources": ["sesdomains"], "verbs": ["get", "list", "watch", "patch"]},
        {"apiGroups": ["ses-operator.dev"], "resources": ["sesdomains/status"], "verbs": ["patch"]},
        {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
        {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]},
    ]);
    assert_eq!(rules, &expected);
    let rules = &render::object(&rendered, "Role", "ses-operator-leader")?["rules"];
    let leases = json!(["leases"]);
    let expected = json!([
        {"apiGroups": ["coordination.k8s.io"], "resources": leases, "verbs": ["create"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": leases, "resourceNames": ["ses-operator"], "verbs": ["get", "update"]},
    ]);
    assert_eq!(rules, &expected);
    Ok(())
}

#[tokio::test]
async fn with_one_namespace_and_a_cluster_id_nothing_is_granted_in_the_whole_cluster() -> Result<()> {
    let cluster_wide =
        |objects: &[Value]| objects.iter().filter(|object| object["kind"] == "ClusterRoleBinding").count();
    assert_eq!(cluster_wide(&render::chart(&[]).await?), 1);
    assert_eq!(cluster_wide(&render::chart(&["--set", "watchNamespace=mail"]).await?), 1, "the cluster's ID is read");
    let rendered = render::chart(&["--set", "watchNamespace=mail,clusterId=production"]).await?;
    assert_eq!(cluster_wide(&rendered), 0);
    let role = render::object(&rendered, "Role", "ses-operator")?;
    assert_eq!(role["metadata"]["namespace"], "mail");
    Ok(())
}

#[tokio::test]
async fn several_replicas_are_not_all_evicted_at_once() -> Result<()> {
    let budgets = |objects: &[Value]| objects.iter().filter(|object| object["kind"] == "PodDisruptionBudget").count();
    assert_eq!(budgets(&render::chart(&[]).await?), 0);
    assert_eq!(budgets(&render::chart(&["--set", "replicas=2"]).await?), 1);
    Ok(())
}

#[test]
fn the_iam_policy_allows_the_operations_that_the_code_calls_and_no_others() -> Result<()> {
    let mut called = BTreeSet::new();
    for adapter in ["src/ses/sesv2.rs", "src/dns/route53.rs"] {
        let source = render::read(adapter)?;
        let literals = source.split('"').filter(|text| text.starts_with("ses:") || text.starts_with("route53:"));
        called.extend(literals.map(str::to_owned));
    }
    assert!(called.len() > 10, "{called:?}");

    let policy: Value = serde_json::from_str(&render::read("docs/iam-policy.json")?)?;
    let statements = policy["Statement"].as_array().into_iter().flatten();
    let allowed = statements.flat_map(|statement| {
        let actions = &statement["Action"];
        actions.as_array().cloned().unwrap_or_else(|| vec![actions.clone()])
    });
    let allowed: BTreeSet<String> = allowed.filter_map(|action| action.as_str().map(str::to_owned)).collect();
    assert_eq!(allowed, called);
    Ok(())
}
