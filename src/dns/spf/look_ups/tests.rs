use super::*;

const AT: &str = "mail.example.com";

/// Public DNS: names, types and values. What is not there is nowhere.
struct World(Answers);

impl World {
    fn new<'a>(records: impl IntoIterator<Item = (&'a str, Asked, &'a [&'a str])>) -> Self {
        let record = |(name, asked, values): (&str, Asked, &[&str])| {
            (Question { name: DomainName::new(name), asked }, values.iter().map(|value| (*value).to_owned()).collect())
        };
        Self(records.into_iter().map(record).collect())
    }

    /// A world of policies alone.
    fn of<'a>(policies: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let policies: Vec<(&str, [&str; 1])> = policies.into_iter().map(|(name, policy)| (name, [policy])).collect();
        Self::new(policies.iter().map(|(name, policy)| (*name, Asked::Txt, &policy[..])))
    }

    /// Counts to the end, and gives what was asked on the way too, round by round.
    fn count(&self, policy: &str) -> (Result<usize, PermError>, Vec<BTreeSet<Question>>) {
        let (mut answers, mut rounds) = (Answers::new(), Vec::new());
        loop {
            match count(&DomainName::new(AT), policy, &answers) {
                Count::Done(outcome) => return (outcome, rounds),
                Count::Needs(questions) => {
                    let answer = |question: &Question| self.0.get(question).cloned().unwrap_or_default();
                    answers.extend(questions.iter().map(|question| (question.clone(), answer(question))));
                    rounds.push(questions);
                    assert!(rounds.len() <= 60, "it goes round in circles");
                }
            }
        }
    }

    fn look_ups(&self, policy: &str) -> Result<usize, String> {
        self.count(policy).0.map_err(|error| error.to_string())
    }
}

/// The zone of RFC 7208's appendix A.
fn appendix_a() -> World {
    World::new([
        ("example.com", Asked::A, &["192.0.2.10", "192.0.2.11"][..]),
        ("example.com", Asked::Mx, &["mail-a.example.com", "mail-b.example.com"]),
        ("mail-a.example.com", Asked::A, &["192.0.2.129"]),
        ("mail-b.example.com", Asked::A, &["192.0.2.130"]),
        ("example.org", Asked::Mx, &["mail-c.example.org"]),
        ("mail-c.example.org", Asked::A, &["192.0.2.140"]),
        ("mail.example.com", Asked::A, &["192.0.2.10"]),
        ("mail.example.com", Asked::Mx, &["mail-a.example.com"]),
    ])
}

#[test]
fn the_policies_of_the_rfc_cost_what_it_says() {
    for (policy, cost) in [
        ("v=spf1 +all", 0),
        ("v=spf1 a -all", 1),
        ("v=spf1 a:example.org -all", 1),
        ("v=spf1 mx -all", 1),
        ("v=spf1 mx:example.org -all", 1),
        ("v=spf1 mx mx:example.org -all", 2),
        ("v=spf1 mx/30 mx:example.org/30 -all", 2),
        ("v=spf1 ptr -all", 1),
        ("v=spf1 ip4:192.0.2.128/28 -all", 0),
        ("v=spf1 mx -exists:%{ir}.sbl.example.org -all", 2),
        ("v=spf1 -include:ip4._spf.%{d} -include:ptr._spf.%{d} +all", 2),
        ("v=spf1 a:example.com/24//64 ?exists:%{l}.%{d} ip6:2001:db8::/32 exp=explain._spf.%{d} x=y ~all", 2),
        ("v=spf1", 0),
    ] {
        assert_eq!(appendix_a().look_ups(policy), Ok(cost), "{policy}");
    }
}

#[test]
fn what_is_included_is_counted_with_all_that_it_includes_in_its_turn() {
    let world = World::of([
        ("_spf.example.net", "v=spf1 include:_a.example.net include:_b.example.net ~all"),
        ("_a.example.net", "v=spf1 ip4:192.0.2.1 ~all"),
        ("_b.example.net", "v=spf1 exists:%{i}.example.net redirect=_c.example.net"),
        ("_c.example.net", "v=spf1 ptr ~all"),
    ]);
    let (outcome, rounds) = world.count("v=spf1 Include:_SPF.example.net. -include:_a.example.net ~all");
    assert_eq!(outcome, Ok(7));
    let asked: Vec<usize> = rounds.iter().map(BTreeSet::len).collect();
    assert_eq!(asked, [2, 1, 1], "each policy once, and those of a level together");
}

