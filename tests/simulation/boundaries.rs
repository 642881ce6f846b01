//! Every boundary, found by the harness itself: each act is played once undisturbed and its calls are counted, to AWS and
//! to the API server alike; then it is played again for each call and each thing that can befall it. A call that is new
//! in the reconcile code is covered without anyone adding it here.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use serde_json::{Value, json};
use ses_operator::cloud::ErrorKind;
use ses_operator::dns::public::Asked;

use crate::cloud::faults::Strike;
use crate::end::End;
use crate::simulation::{NAME, Picture, Simulation, minutes};
use crate::workers::on_all_threads;

/// What befalls each call.
const STRIKES: [Strike; 5] = [
    Strike::DieBefore,
    Strike::DieAfter,
    Strike::LoseAnswer,
    Strike::Refuse(ErrorKind::Throttled),
    Strike::Refuse(ErrorKind::Unavailable),
];
/// Somebody else's SPF policy.
const THEIRS: &str = "\"v=spf1 include:_spf.example.net ~all\"";
/// How long an act lasts, with what befell it.
const AN_ACT: SignedDuration = SignedDuration::from_mins(130);

/// One thing that the operator has to do.
struct Act {
    name: &'static str,
    /// The spec that is settled before; none: there is no resource.
    before: Option<Value>,
    /// Whether somebody else's identity stands there first.
    adopted: bool,
    /// Whether somebody else's SPF policy stands at the MAIL FROM name first.
    merged: bool,
    happens: Box<dyn Fn(&mut Simulation) + Send + Sync>,
}

impl Act {
    fn new(
        name: &'static str,
        before: Option<Value>,
        happens: impl Fn(&mut Simulation) + Send + Sync + 'static,
    ) -> Self {
        Self { name, before, adopted: false, merged: false, happens: Box::new(happens) }
    }

    fn creates(name: &'static str, fields: Value) -> Self {
        Self::new(name, None, move |simulation| simulation.change(with(&fields)))
    }

    fn changes(name: &'static str, fields: Value) -> Self {
        Self::new(name, Some(json!({})), move |simulation| simulation.change(with(&fields)))
    }

    /// Somebody does harm, and asks for a look: what no list shows would be found within the day else.
    fn repairs(name: &'static str, harm: impl Fn(&mut Simulation) + Send + Sync + 'static) -> Self {
        Self::new(name, Some(json!({})), move |simulation| {
            harm(simulation);
            simulation.request("now");
        })
    }

    fn deletes(name: &'static str, fields: Value) -> Self {
        Self::new(name, Some(fields), |simulation| simulation.delete(NAME))
    }

    fn adopting(self) -> Self {
        Self { adopted: true, ..self }
    }

    fn merging(self) -> Self {
        Self { merged: true, ..self }
    }

    /// The stage on which it is played.
    fn prepare(&self) -> Picture {
        let mut simulation = Simulation::new();
        simulation.state().watches_words = true;
        simulation.protect("www.example.com", "CNAME", &["elsewhere.example"]);
        simulation.protect("mail.example.com", "TXT", &["\"site=1\""]);
        simulation.state().others.publish("_spf.example.net", Asked::Txt, &["v=spf1 a:x.example.net -all"]);
        if self.merged {
            simulation.tamper("mail.example.com", "TXT", &["\"site=1\"", THEIRS]);
        }
        if self.adopted {
            simulation.foreign_identity(&[("theirs", "1")]);
        }
        if let Some(fields) = &self.before {
            simulation.change(with(fields));
            simulation.until_ready();
            simulation.pass(minutes(90));
        }
        simulation.no_harm();
        simulation.picture()
    }

    /// Plays it to its end.
    fn play(&self, stage: &Picture, fault: Option<(usize, Strike)>) -> Simulation {
        let mut simulation = stage.go_on();
        simulation.state().calls.clear();
        if let Some((call, strike)) = fault {
            simulation.state().faults.add("", call, 1, strike);
        }
        (self.happens)(&mut simulation);
        simulation.pass(AN_ACT);
        simulation
    }
}

/// A spec that asks for everything, with other fields laid over it.
fn with(fields: &Value) -> Value {
    let mut all = json!({"tags": {"team": "mail"}, "configurationSetName": "one", "feedbackForwarding": "Disabled"});
    if let (Some(all), Value::Object(fields)) = (all.as_object_mut(), fields) {
        all.extend(fields.clone());
    }
    all
}

