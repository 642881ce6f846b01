//! How many look-ups an SPF policy costs its receivers, through all that it includes (RFC 7208 section 4.6.4). Pure: it says
//! which names it must be told of, and is called again with the answers.
//!
//! What is counted is the worst case, a sender whom nothing lets pass before `all`. That is what mail of SES meets where our
//! term stands last.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::{mechanism, terms};
use crate::dns::public::{Answer, Asked, Question};
use crate::domain_name::DomainName;

/// A policy that needs more look-ups than this is an error to every receiver.
const MOST_LOOK_UPS: usize = 10;
/// So is one of whose look-ups more than these find nothing.
const MOST_VOID: usize = 2;
/// And one that names a domain with more mail exchangers.
const MOST_EXCHANGERS: usize = 10;
/// Beyond that nobody counts: it bounds what is asked because of what strangers publish.
const MOST_COUNTED: usize = 50;
/// A person is told of so many terms, those that cost most.
const MOST_TOLD: usize = 4;

/// Answers of public DNS.
pub type Answers = BTreeMap<Question, Answer>;

/// How far a count has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Count {
    /// It goes on once these are answered.
    Needs(BTreeSet<Question>),
    /// It is at its end: how many look-ups the policy costs.
    Done(Result<usize, PermError>),
}

/// Why receivers can't evaluate a policy: RFC 7208 calls it `permerror`, and mail passes no SPF by such a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PermError {
    /// It costs too many look-ups; the terms that cost any, with their costs.
    #[error("it would need {look_ups} look-ups, and SPF allows {MOST_LOOK_UPS}: {}", dearest(.costs))]
    TooManyLookUps {
        /// All of them.
        look_ups: usize,
        /// Each term that costs any, and how many with all that lies behind it.
        costs: Vec<(String, usize)>,
    },
    /// It costs so many that nobody counts to the end.
    #[error("it would need more than {MOST_COUNTED} look-ups, and SPF allows {MOST_LOOK_UPS}")]
    Countless,
    /// Too many look-ups find nothing.
    #[error("{} of its look-ups find nothing, and SPF allows {MOST_VOID}: {}", .0.len(), listed(.0))]
    TooManyVoid(Vec<Question>),
    /// What is included has no policy.
    #[error("\"{term}\" leads to {domain}, which publishes no SPF policy, and that is an error to every receiver")]
    NoPolicy {
        /// The term.
        term: String,
        /// The domain that it names.
        domain: DomainName,
    },
    /// What is included has several.
    #[error(
        "\"{term}\" leads to {domain}, which publishes several SPF policies, and that is an error to every receiver"
    )]
    SeveralPolicies {
        /// The term.
        term: String,
        /// The domain that it names.
        domain: DomainName,
    },
    /// A policy includes itself, or one that includes it.
    #[error("\"{term}\" leads back to {domain}, and so there is no end to what receivers must look up")]
    Loop {
        /// The term.
        term: String,
        /// The domain that it names.
        domain: DomainName,
    },
    /// A domain has too many mail exchangers.
    #[error(
        "\"{term}\" leads to {domain}, which has more than {MOST_EXCHANGERS} mail exchangers, and that is an error to every receiver"
    )]
    TooManyExchangers {
        /// The term.
        term: String,
        /// The domain that it names.
        domain: DomainName,
    },
    /// A term can't be understood.
    #[error("\"{term}\" in the policy of {domain} is no term of SPF, and that is an error to every receiver")]
    Malformed {
        /// The term.
        term: String,
        /// The domain whose policy it stands in.
        domain: DomainName,
    },
}

/// Counts what a policy at `name` costs, as far as the answers go.
pub fn count(name: &DomainName, policy: &str, answers: &Answers) -> Count {
    let mut counting = Counting::new(answers);
    counting.policy(std::slice::from_ref(name), policy);
    let Counting { needs, look_ups, costs, void, fault, .. } = counting;
    if look_ups > MOST_COUNTED {
        return Count::Done(Err(PermError::Countless));
    }
    if !needs.is_empty() {
        return Count::Needs(needs);
    }
    Count::Done(match fault {
        Some(fault) => Err(fault),
        None if look_ups > MOST_LOOK_UPS => Err(PermError::TooManyLookUps { look_ups, costs }),
        None if void.len() > MOST_VOID => Err(PermError::TooManyVoid(void)),
        None => Ok(look_ups),
    })
}

