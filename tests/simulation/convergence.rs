//! Seeded: whatever goes wrong on the way, the same end.
//!
//! Each seed draws a spec, a zone with other people's records, and an edit or a deletion. It is played twice, once in peace
//! and once with calls that fail, answers that are lost and an operator that dies; both must come to the same end, do no
//! harm, and then rest.

use jiff::SignedDuration;
use serde_json::{Value, json};
use ses_operator::api::spec::{AdoptionPolicy, OnConflict, SesDomainSpec};

use crate::cloud::Intruder;
use crate::cloud::faults::Strike;
use crate::cloud::route53::Zone;
use crate::mutants::Mutant;
use crate::random::Random;
use crate::seeds;
use crate::simulation::{NAME, Simulation, ZONE, hours, manifest, minutes};
use crate::workers::on_all_threads;

/// Half a minute or so on two cores in a debug build. More are asked for with `make simulate SEEDS=n`.
const SEEDS: u64 = 150;
/// How long each act of a story lasts: whatever went wrong at first is over by then.
const AN_ACT: SignedDuration = SignedDuration::from_mins(130);
/// How long things go wrong.
const TROUBLE: SignedDuration = SignedDuration::from_mins(30);

#[test]
fn whatever_goes_wrong_the_end_is_the_same() {
    let seeds = seeds::asked("SEED", SEEDS, 1);
    let played = on_all_threads(&seeds, |seed| play(*seed, Mutant::None));
    seeds::must_pass("SEED", "whatever_goes_wrong_the_end", &seeds, &played);
}

/// Plays a seed and answers with the number of reconciles; panics where the operator does harm or the ends differ.
pub fn play(seed: u64, mutant: Mutant) -> usize {
    let mut draw = Random::seeded(seed);
    let story = Story::draw(&mut draw);
    let mut peace = story.start(seed, mutant);
    let mut war = story.start(seed, mutant);
    peace.pass(AN_ACT);
    wage(&mut war, seed, story.intruder.is_none());
    story.compare(seed, "set up", &mut peace, &mut war);
    story.turn(&mut peace);
    story.turn(&mut war);
    peace.pass(AN_ACT);
    wage(&mut war, seed ^ 0xABCD, false);
    story.compare(seed, "edited or deleted", &mut peace, &mut war);
    peace.operator.reconciles + war.operator.reconciles
}

/// An act that begins with much that goes wrong.
///
/// The status may be lost while nothing has been let go: what is obsolete is known from the status alone. Not where a
/// request lands late as well: a stage's record that an operator sent before it died and its status was lost is a
/// stranger's edit to the next one. Nor where somebody else writes a record just before us, which the tags claim for us.
fn wage(simulation: &mut Simulation, seed: u64, loses_status: bool) {
    let mut draw = Random::seeded(!seed);
    let began = simulation.now();
    let until = began + TROUBLE;
    let once_in = *draw.one_of(&[2, 3, 5, 10, 30]);
    let late = draw.once_in(2);
    let loses_status = loses_status && !late;
    simulation.state().faults.at_random(draw.clone(), once_in, until, late);
    if draw.once_in(4) {
        // A single blow at one place, as well.
        let strike = *draw.one_of(&[Strike::LoseAnswer, Strike::DieAfter, Strike::DieBefore]);
        let call = usize::try_from(draw.between(0, 20)).expect("small");
        simulation.state().faults.add("", call, 1, strike);
    }
    if draw.once_in(4) {
        // What is read is old.
        let mut state = simulation.state();
        state.lag = SignedDuration::from_secs(draw.between(1, 90));
        state.watches_words = false;
    }
    if draw.once_in(4) {
        simulation.api.kept().watch_lag = SignedDuration::from_secs(draw.between(1, 90));
        simulation.operator.watch(NAME);
    }
    if draw.once_in(8) {
        let half = began + minutes(20);
        simulation.state().faults.throttle(draw.clone(), began + minutes(10), half);
    }
    for _ in 0..draw.between(0, 4) {
        simulation.pass(minutes(draw.between(1, 7)));
        if loses_status && draw.once_in(4) {
            simulation.api.edit(NAME, |resource| resource.status = None);
        }
        if draw.once_in(3) {
            simulation.take_over();
        } else {
            simulation.operator.restart();
        }
    }
    simulation.pass((until.duration_since(simulation.now())).max(SignedDuration::ZERO));
    simulation.state().lag = SignedDuration::ZERO;
    simulation.api.kept().watch_lag = SignedDuration::ZERO;
    let left = (began + AN_ACT).duration_since(simulation.now());
    simulation.pass(left);
    simulation.state().faults.clear();
}