#[test]
fn ten_look_ups_are_allowed_and_eleven_are_told_with_what_costs_most() {
    let world = World::of([
        ("four.example", "v=spf1 include:x.example include:x.example include:x.example -all"),
        ("three.example", "v=spf1 include:x.example include:x.example -all"),
        ("x.example", "v=spf1 -all"),
    ]);
    let ten = "v=spf1 include:x.example include:three.example include:four.example ptr include:x.example ~all";
    assert_eq!(world.look_ups(ten), Ok(10));
    let eleven = ten.replace("~all", "redirect=x.example");
    let told = "it would need 11 look-ups, and SPF allows 10: include:four.example 4, include:three.example 3, \
                include:x.example 1, ptr 1, …";
    assert_eq!(world.look_ups(&eleven), Err(told.to_owned()));
}

#[test]
fn what_stands_behind_all_costs_nothing() {
    let world = World::of([]);
    assert_eq!(world.look_ups("v=spf1 ptr -ALL include:nowhere.example redirect=nowhere.example"), Ok(1));
    assert_eq!(world.look_ups("v=spf1 redirect=nowhere.example ptr ?all"), Ok(1));
    let told = world.look_ups("v=spf1 redirect=nowhere.example ptr").expect_err("without all it counts");
    assert!(told.contains("\"redirect=nowhere.example\" leads to nowhere.example, which publishes no"), "{told}");
}

#[test]
fn two_look_ups_may_find_nothing_and_not_three() {
    for (policy, void) in [
        ("a:gone.example exists:gone.example", ""),
        ("a:gone.example mx exists:%{i}.gone.example exists:%{i}.gone.example", ""),
        ("a:gone.example mx:gone.example a:here.example", ""),
        ("a:gone.example mx:gone.example exists:gone.example", "gone.example A, gone.example MX, gone.example A"),
        ("a mx:gone.example exists:gone.example", "mail.example.com A, gone.example MX, gone.example A"),
        ("mx:hosts.example a:gone.example", "old-1.example A, old-2.example A, gone.example A"),
        ("include:half.example a:gone.example", "x.example A, y.example A, gone.example A"),
        // It takes no mail, and says so.
        ("mx:null.example a:gone.example mx:gone.example", ""),
    ] {
        let world = World::new([
            ("here.example", Asked::A, &["192.0.2.1"][..]),
            ("hosts.example", Asked::Mx, &["old-1.example", "here.example", "old-2.example"]),
            ("half.example", Asked::Txt, &["v=spf1 a:x.example a:y.example ~all"]),
            ("null.example", Asked::Mx, &["."]),
            ("mail.example.com", Asked::Mx, &["here.example"]),
        ]);
        let told = world.look_ups(&format!("v=spf1 {policy} ~all")).err().unwrap_or_default();
        let expected = format!("3 of its look-ups find nothing, and SPF allows 2: {void}");
        assert_eq!(told, if void.is_empty() { "" } else { &expected }, "{policy}");
    }
}

#[test]
fn an_include_without_a_policy_or_with_two_is_an_error_by_name() {
    let world = World::new([
        ("text.example", Asked::A, &["192.0.2.1"][..]),
        ("two.example", Asked::Txt, &["v=spf1 -all", "v=spf1 ~all"]),
        ("deep.example", Asked::Txt, &["v=spf1 include:text.example -all"]),
    ]);
    for (term, told) in [
        (
            "include:nowhere.example",
            "\"include:nowhere.example\" leads to nowhere.example, which publishes no SPF policy",
        ),
        ("include:deep.example", "\"include:text.example\" leads to text.example, which publishes no SPF policy"),
        ("?include:two.example", "\"?include:two.example\" leads to two.example, which publishes several SPF policies"),
    ] {
        let error = world.look_ups(&format!("v=spf1 {term} ~all")).expect_err(term);
        assert!(error.starts_with(told), "{error}");
    }
}

