use serde_json::{Value, json};

use super::*;

fn resource(name: &str, uid: &str, version: u64, status: Value) -> SesDomain {
    serde_json::from_value(json!({
        "apiVersion": "ses-operator.dev/v1alpha1",
        "kind": "SesDomain",
        "metadata": {
            "name": name, "namespace": "mail", "uid": uid, "resourceVersion": version.to_string(), "generation": 1,
        },
        "spec": {"domain": format!("{name}.example.com")},
        "status": status,
    }))
    .expect("a SesDomain")
}

fn account(account: &str) -> Value {
    json!({"account": account})
}

fn key(name: &str) -> Key {
    Key::new("mail", name)
}

fn known(store: &Store, name: &str) -> Option<String> {
    store.get(&key(name))?.status.clone()?.account
}

/// What sightings say, in words.
fn told(sightings: Vec<Sighting>) -> Vec<String> {
    let words = |sighting| match sighting {
        Sighting::First(key, _) => format!("first {}", key.name),
        Sighting::Asks(key, class) => format!("{} {}", class.as_label(), key.name),
        Sighting::Gone(key, _) => format!("gone {}", key.name),
    };
    sightings.into_iter().map(words).collect()
}

#[test]
fn the_newer_version_counts_wherever_it_comes_from() {
    let store = Store::default();
    assert_eq!(told(store.observe(Event::Apply(resource("a", "u", 5, account("watched"))))), ["first a"]);
    store.learn(resource("a", "u", 7, account("answered")));
    assert_eq!(known(&store, "a").as_deref(), Some("answered"));
    assert!(store.observe(Event::Apply(resource("a", "u", 6, account("late")))).is_empty());
    assert_eq!(known(&store, "a").as_deref(), Some("answered"));
    assert!(store.observe(Event::Apply(resource("a", "u", 8, account("newer")))).is_empty());
    store.learn(resource("a", "u", 7, account("answered")));
    assert_eq!(known(&store, "a").as_deref(), Some("newer"));
}

#[test]
fn an_edit_that_our_own_patchs_answer_showed_first_still_asks_once_the_watch_shows_it() {
    let store = Store::default();
    store.observe(Event::Apply(resource("a", "u", 5, account("1"))));
    let mut edited = resource("a", "u", 6, account("1"));
    edited.metadata.generation = Some(2);
    let answer = SesDomain { status: resource("a", "u", 7, account("2")).status, ..edited.clone() };
    store.learn(SesDomain { metadata: with_version(&answer, 7), ..answer.clone() });
    assert_eq!(told(store.observe(Event::Apply(edited))), ["changed a"]);
    assert_eq!(known(&store, "a").as_deref(), Some("2"), "the answer is newer");
    assert!(store.observe(Event::Apply(SesDomain { metadata: with_version(&answer, 7), ..answer })).is_empty());
}

fn with_version(resource: &SesDomain, version: u64) -> kube::api::ObjectMeta {
    kube::api::ObjectMeta { resource_version: Some(version.to_string()), ..resource.metadata.clone() }
}

#[test]
fn what_is_gone_does_not_come_back_by_a_late_answer() {
    let store = Store::default();
    store.observe(Event::Apply(resource("a", "u", 5, account("1"))));
    assert_eq!(told(store.observe(Event::Delete(resource("a", "u", 9, account("1"))))), ["gone a"]);
    store.learn(resource("a", "u", 8, account("2")));
    assert!(store.is_empty());
    assert!(store.observe(Event::Delete(resource("a", "u", 9, account("1")))).is_empty());
}

#[test]
fn what_was_made_anew_under_the_same_name_starts_from_nothing() {
    let store = Store::default();
    store.observe(Event::Apply(resource("a", "old", 5, account("1"))));
    assert_eq!(told(store.observe(Event::Apply(resource("a", "new", 9, Value::Null)))), ["gone a", "first a"]);
    store.learn(resource("a", "old", 10, account("1")));
    assert_eq!(known(&store, "a"), None);
    assert!(store.observe(Event::Apply(resource("a", "old", 6, account("1")))).is_empty(), "it is of before");
    assert_eq!(known(&store, "a"), None);
}

#[test]
fn what_vanished_while_the_watch_was_interrupted_is_found_out_by_the_next_listing() {
    let store = Store::default();
    store.observe(Event::Init);
    for name in ["a", "b", "c"] {
        store.observe(Event::InitApply(resource(name, name, 5, account("1"))));
    }
    assert!(store.observe(Event::InitDone).is_empty());
    store.observe(Event::Apply(resource("d", "d", 6, account("1"))));

    store.observe(Event::Init);
    assert_eq!(store.len(), 4, "nothing is dropped before all is listed");
    assert!(store.observe(Event::InitApply(resource("a", "a", 5, account("1")))).is_empty());
    assert!(store.observe(Event::InitApply(resource("d", "d", 6, account("1")))).is_empty());
    assert_eq!(told(store.observe(Event::InitApply(resource("e", "e", 8, account("1"))))), ["first e"]);
    let mut gone = told(store.observe(Event::InitDone));
    gone.sort();
    assert_eq!(gone, ["gone b", "gone c"]);
    assert_eq!(store.len(), 3);
}

#[test]
fn resources_are_found_by_their_domain() {
    let store = Store::default();
    for (name, domain) in [("a", "Example.com."), ("b", "example.com"), ("c", "mail.example.com"), ("d", "example.co")]
    {
        let mut resource = resource(name, name, 5, account("1"));
        resource.spec.domain = domain.to_owned();
        store.observe(Event::Apply(resource));
    }
    let domain = DomainName::new("EXAMPLE.com");
    assert_eq!(store.of_domain(&domain), ["a", "b"].map(key));
    store.observe(Event::Delete(resource("a", "a", 9, account("1"))));
    assert_eq!(store.of_domain(&domain), ["b"].map(key));
    assert_eq!(store.of_domain(&DomainName::new("com")), []);
}

