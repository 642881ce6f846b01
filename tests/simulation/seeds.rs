//! Which seeds are played, and how one that fails is played again.

/// The seeds that are asked for: `name=x` is one alone, `SEEDS=n` so many, of which a test plays a `share`-th.
pub fn asked(name: &str, by_default: u64, share: u64) -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    match (number(name), number("SEEDS")) {
        (Some(seed), _) => vec![seed],
        (None, Some(seeds)) => (1..=(seeds / share).max(1)).collect(),
        (None, None) => (1..=by_default).collect(),
    }
}

/// A seed that is being played. Where it fails, it says how it is played again.
pub struct Playing {
    pub name: &'static str,
    pub test: &'static str,
    pub seed: u64,
}

impl Drop for Playing {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { name, test, seed } = self;
            println!("replay: {name}={seed} cargo test --features simulated-time --test simulation {test}");
        }
    }
}

/// Panics where a seed failed.
pub fn must_pass(name: &str, seeds: &[u64], played: &[Option<usize>]) {
    let reconciles = played.iter().flatten().sum::<usize>();
    println!("{name}: {} seeds, {reconciles} reconciles", seeds.len());
    let failed: Vec<u64> =
        seeds.iter().zip(played).filter(|(_, played)| played.is_none()).map(|(seed, _)| *seed).collect();
    assert!(failed.is_empty(), "{} of {} seeds failed: {failed:?}", failed.len(), seeds.len());
}
