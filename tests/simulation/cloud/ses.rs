//! Identities and their verifications, true to what resolvers see.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::{SignedDuration, Timestamp};
use ses_operator::api::spec::MxFailureBehavior;
use ses_operator::cloud::{AsOf, CloudError, ErrorKind, Region};
use ses_operator::dns::RecordType;
use ses_operator::domain_name::DomainName;
use ses_operator::ses::VerificationStatus::{Failed, NotStarted, Pending, Success, TemporaryFailure};
use ses_operator::ses::{
    Dkim, Identity, IdentityChange, IdentityKey, IdentityService, ListedIdentity, MailFrom, NewIdentity, SigningOrigin,
    VerificationStatus, regions,
};

use super::route53::Zones;
use super::{Cloud, State, error};
use crate::random::Random;

/// SES looks this long.
const GIVES_UP: SignedDuration = SignedDuration::from_hours(72);

/// How SES behaves where AWS does not say, and how long things take, in seconds from and to.
#[derive(Clone, Debug)]
pub struct Delays {
    /// From the records' being served to the verification.
    pub dkim: (i64, i64),
    pub mail_from: (i64, i64),
    /// From the records' vanishing to SES's noticing it.
    pub notice: (i64, i64),
    /// Of a call to its service, and of the answer back, in milliseconds. Without them nothing comes between two calls of
    /// a reconcile.
    pub travel: (i64, i64),
    /// Whether putting a failed MAIL FROM domain again starts its verification anew; else only clearing it first does.
    pub put_restarts: bool,
    /// Whether a new DKIM key has new tokens.
    pub new_tokens: bool,
    /// Whether a MAIL FROM domain is refused before DKIM is verified.
    pub mail_from_needs_dkim: bool,
}

impl Default for Delays {
    fn default() -> Self {
        Self {
            dkim: (60, 600),
            mail_from: (60, 900),
            notice: (60, 3600),
            travel: (0, 0),
            put_restarts: true,
            new_tokens: true,
            mail_from_needs_dkim: false,
        }
    }
}

/// A verification under way.
#[derive(Clone, Debug)]
struct Check {
    since: Timestamp,
    /// When the state turns if the records stay as they are: right, or not.
    turn: Option<(bool, Timestamp)>,
}

/// What SES looks for in DNS, made once for the tokens that it belongs to.
#[derive(Clone, Debug, Default)]
struct Sought {
    tokens: Vec<String>,
    /// The DKIM records: names and targets.
    aliases: Vec<(DomainName, String)>,
    /// The one value of the MX set.
    exchanger: String,
}

impl Sought {
    fn of(key: &IdentityKey, dkim: &Dkim) -> Self {
        let signed_by = dkim.signing_hosted_zone.clone();
        let signed_by = signed_by.unwrap_or_else(|| regions::default_signing_hosted_zone(&key.region));
        let below = key.domain.child("_domainkey");
        let alias = |token: &String| (below.child(token), signed_by.child(token).to_string());
        Self {
            tokens: dkim.tokens.clone(),
            aliases: dkim.tokens.iter().map(alias).collect(),
            exchanger: format!("10 {}", regions::feedback_host(&key.region)),
        }
    }
}

/// An identity as SES holds it.
#[derive(Clone, Debug)]
pub struct Held {
    pub identity: Identity,
    sought: Sought,
    dkim: Check,
    mail_from: Check,
    /// Made by somebody else.
    pub foreign: bool,
    /// Tags that somebody else set.
    pub foreign_tags: BTreeSet<String>,
    /// Whether the configuration set and the MAIL FROM domain are somebody else's.
    pub foreign_settings: bool,
    /// Until when DKIM was verified, where it ceased to be.
    pub dkim_until: Option<Timestamp>,
    /// The MAIL FROM domain that was verified, and until when.
    pub mail_from_until: Option<(DomainName, Timestamp)>,
    /// When somebody else changed a setting last.
    pub by_hand: Option<Timestamp>,
}

