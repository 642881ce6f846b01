//! Seeded: fifty domains at once, in one zone and in zones of their own, in several namespaces; whatever goes wrong on the
//! way, the same end.

use jiff::SignedDuration;
use serde_json::json;

use crate::random::Random;
use crate::seeds;
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
    let played = on_all_threads(&seeds, |seed| play(*seed));
    seeds::must_pass("FIFTY", "whatever_goes_wrong_with_fifty", &seeds, &played);
}

#[test]
fn a_seed_goes_the_same_way_each_time() {
    let calls = || {
        let mut simulation = start(7);
        wage(&mut simulation, 7);
        let state = simulation.state();
        (state.calls.clone(), state.mutations, state.faults.struck, simulation.operator.deaths)
    };
    assert_eq!(calls(), calls());
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
    for _ in 0..draw.between(0, 4) {
        simulation.pass(minutes(draw.between(1, 7)));
        simulation.operator.restart();
    }
    let left = (began + AN_ACT).duration_since(simulation.now());
    simulation.pass(left);
    simulation.state().faults.clear();
}

fn compare(seed: u64, when: &str, peace: &mut Simulation, war: &mut Simulation) {
    let (ends, other) = (peace.end(), war.end());
    let differences: Vec<String> = ends
        .keys()
        .chain(other.keys().filter(|key| !ends.contains_key(*key)))
        .filter(|key| ends.get(*key) != other.get(*key))
        .map(|key| format!("{key}: {:?} in peace, {:?} in war", ends.get(key), other.get(key)))
        .collect();
    assert!(differences.is_empty(), "seed {seed}, {when}: {differences:#?}");
    for simulation in [peace, war] {
        simulation.no_harm();
        let writes = simulation.writes();
        for _ in 0..2 {
            simulation.operator.restart();
            (0..DOMAINS).for_each(|number| simulation.operator.wake(&key(number)));
            simulation.pass(minutes(5));
        }
        simulation.pass(hours(1));
        assert_eq!(simulation.writes(), writes, "seed {seed}, {when}: (in AWS, to the API server) at rest");
    }
}
