//! The command line's arguments. Every flag of `run` is an environment variable as well: `--log-format` is
//! `SES_OPERATOR_LOG_FORMAT`.

use std::net::{IpAddr, SocketAddr};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::cloud::Region;
use crate::dns::ZoneId;
use crate::dns::public::resolver::{self, Resolver};
use crate::domain_name::DomainName;
use crate::quota::limiters::{ROUTE53_RATE, Rates, SES_RATE};
use crate::reconcile::subject::{Filters, Settings};
use crate::start_error::StartError;

pub mod crd;
pub mod manifest;
pub mod plan;

/// Keeps Amazon SES domain identities passing SPF, DKIM and DMARC.
#[derive(Debug, Parser)]
#[command(name = "ses-operator", version, max_term_width = 120)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the operator.
    Run(Box<RunOptions>),
    /// Print what the operator would do for manifests, in the style of a diff. Nothing is written, neither to AWS nor to the
    /// cluster.
    #[command(
        after_help = "The status is 0 when there is nothing to do, 2 when there is something to do, and 1 after an error \
        or when nothing can be done before a person mends a conflict. What the API server would refuse is not all looked \
        at: kubectl apply --dry-run=server does."
    )]
    Plan(Box<PlanOptions>),
    /// Print the CustomResourceDefinition of SesDomain as YAML.
    Crd,
}

/// How the operator runs.
#[derive(Clone, Debug, Args)]
pub struct RunOptions {
    /// What the operator is responsible for.
    #[command(flatten)]
    pub scope: Scope,

    /// Look after the SesDomains of this namespace only. Default: of all.
    #[arg(long, env = "SES_OPERATOR_NAMESPACE")]
    pub namespace: Option<String>,

    /// Requests to SES a second, in each Region and for each operation: AWS answers one, unless it has raised the quota.
    #[arg(long, env = "SES_OPERATOR_SES_RATE", default_value_t = SES_RATE, value_parser = rate, value_name = "PER_SECOND")]
    pub ses_rate: f64,

    /// One limit for all operations of SES in a Region, for accounts where they turn out to share a quota.
    #[arg(long, env = "SES_OPERATOR_SES_SHARED_LIMIT")]
    pub ses_shared_limit: bool,

    /// Requests to Route 53 a second: AWS answers five for the whole account, whoever asks.
    #[arg(long, env = "SES_OPERATOR_ROUTE53_RATE", default_value_t = ROUTE53_RATE, value_parser = rate, value_name = "PER_SECOND")]
    pub route53_rate: f64,

    /// Whether replicas elect the one that works. False is for a single replica only.
    #[arg(long, env = "SES_OPERATOR_LEADER_ELECT", default_value_t = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub leader_elect: bool,

    /// The namespace of the Lease. Default: POD_NAMESPACE, else the one that the client is configured for.
    #[arg(long, env = "SES_OPERATOR_LEASE_NAMESPACE")]
    pub lease_namespace: Option<String>,

    /// Where /livez, /readyz and /metrics are served.
    #[arg(long, env = "SES_OPERATOR_BIND_ADDRESS", default_value = "[::]:8080", value_name = "ADDRESS")]
    pub bind_address: SocketAddr,

    /// How logs are written.
    #[arg(long, env = "SES_OPERATOR_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// Which logs are written, such as info, debug, or info,ses_operator=debug.
    #[arg(long, env = "SES_OPERATOR_LOG_LEVEL", default_value = "info", value_name = "FILTER")]
    pub log_level: String,
}

impl RunOptions {
    /// How fast AWS may be asked.
    pub fn rates(&self) -> Rates {
        Rates { ses: self.ses_rate, ses_is_shared: self.ses_shared_limit, route53: self.route53_rate }
    }
}

/// What a tag of an identity can hold. An empty cluster ID would make clusters look like one.
fn tag_value(text: &str) -> Result<String, String> {
    let is_allowed = |character: char| character.is_alphanumeric() || " _.:/=+-@".contains(character);
    if text.trim().is_empty() {
        return Err("it must not be empty: leave it out to have the UID of the namespace kube-system".to_owned());
    }
    if text.chars().count() > 256 || !text.chars().all(is_allowed) {
        return Err("it must have at most 256 characters, letters, digits and any of _.:/=+-@ and space".to_owned());
    }
    Ok(text.to_owned())
}

