//! What seeds are about: a spec, a zone with other people's records, and what people do after that.

use std::fmt;

use jiff::SignedDuration;
use serde_json::{Value, json};
use ses_operator::api::spec::{AdoptionPolicy, OnConflict, SesDomainSpec};
use ses_operator::dmarc::record::render;
use ses_operator::dns::public::Asked;
use ses_operator::dns::text;
use ses_operator::domain_name::DomainName;

use crate::cloud::Intruder;
use crate::cloud::policy::strictness;
use crate::cloud::route53::Zone;
use crate::deeds::Deed;
use crate::mutants::Mutant;
use crate::random::Random;
use crate::simulation::{NAME, Simulation, ZONE, manifest, minutes};

/// How long an act of a story lasts: whatever went wrong at first is over by then.
pub const AN_ACT: SignedDuration = SignedDuration::from_mins(130);

/// What some seeds are about.
pub struct Story {
    seed: u64,
    spec: SesDomainSpec,
    /// What people do, one after the other, each time all is settled.
    turns: Vec<Turn>,
    zones: Vec<(&'static str, &'static str)>,
    /// Records of others: zone, name, type, values.
    records: Vec<(&'static str, &'static str, &'static str, Vec<&'static str>)>,
    identity: bool,
    put_restarts: bool,
    /// Somebody who writes just before us: name, type, value.
    pub intruder: Option<(&'static str, &'static str, &'static str)>,
}

/// What people do when all is settled.
pub enum Turn {
    /// They edit the spec.
    Edit(Box<SesDomainSpec>),
    /// Others do something behind the operator's back.
    Others(Deed),
    /// They delete the resource.
    Delete,
}

impl Turn {
    /// The spec that it asks for.
    fn spec(&self) -> Option<&SesDomainSpec> {
        match self {
            Self::Edit(spec) => Some(spec),
            Self::Others(_) | Self::Delete => None,
        }
    }

    /// How long it lasts until all is settled again. What is found within the hour alone, and told by SES an hour later,
    /// takes longer.
    pub fn lasts(&self) -> SignedDuration {
        match self {
            Self::Others(_) => minutes(240),
            Self::Edit(_) | Self::Delete => AN_ACT,
        }
    }

    pub fn take(&self, simulation: &mut Simulation) {
        match self {
            Self::Edit(spec) => simulation.apply(NAME, spec.as_ref().clone()),
            Self::Others(deed) => deed.do_it(simulation),
            Self::Delete => simulation.delete(NAME),
        }
    }
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Edit(spec) => write!(f, "edited to {}", serde_json::to_string(spec).unwrap_or_default()),
            Self::Others(deed) => deed.fmt(f),
            Self::Delete => f.write_str("deleted"),
        }
    }
}

