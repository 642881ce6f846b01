use serde_json::{Value, json};

use super::*;

/// A store as the operator has it.
type Store = super::Store<Packed>;

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

/// The answer to a request that was sent just now.
fn learn(store: &Store, answer: SesDomain) {
    store.request(&answer, None).answered(answer);
}

fn known(store: &Store, name: &str) -> Option<String> {
    store.get(&key(name))?.status.clone()?.account
}

/// What sightings say, in words.
fn told(sightings: Vec<Sighting>) -> Vec<String> {
    let words = |sighting| match sighting {
        Sighting::First(key, _) => format!("first {}", key.name),
        Sighting::Asks(key, class) => format!("{} {}", class.as_label(), key.name),
        Sighting::Rewritten(key) => format!("rewritten {}", key.name),
        Sighting::Gone(key, _) => format!("gone {}", key.name),
    };
    sightings.into_iter().map(words).collect()
}

#[test]
fn the_newer_version_counts_wherever_it_comes_from() {
    let store = Store::default();
    assert_eq!(told(store.observe(Event::Apply(resource("a", "u", 5, account("watched"))))), ["first a"]);
    learn(&store, resource("a", "u", 7, account("answered")));
    assert_eq!(known(&store, "a").as_deref(), Some("answered"));
    assert!(store.observe(Event::Apply(resource("a", "u", 6, account("late")))).is_empty());
    assert_eq!(known(&store, "a").as_deref(), Some("answered"));
    let sent = store.request(&resource("a", "u", 7, Value::Null), None);
    store.observe(Event::Apply(resource("a", "u", 8, account("newer"))));
    sent.answered(resource("a", "u", 7, account("answered")));
    assert_eq!(known(&store, "a").as_deref(), Some("newer"));
}

#[test]
fn a_status_that_somebody_else_has_written_is_told_and_our_own_is_not() {
    let written = resource("a", "u", 7, account("written"));
    let status = written.status.as_ref().expect("a status");
    for (case, version, shown, expected) in [
        ("forged", 8, account("forged"), Some("rewritten a")),
        ("taken away", 8, Value::Null, Some("rewritten a")),
        ("an edit of labels", 8, account("written"), None),
        ("our own, which the watch shows after the answer", 7, account("written"), None),
        ("what stood before it, which the watch shows late", 6, account("before"), None),
        ("forged before our own, which the watch shows late", 6, account("forged"), None),
    ] {
        let store = Store::default();
        store.observe(Event::Apply(resource("a", "u", 5, account("before"))));
        store.request(&written, Some(status)).answered(written.clone());
        let told = told(store.observe(Event::Apply(resource("a", "u", version, shown))));
        assert_eq!(told.first().map(String::as_str), expected, "{case}");
    }
}

#[test]
fn an_edit_of_the_spec_asks_and_a_status_that_comes_with_it_does_not_ask_twice() {
    let store = Store::default();
    store.observe(Event::Apply(resource("a", "u", 5, account("1"))));
    let mut edited = resource("a", "u", 6, account("forged"));
    edited.metadata.generation = Some(2);
    assert_eq!(told(store.observe(Event::Apply(edited))), ["changed a"]);
}

#[test]
fn what_we_write_is_ours_in_the_watch_before_the_answer_and_not_after_it_was_given_up() {
    let store = Store::default();
    let before = resource("a", "u", 5, account("before"));
    store.observe(Event::Apply(before.clone()));
    let written = resource("a", "u", 6, account("written"));
    let sent = store.request(&before, written.status.as_ref());
    assert!(store.observe(Event::Apply(written.clone())).is_empty(), "the answer is on its way");
    sent.answered(written);
    assert!(store.shelf().writing.is_empty());

    let lost = resource("a", "u", 7, account("lost"));
    drop(store.request(&before, lost.status.as_ref()));
    assert_eq!(known(&store, "a").as_deref(), Some("written"), "somebody may look now, and rest");
    assert_eq!(told(store.observe(Event::Apply(lost))), ["rewritten a"]);

    let sent = store.request(&before, resource("a", "u", 8, account("written")).status.as_ref());
    let forged = resource("a", "u", 8, account("forged"));
    assert_eq!(told(store.observe(Event::Apply(forged))), ["rewritten a"], "it is not what we write");
    drop(sent);
}

#[test]
fn a_listing_of_a_restored_etcd_overrules_what_was_known_when_it_began() {
    let store = Store::default();
    store.observe(Event::Init);
    for name in ["a", "b", "c", "d"] {
        store.observe(Event::InitApply(resource(name, name, 50, account("known"))));
    }
    store.observe(Event::InitDone);
    // Restored to version 20; `c` did not exist, and `d` was another one of its name.
    store.observe(Event::Init);
    assert_eq!(told(store.observe(Event::InitApply(resource("a", "a", 15, account("restored"))))), ["rewritten a"]);
    assert!(store.observe(Event::InitApply(resource("b", "b", 16, account("known")))).is_empty(), "it says the same");
    let former = store.observe(Event::InitApply(resource("d", "former", 17, account("former"))));
    assert_eq!(told(former), ["gone d", "first d"]);
    assert_eq!(told(store.observe(Event::InitDone)), ["gone c"]);
    assert_eq!(known(&store, "a").as_deref(), Some("restored"));
    // From now on these are the versions that rise.
    assert_eq!(told(store.observe(Event::Apply(resource("b", "b", 21, account("newer"))))), ["rewritten b"]);
    assert_eq!(known(&store, "b").as_deref(), Some("newer"));
}

