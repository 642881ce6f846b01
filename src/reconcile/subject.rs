//! What a reconcile is told, apart from what it reads.

use std::collections::BTreeMap;
use std::fmt;

use crate::api::{SesDomainSpec, SesDomainStatus};
use crate::cloud::Region;
use crate::dns::ZoneId;
use crate::domain_name::DomainName;
use crate::ses::IdentityKey;
use crate::ses::ownership::{HANDED_OVER_BY, Owner};

/// What holds for every reconcile of this operator.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The AWS account.
    pub account: String,
    /// The Region of resources that name none.
    pub default_region: Region,
    /// The cluster's ID, as the tags name it.
    pub cluster_id: String,
    /// What any resource may ask for.
    pub filters: Filters,
}

/// What any resource may ask for. Empty lists allow everything.
#[derive(Clone, Debug, Default)]
pub struct Filters {
    /// Domains, with all below them.
    pub domains: Vec<DomainName>,
    /// Domains that are refused, with all below them.
    pub excluded: Vec<DomainName>,
    /// Hosted zones.
    pub zones: Vec<ZoneId>,
}

impl Filters {
    /// Whether a resource may ask for this domain.
    pub fn allow(&self, domain: &DomainName) -> bool {
        let within = |list: &[DomainName]| list.iter().any(|ancestor| domain.is_within(ancestor));
        (self.domains.is_empty() || within(&self.domains)) && !within(&self.excluded)
    }
}

/// The other SesDomains that matter to a resource.
#[derive(Clone, Debug, Default)]
pub struct Neighbors {
    /// Those of the same domain, the one that goes first at the front.
    pub rivals: Vec<Rival>,
    /// Those that use this one's MAIL FROM name as well.
    pub mail_from: Vec<MailFromUse>,
}

/// Another SesDomain to which the name belongs that this one has for its MAIL FROM domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailFromUse {
    /// The other SesDomain, as `namespace/name`.
    pub by: String,
    /// Whether it is its domain; else it is its MAIL FROM domain.
    pub is_domain: bool,
    /// Whether that one is the older.
    pub goes_first: bool,
}

impl fmt::Display for MailFromUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.is_domain { "domain" } else { "MAIL FROM domain" };
        write!(f, "the {what} of the SesDomain {}", self.by)
    }
}

/// Another SesDomain of the same domain.
#[derive(Clone, Debug)]
pub struct Rival {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its own ID.
    pub uid: String,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether it has the domain before this one has, where no tag decides.
    pub goes_first: bool,
    /// The Region that its spec names.
    pub region: Option<String>,
    /// What was said of it last.
    pub status: SesDomainStatus,
}

impl Rival {
    /// Whether it is being deleted, and nobody has to act for that.
    pub fn is_going(&self) -> bool {
        self.deleting && !self.status.conditions.iter().any(|condition| condition.type_ == "Stalled")
    }

    /// Whether its status says that the identity is its own.
    pub fn has_identity(&self) -> bool {
        self.status.identity.is_some()
    }
}

impl fmt::Display for Rival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The resource that is reconciled.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// What the user asks for.
    pub spec: &'a SesDomainSpec,
    /// What we said last.
    pub status: &'a SesDomainStatus,
    /// The spec's generation.
    pub generation: i64,
    /// Whether the resource is being deleted.
    pub deleting: bool,
    /// The value of the annotation that asks for a reconcile.
    pub reconcile_requested: Option<&'a str>,
    /// The resource, as the identity's tags name it.
    pub owner: Owner,
    /// The resource's own ID, which no other one has, not even a later one of the same name.
    pub uid: &'a str,
    /// The names that the spec asks for.
    pub names: Names,
    /// The other SesDomains that matter to it.
    pub neighbors: &'a Neighbors,
    /// What holds for every reconcile.
    pub settings: &'a Settings,
}

/// The names that a spec asks for.
#[derive(Clone, Debug)]
pub struct Names {
    domain: DomainName,
    mail_from: Option<DomainName>,
}

impl Names {
    /// The names of a spec.
    pub fn of(spec: &SesDomainSpec) -> Self {
        let domain = DomainName::new(&spec.domain);
        let mail_from = spec.mail_from_subdomain.as_ref().map(|labels| domain.child(labels));
        Self { domain, mail_from }
    }
}

impl Subject<'_> {
    /// The domain.
    pub fn domain(&self) -> DomainName {
        self.names.domain.clone()
    }

    /// The MAIL FROM domain, if one is asked for.
    pub fn mail_from(&self) -> Option<DomainName> {
        self.names.mail_from.clone()
    }

    /// The Region: the one that was used first, so that a changed default moves nothing.
    pub fn region(&self) -> Region {
        let (pinned, asked) = (self.status.region.as_ref(), self.spec.region.as_ref());
        let region = if self.has_made_nothing() { asked.or(pinned) } else { pinned.or(asked) };
        region.map_or_else(|| self.settings.default_region.clone(), Region::new)
    }

    /// The Region that the spec leads to, where the status says another one.
    pub fn home(&self) -> Option<Region> {
        let home = self.spec.region.as_ref().map_or_else(|| self.settings.default_region.clone(), Region::new);
        (home != self.region()).then_some(home)
    }

    /// Whether the status shows that nothing was ever made for the resource.
    pub fn has_made_nothing(&self) -> bool {
        self.status.identity.is_none() && !self.status.records.iter().any(|entry| entry.ours)
    }

    /// The other SesDomain that an identity's tags name.
    pub fn rival(&self, named: &Owner) -> Option<&Rival> {
        let is_named = |rival: &&Rival| rival.namespace == named.namespace && rival.name == named.name;
        self.neighbors.rivals.iter().find(is_named).filter(|_| named.cluster == self.owner.cluster)
    }

    /// Who gets the domain when this resource goes: the first that waits for it and wants it in the same Region.
    pub fn heir(&self) -> Option<&Rival> {
        let region = self.region();
        self.neighbors.rivals.iter().filter(|rival| !rival.deleting).find(|rival| {
            let asked = rival.region.as_ref().or(rival.status.region.as_ref());
            asked.map_or_else(|| self.settings.default_region.clone(), Region::new) == region
        })
    }

    /// Who handed the identity with these tags over to this resource, while it still knows what it made and this one
    /// does not.
    pub fn predecessor(&self, tags: &BTreeMap<String, String>) -> Option<&Rival> {
        let by = tags.get(HANDED_OVER_BY).filter(|_| self.status.identity.is_none())?;
        self.neighbors.rivals.iter().find(|rival| rival.uid == *by && rival.has_identity())
    }

    /// The identity.
    pub fn key(&self) -> IdentityKey {
        IdentityKey { region: self.region(), domain: self.domain() }
    }

    /// Whether somebody asked for a reconcile that has not been answered.
    pub fn is_requested(&self) -> bool {
        self.reconcile_requested.is_some()
            && self.reconcile_requested != self.status.last_handled_reconcile_at.as_deref()
    }

    /// Whether the spec has changed since the status was written.
    pub fn is_new_generation(&self) -> bool {
        self.status.observed_generation != Some(self.generation)
    }
}