impl Story {
    pub fn draw(seed: u64) -> Self {
        let draw = &mut Random::seeded(seed);
        let zones = draw
            .one_of(&[
                vec![(ZONE, "example.com")],
                vec![(ZONE, "example.com")],
                vec![(ZONE, "com")],
                vec![(ZONE, "example.com"), ("Z2", "mail.example.com")],
                vec![(ZONE, "example.com"), ("Z2", "example.com")],
                vec![(ZONE, "example.com"), ("Z2", "com")],
            ])
            .clone();
        let mail_zone = if zones.contains(&("Z2", "mail.example.com")) { "Z2" } else { ZONE };
        let foreign = [
            (ZONE, "_dmarc.example.com", "TXT", vec!["\"v=DMARC1; p=none\""]),
            (ZONE, "_dmarc.example.com", "TXT", vec!["\"v=DMARC1; p=reject; sp=none\""]),
            (ZONE, "_dmarc.example.com", "TXT", vec!["\"v=DMARC1; p=none; sp=quarantine\""]),
            (ZONE, "_dmarc.example.com", "TXT", vec!["\"something else\""]),
            (mail_zone, "mail.example.com", "TXT", vec!["\"site=1\"", "\"x\" \"y\""]),
            (mail_zone, "mail.example.com", "TXT", vec!["\"v=spf1 include:elsewhere.example ~all\""]),
            (mail_zone, "mail.example.com", "TXT", vec!["\"v=spf1 include:amazonses.com -all\"", "\"z\""]),
            (mail_zone, "mail.example.com", "MX", vec!["10 mx.elsewhere.example"]),
            (mail_zone, "mail.example.com", "MX", vec!["10 feedback-smtp.eu-west-1.amazonses.com."]),
            (ZONE, "bounce.example.com", "CNAME", vec!["elsewhere.example"]),
            (ZONE, "_domainkey.example.com", "NS", vec!["ns.elsewhere.example"]),
            (ZONE, "*.example.com", "TXT", vec!["\"wild\""]),
            (ZONE, "www.example.com", "CNAME", vec!["example.com"]),
        ];
        let mut records: Vec<(&str, &str, &str, Vec<&str>)> = Vec::new();
        for _ in 0..draw.between(0, 3) {
            let record = draw.one_of(&foreign).clone();
            if !records.iter().any(|known| (known.1, known.2) == (record.1, record.2)) {
                records.push(record);
            }
        }
        let spec = draw_spec(draw, &zones);
        let mut turns = Vec::new();
        if draw.once_in(2) {
            let later = draw_spec(draw, &zones);
            // What the API server would refuse is not asked for.
            turns.push(Turn::Edit(Box::new(SesDomainSpec { adoption_policy: spec.adoption_policy, ..later })));
        }
        let is_unclear = |spec: &SesDomainSpec| {
            zones.iter().filter(|zone| zone.1 == zones[0].1).count() > 1 && spec.hosted_zone_id().is_none()
        };
        let unclear: Vec<bool> =
            std::iter::once(&spec).chain(turns.iter().filter_map(Turn::spec)).map(is_unclear).collect();
        // Where two zones have one name, and the spec no longer says which is meant, it has to wait for a person.
        let waits = unclear.contains(&true) && unclear.contains(&false);
        if draw.once_in(3) && !waits {
            let place = usize::try_from(draw.between(0, 1)).expect("small").min(turns.len());
            turns.insert(place, Turn::Others(Deed::draw(draw)));
        }
        if (turns.is_empty() || draw.once_in(2)) && !waits {
            turns.push(Turn::Delete);
        }
        let (identity, put_restarts) = (draw.once_in(6), !draw.once_in(3));
        let intruders = [
            ("_dmarc.example.com", "TXT", "\"v=DMARC1; p=none; rua=mailto:they@example.com\""),
            ("mail.example.com", "MX", "10 mx.elsewhere.example"),
            ("mail.example.com", "TXT", "\"v=spf1 include:elsewhere.example ~all\""),
            ("bounce.example.com", "MX", "10 mx.elsewhere.example"),
        ];
        let intruder = draw.once_in(4).then(|| *draw.one_of(&intruders));
        Self { seed, spec, turns, zones, records, identity, put_restarts, intruder }
    }

    /// The stage on which it is played, and the resource applied.
    pub fn start(&self, mutant: Mutant) -> Simulation {
        let mut simulation = Simulation::empty(self.seed);
        simulation.operator.mutant = mutant;
        simulation.operator.restart();
        for (id, name) in &self.zones {
            simulation.state().zones.add(id, name);
        }
        if self.seed.is_multiple_of(7) {
            simulation.state().zones.zone(ZONE).page = 4;
        }
        simulation.state().others.publish("elsewhere.example", Asked::Txt, &[elsewhere(self.seed)]);
        simulation.state().delays.put_restarts = self.put_restarts;
        simulation.state().watches_words = true;
        for (zone, name, record_type, values) in &self.records {
            simulation.tamper_in(zone, name, record_type, values);
            let overwritten = self.overwrites();
            let merged = self.specs().any(|spec| spec.on_conflict() == OnConflict::Merge);
            for value in values {
                let is_policy = value.contains("v=") || *record_type == "MX";
                let is_merged = merged && value.contains("v=spf1");
                // It is adopted where no more than reports are wanted besides.
                let is_adopted = self.adopts() && value.contains("v=DMARC1") && self.has_stage_as_strict_as(value);
                if is_adopted {
                    // It was there before, so it stays, whatever was written into it.
                    simulation.state().guard.left.insert(DomainName::new(name));
                }
                if !(overwritten && is_policy || is_merged || is_adopted) {
                    simulation.protect_values_in(zone, name, record_type, &[value]);
                }
            }
        }
        // What others have in the way is known to nobody who reads nothing, and can't be missed.
        let is_in_the_way = |record_type: &str| matches!(record_type, "NS" | "CNAME");
        if self.records.iter().any(|(_, _, record_type, _)| is_in_the_way(record_type)) {
            simulation.state().faults.never_empty = Some("route53:ListResourceRecordSets");
        }
        // All of this has been there for long.
        simulation.state().zones.zones.iter_mut().for_each(Zone::age);
        if let Some((name, record_type, value)) = self.intruder {
            let zone = self.zone_of(name);
            let merges = self.specs().any(|spec| spec.on_conflict() == OnConflict::Merge);
            let protected = !(self.overwrites() || merges && value.contains("v=spf1"));
            simulation.state().intruder = Some(Intruder { zone, name, record_type, value, protected });
        }
        simulation.state().guard.leaves_foreign_identities = self.identity && !self.adopts();
        if self.identity {
            simulation.foreign_identity(&[("theirs", "1")]);
        }
        simulation.apply(NAME, self.spec.clone());
        simulation
    }