#[test]
fn the_first_fault_is_told_whichever_was_found_first() {
    let world =
        World::of([("deep.example", "v=spf1 include:deeper.example"), ("deeper.example", "v=spf1 include:x.y -all")]);
    let error = world.look_ups("v=spf1 include:deep.example include:nowhere.example -all").expect_err("two faults");
    assert!(error.starts_with("\"include:x.y\""), "{error}");
}

#[test]
fn a_circle_ends_and_is_told() {
    let world = World::of([
        ("a.example", "v=spf1 include:b.example ~all"),
        ("b.example", "v=spf1 redirect=A.example."),
        ("mine.example", "v=spf1 include:mail.example.com ~all"),
    ]);
    for (policy, told) in [
        ("v=spf1 include:mail.example.com ~all", "\"include:mail.example.com\" leads back to mail.example.com"),
        ("v=spf1 include:mine.example ~all", "\"include:mail.example.com\" leads back to mail.example.com"),
        ("v=spf1 redirect=a.example", "\"redirect=A.example.\" leads back to a.example"),
    ] {
        let error = world.look_ups(policy).expect_err(policy);
        assert!(error.starts_with(told), "{error}");
    }
    // Twice beside each other is no circle.
    let twice = World::of([("a.example", "v=spf1 -all")]);
    assert_eq!(twice.look_ups("v=spf1 include:a.example include:a.example -all"), Ok(2));
}

#[test]
fn ten_exchangers_are_allowed() {
    let hosts: Vec<String> = (0..11).map(|number| format!("mx-{number}.example")).collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let world = |count: usize| {
        let addresses = hosts.iter().map(|host| (*host, Asked::A, &["192.0.2.1"][..]));
        World::new(addresses.chain([("many.example", Asked::Mx, &hosts[..count])]))
    };
    assert_eq!(world(10).look_ups("v=spf1 mx:many.example ~all"), Ok(1));
    let error = world(11).look_ups("v=spf1 mx:many.example ~all").expect_err("eleven");
    assert!(error.contains("many.example, which has more than 10 mail exchangers"), "{error}");
}

#[test]
fn what_is_no_term_is_told() {
    for term in [
        "include",
        "include:",
        "exists",
        "a:",
        "a:/24",
        "ptr/24",
        "all:x.example",
        "ip:192.0.2.1",
        "ip4",
        "include:amazonses",
        "a:192.0.2.1",
        "include:a..example",
        "include:spf.example,com",
        "redirect=",
        "-redirect=x.example",
        "include:spf\u{ad}.example.com",
        "and",
    ] {
        let error = World::of([]).look_ups(&format!("v=spf1 {term} ptr")).expect_err(term);
        assert!(error.starts_with(&format!("\"{term}\" in the policy of {AT} is no term of SPF")), "{error}");
    }
    // A policy is read whole first.
    assert!(World::of([]).look_ups("v=spf1 -all include").is_err());
    assert_eq!(World::of([]).look_ups("v=spf1 -all include:nowhere.example"), Ok(0));
}

#[test]
fn what_strangers_publish_bounds_what_is_asked() {
    let wide: String = (0..5_000).map(|number| format!(" a:{number}.example.net")).collect();
    let (outcome, rounds) = World::of([]).count(&format!("v=spf1{wide} ~all"));
    assert_eq!(outcome, Err(PermError::Countless));
    assert!(rounds.is_empty(), "the policy alone shows it");
    // Each includes two others, and so on for ever.
    let names: Vec<(String, String)> = (1..200)
        .map(|number| {
            let (one, other) = (2 * number, 2 * number + 1);
            (format!("n{number}.example"), format!("v=spf1 include:n{one}.example include:n{other}.example ~all"))
        })
        .collect();
    let world = World::of(names.iter().map(|(name, policy)| (name.as_str(), policy.as_str())));
    let (outcome, rounds) = world.count("v=spf1 include:n1.example ~all");
    assert_eq!(outcome, Err(PermError::Countless));
    let asked: usize = rounds.iter().map(BTreeSet::len).sum();
    assert!(asked <= 60, "{asked} questions");
}
