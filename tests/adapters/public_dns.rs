//! Public DNS, asked by the resolver over UDP and TCP.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::Result;
use ses_operator::cloud::{CloudError, ErrorKind};
use ses_operator::dns::public::resolver::Resolver;
use ses_operator::dns::public::{Answer, Asked, LOOK_UP, PublicDns, Question};
use ses_operator_rig::aws::Account;

use crate::common::{Cloud, failure, name};

/// Longer than any answer takes that comes.
const PATIENCE: Duration = Duration::from_secs(60);

async fn ask(resolver: &Resolver, at: &str, asked: Asked) -> Result<Answer, CloudError> {
    resolver.ask(&Question { name: name(at), asked }, Instant::now() + PATIENCE).await
}

/// An account with a zone, and the resolver that asks its name server.
async fn world() -> Result<(Account, String, Resolver)> {
    let account = Cloud::new().await?.account;
    let zone = account.create_zone("example.com").await?;
    let resolver = Resolver::new(&[account.name_server().await?]).map_err(anyhow::Error::msg)?;
    Ok((account, zone, resolver))
}

#[tokio::test]
async fn values_come_as_they_are_meant() -> Result<()> {
    let (account, zone, resolver) = world().await?;
    let texts = ["\"v=spf1 \" \"-all\"", r#""say \"hi\" \134o/ \303\274""#];
    account.write_record(&zone, "t.example.com", "TXT", &texts).await?;
    account.write_record(&zone, "m.example.com", "MX", &["10 mx-1.example.com.", "20 mx-2.example.com"]).await?;
    account.write_record(&zone, "a.example.com", "A", &["192.0.2.1"]).await?;
    account.write_record(&zone, "alias.example.com", "CNAME", &["other.example.com"]).await?;
    account.write_record(&zone, "other.example.com", "CNAME", &["_spf.example.net"]).await?;
    account.publish_elsewhere("_spf.example.net", "TXT", &["\"v=spf1 ~all\""]).await?;

    let sorted = |answer: Result<Answer, CloudError>| -> Result<Answer> {
        let mut answer = answer?;
        answer.sort();
        Ok(answer)
    };
    assert_eq!(sorted(ask(&resolver, "T.example.com", Asked::Txt).await)?, ["say \"hi\" \\o/ ü", "v=spf1 -all"]);
    let hosts = ["mx-1.example.com.", "mx-2.example.com."];
    assert_eq!(sorted(ask(&resolver, "m.example.com", Asked::Mx).await)?, hosts);
    assert_eq!(ask(&resolver, "a.example.com", Asked::A).await?, ["192.0.2.1"]);
    assert_eq!(ask(&resolver, "alias.example.com", Asked::Txt).await?, ["v=spf1 ~all"], "aliases are followed");
    assert!(ask(&resolver, "amazonses.com", Asked::Txt).await?[0].starts_with("v=spf1 "));
    Ok(())
}

#[tokio::test]
async fn what_is_not_there_is_an_empty_answer() -> Result<()> {
    let (account, zone, resolver) = world().await?;
    account.write_record(&zone, "a.example.com", "A", &["192.0.2.1"]).await?;
    account.write_record(&zone, "dangling.example.com", "CNAME", &["nowhere.example.net"]).await?;
    for (at, why) in [
        ("nowhere.example.com", "no such name"),
        ("a.example.com", "another type"),
        ("dangling.example.com", "an alias to nowhere"),
        ("nowhere.example.net", "no such zone"),
    ] {
        assert_eq!(ask(&resolver, at, Asked::Txt).await?, [""; 0], "{why}");
    }
    let queries = account.queries().await?;
    let asked: Vec<&str> = queries.iter().map(|query| query.name.as_str()).collect();
    let (alias, target) = ("dangling.example.com", "nowhere.example.net");
    // Where an alias leads to nowhere, its target is asked for once more.
    assert_eq!(asked, ["nowhere.example.com", "a.example.com", alias, target, target], "no search list is tried");
    Ok(())
}

#[tokio::test]
async fn an_answer_that_no_datagram_holds_comes_over_tcp() -> Result<()> {
    let (account, _, resolver) = world().await?;
    let long = format!("\"{}\"", "x".repeat(255));
    let values: Vec<String> = (0..20).map(|number| format!("\"{number}\" {long}")).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    account.publish_elsewhere("large.example.net", "TXT", &values).await?;
    assert_eq!(ask(&resolver, "large.example.net", Asked::Txt).await?.len(), 20);
    assert_eq!(account.queries().await?.len(), 2, "once over UDP, and once more");
    Ok(())
}

#[tokio::test]
async fn who_does_not_know_has_not_answered() -> Result<()> {
    let (account, zone, resolver) = world().await?;
    let server = account.name_server().await?;
    account.write_record(&zone, "lame.example.com", "NS", &["ns.elsewhere.example"]).await?;
    account.fail_to_resolve("_spf.example.net", Some("SERVFAIL")).await?;
    for at in ["lame.example.com", "_spf.example.net"] {
        let error = failure(ask(&resolver, at, Asked::Txt).await)?;
        assert_eq!((error.kind, error.operation), (ErrorKind::Unavailable, LOOK_UP));
        assert_eq!((error.object, error.message), (format!("{at} TXT"), format!("{server} answers SERVFAIL")));
    }
    account.fail_to_resolve("_spf.example.net", None).await?;
    account.publish_elsewhere("_spf.example.net", "TXT", &["\"v=spf1 -all\""]).await?;
    assert_eq!(ask(&resolver, "_spf.example.net", Asked::Txt).await?, ["v=spf1 -all"], "nothing is remembered");
    Ok(())
}

#[tokio::test]
async fn silence_ends_with_the_deadline_or_the_resolver_s_own_patience() -> Result<()> {
    let deaf = UdpSocket::bind("127.0.0.1:0")?;
    let server: SocketAddr = deaf.local_addr()?;
    let resolver = Resolver::new(&[server]).map_err(anyhow::Error::msg)?;
    let question = Question { name: name("_spf.example.net"), asked: Asked::Txt };
    let began = Instant::now();
    let hasty = failure(resolver.ask(&question, began + Duration::from_millis(300)).await)?;
    assert!(began.elapsed() < Duration::from_millis(1_500), "{:?}", began.elapsed());
    let patient = failure(resolver.ask(&question, began + PATIENCE).await)?;
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(hasty, patient, "the words stay the same");
    assert_eq!(patient.message, format!("no answer from {server}"));
    assert_eq!(patient.kind, ErrorKind::Unavailable);
    Ok(())
}

#[tokio::test]
async fn a_second_name_server_answers_for_a_silent_one() -> Result<()> {
    let (account, ..) = world().await?;
    let deaf = UdpSocket::bind("127.0.0.1:0")?;
    let resolver = Resolver::new(&[deaf.local_addr()?, account.name_server().await?]).map_err(anyhow::Error::msg)?;
    assert!(!ask(&resolver, "amazonses.com", Asked::Txt).await?.is_empty());
    Ok(())
}
