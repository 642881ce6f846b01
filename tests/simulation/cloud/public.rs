//! Public DNS, as anybody may ask it: the account's zones, and names of others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use futures::FutureExt;
use futures::future::BoxFuture;
use ses_operator::cloud::{CloudError, ErrorKind};
use ses_operator::dns::public::{Answer, Asked, LOOK_UP, PublicDns, Question};
use ses_operator::dns::spf::look_ups::{self, Answers, Count};
use ses_operator::dns::{RecordChange, RecordType, spf, text};
use ses_operator::domain_name::DomainName;

use super::{Cloud, State};

/// What others publish.
#[derive(Clone, Debug)]
pub struct OtherNames(BTreeMap<Question, Answer>);

impl Default for OtherNames {
    /// What the world has without a story's doing: SES's own policy, and that of a neighbor whom others include.
    fn default() -> Self {
        let mut names = Self(BTreeMap::new());
        names.publish("amazonses.com", Asked::Txt, &["v=spf1 ip4:199.255.192.0/22 ip4:54.240.0.0/18 -all"]);
        names.publish("elsewhere.example", Asked::Txt, &["v=spf1 ip4:192.0.2.0/24 -all"]);
        names
    }
}

impl OtherNames {
    /// Somebody publishes this at a name of theirs, and nothing else of that type.
    pub fn publish(&mut self, name: &str, asked: Asked, values: &[&str]) {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        self.0.insert(Question { name: DomainName::new(name), asked }, values);
    }
}

impl State {
    /// What public DNS answers.
    pub fn answer(&self, question: &Question) -> Answer {
        if let Some(answer) = self.others.0.get(question) {
            return answer.clone();
        }
        let record_type = RecordType::parse(question.asked.as_str());
        let values = self.zones.resolve(&question.name, &record_type).iter();
        values
            .map(|value| match question.asked {
                Asked::Txt => text::unquote(value),
                Asked::Mx => value.split_once(' ').map_or(value.clone(), |(_, host)| host.to_owned()),
                Asked::A => value.clone(),
            })
            .collect()
    }

    /// What receivers make of an SPF policy of this name.
    fn evaluate(&self, name: &DomainName, policy: &str) -> Result<usize, String> {
        let mut answers = Answers::new();
        loop {
            match look_ups::count(name, policy, &answers) {
                Count::Done(outcome) => return outcome.map_err(|error| error.to_string()),
                Count::Needs(questions) => answers.extend(questions.into_iter().map(|question| {
                    let answer = self.answer(&question);
                    (question, answer)
                })),
            }
        }
    }

    /// The policies of others that our term is put into by these changes, and that receivers can't evaluate then.
    pub(super) fn broken_merges(&self, changes: &[RecordChange]) -> Vec<String> {
        let policies = |set: &ses_operator::dns::RecordSet| -> BTreeSet<String> {
            set.values.iter().map(|value| text::unquote(value)).filter(|text| spf::is_spf(text)).collect()
        };
        let before: BTreeSet<String> = changes
            .iter()
            .filter_map(|change| match change {
                RecordChange::Delete(old) => Some(policies(old)),
                RecordChange::Create(_) => None,
            })
            .flatten()
            .collect();
        let mut broken = Vec::new();
        for change in changes {
            let RecordChange::Create(new) = change else { continue };
            let is_merged = |policy: &String| before.contains(&spf::without(policy, "amazonses.com"));
            for policy in policies(new).difference(&before).filter(|policy| is_merged(policy)) {
                if let Err(error) = self.evaluate(&new.name, policy) {
                    broken.push(format!("our term was put into the policy of {}, and now {error}", new.name));
                }
            }
        }
        broken
    }
}

/// Public DNS, as the operator sees it. Whatever befalls a look-up, the resolver knows no answer.
#[derive(Debug)]
pub struct Resolver(pub Cloud);

impl PublicDns for Resolver {
    fn ask<'a>(&'a self, question: &'a Question, _: Instant) -> BoxFuture<'a, Result<Answer, CloudError>> {
        async move {
            let name = question.name.as_str();
            let answer = self.0.call("dns:Query", name, |state| Ok(state.answer(question))).await;
            answer.map_err(|error| CloudError {
                kind: ErrorKind::Unavailable,
                operation: LOOK_UP,
                object: question.to_string(),
                ..error
            })
        }
        .boxed()
    }
}