    /// The acts, each by the turn that it begins with: the first one begins with none.
    pub fn acts(&self) -> impl Iterator<Item = Option<&Turn>> {
        std::iter::once(None).chain(self.turns.iter().map(Some))
    }

    fn specs(&self) -> impl Iterator<Item = &SesDomainSpec> {
        std::iter::once(&self.spec).chain(self.turns.iter().filter_map(Turn::spec))
    }

    /// Whether a DMARC record is as strict as a stage of some spec of the story.
    fn has_stage_as_strict_as(&self, record: &str) -> bool {
        let found = strictness(&[record.to_owned()]);
        self.specs().filter_map(|spec| spec.dmarc_policy.as_ref()).any(|policy| {
            let mut stages = policy.stages.iter().map(|stage| text::quote(&render(policy, stage)));
            stages.any(|stage| strictness(&[stage]) == found)
        })
    }

    fn overwrites(&self) -> bool {
        self.specs().any(|spec| spec.on_conflict() == OnConflict::Overwrite)
    }

    fn adopts(&self) -> bool {
        self.specs().any(|spec| spec.adoption_policy == AdoptionPolicy::Adopt)
    }

    /// The zone that the world asks for a name.
    fn zone_of(&self, name: &str) -> &'static str {
        let own = self.zones.iter().find(|(_, zone)| *zone == "mail.example.com" && name.ends_with(zone));
        own.map_or(ZONE, |(id, _)| id)
    }
}

/// The SPF policy of elsewhere.example: in some seeds our term can't stand beside what includes it.
fn elsewhere(seed: u64) -> &'static str {
    if seed.is_multiple_of(3) {
        "v=spf1 ptr ptr ptr ptr ptr exists:%{i} exists:%{l} exists:%{s} exists:%{h} -all"
    } else {
        "v=spf1 a:x.elsewhere.example ip4:192.0.2.0/24 -all"
    }
}

fn draw_spec(draw: &mut Random, zones: &[(&str, &str)]) -> SesDomainSpec {
    let mut fields = json!({
        "mailFromSubdomain": draw.one_of(&[json!("mail"), json!("mail"), json!("bounce"), Value::Null]).clone(),
        "adoptionPolicy": draw.one_of(&["Fail", "Adopt"]),
        "dns": {"onConflict": draw.one_of(&["Fail", "Merge", "Overwrite"]), "ttl": draw.one_of(&[300, 60])},
    });
    let reject = draw.once_in(2) && !fields["mailFromSubdomain"].is_null();
    fields["mxFailureBehavior"] = if reject { json!("RejectMessage") } else { Value::Null };
    if zones.len() == 2 && zones[0].1 == zones[1].1 && !draw.once_in(5) {
        fields["dns"]["route53"] = json!({"hostedZoneId": ZONE});
    }
    let stage = |name: &str, policy: &str| json!({"name": name, "policy": policy, "minDuration": "10m"});
    fields["dmarcPolicy"] = match draw.between(1, 6) {
        1 => Value::Null,
        2 => json!({"stages": [stage("reject", "Reject")]}),
        3 => json!({"stages": [stage("quarantine", "Quarantine"), stage("reject", "Reject")]}),
        4 => json!({"stages": [stage("monitor", "None"), stage("reject", "Reject")], "activeStage": "monitor"}),
        _ => {
            json!({"stages": [stage("monitor", "None"), stage("quarantine", "Quarantine"), stage("reject", "Reject")]})
        }
    };
    if !fields["dmarcPolicy"].is_null() && draw.once_in(4) {
        fields["dmarcPolicy"]["subdomainPolicy"] = json!(draw.one_of(&["None", "Quarantine", "Reject"]));
    }
    if draw.once_in(3) {
        fields["feedbackForwarding"] = json!(draw.one_of(&["Enabled", "Disabled"]));
    }
    if draw.once_in(3) {
        fields["configurationSetName"] = json!(draw.one_of(&["one", "two"]));
    }
    if draw.once_in(3) {
        fields["tags"] = draw.one_of(&[json!({"a": "1"}), json!({"a": "2", "b": "1"}), json!({"b": "1"})]).clone();
    }
    if draw.once_in(8) {
        fields["deletionPolicy"] = json!("Retain");
    }
    manifest(fields)
}
