use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::api::status::RecordOrigin;
use crate::dns::ZoneId;
use crate::reconcile::ledger;

fn name(name: &str) -> DomainName {
    DomainName::new(name)
}

fn wanted(purpose: RecordPurpose) -> WantedRecord {
    let (at, record_type, value) = match purpose {
        RecordPurpose::Dkim => ("t1._domainkey.example.com", RecordType::Cname, "t1.dkim.amazonses.com"),
        RecordPurpose::MailFromMx => ("mail.example.com", RecordType::Mx, "10 feedback-smtp.eu-west-1.amazonses.com"),
        RecordPurpose::MailFromSpf => ("mail.example.com", RecordType::Txt, "v=spf1 include:amazonses.com ~all"),
        RecordPurpose::Dmarc => ("_dmarc.example.com", RecordType::Txt, "v=DMARC1; p=none"),
    };
    WantedRecord { purpose, name: name(at), record_type, value: value.into(), ttl: 300 }
}

fn set(at: &str, record_type: &str, values: &[&str]) -> RecordSet {
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    RecordSet::new(name(at), RecordType::parse(record_type), 300, values)
}

fn ours(wanted: &WantedRecord, value: &str) -> RecordStatus {
    let entry =
        ledger::claim(wanted, &ZoneId("Z1".into()), Some(RecordOrigin::Created), &Time(jiff::Timestamp::UNIX_EPOCH));
    RecordStatus { value: value.into(), published: true, ..entry }
}

fn judged(purpose: RecordPurpose, around: &[RecordSet], entry: Option<&RecordStatus>) -> Verdict {
    judge(&wanted(purpose), around, &name("example.com"), entry)
}

#[test]
fn equal_in_meaning_is_right() {
    for (purpose, found) in [
        (RecordPurpose::Dkim, set("T1._domainkey.example.com.", "CNAME", &["T1.dkim.amazonses.com."])),
        (RecordPurpose::MailFromMx, set("mail.example.com", "MX", &["10 Feedback-SMTP.eu-west-1.amazonses.com."])),
        (
            RecordPurpose::MailFromSpf,
            set("mail.example.com", "TXT", &["\"v=spf1 include:amazonses.com -all\"", "\"x\""]),
        ),
        (RecordPurpose::Dmarc, set("_dmarc.example.com", "TXT", &["\"v=DMARC1;p=none;\""])),
    ] {
        assert_eq!(judged(purpose, &[found], None), Verdict::Right, "{purpose:?}");
    }
}

#[test]
fn what_is_absent_is_missing_at_first_and_drift_once_it_was_seen() {
    let wanted = wanted(RecordPurpose::Dkim);
    let seen = ours(&wanted, &wanted.value);
    let claimed = RecordStatus { published: false, ..seen.clone() };
    assert_eq!(judged(RecordPurpose::Dkim, &[], None), Verdict::Missing);
    assert_eq!(judged(RecordPurpose::Dkim, &[], Some(&claimed)), Verdict::Missing);
    assert_eq!(judged(RecordPurpose::Dkim, &[], Some(&seen)), Verdict::Drifted(None));
}

#[test]
fn an_old_value_of_ours_is_outdated_and_a_strangers_is_drift() {
    let wanted = wanted(RecordPurpose::Dmarc);
    let entry = ours(&wanted, "v=DMARC1; p=reject");
    let found = |value: &str| [set("_dmarc.example.com", "TXT", &[value])];
    assert_eq!(judged(RecordPurpose::Dmarc, &found("\"v=DMARC1; p=reject\""), Some(&entry)), Verdict::Outdated);
    let rival = "v=DMARC1; p=quarantine";
    assert_eq!(
        judged(RecordPurpose::Dmarc, &found(&format!("\"{rival}\"")), Some(&entry)),
        Verdict::Drifted(Some(rival.into()))
    );
    assert_eq!(judged(RecordPurpose::Dmarc, &found(&format!("\"{rival}\"")), None), Verdict::Foreign(rival.into()));
}

