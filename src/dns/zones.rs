//! Which hosted zone a name belongs to.

use std::collections::BTreeSet;

use super::{HostedZone, ZoneId};
use crate::domain_name::DomainName;

/// Why a name has no zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    /// No public zone has the name or one above it.
    #[error("no public hosted zone was found for {name}: looked for {}; create one, or name it in spec.dns.route53.hostedZoneId", list(.looked_for))]
    NotFound {
        /// The name that needs a zone.
        name: DomainName,
        /// The zone names that were looked for.
        looked_for: Vec<DomainName>,
    },
    /// Several public zones have the same name.
    #[error("{} public hosted zones are named {zone}: {}; name the one that is delegated in spec.dns.route53.hostedZoneId", .ids.len(), list(.ids))]
    Ambiguous {
        /// The zones' name.
        zone: DomainName,
        /// Their IDs.
        ids: Vec<ZoneId>,
    },
    /// The zone that the spec names does not exist, or is private.
    #[error(
        "spec.dns.route53.hostedZoneId names {id}, and the account has no public hosted zone of that ID: correct the ID"
    )]
    Unknown {
        /// The ID in the spec.
        id: ZoneId,
    },
    /// The zone that the spec names can't hold the name.
    #[error(
        "spec.dns.route53.hostedZoneId names {id}, the zone of {zone}, which can't hold {name}: name a zone of {name} or above it"
    )]
    Elsewhere {
        /// The ID in the spec.
        id: ZoneId,
        /// The zone's name.
        zone: DomainName,
        /// The name that needs a zone.
        name: DomainName,
    },
    /// The operator's zone filter leaves the zone out.
    #[error(
        "the hosted zone {id} ({zone}) is outside of the operator's --zone-filter: ask the operator's administrator to add it"
    )]
    Filtered {
        /// The zone's ID.
        id: ZoneId,
        /// The zone's name.
        zone: DomainName,
    },
}

fn list(items: &[impl ToString]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The zone that holds `name`: the one with the longest name that `name` is within.
///
/// `preferred` is the zone that the spec names for the domain. It is taken, unless a zone with a longer name holds
/// `name`: `mail.example.com` may have a zone of its own.
///
/// # Errors
/// When there is none, or more than one, or the filter leaves it out.
pub fn zone_for<'a>(
    name: &DomainName,
    zones: &'a [HostedZone],
    preferred: Option<&ZoneId>,
    filter: &[ZoneId],
) -> Result<&'a HostedZone, ZoneError> {
    let preferred = preferred.map(|id| preferred_zone(name, zones, id)).transpose()?;
    let at_least = preferred.map_or(0, |zone| zone.name.label_count());
    let longest = zones
        .iter()
        .filter(|zone| name.is_within(&zone.name) && zone.name.label_count() > at_least)
        .max_by_key(|zone| zone.name.label_count());
    let zone = match (longest, preferred) {
        (Some(zone), _) => {
            let of_its_name = || zones.iter().filter(|other| other.name == zone.name);
            if of_its_name().nth(1).is_some() {
                let mut ids: Vec<ZoneId> = of_its_name().map(|zone| zone.id.clone()).collect();
                ids.sort();
                return Err(ZoneError::Ambiguous { zone: zone.name.clone(), ids });
            }
            zone
        }
        (None, Some(zone)) => zone,
        (None, None) => {
            let looked_for = name.self_and_ancestors().filter(|name| name.label_count() > 1).collect();
            return Err(ZoneError::NotFound { name: name.clone(), looked_for });
        }
    };
    if !filter.is_empty() && !filter.contains(&zone.id) {
        return Err(ZoneError::Filtered { id: zone.id.clone(), zone: zone.name.clone() });
    }
    Ok(zone)
}

/// The names, and those between them and the top of their zone, at which something may hide them.
pub fn with_those_above(names: Vec<DomainName>, zone: &DomainName) -> Vec<DomainName> {
    let depth = zone.label_count();
    let above = |name: &DomainName| {
        let above = name.self_and_ancestors().skip(1);
        above.take_while(|above| above.label_count() > depth).collect::<Vec<_>>()
    };
    let all: BTreeSet<DomainName> = names.iter().flat_map(above).chain(names.iter().cloned()).collect();
    all.into_iter().collect()
}

