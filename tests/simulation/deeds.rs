//! What others do behind the operator's back: with the domain's records, its zone, its identity, and its resource.

use std::fmt;

use ses_operator::api::status::{RecordOrigin, RecordStatus};
use ses_operator::dmarc::record::render;
use ses_operator::dns::{RecordType, text};
use ses_operator::domain_name::DomainName;

use crate::cloud::policy::strictness;
use crate::random::Random;
use crate::simulation::{NAME, Simulation, ZONE};

/// What somebody does, once all is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A record that we made is taken out of the zone: one of them, by its number.
    RemovesRecord(usize),
    /// The DMARC record that we made is replaced by one that says nothing.
    WeakensDmarc,
    /// The identity is deleted.
    DeletesIdentity,
    /// MAIL FROM is unset.
    UnsetsMailFrom,
    /// The zone is deleted, and made anew under another ID, with none of its records.
    RecreatesZone,
    /// The resource is deleted in spite of its finalizer, and made anew under the same name.
    RecreatesResource,
    /// The status is erased.
    ErasesStatus,
}

impl Deed {
    pub fn draw(draw: &mut Random) -> Self {
        let number = usize::try_from(draw.between(0, 5)).expect("small");
        *draw.one_of(&[
            Self::RemovesRecord(number),
            Self::WeakensDmarc,
            Self::DeletesIdentity,
            Self::UnsetsMailFrom,
            Self::RecreatesZone,
            Self::RecreatesResource,
            Self::ErasesStatus,
        ])
    }

    pub fn do_it(self, simulation: &mut Simulation) {
        match self {
            Self::RemovesRecord(number) => {
                let made = made(simulation);
                if let Some(entry) = made.get(number % made.len().max(1)) {
                    edit(simulation, entry, None);
                }
            }
            Self::WeakensDmarc => {
                if let Some(entry) = made(simulation).iter().find(|entry| entry.name.starts_with("_dmarc.")) {
                    edit(simulation, entry, Some("v=DMARC1; p=none; rua=mailto:they@example.com"));
                }
            }
            Self::DeletesIdentity => {
                let key = simulation.key();
                simulation.state().remove_identity(&key);
            }
            Self::UnsetsMailFrom => {
                if simulation.identity().is_some_and(|identity| identity.mail_from.is_some()) {
                    let now = simulation.now();
                    simulation.state().by_hand("example.com").put_mail_from(None, now, true);
                    // No list shows it: it would be found within the day.
                    simulation.request("now");
                }
            }
            Self::RecreatesZone => {
                let mut state = simulation.state();
                let name = state.zones.zone(ZONE).name.clone();
                // Of two with one name nobody could tell which is meant, and a person has to say.
                if state.zones.zones.iter().filter(|zone| zone.name == name).count() == 1 {
                    state.remove_zone(ZONE);
                    state.zones.add("Z9", name.as_str());
                }
            }
            Self::RecreatesResource => {
                leaves_dmarc_of_an_earlier_spec(simulation);
                let resource = simulation.api.resource(NAME).expect("it is not deleted yet");
                simulation.api.replace(NAME, resource.spec.clone());
            }
            Self::ErasesStatus => {
                leaves_dmarc_of_an_earlier_spec(simulation);
                simulation.api.edit(NAME, |resource| resource.status = None);
            }
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "somebody {self:?}")
    }
}

/// What an earlier spec published is known from the status alone. Where that is lost, what is in doubt stays.
fn leaves_dmarc_of_an_earlier_spec(simulation: &Simulation) {
    let name = "_dmarc.example.com";
    let resource = simulation.api.resource(NAME).expect("it is not deleted yet");
    let found = strictness(&simulation.values(name, "TXT"));
    let is_of_today = resource.spec.dmarc_policy.iter().any(|policy| {
        let mut stages = policy.stages.iter().map(|stage| text::quote(&render(policy, stage)));
        stages.any(|stage| strictness(&[stage]) == found)
    });
    if !is_of_today {
        simulation.state().guard.left.insert(DomainName::new(name));
    }
}

/// The records that we made, by the status.
fn made(simulation: &Simulation) -> Vec<RecordStatus> {
    let mut records = simulation.status().records;
    records.retain(|entry| entry.ours && entry.published && entry.origin == RecordOrigin::Created);
    records
}

/// Puts another value in the place of ours, or none.
fn edit(simulation: &Simulation, entry: &RecordStatus, value: Option<&str>) {
    let values = simulation.values_in(&entry.hosted_zone_id, &entry.name, &entry.record_type);
    let is_text = RecordType::parse(&entry.record_type) == RecordType::Txt;
    let plain = |value: &str| if is_text { text::unquote(value) } else { value.trim_end_matches('.').to_owned() };
    let others = values.into_iter().filter(|value| plain(value) != entry.value);
    let edited: Vec<String> = others.chain(value.map(text::quote)).collect();
    let edited: Vec<&str> = edited.iter().map(String::as_str).collect();
    simulation.tamper_in(&entry.hosted_zone_id, &entry.name, &entry.record_type, &edited);
}