struct Counting<'a> {
    answers: &'a Answers,
    needs: BTreeSet<Question>,
    look_ups: usize,
    /// What the terms of the first policy cost.
    costs: Vec<(String, usize)>,
    void: Vec<Question>,
    /// The first one, in the order of evaluation.
    fault: Option<PermError>,
}

impl<'a> Counting<'a> {
    fn new(answers: &'a Answers) -> Self {
        let (needs, costs, void) = (BTreeSet::new(), Vec::new(), Vec::new());
        Self { answers, needs, look_ups: 0, costs, void, fault: None }
    }

    /// `path` leads to the policy's own name, from the first one through all that include it.
    fn policy(&mut self, path: &[DomainName], policy: &str) {
        let Some(at) = path.last() else { return };
        for (written, term) in evaluated(policy) {
            if self.look_ups > MOST_COUNTED {
                return;
            }
            let before = self.look_ups;
            match term {
                Ok(term) => self.term(path, at, written, &term),
                Err(NoTerm) => self.fails(PermError::Malformed { term: written.to_owned(), domain: at.clone() }),
            }
            if path.len() == 1 && self.look_ups > before {
                self.costs.push((written.to_owned(), self.look_ups - before));
            }
        }
    }

    fn term(&mut self, path: &[DomainName], at: &DomainName, written: &str, term: &Term<'_>) {
        let target = match term {
            Term::Free => return,
            Term::Ptr => return self.look_ups += 1,
            Term::Policy(domain) | Term::Exists(domain) | Term::A(Some(domain)) | Term::Mx(Some(domain)) => {
                domain_of(domain)
            }
            Term::A(None) | Term::Mx(None) => Target::Name(at.clone()),
        };
        self.look_ups += 1;
        let domain = match target {
            Target::Name(domain) => domain,
            // Nobody can look up what depends on the mail: it counts, and nothing more is known of it.
            Target::Macro => return,
            Target::NoName => {
                return self.fails(PermError::Malformed { term: written.to_owned(), domain: at.clone() });
            }
        };
        let term_of = || (written.to_owned(), domain.clone());
        match term {
            Term::Policy(_) if path.contains(&domain) => {
                let (term, domain) = term_of();
                self.fails(PermError::Loop { term, domain });
            }
            Term::Policy(_) => {
                let Some(policies) = self.ask(&domain, Asked::Txt) else { return };
                match policies {
                    [] => {
                        let (term, domain) = term_of();
                        self.fails(PermError::NoPolicy { term, domain });
                    }
                    [policy] => {
                        let path: Vec<DomainName> = path.iter().cloned().chain([domain]).collect();
                        self.policy(&path, policy);
                    }
                    _ => {
                        let (term, domain) = term_of();
                        self.fails(PermError::SeveralPolicies { term, domain });
                    }
                }
            }
            Term::Mx(_) => {
                let Some(hosts) = self.ask(&domain, Asked::Mx) else { return };
                if hosts.len() > MOST_EXCHANGERS {
                    let (term, domain) = term_of();
                    return self.fails(PermError::TooManyExchangers { term, domain });
                }
                self.finds(Question { name: domain, asked: Asked::Mx }, hosts);
                // Their addresses are looked up too. A domain that takes no mail has an exchanger without a name (RFC 7505).
                for host in hosts.iter().map(|host| DomainName::new(host)).filter(|host| !host.as_str().is_empty()) {
                    self.looks_for_address(host);
                }
            }
            Term::A(_) | Term::Exists(_) => self.looks_for_address(domain),
            Term::Free | Term::Ptr => {}
        }
    }

    /// A receiver asks for addresses of the sender's kind, and what SES's own policy names are IPv4 addresses.
    fn looks_for_address(&mut self, name: DomainName) {
        if let Some(addresses) = self.ask(&name, Asked::A) {
            self.finds(Question { name, asked: Asked::A }, addresses);
        }
    }

    fn finds(&mut self, question: Question, found: &[String]) {
        if found.is_empty() {
            self.void.push(question);
        }
    }

    fn ask(&mut self, name: &DomainName, asked: Asked) -> Option<&'a [String]> {
        let question = Question { name: name.clone(), asked };
        let answer = self.answers.get(&question);
        if answer.is_none() {
            self.needs.insert(question);
        }
        answer.map(Vec::as_slice)
    }

    fn fails(&mut self, fault: PermError) {
        self.fault.get_or_insert(fault);
    }
}