/// Requests a second. Slower than one in a minute nothing would ever be done, and a pace of 1,000 is none.
fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().map_err(|error| error.to_string())?;
    let bounds = 1.0 / 60.0..=1_000.0;
    if bounds.contains(&rate) { Ok(rate) } else { Err("it must be from 0.0167 (one a minute) to 1000".to_owned()) }
}

/// What an operator is responsible for: the same for `run` and for `plan`, so that a plan is that of the operator.
#[derive(Clone, Debug, Args)]
pub struct Scope {
    /// The AWS Region of SesDomains that name none. Default: as the AWS SDK finds it (AWS_REGION, the profile).
    #[arg(long, env = "SES_OPERATOR_REGION")]
    pub region: Option<String>,

    /// The cluster's name in the tags of identities: an operator of the same cluster ID knows its identities again, in
    /// a rebuilt cluster too. Default: the UID of the namespace kube-system.
    #[arg(long, env = "SES_OPERATOR_CLUSTER_ID", value_parser = tag_value)]
    pub cluster_id: Option<String>,

    /// Only domains at or below this one may be asked for (repeatable).
    #[arg(long, env = "SES_OPERATOR_DOMAIN_FILTER", value_delimiter = ',', value_name = "DOMAIN")]
    pub domain_filter: Vec<String>,

    /// Domains at or below this one may not be asked for (repeatable).
    #[arg(long, env = "SES_OPERATOR_EXCLUDE_DOMAIN", value_delimiter = ',', value_name = "DOMAIN")]
    pub exclude_domain: Vec<String>,

    /// Only hosted zones of this ID are used (repeatable).
    #[arg(long, env = "SES_OPERATOR_ZONE_FILTER", value_delimiter = ',', value_name = "ZONE_ID")]
    pub zone_filter: Vec<String>,

    /// A name server to ask for what SPF policies include, where spec.dns.onConflict is Merge (repeatable). Default: those
    /// of /etc/resolv.conf.
    #[arg(long, env = "SES_OPERATOR_NAMESERVER", value_delimiter = ',', value_parser = nameserver, value_name = "IP[:PORT]")]
    pub nameserver: Vec<SocketAddr>,
}

/// The address of a name server, whose port is 53 unless it is named.
fn nameserver(text: &str) -> Result<SocketAddr, String> {
    let with_port = text.parse::<SocketAddr>();
    let without = || text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    with_port.or_else(|_| without().map(|address| SocketAddr::new(address, resolver::PORT))).map_err(|_| {
        "it must be an IP address, with or without a port: 10.0.0.10, 10.0.0.10:53, [2001:db8::10]:53".to_owned()
    })
}

impl Scope {
    /// The resolver that asks the name servers.
    ///
    /// # Errors
    /// When it can't be made of them.
    pub fn resolver(&self) -> Result<Resolver, StartError> {
        Resolver::new(&self.nameserver).map_err(|error| StartError::new(format!("can't make a DNS resolver: {error}")))
    }

    /// What holds for every reconcile, in this account and this cluster.
    pub fn settings(&self, account: String, default_region: Region, cluster_id: String) -> Settings {
        let names = |names: &[String]| names.iter().map(|name| DomainName::new(name)).collect();
        let filters = Filters {
            domains: names(&self.domain_filter),
            excluded: names(&self.exclude_domain),
            zones: self.zone_filter.iter().cloned().map(ZoneId).collect(),
        };
        Settings { account, default_region, cluster_id, filters }
    }
}

/// What is planned.
#[derive(Clone, Debug, Args)]
pub struct PlanOptions {
    /// A manifest, or - for standard input (repeatable). What is no SesDomain in it is skipped.
    #[arg(short, long, required = true, value_name = "FILE")]
    pub filename: Vec<String>,