/// All identities of the account.
#[derive(Clone, Debug, Default)]
pub struct Identities {
    pub held: BTreeMap<IdentityKey, Held>,
    /// The identities that were deleted last, and when.
    pub gone: BTreeMap<IdentityKey, (Timestamp, Held)>,
    /// Whether an identity was made or changed since SES looked last.
    pub(super) touched: bool,
    /// When a verification ends if the records stay as they were when SES looked last.
    pub(super) next_turn: Option<Timestamp>,
    made: usize,
    /// What stood after each change of late, while reads lag behind.
    past: VecDeque<(Timestamp, BTreeMap<IdentityKey, Held>)>,
}

impl Check {
    fn started(now: Timestamp) -> Self {
        Self { since: now, turn: None }
    }

    /// Looks at the records and answers with the new status, if it turns now.
    fn look(
        &mut self,
        status: VerificationStatus,
        right: bool,
        now: Timestamp,
        delay: impl FnOnce(bool) -> i64,
    ) -> Option<VerificationStatus> {
        let good = status == Success;
        if status == Failed {
            return None;
        }
        if self.turn.is_none_or(|(as_right, _)| as_right != right) {
            let turn = match (good, right) {
                (true, true) => Timestamp::MAX,
                (false, true) | (true, false) => now + SignedDuration::from_secs(delay(right)),
                (false, false) => self.since + GIVES_UP,
            };
            self.turn = Some((right, turn));
        }
        if status != Success && now >= self.since + GIVES_UP {
            *self = Self::started(now);
            return Some(Failed);
        }
        if self.turn.is_some_and(|(_, at)| at > now) {
            return None;
        }
        *self = Self::started(now);
        Some(if right { Success } else { TemporaryFailure })
    }

    fn next_turn(&self, status: VerificationStatus) -> Option<Timestamp> {
        let (_, turn) = self.turn.filter(|_| status != Failed)?;
        let turn = if status == Success { turn } else { turn.min(self.since + GIVES_UP) };
        (turn < Timestamp::MAX).then_some(turn)
    }
}

impl Identities {
    pub fn get(&self, domain: &str) -> Option<&Identity> {
        self.held.iter().find(|(key, _)| key.domain.as_str() == domain).map(|(_, held)| &held.identity)
    }

    /// The identities as a read shows them that lags behind.
    fn shown(&mut self, now: Timestamp, lag: SignedDuration) -> &BTreeMap<IdentityKey, Held> {
        self.remember(now, lag);
        self.past.front().map_or(&self.held, |(_, held)| held)
    }

    /// Remembers what stands now, for as long as a read may show it.
    pub(super) fn remember(&mut self, now: Timestamp, lag: SignedDuration) {
        if lag.is_zero() {
            self.past.clear();
            return;
        }
        self.past.push_back((now, self.held.clone()));
        // The youngest that is old enough stays in front.
        while self.past.get(1).is_some_and(|(at, _)| *at + lag <= now) {
            self.past.pop_front();
        }
    }

    /// Deletes an identity, and answers with it if there was one.
    fn remove(&mut self, key: &IdentityKey, now: Timestamp) -> Option<Held> {
        let held = self.held.remove(key)?;
        self.touched = true;
        self.gone.insert(key.clone(), (now, held.clone()));
        Some(held)
    }

    /// SES looks at the records of every identity.
    pub(super) fn look(&mut self, zones: &Zones, now: Timestamp, delays: &Delays, random: &mut Random) {
        self.next_turn = None;
        for (key, held) in &mut self.held {
            let dkim = &mut held.identity.dkim;
            if held.sought.tokens != dkim.tokens {
                held.sought = Sought::of(key, dkim);
            }
            let stands = |(name, target): &(DomainName, String)| {
                zones.resolve(name, &RecordType::Cname) == std::slice::from_ref(target)
            };
            let right = held.sought.aliases.iter().all(stands);
            let delay = |right| if right { delays.dkim } else { delays.notice };
            if dkim.status == NotStarted {
                dkim.status = Pending;
            }
            let turned = held.dkim.look(dkim.status, right, now, |right| draw(random, delay(right)));
            if dkim.status == Success && turned.is_some() {
                held.dkim_until = Some(now);
            }
            dkim.status = turned.unwrap_or(dkim.status);
            if let Some(mail_from) = &mut held.identity.mail_from {
                let found = zones.resolve(&mail_from.domain, &RecordType::Mx);
                let wanted = &held.sought.exchanger;
                let right = found.len() == 1 && found[0].trim_end_matches('.').eq_ignore_ascii_case(wanted);
                let delay = |right| if right { delays.mail_from } else { delays.notice };
                let turned = held.mail_from.look(mail_from.status, right, now, |right| draw(random, delay(right)));
                if mail_from.status == Success && turned.is_some() {
                    held.mail_from_until = Some((mail_from.domain.clone(), now));
                }
                mail_from.status = turned.unwrap_or(mail_from.status);
            }
            let mail_from = held.identity.mail_from.as_ref().and_then(|found| held.mail_from.next_turn(found.status));
            let turns = held.dkim.next_turn(held.identity.dkim.status).into_iter().chain(mail_from);
            self.next_turn = self.next_turn.into_iter().chain(turns).min();
        }
    }

