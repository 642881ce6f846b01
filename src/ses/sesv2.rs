//! SES v2.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_config::SdkConfig;
use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::types::{BehaviorOnMxFailure, DkimSigningAttributes, DkimSigningAttributesOrigin};

use self::convert::{identity, key_length, mx_failure_behavior, sdk_tags};
use super::{Identity, IdentityChange, IdentityKey, IdentityService, ListedIdentity, NewIdentity};
use crate::aws::{Aws, Calls};
use crate::cloud::{AsOf, CloudError, ErrorKind, Region};

mod convert;

const LIST: &str = "ses:ListEmailIdentities";
/// What SES gives in one page at the most.
const IDENTITIES_PER_PAGE: i32 = 1000;
/// Ten times what an account may hold, unless AWS has raised its quota.
const MOST_PAGES: usize = 100;

/// The identities of one account, in any Region. Clones share their connections.
#[derive(Clone, Debug)]
pub struct SesV2 {
    sdk: SdkConfig,
    calls: Calls,
    account: String,
    clients: Arc<Mutex<BTreeMap<Region, Client>>>,
}

impl SesV2 {
    /// The identities of the connection's account, whose number is a part of their names.
    pub fn new(aws: &Aws, account: &str) -> Self {
        let (sdk, calls) = (aws.sdk().clone(), aws.calls());
        Self { sdk, calls, account: account.to_owned(), clients: Arc::default() }
    }

    /// The client of a Region, and the way to send its calls.
    fn reach(&self, region: &Region) -> (Client, Calls) {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let client = clients.entry(region.clone()).or_insert_with(|| {
            let region = aws_config::Region::new(region.as_str().to_owned());
            Client::new(&self.sdk.to_builder().region(region).build())
        });
        (client.clone(), self.calls.in_region(region))
    }
}

impl IdentityService for SesV2 {
    async fn list(&self, region: &Region) -> Result<AsOf<Vec<ListedIdentity>>, CloudError> {
        let (client, calls) = self.reach(region);
        let (mut listed, mut asked) = (Vec::new(), None);
        let mut token = None;
        for _ in 0..MOST_PAGES {
            let list = client.list_email_identities().page_size(IDENTITIES_PER_PAGE).set_next_token(token.take());
            let AsOf { time, answer } = calls.read(LIST, region.as_str(), || list.clone().send()).await;
            let (page, first) = (answer?, *asked.get_or_insert(time));
            listed.extend(page.email_identities.unwrap_or_default().into_iter().filter_map(convert::listed));
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(AsOf { time: first, answer: listed });
            }
        }
        let message = format!("the list has more than {MOST_PAGES} pages");
        Err(CloudError { kind: ErrorKind::Unavailable, operation: LIST, object: region.to_string(), message })
    }

    async fn get(&self, key: &IdentityKey) -> Result<AsOf<Option<Identity>>, CloudError> {
        let (client, calls) = self.reach(&key.region);
        let get = client.get_email_identity().email_identity(key.domain.as_str());
        let AsOf { time, answer } =
            calls.read("ses:GetEmailIdentity", key.domain.as_str(), || get.clone().send()).await;
        match answer {
            Ok(answer) => Ok(AsOf { time, answer: Some(identity(answer)) }),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(AsOf { time, answer: None }),
            Err(error) => Err(error),
        }
    }

    async fn create(&self, key: &IdentityKey, new: &NewIdentity) -> Result<AsOf<Identity>, CloudError> {
        let signing = new
            .key_length
            .map(|length| DkimSigningAttributes::builder().next_signing_key_length(key_length(length)).build());
        let (client, calls) = self.reach(&key.region);
        let create = client
            .create_email_identity()
            .email_identity(key.domain.as_str())
            .set_dkim_signing_attributes(signing)
            .set_configuration_set_name(new.configuration_set.clone())
            .set_tags(Some(sdk_tags(&new.tags)));
        let created = calls.write("ses:CreateEmailIdentity", key.domain.as_str(), || create.clone().send()).await;
        Ok(created.transpose()?.map(|answer| Identity {
            dkim: convert::dkim(answer.dkim_attributes, None),
            mail_from: None,
            // What SES gives to each new identity; the answer does not say.
            feedback_forwarding: true,
            configuration_set: new.configuration_set.clone(),
            tags: new.tags.clone(),
        }))
    }

    async fn change(&self, key: &IdentityKey, change: &IdentityChange) -> Result<(), CloudError> {
        let (client, calls) = self.reach(&key.region);
        let domain = key.domain.as_str();
        match change {
            IdentityChange::MailFrom(wanted) => {
                let put = client.put_email_identity_mail_from_attributes().email_identity(domain);
                let put = match wanted {
                    Some((mail_from, behavior)) => {
                        put.mail_from_domain(mail_from.as_str()).behavior_on_mx_failure(mx_failure_behavior(*behavior))
                    }
                    // Without a domain it goes back to SES's own, and there is nothing to reject.
                    None => put.behavior_on_mx_failure(BehaviorOnMxFailure::UseDefaultValue),
                };
                calls.write("ses:PutEmailIdentityMailFromAttributes", domain, || put.clone().send()).await.answer?;
            }
            IdentityChange::Signing(enabled) => {
                let put = client.put_email_identity_dkim_attributes().email_identity(domain).signing_enabled(*enabled);
                calls.write("ses:PutEmailIdentityDkimAttributes", domain, || put.clone().send()).await.answer?;
            }
            IdentityChange::DkimKey(length) => {
                let attributes =
                    length.map(|it| DkimSigningAttributes::builder().next_signing_key_length(key_length(it)).build());
                let put = client
                    .put_email_identity_dkim_signing_attributes()
                    .email_identity(domain)
                    .signing_attributes_origin(DkimSigningAttributesOrigin::AwsSes)
                    .set_signing_attributes(attributes);
                calls.write("ses:PutEmailIdentityDkimSigningAttributes", domain, || put.clone().send()).await.answer?;
            }
            IdentityChange::FeedbackForwarding(enabled) => {
                let put = client
                    .put_email_identity_feedback_attributes()
                    .email_identity(domain)
                    .email_forwarding_enabled(*enabled);
                calls.write("ses:PutEmailIdentityFeedbackAttributes", domain, || put.clone().send()).await.answer?;
            }
            IdentityChange::ConfigurationSet(name) => {
                let put = client
                    .put_email_identity_configuration_set_attributes()
                    .email_identity(domain)
                    .set_configuration_set_name(name.clone());
                calls
                    .write("ses:PutEmailIdentityConfigurationSetAttributes", domain, || put.clone().send())
                    .await
                    .answer?;
            }
            IdentityChange::Tag(tags) => {
                let tag = client.tag_resource().resource_arn(key.arn(&self.account)).set_tags(Some(sdk_tags(tags)));
                calls.write("ses:TagResource", domain, || tag.clone().send()).await.answer?;
            }
            IdentityChange::Untag(keys) => {
                let untag =
                    client.untag_resource().resource_arn(key.arn(&self.account)).set_tag_keys(Some(keys.clone()));
                calls.write("ses:UntagResource", domain, || untag.clone().send()).await.answer?;
            }
        }
        Ok(())
    }

    async fn delete(&self, key: &IdentityKey) -> Result<(), CloudError> {
        let (client, calls) = self.reach(&key.region);
        let delete = client.delete_email_identity().email_identity(key.domain.as_str());
        let deleted = calls.write("ses:DeleteEmailIdentity", key.domain.as_str(), || delete.clone().send()).await;
        match deleted.answer {
            Ok(_) => Ok(()),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}
