//! What nobody looks after any more: a record or an identity that we made and that no SesDomain knows to be its own.

use std::collections::BTreeSet;

use ses_operator::domain_name::DomainName;
use ses_operator::ses::ownership::{CLUSTER, IS_RELEASED, NAME, NAMESPACE, RELEASED};

use crate::api_server::key;
use crate::cloud::harm;
use crate::simulation::Simulation;

/// What nobody looks after any more, in words.
pub fn of(simulation: &Simulation) -> Vec<String> {
    let state = simulation.state();
    let kept = simulation.api.kept();
    let mut orphans = Vec::new();
    // What deletionPolicy Retain leaves is said on the identity.
    let mut retained: BTreeSet<&DomainName> = BTreeSet::new();
    // What the tags of one that has an owner claim goes with it, though the status was lost.
    let mut owned = Vec::new();
    for (of, held) in &state.identities.held {
        let tag = |tag: &str| held.identity.tags.get(tag).map(String::as_str);
        let owner = tag(CLUSTER).map(|_| key(tag(NAMESPACE).unwrap_or_default(), tag(NAME).unwrap_or_default()));
        let has_owner = owner
            .as_ref()
            .is_some_and(|owner| kept.resources().any(|resource| crate::api_server::key_of(resource) == *owner));
        if has_owner {
            owned.push((&of.domain, held));
        }
        if tag(RELEASED) == Some(IS_RELEASED) && !has_owner {
            retained.insert(&of.domain);
        } else if !has_owner && (owner.is_some() || !held.foreign) {
            orphans.push(format!("the identity {} of {owner:?}", of.domain));
        }
    }
    for zone in &state.zones.zones {
        for (place, set) in &zone.sets {
            let is_known = kept.resources().filter_map(|resource| resource.status.as_ref()).any(|status| {
                status.records.iter().any(|entry| {
                    let here = entry.hosted_zone_id == zone.id.0 && entry.name == set.name.as_str();
                    entry.ours && here && entry.record_type == set.record_type.as_str()
                })
            });
            let is_claimed =
                owned.iter().any(|(domain, held)| set.name.is_within(domain) && harm::claims(domain, held, set));
            let is_left =
                retained.iter().any(|domain| set.name.is_within(domain)) || state.guard.left.contains(&set.name);
            let is_theirs = zone.others.get(place).is_some_and(|theirs| {
                theirs.ttl == set.ttl && set.values.iter().all(|value| theirs.values.contains(value))
            });
            if !(is_known || is_claimed || is_left || is_theirs) {
                orphans.push(format!("{} {} {} {:?} {:?}", zone.id, set.name, set.record_type, set.ttl, set.values));
            }
        }
    }
    orphans
}