    fn tokens(&mut self) -> Vec<String> {
        self.made += 1;
        self.touched = true;
        (1..=3).map(|n| format!("k{}n{n}", self.made)).collect()
    }

    pub fn create(&mut self, key: &IdentityKey, new: &NewIdentity, now: Timestamp, foreign: bool) -> Identity {
        let identity = Identity {
            dkim: Dkim {
                status: NotStarted,
                signing_enabled: true,
                tokens: self.tokens(),
                signing_hosted_zone: Some(regions::default_signing_hosted_zone(&key.region)),
                origin: SigningOrigin::AwsSes,
                next_key_length: new.key_length,
                error: None,
            },
            mail_from: None,
            feedback_forwarding: true,
            configuration_set: new.configuration_set.clone(),
            tags: new.tags.clone(),
        };
        let foreign_tags = if foreign { new.tags.keys().cloned().collect() } else { BTreeSet::new() };
        let (dkim, mail_from) = (Check::started(now), Check::started(now));
        let held = Held {
            identity: identity.clone(),
            sought: Sought::of(key, &identity.dkim),
            dkim,
            mail_from,
            foreign,
            foreign_tags,
            foreign_settings: false,
            dkim_until: None,
            mail_from_until: None,
            by_hand: None,
        };
        self.held.insert(key.clone(), held);
        identity
    }
}

fn draw(random: &mut Random, (low, high): (i64, i64)) -> i64 {
    random.between(low, high)
}

impl Held {
    pub fn put_mail_from(&mut self, put: Option<(DomainName, MxFailureBehavior)>, now: Timestamp, restarts: bool) {
        let before = self.identity.mail_from.take();
        let goes_on = put.as_ref().map(|(domain, _)| domain);
        if let Some(lost) = before.as_ref().filter(|before| before.status == Success && Some(&before.domain) != goes_on)
        {
            self.mail_from_until = Some((lost.domain.clone(), now));
        }
        let Some((domain, behavior)) = put else { return };
        let goes_on = before.filter(|before| before.domain == domain && (before.status != Failed || !restarts));
        if goes_on.is_none() {
            self.mail_from = Check::started(now);
        }
        let status = goes_on.map_or(Pending, |before| before.status);
        self.identity.mail_from = Some(MailFrom { domain, status, behavior });
    }
}

impl State {
    /// The identity of a story, to change it behind the operator's back.
    pub fn by_hand(&mut self, domain: &str) -> &mut Held {
        let now = self.now();
        let held = &mut self.identities.held;
        let held = held.iter_mut().find(|(key, _)| key.domain.as_str() == domain).expect("an identity of the story").1;
        self.identities.touched = true;
        held.by_hand = Some(now);
        held
    }

    /// Somebody else deletes an identity.
    pub fn remove_identity(&mut self, key: &IdentityKey) {
        let now = self.now();
        self.identities.remove(key, now);
    }