fn preferred_zone<'a>(name: &DomainName, zones: &'a [HostedZone], id: &ZoneId) -> Result<&'a HostedZone, ZoneError> {
    let zone = zones.iter().find(|zone| &zone.id == id).ok_or_else(|| ZoneError::Unknown { id: id.clone() })?;
    if name.is_within(&zone.name) {
        Ok(zone)
    } else {
        Err(ZoneError::Elsewhere { id: id.clone(), zone: zone.name.clone(), name: name.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(id: &str, name: &str) -> HostedZone {
        HostedZone { id: ZoneId(id.into()), name: DomainName::new(name), record_sets: 2 }
    }

    fn found(name: &str, zones: &[HostedZone], preferred: Option<&str>) -> String {
        let preferred = preferred.map(|id| ZoneId(id.into()));
        match zone_for(&DomainName::new(name), zones, preferred.as_ref(), &[]) {
            Ok(zone) => zone.id.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_longest_name_wins() {
        let zones = [zone("Z1", "example.com"), zone("Z2", "mail.example.com"), zone("Z3", "com")];
        assert_eq!(found("example.com", &zones, None), "Z1");
        assert_eq!(found("mail.example.com", &zones, None), "Z2");
        assert_eq!(found("bounce.mail.example.com", &zones, None), "Z2");
        assert_eq!(found("other.com", &zones, None), "Z3");
    }

    #[test]
    fn a_look_alike_is_no_zone_and_the_message_says_what_was_looked_for() {
        let message = found("mail.example.com", &[zone("Z1", "ample.com")], None);
        assert_eq!(
            message,
            "no public hosted zone was found for mail.example.com: looked for mail.example.com, example.com; create one, \
             or name it in spec.dns.route53.hostedZoneId"
        );
    }

    #[test]
    fn two_zones_of_one_name_are_listed_both_and_the_spec_decides() {
        let zones = [zone("Z2", "example.com"), zone("Z1", "example.com")];
        assert_eq!(
            found("example.com", &zones, None),
            "2 public hosted zones are named example.com: Z1, Z2; name the one that is delegated in \
             spec.dns.route53.hostedZoneId"
        );
        assert_eq!(found("example.com", &zones, Some("Z2")), "Z2");
        assert_eq!(found("mail.example.com", &zones, Some("Z2")), "Z2");
    }

    #[test]
    fn a_longer_zone_beats_the_one_that_the_spec_names_for_the_domain() {
        let zones = [zone("Z1", "example.com"), zone("Z2", "mail.example.com")];
        assert_eq!(found("mail.example.com", &zones, Some("Z1")), "Z2");
        assert_eq!(found("_dmarc.example.com", &zones, Some("Z1")), "Z1");
    }

    #[test]
    fn the_names_above_ours_are_looked_at_up_to_the_top_of_the_zone() {
        let above = |names: &[&str], zone: &str| {
            let names = names.iter().map(|name| DomainName::new(name)).collect();
            let all = with_those_above(names, &DomainName::new(zone));
            all.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(above(&["_dmarc.example.com"], "example.com"), ["_dmarc.example.com"]);
        assert_eq!(above(&["example.com"], "example.com"), ["example.com"]);
        let keys = ["t._domainkey.a.example.com", "u._domainkey.a.example.com"];
        assert_eq!(above(&keys, "example.com"), ["_domainkey.a.example.com", "a.example.com", keys[0], keys[1]]);
    }

    #[test]
    fn a_zone_that_cannot_hold_the_name_is_refused() {
        let zones = [zone("Z1", "example.org")];
        assert!(found("example.com", &zones, Some("Z1")).contains("can't hold example.com"));
        assert!(found("example.com", &zones, Some("Z9")).contains("no public hosted zone of that ID"));
    }

    #[test]
    fn the_filter_bounds_what_may_be_used() {
        let zones = [zone("Z1", "example.com")];
        let filter = [ZoneId("Z7".into())];
        let error = zone_for(&zones[0].name, &zones, None, &filter).expect_err("the filter leaves it out");
        assert!(error.to_string().contains("--zone-filter"), "{error}");
        assert!(zone_for(&zones[0].name, &zones, None, &[ZoneId("Z1".into())]).is_ok());
    }
}