#[test]
fn a_version_that_came_twice_since_etcd_was_restored_in_between_is_looked_at() {
    let store = Store::default();
    store.observe(Event::Apply(resource("a", "u", 21, account("before"))));
    store.observe(Event::Init);
    assert_eq!(told(store.observe(Event::InitApply(resource("a", "u", 21, account("after"))))), ["rewritten a"]);
    assert_eq!(known(&store, "a").as_deref(), Some("after"));
}

#[test]
fn what_we_wrote_while_a_listing_went_on_is_newer_than_the_listing() {
    let store = Store::default();
    store.observe(Event::Apply(resource("a", "u", 5, account("before"))));
    store.observe(Event::Init);
    learn(&store, resource("a", "u", 6, account("written")));
    assert!(store.observe(Event::InitApply(resource("a", "u", 5, account("before")))).is_empty());
    assert_eq!(known(&store, "a").as_deref(), Some("written"));
    assert_eq!(told(store.observe(Event::InitApply(resource("a", "u", 7, account("forged"))))), ["rewritten a"]);
}

/// Whether an answer has shown that the watch missed something.
async fn is_contradicted(store: &Store) -> bool {
    futures::poll!(std::pin::pin!(store.contradicted())).is_ready()
}

#[tokio::test]
async fn an_answer_of_a_restored_etcd_overrules_what_was_known_and_asks_for_a_listing() {
    let newest = || resource("a", "u", 50, account("known"));
    for (case, sent_first, answer, expected, contradicted) in [
        ("the same", true, resource("a", "u", 50, account("known")), "known", false),
        ("newer", true, resource("a", "u", 51, account("newer")), "newer", false),
        ("older: it was restored", true, resource("a", "u", 20, account("restored")), "restored", true),
        (
            "another of its name: the watch is late, or it was restored",
            true,
            resource("a", "w", 20, json!({})),
            "known",
            true,
        ),
        (
            "older than what the watch has shown meanwhile",
            false,
            resource("a", "u", 49, account("older")),
            "known",
            false,
        ),
        (
            "another of its name that the watch has shown to be gone",
            false,
            resource("a", "w", 49, json!({})),
            "known",
            false,
        ),
    ] {
        let store = Store::default();
        store.observe(Event::Apply(resource("a", "u", 40, account("first"))));
        let shows = || store.observe(Event::Apply(newest()));
        if sent_first {
            shows();
        }
        let sent = store.request(&newest(), None);
        shows();
        sent.answered(answer);
        assert_eq!(known(&store, "a").as_deref(), Some(expected), "{case}");
        assert_eq!(is_contradicted(&store).await, contradicted, "{case}");
    }
}

#[tokio::test]
async fn a_resource_that_does_not_exist_and_that_the_watch_has_not_shown_to_be_gone_asks_for_a_listing() {
    let store = Store::default();
    let gone = resource("a", "u", 5, account("1"));
    store.observe(Event::Apply(gone.clone()));
    store.request(&gone, None).answered_gone();
    assert!(is_contradicted(&store).await);
    store.observe(Event::Delete(gone.clone()));
    store.request(&gone, None).answered_gone();
    assert!(!is_contradicted(&store).await);
}

#[test]
fn an_edit_that_our_own_patchs_answer_showed_first_still_asks_once_the_watch_shows_it() {
    let store = Store::default();
    store.observe(Event::Apply(resource("a", "u", 5, account("1"))));
    let mut edited = resource("a", "u", 6, account("1"));
    edited.metadata.generation = Some(2);
    let answer = SesDomain { status: resource("a", "u", 7, account("2")).status, ..edited.clone() };
    learn(&store, SesDomain { metadata: with_version(&answer, 7), ..answer.clone() });
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
    learn(&store, resource("a", "u", 8, account("2")));
    assert!(store.is_empty());
    assert!(store.observe(Event::Delete(resource("a", "u", 9, account("1")))).is_empty());
}

#[test]
fn what_was_made_anew_under_the_same_name_starts_from_nothing() {
    let store = Store::default();
    store.observe(Event::Apply(resource("a", "old", 5, account("1"))));
    assert_eq!(told(store.observe(Event::Apply(resource("a", "new", 9, Value::Null)))), ["gone a", "first a"]);
    learn(&store, resource("a", "old", 10, account("1")));
    assert_eq!(known(&store, "a"), None);
    assert!(store.observe(Event::Apply(resource("a", "old", 6, account("1")))).is_empty(), "it is of before");
    assert_eq!(known(&store, "a"), None);
    assert!(store.observe(Event::Delete(resource("a", "old", 6, account("1")))).is_empty(), "and so is its end");
    assert_eq!(store.len(), 1);
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
    learn(&store, in_zones("a", 6, &["Z3", "Z2"]));
    learn(&store, in_zones("d", 6, &["Z1"]));
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
    learn(&store, resource("0", "0", 7, ready("True")));
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
    learn(&store, resource("b", "b", 6, account("c")));
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
    let bytes: usize = (0..100).map(|number| Packed::of(&Arc::new(settled(number))).len()).sum::<usize>() / 100;
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