fn acts() -> Vec<Act> {
    let stage = |name: &str, policy: &str| json!({"name": name, "policy": policy, "minDuration": "10m"});
    let walk = json!([stage("monitor", "None"), stage("quarantine", "Quarantine"), stage("reject", "Reject")]);
    let adopts = json!({"adoptionPolicy": "Adopt"});
    let merges = json!({"dns": {"onConflict": "Merge"}});
    vec![
        Act::creates("create", json!({})),
        Act::creates("create, and walk to reject", json!({"dmarcPolicy": {"stages": walk}})),
        Act::creates("adopt", adopts.clone()).adopting(),
        Act::creates("merge", merges.clone()).merging(),
        Act::changes("update mailFromSubdomain", json!({"mailFromSubdomain": "bounce"})),
        Act::changes("remove mailFromSubdomain", json!({"mailFromSubdomain": null, "mxFailureBehavior": null})),
        Act::changes("update stages", json!({"dmarcPolicy": {"stages": [{"name": "reject", "policy": "Reject"}]}})),
        Act::changes("update TTL", json!({"dns": {"ttl": 60}})),
        Act::changes("update tags", json!({"tags": {"cost": "7"}, "configurationSetName": "two"})),
        Act::changes("remove fields", json!({"tags": null, "configurationSetName": null, "feedbackForwarding": null})),
        Act::repairs("repair records", |simulation| {
            let dkim = simulation.dkim_names();
            simulation.tamper("mail.example.com", "MX", &[]);
            simulation.tamper("mail.example.com", "TXT", &["\"site=1\""]);
            simulation.tamper("_dmarc.example.com", "TXT", &[]);
            simulation.tamper(&dkim[0], "CNAME", &[]);
        }),
        Act::new("repair a merged policy", Some(merges.clone()), |simulation| {
            simulation.tamper("mail.example.com", "TXT", &["\"site=1\"", THEIRS]);
        })
        .merging(),
        Act::repairs("repair MAIL FROM", |simulation| {
            let now = simulation.now();
            simulation.state().by_hand("example.com").put_mail_from(None, now, true);
        }),
        Act::repairs("repair tags", |simulation| {
            simulation.state().by_hand("example.com").identity.tags.remove("team");
        }),
        Act::repairs("repair DKIM signing", |simulation| {
            simulation.state().by_hand("example.com").identity.dkim.signing_enabled = false;
        }),
        Act::repairs("repair a deleted identity", |simulation| {
            let key = simulation.key();
            simulation.state().remove_identity(&key);
        }),
        Act::deletes("delete", json!({})),
        Act::deletes("delete, Retain", json!({"deletionPolicy": "Retain"})),
        Act::deletes("delete, adopted", adopts).adopting(),
        Act::deletes("delete, merged", merges).merging(),
    ]
}

/// An act as it goes undisturbed.
struct Peace {
    end: End,
    calls: usize,
}

/// One call of an act, and what befalls it.
struct Boundary<'a> {
    act: &'a Act,
    stage: &'a Picture,
    peace: &'a Peace,
    call: usize,
    strike: Strike,
}

impl Boundary<'_> {
    /// Plays it and answers with the operations that were called; panics where the end is not the same.
    fn cross(&self) -> BTreeSet<&'static str> {
        let case = format!("{}: {:?} at call {}", self.act.name, self.strike, self.call);
        let mut war = self.act.play(self.stage, Some((self.call, self.strike)));
        let harm = war.state().guard.harm.clone();
        assert_eq!(harm, [""; 0], "{case}\n{}", war.describe());
        assert_eq!(war.state().faults.struck, 1, "{case}: the call was not made");
        let differences = self.peace.end.differences(&war.end());
        assert!(differences.is_empty(), "{case}, in peace | in war: {differences:#?}\n{}", war.describe());
        let (calls, undisturbed) = (all_calls(&war), self.peace.calls);
        assert!(calls <= 2 * undisturbed, "{case}: {calls} calls, and {undisturbed} undisturbed\n{}", war.describe());
        war.rests_for(minutes(30));
        war.operations()
    }
}

fn all_calls(simulation: &Simulation) -> usize {
    simulation.state().calls.values().sum()
}

#[test]
fn at_every_boundary_the_end_is_the_same() {
    let acts = acts();
    let mut operations = BTreeSet::new();
    let played: Vec<(Picture, Peace)> = acts
        .iter()
        .map(|act| {
            let stage = act.prepare();
            let mut simulation = act.play(&stage, None);
            let peace = Peace { end: simulation.end(), calls: all_calls(&simulation) };
            simulation.no_harm();
            println!("{:28} {:3} calls", act.name, peace.calls);
            operations.extend(simulation.operations());
            simulation.rests_for(minutes(30));
            (stage, peace)
        })
        .collect();
    let mut boundaries = Vec::new();
    for (act, (stage, peace)) in acts.iter().zip(&played) {
        for call in 0..peace.calls {
            boundaries.extend(STRIKES.map(|strike| Boundary { act, stage, peace, call, strike }));
        }
    }
    let seen = boundaries.len() / STRIKES.len();
    let crossed = on_all_threads(&boundaries, Boundary::cross);
    let covered = crossed.iter().filter(|called| called.is_some()).count() / STRIKES.len();
    println!("boundaries covered / boundaries seen: {covered} / {seen}, each with {} faults", STRIKES.len());
    let beyond: BTreeSet<&str> =
        crossed.into_iter().flatten().flatten().filter(|call| !operations.contains(call)).collect();
    println!("called on the way back alone: {beyond:?}");
    assert_eq!(covered, seen);
}
