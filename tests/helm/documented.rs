//! The pages speak of everything that users meet, and lead nowhere else.

use std::time::Duration;

use anyhow::{Context, Result};
use clap::CommandFactory;
use serde_json::Value;
use ses_operator::api::crd::custom_resource_definition;
use ses_operator::cli::Cli;
use ses_operator::clock::Clock;
use ses_operator::controller::queue::Queue;
use ses_operator::quota::Class;
use ses_operator::quota::limiters::{Limiters, Rates};
use ses_operator::telemetry::metrics::{Census, Metrics};

use crate::render;

#[test]
fn every_condition_and_reason() -> Result<()> {
    let page = render::read("docs/conditions.md")?;
    let source = render::read("src/api/conditions.rs")?;
    let variants = source.lines().filter_map(|line| line.strip_prefix("    ")?.strip_suffix(','));
    let variants: Vec<&str> = variants.filter(|name| name.chars().all(char::is_alphanumeric)).collect();
    assert!(variants.len() > 30, "{variants:?}");
    for name in variants {
        assert!(page.contains(&format!("\n| `{name}` |")), "docs/conditions.md says nothing of {name}");
    }
    Ok(())
}

#[test]
fn every_flag() -> Result<()> {
    let page = render::read("docs/operations.md")?;
    let command = Cli::command();
    let run = command.find_subcommand("run").context("a command run")?;
    let flags: Vec<&str> = run.get_arguments().filter_map(clap::Arg::get_long).collect();
    assert!(flags.len() > 9, "{flags:?}");
    for flag in flags {
        assert!(page.contains(&format!("| `--{flag}` |")), "docs/operations.md says nothing of --{flag}");
    }
    Ok(())
}

#[test]
fn every_flag_of_a_plan() -> Result<()> {
    let page = render::read("docs/plan.md")?;
    let command = Cli::command();
    let plan = command.find_subcommand("plan").context("a command plan")?;
    let flags: Vec<&str> = plan.get_arguments().filter_map(clap::Arg::get_long).collect();
    assert!(flags.len() > 6, "{flags:?}");
    for flag in flags {
        assert!(page.contains(&format!("`--{flag}`")), "docs/plan.md says nothing of --{flag}");
    }
    Ok(())
}

#[test]
fn every_metric() -> Result<()> {
    let page = render::read("docs/operations.md")?;
    // A family without series is not rendered.
    let metrics = Metrics::default();
    metrics.show(Limiters::new(Rates::default(), Clock::system()));
    metrics.waited(Class::Sweep, Duration::ZERO);
    metrics.aws_call("ses", "GetEmailIdentity", "ok", Duration::ZERO);
    metrics.reconcile("ok", Duration::ZERO);
    let mut census = Census::default();
    census.count("Ready", "False", 1);
    census.unmet("mail", "example-com", "Ready", "False", "Throttled");
    let metrics = metrics.render(census, &Queue::default().load());
    let types: Vec<(&str, &str)> =
        metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    assert_eq!(types.len(), 11, "{metrics}");
    for (name, kind) in types {
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        assert!(page.contains(&format!("| `{name}{suffix}` |")), "docs/operations.md says nothing of {name}{suffix}");
    }
    Ok(())
}

#[test]
fn every_field_of_the_resource() -> Result<()> {
    let page = render::read("docs/sesdomain.md")?;
    let definition = serde_json::to_value(custom_resource_definition()?)?;
    let properties = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    let mut fields = names(&properties["spec"]);
    fields.extend(properties["status"]["properties"].as_object().into_iter().flat_map(|fields| fields.keys().cloned()));
    assert!(fields.len() > 35, "{fields:?}");
    for field in fields {
        assert!(
            page.contains(&format!("`{field}`")) || page.contains(&format!(".{field}`")),
            "docs/sesdomain.md says nothing of {field}"
        );
    }
    Ok(())
}

/// The names of all fields that hold no others, at any depth.
fn names(schema: &Value) -> Vec<String> {
    let fields = schema["properties"].as_object().or_else(|| schema["items"]["properties"].as_object());
    let named = |(name, schema): (&String, &Value)| {
        let inner = names(schema);
        if inner.is_empty() { vec![name.clone()] } else { inner }
    };
    fields.into_iter().flatten().flat_map(named).collect()
}

#[test]
fn every_link_leads_to_a_file() -> Result<()> {
    let mut links = 0;
    for page in [
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "DESIGN.md",
        "SECURITY.md",
        "charts/ses-operator/README.md",
        "docs/conditions.md",
        "docs/installing.md",
        "docs/operations.md",
        "docs/plan.md",
        "docs/sizing.md",
        "docs/sesdomain.md",
    ] {
        let text = render::read(page)?;
        for target in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target) {
            if !target.starts_with("https://") {
                let (file, heading) = target.split_once('#').unwrap_or((target, ""));
                let here = render::file(page);
                let file = if file.is_empty() { here } else { here.parent().context("a folder")?.join(file) };
                assert!(file.exists(), "{page} leads to {target}");
                let found =
                    heading.is_empty() || headings(&std::fs::read_to_string(&file)?).contains(&heading.to_owned());
                assert!(found, "{page} leads to {target}, and there is no such heading");
                links += 1;
            }
        }
    }
    assert!(links > 15, "{links} links");
    Ok(())
}

/// A page's headings, as links name them.
fn headings(page: &str) -> Vec<String> {
    let titles = page.lines().filter_map(|line| line.strip_prefix('#')).map(|line| line.trim_start_matches('#').trim());
    let kept = |sign: &char| sign.is_alphanumeric() || matches!(sign, ' ' | '-' | '_');
    titles.map(|title| title.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")).collect()
}