/// A term, by what it makes a receiver look up.
enum Term<'a> {
    /// Nothing.
    Free,
    /// The policy of a domain: `include` and `redirect`.
    Policy(&'a str),
    /// An address, of the policy's own domain where none is named.
    A(Option<&'a str>),
    /// The mail exchangers and their addresses, likewise.
    Mx(Option<&'a str>),
    /// Whether there is an address.
    Exists(&'a str),
    /// The sender's name.
    Ptr,
}

/// What is no term.
struct NoTerm;

/// The terms of a policy that a receiver may come to, in the order of evaluation, each as it is written and as it is meant.
/// One that is no term is among them wherever it stands: a policy is read whole first.
fn evaluated(policy: &str) -> Vec<(&str, Result<Term<'_>, NoTerm>)> {
    let all: Vec<&str> = terms(policy).map(|(_, term)| term).collect();
    let end = all.iter().position(|term| mechanism(term) == "all" && !term.contains('='));
    let mut redirect = None;
    let mut evaluated = Vec::new();
    for (at, written) in all.into_iter().enumerate() {
        match meaning(written) {
            Err(NoTerm) => evaluated.push((written, Err(NoTerm))),
            Ok(_) if mechanism(written) == "redirect" => {
                // Where there is an `all` it says nothing.
                redirect = (end.is_none()).then_some(written).or(redirect);
            }
            Ok(term) if end.is_none_or(|end| at < end) => evaluated.push((written, Ok(term))),
            Ok(_) => {}
        }
    }
    evaluated.extend(redirect.map(|written| (written, meaning(written))));
    evaluated
}

fn meaning(written: &str) -> Result<Term<'_>, NoTerm> {
    let qualified = written.strip_prefix(['+', '-', '~', '?']);
    let term = qualified.unwrap_or(written);
    let (name, rest) = term.split_at(term.find([':', '/', '=']).unwrap_or(term.len()));
    let domain = rest.strip_prefix(':').filter(|domain| !domain.is_empty());
    let host = || match domain {
        // The lengths of prefixes follow the name, `example.com/24//64`. What a macro has of them is its own.
        Some(domain) if domain.contains('%') => Ok(Some(domain)),
        Some(domain) if !domain.starts_with('/') => Ok(domain.split('/').next()),
        None if rest.is_empty() || rest.starts_with('/') => Ok(None),
        Some(_) | None => Err(NoTerm),
    };
    if let Some(value) = rest.strip_prefix('=') {
        return match (name.to_ascii_lowercase().as_str(), value, qualified) {
            (_, _, Some(_)) | ("", _, None) | ("redirect", "", None) => Err(NoTerm),
            ("redirect", domain, None) => Ok(Term::Policy(domain)),
            (_, _, None) => Ok(Term::Free),
        };
    }
    match name.to_ascii_lowercase().as_str() {
        "all" if rest.is_empty() => Ok(Term::Free),
        "ip4" | "ip6" if domain.is_some() => Ok(Term::Free),
        "include" => domain.map(Term::Policy).ok_or(NoTerm),
        "exists" => domain.map(Term::Exists).ok_or(NoTerm),
        "a" => host().map(Term::A),
        "mx" => host().map(Term::Mx),
        "ptr" if domain.is_some() || rest.is_empty() => Ok(Term::Ptr),
        _ => Err(NoTerm),
    }
}

/// What a term names.
enum Target {
    Name(DomainName),
    /// It depends on the mail.
    Macro,
    /// Nothing that SPF takes for a domain (RFC 7208 section 7.1): an address, a single label.
    NoName,
}

fn domain_of(written: &str) -> Target {
    if written.contains('%') {
        return Target::Macro;
    }
    let name = DomainName::new(written);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(allowed);
    let is_top = |label: &str| !label.bytes().all(|byte| byte.is_ascii_digit());
    let is_whole = name.as_str().len() <= 253 && name.as_str().split('.').all(is_label);
    match name.as_str().rsplit_once('.') {
        Some((_, top)) if is_whole && is_top(top) => Target::Name(name),
        Some(_) | None => Target::NoName,
    }
}

/// The terms that cost most, those first.
fn dearest(costs: &[(String, usize)]) -> String {
    let mut costs: Vec<&(String, usize)> = costs.iter().collect();
    costs.sort_by_key(|(_, cost)| Reverse(*cost));
    let told: Vec<String> = costs.iter().take(MOST_TOLD).map(|(term, cost)| format!("{term} {cost}")).collect();
    let more = if costs.len() > MOST_TOLD { ", …" } else { "" };
    format!("{}{more}", told.join(", "))
}

fn listed(questions: &[Question]) -> String {
    let mut names: Vec<String> = questions.iter().map(Question::to_string).collect();
    names.dedup();
    names.join(", ")
}

#[cfg(test)]
mod tests;