#[test]
fn resources_are_found_by_the_zones_of_their_records() {
    let in_zones = |name: &str, version, zones: &[&str]| {
        let record = |zone: &&str| {
            json!({
                "purpose": "Dmarc", "name": name, "type": "TXT", "value": "v=DMARC1; p=none", "ttl": 300,
                "hostedZoneId": zone, "ours": true, "since": "2026-01-01T00:00:00Z",
            })
        };
        resource(name, name, version, json!({"records": zones.iter().map(record).collect::<Vec<_>>()}))
    };
    let store = Store::default();
    let found = |zone: &str| {
        let mut found = Vec::new();
        store.each_in_zone(&ZoneId(zone.into()), |resource| found.push(Key::of(resource)));
        found
    };
    for (name, zones) in [("a", &["Z1", "Z2"][..]), ("b", &["Z1", "Z1"]), ("c", &["Z10"]), ("d", &[])] {
        store.observe(Event::Apply(in_zones(name, 5, zones)));
    }
    assert_eq!(found("Z1"), ["a", "b"].map(key));
    assert_eq!(found("Z2"), ["a"].map(key));
    store.learn(in_zones("a", 6, &["Z3", "Z2"]));
    store.learn(in_zones("d", 6, &["Z1"]));
    assert_eq!(found("Z1"), ["b", "d"].map(key));
    assert_eq!(found("Z3"), ["a"].map(key));
    for name in ["a", "b", "c", "d"] {
        store.observe(Event::Delete(in_zones(name, 9, &[])));
    }
    assert!(store.shelf().by_zone.is_empty());
}

#[test]
fn what_resources_have_in_common_is_kept_once_and_let_go_of_with_the_last() {
    let store = Store::default();
    let ready = |status: &str| {
        json!({"conditions": [{
            "type": "Ready", "status": status, "reason": status, "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]})
    };
    for number in 0..10 {
        let name = number.to_string();
        store.observe(Event::Apply(resource(&name, &name, 5, ready("True"))));
    }
    let count = |store: &Store| {
        let shelf = store.shelf();
        (shelf.states.len(), shelf.namespaces.len())
    };
    assert_eq!(count(&store), (1, 1));
    store.observe(Event::Apply(resource("0", "0", 6, ready("False"))));
    assert_eq!(count(&store), (2, 1));
    store.learn(resource("0", "0", 7, ready("True")));
    assert_eq!(count(&store), (1, 1));
    for number in 0..10 {
        let name = number.to_string();
        store.observe(Event::Delete(resource(&name, &name, 9, ready("True"))));
    }
    assert_eq!(count(&store), (0, 0));
}

#[test]
fn all_are_gone_through_as_they_are_now() {
    let store = Store::default();
    for name in ["a", "b"] {
        store.observe(Event::Apply(resource(name, name, 5, account(name))));
    }
    store.learn(resource("b", "b", 6, account("c")));
    let mut seen = Vec::new();
    store.for_each(|resource| seen.extend(resource.status.clone().and_then(|status| status.account)));
    seen.sort();
    assert_eq!(seen, ["a", "c"]);
    let mut keys = store.keys();
    keys.sort();
    assert_eq!(keys, ["a", "b"].map(key));
}

#[tokio::test]
async fn who_needs_all_resources_waits_until_they_are_listed() {
    let store = Store::default();
    let listed = tokio::spawn({
        let store = store.clone();
        async move { store.listed().await }
    });
    store.observe(Event::Init);
    tokio::task::yield_now().await;
    assert!(!listed.is_finished());
    store.observe(Event::InitDone);
    listed.await.expect("it is listed");
    store.listed().await;
}

#[test]
fn a_settled_resource_is_packed_into_few_bytes() {
    let bytes: usize = (0..100).map(|number| Packed::new(&settled(number)).len()).sum::<usize>() / 100;
    assert!(bytes < 900, "{bytes} bytes");
}

/// A settled domain with everything, whose values have nothing in common with the dictionary's.
fn settled(number: usize) -> SesDomain {
    let text = include_str!("typical.json");
    let token = |place: usize| -> String {
        let mut state = (number * 7 + place) as u64 + 1;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b"abcdefghijklmnopqrstuvwxyz234567"[(state >> 59) as usize])
        };
        (0..32).map(|_| next()).collect()
    };
    let text = text
        .replace("example.com", &format!("news{number}.customer{}.shop", number % 97))
        .replace("2026-01-01T00:00:00", &format!("2026-11-22T23:{:02}:{:02}", number % 60, number / 60 % 60))
        .replace("000000000000\"", &format!("{number:012}\""))
        .replace(&"a".repeat(32), &token(0))
        .replace(&"b".repeat(32), &token(1))
        .replace("Z0000000000", &format!("Z{}", &token(2)[..10].to_uppercase()))
        .replace("UseDefaultValue", "RejectMessage");
    let mut resource: Value = serde_json::from_str(&text).expect("JSON");
    resource["metadata"]["name"] = json!(format!("news{number}"));
    let dkim = resource["status"]["records"][0].to_string();
    for place in [1, 3] {
        let record = dkim.replace(&token(0), &token(place));
        let record = serde_json::from_str(&record).expect("JSON");
        resource["status"]["records"].as_array_mut().expect("records").push(record);
    }
    serde_json::from_value(resource).expect("a SesDomain")
}