    fn change_identity(&mut self, key: &IdentityKey, change: &IdentityChange) -> Result<(), CloudError> {
        let now = self.now();
        let tokens = self.identities.tokens();
        let Some(held) = self.identities.held.get_mut(key) else {
            return Err(error(ErrorKind::NotFound, operation(change), &key.domain, "no such identity"));
        };
        if matches!(change, IdentityChange::MailFrom(Some(_)))
            && self.delays.mail_from_needs_dkim
            && held.identity.dkim.status != Success
        {
            let message = "the identity must be verified first";
            return Err(error(ErrorKind::Rejected, operation(change), &key.domain, message));
        }
        self.guard.identity(held, change);
        self.mutations += 1;
        match change.clone() {
            IdentityChange::MailFrom(put) => held.put_mail_from(put, now, self.delays.put_restarts),
            IdentityChange::Signing(enabled) => held.identity.dkim.signing_enabled = enabled,
            IdentityChange::DkimKey(_) => {
                if held.identity.dkim.status == Success {
                    held.dkim_until = Some(now);
                }
                held.identity.dkim.status = Pending;
                held.dkim = Check::started(now);
                if self.delays.new_tokens {
                    held.identity.dkim.tokens = tokens;
                }
            }
            IdentityChange::FeedbackForwarding(enabled) => held.identity.feedback_forwarding = enabled,
            IdentityChange::ConfigurationSet(name) => held.identity.configuration_set = name,
            IdentityChange::Tag(tags) => held.identity.tags.extend(tags),
            IdentityChange::Untag(keys) => held.identity.tags.retain(|key, _| !keys.contains(key)),
        }
        self.identities.touched = true;
        self.look();
        Ok(())
    }
}

fn operation(change: &IdentityChange) -> &'static str {
    match change {
        IdentityChange::MailFrom(_) => "ses:PutEmailIdentityMailFromAttributes",
        IdentityChange::Signing(_) => "ses:PutEmailIdentityDkimAttributes",
        IdentityChange::DkimKey(_) => "ses:PutEmailIdentityDkimSigningAttributes",
        IdentityChange::FeedbackForwarding(_) => "ses:PutEmailIdentityFeedbackAttributes",
        IdentityChange::ConfigurationSet(_) => "ses:PutEmailIdentityConfigurationSetAttributes",
        IdentityChange::Tag(_) => "ses:TagResource",
        IdentityChange::Untag(_) => "ses:UntagResource",
    }
}

/// SES, as the operator sees it.
#[derive(Clone, Debug)]
pub struct Ses(pub Cloud);

impl IdentityService for Ses {
    async fn list(&self, region: &Region) -> Result<AsOf<Vec<ListedIdentity>>, CloudError> {
        let list = |state: &mut State| {
            let (now, lag) = (state.now(), state.lag);
            let held = state.identities.shown(now, lag).iter().filter(|(key, _)| key.region == *region);
            let listed = held
                .map(|(key, held)| ListedIdentity { domain: key.domain.clone(), status: held.identity.dkim.status });
            Ok(listed.collect())
        };
        self.0.read("ses:ListEmailIdentities", region.as_str(), Vec::new(), list).await
    }

    async fn get(&self, key: &IdentityKey) -> Result<AsOf<Option<Identity>>, CloudError> {
        let get = |state: &mut State| {
            let (now, lag) = (state.now(), state.lag);
            Ok(state.identities.shown(now, lag).get(key).map(|held| held.identity.clone()))
        };
        self.0.read("ses:GetEmailIdentity", key.domain.as_str(), None, get).await
    }

    async fn create(&self, key: &IdentityKey, new: &NewIdentity) -> Result<AsOf<Identity>, CloudError> {
        const OPERATION: &str = "ses:CreateEmailIdentity";
        let create = |state: &mut State| {
            if state.identities.held.contains_key(key) {
                return Err(error(ErrorKind::Conflict, OPERATION, &key.domain, "the identity exists already"));
            }
            let now = state.now();
            state.mutations += 1;
            let identity = state.identities.create(key, new, now, false);
            state.look();
            Ok(identity)
        };
        self.0.call_as_of(OPERATION, key.domain.as_str(), create).await
    }

    async fn change(&self, key: &IdentityKey, change: &IdentityChange) -> Result<(), CloudError> {
        self.0.call(operation(change), key.domain.as_str(), |state| state.change_identity(key, change)).await
    }

    async fn delete(&self, key: &IdentityKey) -> Result<(), CloudError> {
        let delete = |state: &mut State| {
            let now = state.now();
            if let Some(held) = state.identities.remove(key, now) {
                state.guard.identity_deleted(&key.domain, &held);
                state.mutations += 1;
            }
            Ok(())
        };
        self.0.call("ses:DeleteEmailIdentity", key.domain.as_str(), delete).await
    }
}
