//! Seeded: fifty domains at once, in one zone and in zones of their own, in several namespaces; whatever goes wrong on the
//! way, the same end.

use jiff::SignedDuration;
use serde_json::json;
use ses_operator::cloud::ErrorKind;

use crate::cloud::Intruder;
use crate::cloud::faults::Strike;
use crate::random::Random;
use crate::seeds::{self, Playing};
use crate::simulation::{Simulation, ZONE, hours, manifest, minutes};
use crate::workers::on_all_threads;

/// In a debug build. More are asked for with SEEDS=n: a hundredth of it.
const SEEDS: u64 = 2;
const DOMAINS: usize = 50;
const NAMESPACES: [&str; 3] = ["mail", "shop", "post"];
/// How long each act lasts: whatever went wrong in its first half hour is over by then.
const AN_ACT: SignedDuration = SignedDuration::from_mins(120);

#[test]
fn whatever_goes_wrong_with_fifty_domains_the_end_is_the_same() {
    let seeds = seeds::asked("FIFTY", SEEDS, 100);
    let played = on_all_threads(&seeds, |seed| {
        let _playing = Playing { name: "FIFTY", test: "whatever_goes_wrong_with_fifty", seed: *seed };
        play(*seed)
    });
    seeds::must_pass("FIFTY", &seeds, &played);
}

#[test]
fn a_seed_goes_the_same_way_each_time() {
    let calls = || {
        let mut simulation = start(7);
        wage(&mut simulation, 7);
        let state = simulation.state();
        (state.course, state.calls.clone(), state.mutations, state.faults.struck, simulation.operator.deaths)
    };
    assert_eq!(calls(), calls());
}

/// How long it takes until all but some are Ready.
fn time_to_ready(simulation: &mut Simulation, but: &[usize]) -> SignedDuration {
    let began = simulation.now();
    let others: Vec<String> = (0..DOMAINS).filter(|number| !but.contains(number)).map(key).collect();
    let ready =
        |simulation: &Simulation| others.iter().all(|key| simulation.condition_of(key, "Ready").starts_with("True"));
    while !ready(simulation) {
        simulation.pass(SignedDuration::from_secs(5));
        assert!(simulation.now() < began + hours(12), "they do not become Ready");
    }
    simulation.now().duration_since(began)
}

#[test]
fn one_zone_that_is_denied_holds_up_none_of_the_others() {
    let peace = time_to_ready(&mut start(3), &[9]);
    let mut war = start(3);
    for operation in ["route53:ListResourceRecordSets", "route53:ChangeResourceRecordSets"] {
        war.strike_object(operation, "Z-9", 100_000, Strike::Refuse(ErrorKind::Denied));
    }
    let took = time_to_ready(&mut war, &[9]);
    println!("49 of fifty domains are Ready after {took:#}, and after {peace:#} where nothing is denied");
    assert!(took.as_secs() * 10 <= peace.as_secs() * 11, "{took:#}, and {peace:#} undisturbed");
    assert!(war.condition_of(&key(9), "Ready").contains("AccessDenied"));
    war.no_harm();
}

#[test]
fn one_domain_that_spoils_a_batch_of_a_shared_zone_holds_up_none_of_the_others() {
    let peace = time_to_ready(&mut start(3), &[8]);
    let mut war = start(3);
    war.state().intruder = Some(Intruder {
        zone: ZONE,
        name: "mail.d8.example.com",
        record_type: "CNAME",
        value: "elsewhere.example",
        protected: true,
    });
    let took = time_to_ready(&mut war, &[8]);
    println!("49 of fifty domains are Ready after {took:#}, and after {peace:#} where nothing is in the way");
    assert!(took.as_secs() * 10 <= peace.as_secs() * 11, "{took:#}, and {peace:#} undisturbed");
    let spoiled = war.condition_of(&key(8), "Ready");
    assert!(spoiled.contains("mail.d8.example.com"), "{spoiled}");
    war.no_harm();
}