#[test]
fn a_claim_that_was_never_seen_carried_out_covers_only_what_it_names() {
    let wanted = wanted(RecordPurpose::Dmarc);
    let claimed = RecordStatus { published: false, ..ours(&wanted, "v=DMARC1; p=reject") };
    let found = |value: &str| [set("_dmarc.example.com", "TXT", &[value])];
    assert_eq!(judged(RecordPurpose::Dmarc, &found("\"v=DMARC1; p=reject\""), Some(&claimed)), Verdict::Outdated);
    let rival = "v=DMARC1; p=quarantine";
    assert_eq!(
        judged(RecordPurpose::Dmarc, &found(&format!("\"{rival}\"")), Some(&claimed)),
        Verdict::Foreign(rival.into())
    );
}

#[test]
fn two_policies_at_one_name_are_reported_and_never_added_to() {
    let found = set("_dmarc.example.com", "TXT", &["\"v=DMARC1; p=none\"", "\"v=DMARC1; p=reject\""]);
    assert!(
        matches!(judged(RecordPurpose::Dmarc, &[found], None), Verdict::Obstructed(what) if what.contains("2 values"))
    );
}

#[test]
fn several_mail_exchangers_of_others_are_one_conflict_and_beside_ours_they_are_drift() {
    let ours_is = wanted(RecordPurpose::MailFromMx);
    let both = [ours_is.value.as_str(), "20 mx.elsewhere.example"];
    let found = [set("mail.example.com", "MX", &both)];
    let all = both.join(", ");
    assert_eq!(judged(RecordPurpose::MailFromMx, &found, None), Verdict::Foreign(all.clone()));
    let entry = ours(&ours_is, &ours_is.value);
    assert_eq!(judged(RecordPurpose::MailFromMx, &found, Some(&entry)), Verdict::Drifted(Some(all)));
}

#[test]
fn sets_that_are_chosen_by_weight_or_are_an_alias_are_an_obstacle_and_are_not_removed() {
    for purpose in [RecordPurpose::Dkim, RecordPurpose::MailFromMx, RecordPurpose::MailFromSpf, RecordPurpose::Dmarc] {
        let wanted = wanted(purpose);
        let value =
            if wanted.record_type == RecordType::Txt { text::quote(&wanted.value) } else { wanted.value.clone() };
        let plain = set(wanted.name.as_str(), wanted.record_type.as_str(), &[&value]);
        let routed = RecordSet { routed: true, ..plain.clone() };
        let entry = ours(&wanted, &wanted.value);
        for entry in [None, Some(&entry)] {
            let verdict = judged(purpose, std::slice::from_ref(&routed), entry);
            let is_named = |what: &str| what.contains("alias or weighted set") && what.contains(&value);
            assert!(matches!(&verdict, Verdict::Obstructed(what) if is_named(what)), "{purpose:?}: {verdict:?}");
        }
        assert_eq!(removal(&wanted, RecordOrigin::Created, &[routed]), [], "{purpose:?}");
        assert_eq!(judged(purpose, &[plain], Some(&entry)), Verdict::Right, "{purpose:?}: its twin");
    }
}

#[test]
fn what_stands_in_the_way_is_named() {
    for (purpose, around, word) in [
        (RecordPurpose::Dmarc, set("_dmarc.example.com", "CNAME", &["dmarc.vendor.example"]), "dmarc.vendor.example"),
        (RecordPurpose::Dkim, set("_domainkey.example.com", "NS", &["ns.vendor.example"]), "ns.vendor.example"),
        (RecordPurpose::Dkim, set("t1._domainkey.example.com", "TXT", &["\"p=abc\""]), "can't stand beside"),
        (RecordPurpose::MailFromMx, set("mail.example.com", "CNAME", &["elsewhere.example"]), "elsewhere.example"),
    ] {
        let verdict = judged(purpose, &[around], None);
        assert!(matches!(&verdict, Verdict::Obstructed(what) if what.contains(word)), "{purpose:?}: {verdict:?}");
    }
}

