//! What differs from Region to Region.
//!
//! Sources: the SES Developer Guide's chapters on Easy DKIM and on custom MAIL FROM domains, and the table of SES
//! endpoints in the AWS General Reference.

use crate::cloud::Region;
use crate::domain_name::DomainName;

/// The SPF mechanism's domain that lets SES pass.
pub const SPF_INCLUDE: &str = "amazonses.com";

/// The Regions whose DKIM keys stand below a name of their own.
const REGIONAL_DKIM: [&str; 11] = [
    "af-south-1",
    "ap-northeast-3",
    "ap-south-2",
    "ap-southeast-3",
    "ap-southeast-5",
    "ca-west-1",
    "eu-central-2",
    "eu-south-1",
    "il-central-1",
    "me-central-1",
    "us-gov-east-1",
];

/// What the DKIM CNAMEs point to when SES does not say.
pub fn default_signing_hosted_zone(region: &Region) -> DomainName {
    if REGIONAL_DKIM.contains(&region.as_str()) {
        DomainName::new(&format!("dkim.{region}.amazonses.com"))
    } else {
        DomainName::new("dkim.amazonses.com")
    }
}

/// The host that the MAIL FROM domain's one MX record names.
pub fn feedback_host(region: &Region) -> DomainName {
    DomainName::new(&format!("feedback-smtp.{region}.amazonses.com"))
}

/// Whether SES is offered there. An unknown Region is believed: AWS opens new ones.
pub fn has_ses(region: &Region) -> bool {
    !region.as_str().starts_with("cn-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dkim_keys_of_newer_regions_have_their_own_zone() {
        for (region, zone) in [("eu-west-1", "dkim.amazonses.com"), ("il-central-1", "dkim.il-central-1.amazonses.com")]
        {
            assert_eq!(default_signing_hosted_zone(&Region::new(region)).as_str(), zone);
        }
    }
}