/// What a seed is about.
struct Story {
    spec: SesDomainSpec,
    later: Option<SesDomainSpec>,
    zones: Vec<(&'static str, &'static str)>,
    /// Records of others: zone, name, type, values.
    records: Vec<(&'static str, &'static str, &'static str, Vec<&'static str>)>,
    identity: bool,
    put_restarts: bool,
    /// Somebody who writes just before us: name, type, value.
    intruder: Option<(&'static str, &'static str, &'static str)>,
}

impl Story {
    fn draw(draw: &mut Random) -> Self {
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
        let later = draw.once_in(2).then(|| {
            let later = draw_spec(draw, &zones);
            // What the API server would refuse is not asked for.
            SesDomainSpec { adoption_policy: spec.adoption_policy, ..later }
        });
        let (identity, put_restarts) = (draw.once_in(6), !draw.once_in(3));
        let intruders = [
            ("_dmarc.example.com", "TXT", "\"v=DMARC1; p=none; rua=mailto:they@example.com\""),
            ("mail.example.com", "MX", "10 mx.elsewhere.example"),
            ("mail.example.com", "TXT", "\"v=spf1 include:elsewhere.example ~all\""),
            ("bounce.example.com", "MX", "10 mx.elsewhere.example"),
        ];
        let intruder = draw.once_in(4).then(|| *draw.one_of(&intruders));
        Self { spec, later, zones, records, identity, put_restarts, intruder }
    }

    fn start(&self, seed: u64, mutant: Mutant) -> Simulation {
        let mut simulation = Simulation::empty(seed);
        simulation.operator.mutant = mutant;
        simulation.operator.restart();
        for (id, name) in &self.zones {
            simulation.state().zones.add(id, name);
        }
        if seed.is_multiple_of(7) {
            simulation.state().zones.zone(ZONE).page = 4;
        }
        simulation.state().delays.put_restarts = self.put_restarts;
        simulation.state().watches_words = true;
        simulation.state().guard.may_weaken_dmarc = self.may_weaken();
        for (zone, name, record_type, values) in &self.records {
            simulation.tamper_in(zone, name, record_type, values);
            let overwritten = self.overwrites();
            let merged = self.specs().any(|spec| spec.on_conflict() == OnConflict::Merge);
            for value in values {
                let is_policy = value.contains("v=") || *record_type == "MX";
                let is_merged = merged && value.contains("v=spf1");
                // It asks for no reports: adopted, it gets the address.
                let is_adopted = self.adopts() && *value == "\"v=DMARC1; p=none\"";
                if !(overwritten && is_policy || is_merged || is_adopted) {
                    simulation.protect_values_in(zone, name, record_type, &[value]);
                }
            }
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

    fn specs(&self) -> impl Iterator<Item = &SesDomainSpec> {
        std::iter::once(&self.spec).chain(&self.later)
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

    /// Whether a person asks for a weaker policy: by pinning a stage, or by other subdomain policies.
    fn may_weaken(&self) -> bool {
        self.specs().any(|spec| spec.dmarc_policy.as_ref().is_some_and(|policy| policy.active_stage.is_some()))
    }

    /// The person's next step: an edit, or the deletion.
    fn turn(&self, simulation: &mut Simulation) {
        match &self.later {
            Some(later) => simulation.apply(NAME, later.clone()),
            None => simulation.delete(NAME),
        }
    }

    fn compare(&self, seed: u64, when: &str, peace: &mut Simulation, war: &mut Simulation) {
        if war.state().faults.landed_late && peace.end() != war.end() {
            // What landed after everything was settled is found by the daily look.
            peace.pass(hours(25));
            war.pass(hours(25));
        }
        let (ends, other) = (peace.end(), war.end());
        if ends != other {
            let differences: Vec<String> = ends
                .keys()
                .chain(other.keys().filter(|key| !ends.contains_key(*key)))
                .filter(|key| ends.get(*key) != other.get(*key))
                .map(|key| format!("{key}: {:?} in peace, {:?} in war", ends.get(key), other.get(key)))
                .collect();
            panic!("seed {seed}, {when}: {differences:#?}\n{}", war.describe());
        }
        for (peaceful, simulation) in [(true, peace), (false, war)] {
            // The undisturbed rest is the same in all seeds but for the spec.
            if peaceful && !seed.is_multiple_of(4) {
                simulation.no_harm();
            } else {
                simulation.rests_for(minutes(30));
            }
            if self.later.is_none() && when != "set up" {
                assert!(simulation.is_gone(NAME), "seed {seed} does not go\n{}", simulation.describe());
            }
        }
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