#[test]
fn the_zones_own_name_servers_and_wildcards_are_no_obstacle() {
    let around = [set("example.com", "NS", &["ns-1.awsdns"]), set("*.example.com", "TXT", &["\"wild\""])];
    assert_eq!(judged(RecordPurpose::Dkim, &around, None), Verdict::Missing);
    assert_eq!(judged(RecordPurpose::MailFromSpf, &around, None), Verdict::Missing);
}

#[test]
fn a_shared_text_set_keeps_every_foreign_value_and_its_ttl() {
    let wanted = wanted(RecordPurpose::MailFromSpf);
    let shared = RecordSet { ttl: Some(60), ..set("mail.example.com", "TXT", &["\"site=1\"", "\"other\""]) };
    let added = changes(&wanted, std::slice::from_ref(&shared));
    let with_ours = RecordSet {
        values: vec!["\"site=1\"".into(), "\"other\"".into(), "\"v=spf1 include:amazonses.com ~all\"".into()],
        ..shared.clone()
    };
    assert_eq!(added, [RecordChange::Delete(shared.clone()), RecordChange::Create(with_ours.clone())]);
    let removed = removal(&wanted, RecordOrigin::Created, std::slice::from_ref(&with_ours));
    assert_eq!(removed, [RecordChange::Delete(with_ours), RecordChange::Create(shared)]);
}

#[test]
fn what_no_longer_matches_is_not_removed() {
    let found = set("mail.example.com", "MX", &["10 mx.other.example"]);
    let wanted = wanted(RecordPurpose::MailFromMx);
    assert_eq!(removal(&wanted, RecordOrigin::Created, &[found]), []);
    let same = set("mail.example.com", "MX", &["10 feedback-smtp.eu-west-1.amazonses.com."]);
    assert_eq!(
        removal(&wanted, RecordOrigin::Created, std::slice::from_ref(&same)),
        [RecordChange::Delete(same.clone())]
    );
}

#[test]
fn a_changed_ttl_is_written_and_a_strangers_ttl_left() {
    let wanted = WantedRecord { ttl: 600, ..wanted(RecordPurpose::Dkim) };
    let found = [set("t1._domainkey.example.com", "CNAME", &["t1.dkim.amazonses.com"])];
    let zone = name("example.com");
    let entry = RecordStatus { ttl: 300, ..ours(&wanted, &wanted.value) };
    assert_eq!(judge(&wanted, &found, &zone, Some(&entry)), Verdict::Outdated);
    assert_eq!(judge(&wanted, &found, &zone, None), Verdict::Right);
}

#[test]
fn of_a_merged_policy_only_our_term_goes_and_an_adopted_record_stays() {
    let wanted = wanted(RecordPurpose::MailFromSpf);
    let values = |spf: &str| vec!["\"theirs\"".to_owned(), format!("\"{spf}\"")];
    let mut found = set("mail.example.com", "TXT", &[]);
    found.values = values("v=spf1 a:x.example include:amazonses.com -all");
    found.ttl = Some(7);
    let around = [found.clone()];
    let left = RecordSet { values: values("v=spf1 a:x.example -all"), ..found.clone() };
    let expected = [RecordChange::Delete(found), RecordChange::Create(left.clone())];
    assert_eq!(removal(&wanted, RecordOrigin::Merged, &around), expected);
    assert_eq!(removal(&wanted, RecordOrigin::Merged, &[left]), [], "once is enough");
    assert_eq!(removal(&wanted, RecordOrigin::Adopted, &around), []);
    let two = set("mail.example.com", "TXT", &["\"v=spf1 include:amazonses.com -all\"", "\"v=spf1 mx -all\""]);
    assert_eq!(removal(&wanted, RecordOrigin::Merged, &[two]), [], "one of two policies is nobody's to edit");
}