/// Plays a seed and answers with the number of reconciles.
fn play(seed: u64) -> usize {
    let (mut peace, mut war) = (start(seed), start(seed));
    peace.pass(AN_ACT);
    wage(&mut war, seed);
    compare(seed, "set up", &mut peace, &mut war);
    for simulation in [&mut peace, &mut war] {
        // Some go, some are changed, and the others must not notice.
        for number in (0..DOMAINS).step_by(5) {
            simulation.delete(&key(number));
            simulation.apply(&key(number + 1), spec(number + 1, 60));
        }
    }
    peace.pass(AN_ACT);
    wage(&mut war, seed ^ 0xABCD);
    compare(seed, "edited and deleted", &mut peace, &mut war);
    peace.operator.reconciles + war.operator.reconciles
}

/// Two of three share a zone.
fn domain(number: usize) -> String {
    if number.is_multiple_of(3) { format!("d{number}.example") } else { format!("d{number}.example.com") }
}

fn key(number: usize) -> String {
    let namespace = NAMESPACES[number % NAMESPACES.len()];
    if namespace == "mail" { format!("d{number}") } else { format!("{namespace}/d{number}") }
}

fn spec(number: usize, ttl: u32) -> ses_operator::api::SesDomainSpec {
    manifest(json!({
        "domain": domain(number),
        "dns": {"ttl": ttl},
        "mailFromSubdomain": if number.is_multiple_of(2) { json!("mail") } else { json!(null) },
        "mxFailureBehavior": null,
    }))
}

fn start(seed: u64) -> Simulation {
    let mut simulation = Simulation::empty(seed);
    simulation.state().delays.travel = (10, 300);
    simulation.state().zones.add(ZONE, "example.com").page = 1000;
    simulation.protect("www.example.com", "CNAME", &["elsewhere.example"]);
    for number in 0..DOMAINS {
        let domain = domain(number);
        if number.is_multiple_of(3) {
            simulation.state().zones.add(&format!("Z-{number}"), &domain);
        }
        simulation.apply(&key(number), spec(number, 300));
    }
    simulation
}

/// An act in whose first half hour much goes wrong.
fn wage(simulation: &mut Simulation, seed: u64) {
    let mut draw = Random::seeded(!seed);
    let began = simulation.now();
    let once_in = *draw.one_of(&[20, 50, 200]);
    simulation.state().faults.at_random(draw.clone(), once_in, began + minutes(30), true);
    if draw.once_in(4) {
        simulation.state().faults.throttle(draw.clone(), began + minutes(10), began + minutes(20));
    }
    if draw.once_in(4) {
        simulation.state().lag = SignedDuration::from_secs(draw.between(1, 60));
    }
    for _ in 0..draw.between(0, 4) {
        simulation.pass(minutes(draw.between(1, 7)));
        if draw.once_in(3) {
            simulation.take_over();
        } else {
            simulation.operator.restart();
        }
    }
    simulation.pass((began + minutes(30)).duration_since(simulation.now()).max(SignedDuration::ZERO));
    simulation.state().lag = SignedDuration::ZERO;
    let left = (began + AN_ACT).duration_since(simulation.now());
    simulation.pass(left);
    simulation.state().faults.clear();
}

fn compare(seed: u64, when: &str, peace: &mut Simulation, war: &mut Simulation) {
    let (ends, other) = (peace.end(), war.end());
    let differences = ends.differences(&other);
    assert!(differences.is_empty(), "seed {seed}, {when}: {differences:#?}");
    for simulation in [peace, war] {
        simulation.no_harm();
        let writes = simulation.writes();
        simulation.operator.restart();
        (0..DOMAINS).for_each(|number| simulation.operator.wake(&key(number)));
        simulation.pass(hours(1));
        assert_eq!(simulation.writes(), writes, "seed {seed}, {when}: (in AWS, to the API server) at rest");
    }
}