    /// The namespace of manifests that name none. Default: the kubeconfig's, else default.
    #[arg(short, long, env = "SES_OPERATOR_NAMESPACE")]
    pub namespace: Option<String>,

    /// Don't ask the cluster for the resources as they are: plan as for new ones.
    #[arg(long)]
    pub no_cluster: bool,

    /// What the operator is responsible for: as it is run with.
    #[command(flatten)]
    pub scope: Scope,
}

/// The status that a process ends with whose command line is refused, or asks for help: as usual, but for `plan`, whose
/// 2 says that there is something to do.
pub fn status_of(error: &clap::Error, command: Option<&str>) -> u8 {
    match (error.use_stderr(), command) {
        (false, _) => 0,
        (true, Some("plan")) => 1,
        (true, _) => 2,
    }
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(arguments: &[&str]) -> RunOptions {
        match Cli::parse_from(["ses-operator", "run"].iter().chain(arguments)).command {
            Command::Run(options) => *options,
            Command::Crd | Command::Plan(_) => panic!("parsed as another command"),
        }
    }

    #[test]
    fn the_arguments_are_well_formed() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn leader_election_is_on_unless_it_is_switched_off() {
        assert!(run(&[]).leader_elect);
        assert!(run(&["--leader-elect"]).leader_elect);
        assert!(!run(&["--leader-elect=false"]).leader_elect);
    }

    #[test]
    fn a_pace_has_bounds() {
        let parsed = |text: &str| Cli::try_parse_from(["ses-operator", "run", "--ses-rate", text]).is_ok();
        assert!(parsed("0.9") && parsed("1000"));
        assert!(!parsed("0") && !parsed("-1") && !parsed("NaN") && !parsed("inf") && !parsed("fast"));
    }

    #[test]
    fn a_cluster_id_is_what_a_tag_can_hold_and_never_empty() {
        let told = |text: &str| match Cli::try_parse_from(["ses-operator", "run", "--cluster-id", text]) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        };
        for fine in ["production", "0b5c6e7b-aa14-4c25", "eu west/1"] {
            assert_eq!(told(fine), "", "{fine}");
        }
        for empty in ["", "  "] {
            assert!(told(empty).contains("it must not be empty: leave it out"), "{}", told(empty));
        }
        for wrong in ["a\"b", "a*b", &"x".repeat(257)] {
            assert!(told(wrong).contains("at most 256 characters"), "{}", told(wrong));
        }
        assert_eq!(run(&[]).scope.cluster_id, None);
    }

    #[test]
    fn filters_repeat() {
        let options = run(&["--domain-filter", "a.example", "--domain-filter=b.example,c.example"]);
        assert_eq!(options.scope.domain_filter, ["a.example", "b.example", "c.example"]);
    }

    #[test]
    fn a_name_server_is_an_address_and_maybe_a_port() {
        let parsed =
            run(&["--nameserver=10.0.0.10,10.0.0.11:5353", "--nameserver", "2001:db8::1", "--nameserver=[::1]:54"]);
        let addresses: Vec<String> = parsed.scope.nameserver.iter().map(SocketAddr::to_string).collect();
        assert_eq!(addresses, ["10.0.0.10:53", "10.0.0.11:5353", "[2001:db8::1]:53", "[::1]:54"]);
        for wrong in ["dns.example.com", "10.0.0.10:dns", "10.0.0"] {
            assert!(Cli::try_parse_from(["ses-operator", "run", "--nameserver", wrong]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn two_is_no_usage_error_of_a_plan() {
        let status = |arguments: &[&str]| {
            let error = Cli::try_parse_from(["ses-operator"].iter().chain(arguments)).expect_err("it is refused");
            status_of(&error, arguments.first().copied())
        };
        assert_eq!(status(&["plan"]), 1, "a file is missing");
        assert_eq!(status(&["plan", "-f", "-", "--no-such-flag"]), 1);
        assert_eq!(status(&["plan", "--help"]), 0);
        assert_eq!(status(&["run", "--no-such-flag"]), 2);
    }
}
