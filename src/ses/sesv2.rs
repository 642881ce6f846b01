//! SES v2.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_config::SdkConfig;
use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::types::{BehaviorOnMxFailure, DkimSigningAttributes, DkimSigningAttributesOrigin};

use self::convert::{identity, key_length, mx_failure_behavior, sdk_tags};
use super::{Identity, IdentityChange, IdentityKey, IdentityService, NewIdentity};
use crate::aws::{Aws, Calls};
use crate::cloud::{CloudError, ErrorKind, Region};

mod convert;

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

    fn client(&self, region: &Region) -> Client {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let client = clients.entry(region.clone()).or_insert_with(|| {
            let region = aws_config::Region::new(region.as_str().to_owned());
            Client::new(&self.sdk.to_builder().region(region).build())
        });
        client.clone()
    }
}

impl IdentityService for SesV2 {
    async fn get(&self, key: &IdentityKey) -> Result<Option<Identity>, CloudError> {
        let get = self.client(&key.region).get_email_identity().email_identity(key.domain.as_str());
        match self.calls.in_region(&key.region).read("ses:GetEmailIdentity", key.domain.as_str(), get.send()).await {
            Ok(answer) => Ok(Some(identity(answer))),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn create(&self, key: &IdentityKey, new: &NewIdentity) -> Result<Identity, CloudError> {
        let signing = new
            .key_length
            .map(|length| DkimSigningAttributes::builder().next_signing_key_length(key_length(length)).build());
        let create = self
            .client(&key.region)
            .create_email_identity()
            .email_identity(key.domain.as_str())
            .set_dkim_signing_attributes(signing)
            .set_configuration_set_name(new.configuration_set.clone())
            .set_tags(Some(sdk_tags(&new.tags)));
        let answer = self
            .calls
            .in_region(&key.region)
            .write("ses:CreateEmailIdentity", key.domain.as_str(), create.send())
            .await?;
        Ok(Identity {
            dkim: convert::dkim(answer.dkim_attributes, None),
            mail_from: None,
            // What SES gives to each new identity; the answer does not say.
            feedback_forwarding: true,
            configuration_set: new.configuration_set.clone(),
            tags: new.tags.clone(),
        })
    }

    async fn change(&self, key: &IdentityKey, change: &IdentityChange) -> Result<(), CloudError> {
        let (client, domain) = (self.client(&key.region), key.domain.as_str());
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
                self.calls
                    .in_region(&key.region)
                    .write("ses:PutEmailIdentityMailFromAttributes", domain, put.send())
                    .await?;
            }
            IdentityChange::Signing(enabled) => {
                let put = client.put_email_identity_dkim_attributes().email_identity(domain).signing_enabled(*enabled);
                self.calls
                    .in_region(&key.region)
                    .write("ses:PutEmailIdentityDkimAttributes", domain, put.send())
                    .await?;
            }
            IdentityChange::DkimKey(length) => {
                let attributes =
                    length.map(|it| DkimSigningAttributes::builder().next_signing_key_length(key_length(it)).build());
                let put = client
                    .put_email_identity_dkim_signing_attributes()
                    .email_identity(domain)
                    .signing_attributes_origin(DkimSigningAttributesOrigin::AwsSes)
                    .set_signing_attributes(attributes);
                self.calls
                    .in_region(&key.region)
                    .write("ses:PutEmailIdentityDkimSigningAttributes", domain, put.send())
                    .await?;
            }
            IdentityChange::FeedbackForwarding(enabled) => {
                let put = client
                    .put_email_identity_feedback_attributes()
                    .email_identity(domain)
                    .email_forwarding_enabled(*enabled);
                self.calls
                    .in_region(&key.region)
                    .write("ses:PutEmailIdentityFeedbackAttributes", domain, put.send())
                    .await?;
            }
            IdentityChange::ConfigurationSet(name) => {
                let put = client
                    .put_email_identity_configuration_set_attributes()
                    .email_identity(domain)
                    .set_configuration_set_name(name.clone());
                self.calls
                    .in_region(&key.region)
                    .write("ses:PutEmailIdentityConfigurationSetAttributes", domain, put.send())
                    .await?;
            }
            IdentityChange::Tag(tags) => {
                let tag = client.tag_resource().resource_arn(key.arn(&self.account)).set_tags(Some(sdk_tags(tags)));
                self.calls.in_region(&key.region).write("ses:TagResource", domain, tag.send()).await?;
            }
            IdentityChange::Untag(keys) => {
                let untag =
                    client.untag_resource().resource_arn(key.arn(&self.account)).set_tag_keys(Some(keys.clone()));
                self.calls.in_region(&key.region).write("ses:UntagResource", domain, untag.send()).await?;
            }
        }
        Ok(())
    }

    async fn delete(&self, key: &IdentityKey) -> Result<(), CloudError> {
        let delete = self.client(&key.region).delete_email_identity().email_identity(key.domain.as_str());
        match self
            .calls
            .in_region(&key.region)
            .write("ses:DeleteEmailIdentity", key.domain.as_str(), delete.send())
            .await
        {
            Ok(_) => Ok(()),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}
