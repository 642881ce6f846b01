//! From the SDK's types to ours and back.

use aws_sdk_route53::types::{Change, ChangeAction, ResourceRecord, ResourceRecordSet, RrType};

use super::absolute;
use crate::dns::{RecordChange, RecordSet, RecordType};
use crate::domain_name::DomainName;

pub(super) fn record_set(set: ResourceRecordSet) -> RecordSet {
    let records = set.resource_records.iter().flatten().map(|record| record.value.clone());
    // An alias has its target for a value: it is never written back, and is named to whoever must remove it.
    let values = set.alias_target.iter().map(|target| target.dns_name.clone()).chain(records).collect();
    RecordSet {
        name: DomainName::new(&set.name),
        record_type: RecordType::parse(set.r#type.as_str()),
        ttl: set.ttl.and_then(|ttl| u32::try_from(ttl).ok()),
        routed: is_routed(&set),
        values,
    }
}

/// Any of these makes a set one of several, or none with values of its own.
fn is_routed(set: &ResourceRecordSet) -> bool {
    set.alias_target.is_some()
        || set.set_identifier.is_some()
        || set.weight.is_some()
        || set.region.is_some()
        || set.geo_location.is_some()
        || set.geo_proximity_location.is_some()
        || set.failover.is_some()
        || set.multi_value_answer.is_some()
        || set.cidr_routing_config.is_some()
        || set.health_check_id.is_some()
        || set.traffic_policy_instance_id.is_some()
}

pub(super) fn sdk_change(change: &RecordChange) -> Change {
    let (action, set) = match change {
        RecordChange::Create(set) => (ChangeAction::Create, set),
        RecordChange::Delete(set) => (ChangeAction::Delete, set),
    };
    let change = Change::builder().action(action).resource_record_set(sdk_record_set(set)).build();
    change.expect("action and set are set")
}

fn sdk_record_set(set: &RecordSet) -> ResourceRecordSet {
    let record = |value: &String| ResourceRecord::builder().value(value).build().expect("a value is set");
    let built = ResourceRecordSet::builder()
        .name(absolute(&set.name))
        .r#type(RrType::from(set.record_type.as_str()))
        .set_ttl(set.ttl.map(i64::from))
        .set_resource_records(Some(set.values.iter().map(record).collect()))
        .build();
    built.expect("name and type are set")
}

#[cfg(test)]
mod tests {
    use aws_sdk_route53::types::AliasTarget;

    use super::*;

    fn builder() -> aws_sdk_route53::types::builders::ResourceRecordSetBuilder {
        ResourceRecordSet::builder().name("_dmarc.example.com.").r#type(RrType::Txt)
    }

    #[test]
    fn a_plain_set_goes_and_comes_unchanged() {
        let set = RecordSet::new(
            DomainName::new("_dmarc.example.com"),
            RecordType::Txt,
            300,
            vec![r#""v=DMARC1; p=none""#.to_owned(), r#""other \"quoted\"""#.to_owned()],
        );
        let sent = sdk_record_set(&set);
        assert_eq!(sent.name, "_dmarc.example.com.");
        assert_eq!(record_set(sent), set);
    }

    #[test]
    fn a_set_that_is_one_of_several_or_an_alias_is_routed() {
        let alias = AliasTarget::builder().hosted_zone_id("Z1").dns_name("x.").evaluate_target_health(false).build();
        for (builder, routed) in [
            (builder().ttl(300), false),
            (builder().weight(0).set_identifier("a"), true),
            (builder().multi_value_answer(true).set_identifier("a"), true),
            (builder().health_check_id("h"), true),
            (builder().alias_target(alias.expect("all is set")), true),
        ] {
            assert_eq!(record_set(builder.build().expect("all is set")).routed, routed);
        }
        let alias = AliasTarget::builder().hosted_zone_id("Z1").dns_name("x.").evaluate_target_health(false).build();
        let alias = builder().alias_target(alias.expect("all is set")).build().expect("all is set");
        assert_eq!(record_set(alias).values, ["x."], "the target, for whoever must remove it");
    }
}
