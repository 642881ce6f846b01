//! The resolver: hickory's, as a stub that asks the cluster's name servers, or others that are named to it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{TokioResolver, system_conf};

use super::{Answer, Asked, LOOK_UP, PublicDns, Question};
use crate::cloud::{CloudError, ErrorKind};

/// A name server that is silent for so long is asked once more, and then given up.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is asked again.
const RETRIES: usize = 1;
/// The port that name servers have unless it is said otherwise.
pub const PORT: u16 = 53;

/// Asks name servers.
pub struct Resolver {
    resolver: TokioResolver,
    /// The servers, as messages name them.
    servers: String,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").field("servers", &self.servers).finish_non_exhaustive()
    }
}

impl Resolver {
    /// A resolver that asks these servers; the ones that `/etc/resolv.conf` names where there are none. Where that names
    /// none either, this host's own is asked, as the C library does.
    ///
    /// # Errors
    /// When it can't be made of them.
    pub fn new(servers: &[SocketAddr]) -> Result<Self, String> {
        let config = if servers.is_empty() { of_the_system() } else { asking(servers) };
        let named = config.name_servers().iter().map(|server| server.ip.to_string());
        let named: Vec<String> =
            if servers.is_empty() { named.collect() } else { servers.iter().map(SocketAddr::to_string).collect() };
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        options.timeout = PATIENCE;
        options.attempts = RETRIES;
        // What was answered lately is kept in one place, which knows its age.
        options.cache_size = 0;
        // A host's own names are not the public's.
        options.use_hosts_file = ResolveHosts::Never;
        let resolver = builder.build().map_err(|error| error.to_string())?;
        Ok(Self { resolver, servers: named.join(", ") })
    }

    async fn look_up(&self, question: &Question, deadline: Instant) -> Result<Answer, CloudError> {
        let record_type = match question.asked {
            Asked::Txt => RecordType::TXT,
            Asked::Mx => RecordType::MX,
            Asked::A => RecordType::A,
        };
        // With the last dot: no search list of the cluster's is tried.
        let name = Name::from_ascii(format!("{}.", question.name))
            .map_err(|error| unavailable(question, format!("it can't be asked for: {error}")))?;
        let began = Instant::now();
        let look_up = self.resolver.lookup(name, record_type);
        let answer = match tokio::time::timeout_at(deadline.into(), look_up).await {
            Ok(Ok(found)) => {
                Ok(found.answers().iter().filter_map(|record| text(question.asked, &record.data)).collect())
            }
            Ok(Err(NetError::Dns(DnsError::NoRecordsFound(none)))) if is_nothing(none.response_code) => Ok(Vec::new()),
            Ok(Err(error)) => {
                tracing::debug!(%question, "look-up: {error}");
                Err(unavailable(question, self.in_words(&error)))
            }
            Err(_) => Err(unavailable(question, self.silence())),
        };
        let outcome = if answer.is_ok() { "ok" } else { "unavailable" };
        tracing::debug!(%question, outcome, took = ?began.elapsed(), "look-up in public DNS");
        answer
    }

    /// What became of a question, in words that stay the same from one try to the next.
    fn in_words(&self, error: &NetError) -> String {
        let code = if let NetError::Dns(DnsError::ResponseCode(code)) = error {
            *code
        } else if let NetError::Dns(DnsError::NoRecordsFound(none)) = error {
            none.response_code
        } else {
            return self.silence();
        };
        let code = if code == ResponseCode::ServFail { "SERVFAIL" } else { code.to_str() };
        format!("{} answers {code}", self.servers)
    }

    fn silence(&self) -> String {
        format!("no answer from {}", self.servers)
    }
}

impl PublicDns for Resolver {
    fn ask<'a>(&'a self, question: &'a Question, deadline: Instant) -> BoxFuture<'a, Result<Answer, CloudError>> {
        self.look_up(question, deadline).boxed()
    }
}

/// That there is nothing, and not that nobody knows.
fn is_nothing(code: ResponseCode) -> bool {
    code == ResponseCode::NXDomain || code == ResponseCode::NoError
}

fn unavailable(question: &Question, message: String) -> CloudError {
    let (operation, object) = (LOOK_UP, question.to_string());
    CloudError { kind: ErrorKind::Unavailable, operation, object, message }
}

fn asking(servers: &[SocketAddr]) -> ResolverConfig {
    let server = |address: &SocketAddr| {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
            connection.port = address.port();
            connection
        });
        NameServerConfig::new(address.ip(), true, connections.to_vec())
    };
    ResolverConfig::from_name_servers(servers.iter().map(server).collect())
}

fn of_the_system() -> ResolverConfig {
    system_conf::read_system_conf().map(|(config, _)| config).unwrap_or_else(|error| {
        tracing::warn!("/etc/resolv.conf names no name servers ({error}): this host's own is asked for SPF policies");
        asking(&[SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT)])
    })
}

/// A value in text form; none of another type, such as an alias on the way.
fn text(asked: Asked, found: &RData) -> Option<String> {
    match (asked, found) {
        (Asked::Txt, RData::TXT(text)) => {
            let bytes: Vec<u8> = text.txt_data.iter().flatten().copied().collect();
            Some(String::from_utf8_lossy(&bytes).into_owned())
        }
        (Asked::Mx, RData::MX(mx)) => Some(mx.exchange.to_ascii()),
        (Asked::A, RData::A(address)) => Some(address.to_string()),
        _ => None,
    }
}
