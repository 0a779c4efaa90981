//! What concerns one pool: the way to it, what the user may do there, its clock, and what its servers look like.

use jiff::Timestamp;
use xenapi::{ErrorKind, Pool, PoolConfig, Rights, TlsTrust};

use super::{Check, disks};
use crate::classify::{Verdict, classify};
use crate::once::{Looked, Seen};
use crate::output::span;
use crate::rails::Rail;
use crate::steadiness::SKEW_SECONDS;
use crate::survey::SurveyError;

/// What deleting a server takes, from looking at it to the end.
const NEEDED: [&str; 12] = [
    "event.from",
    "host.get_servertime",
    "VM.get_record",
    "VM.add_tags",
    "VM.remove_tags",
    "VM.add_to_other_config",
    "VM.remove_from_other_config",
    "VM.set_name_label",
    "VM.hard_shutdown",
    "VM.destroy",
    "VBD.destroy",
    "VDI.destroy",
];

pub(super) async fn checks(settings: &PoolConfig, client: &Pool, looked: Option<&Looked>) -> Vec<Check> {
    let mut checks = Vec::new();
    match looked.map(|looked| &looked.outcome) {
        None => checks.push(twice()),
        Some(Err(error)) => {
            if client.session_endpoint().is_some() {
                checks.extend(way(settings, client));
                checks.push(role(client).await);
            }
            checks.push(unread(error));
        }
        Some(Ok(seen)) => {
            checks.extend(way(settings, client));
            checks.push(role(client).await);
            checks.push(listing(seen));
            checks.push(clock(client, seen).await);
            checks.extend(seen.plan.rails.iter().map(rail));
            checks.extend(servers(seen));
            checks.extend(disks::checks(client, seen).await);
        }
    }
    checks.into_iter().map(|check| check.of(client.name())).collect()
}

fn twice() -> Check {
    Check::warn(
        "address",
        "leads to the same pool as another entry, and is not looked at twice",
    )
    .advice("take one of the two out of the configuration")
}

/// Why a pool could not be read, as a check of what is at fault.
fn unread(error: &SurveyError) -> Check {
    match error {
        SurveyError::Call(error) => {
            let check = match error.kind() {
                ErrorKind::Untrusted { .. } => "certificate",
                ErrorKind::Failure(failure) if failure.is_login_refused() => "login",
                ErrorKind::Failure(failure) if failure.is_permission() => "role",
                ErrorKind::Unreachable { .. }
                | ErrorKind::Broken
                | ErrorKind::TimedOut(_)
                | ErrorKind::Http(_)
                | ErrorKind::OtherPool { .. } => "address",
                ErrorKind::Failure(_)
                | ErrorKind::Malformed(_)
                | ErrorKind::Unsendable(_)
                | ErrorKind::Config(_)
                | ErrorKind::TaskVanished
                | ErrorKind::StaleToken
                | ErrorKind::Closed => "listing",
            };
            Check::fail(check, error.to_string()).advice(error.advice())
        }
        SurveyError::OtherPool { .. } => Check::fail("address", error.to_string())
            .advice("check the addresses of the pool: members of one pool only"),
        SurveyError::Nameless | SurveyError::Incomplete { .. } => Check::fail("listing", error.to_string())
            .advice("nothing is deleted from a list that is not whole: look at the coordinator's health and its log"),
    }
}

/// How the pool is reached.
fn way(settings: &PoolConfig, client: &Pool) -> Vec<Check> {
    let endpoint = client.session_endpoint();
    let address = endpoint.as_ref().map(ToString::to_string).unwrap_or_default();
    let is_encrypted = endpoint.is_none_or(|endpoint| endpoint.is_encrypted());
    let certificate = match &settings.tls {
        _ if !is_encrypted => Check::warn("certificate", "none: password and sessions travel in the clear")
            .advice("use https:// outside of a laboratory on one machine"),
        TlsTrust::SystemRoots => Check::ok("certificate", "signed by an authority that this machine trusts"),
        TlsTrust::CaFile(_) => Check::ok("certificate", "signed by an authority of ca_file"),
        TlsTrust::Fingerprints(list) => Check::ok("certificate", format!("one of {} that are pinned", list.len())),
        TlsTrust::Insecure => Check::warn("certificate", "not verified: whoever answers is given the password")
            .advice("pin it: tls = { fingerprints = [...] }"),
    };
    vec![
        Check::ok("address", format!("{address} answers as the coordinator")),
        certificate,
        Check::ok("login", format!("as {:?}", settings.username)),
    ]
}

async fn role(client: &Pool) -> Check {
    let rights = match client.rights().await {
        Ok(rights) => rights,
        Err(error) => return Check::warn("role", format!("what the user may do is not known: {error}")),
    };
    let lacking: Vec<&str> = NEEDED.into_iter().filter(|method| !rights.allow(method)).collect();
    if lacking.is_empty() {
        let text = match rights {
            Rights::Superuser => "the local superuser",
            Rights::Permissions(_) => "may do all that deleting takes",
        };
        return Check::ok("role", text);
    }
    Check::fail("role", format!("the user lacks permissions: {}", lacking.join(", ")))
        .advice("give the user the role vm-admin")
}

fn listing(seen: &Seen) -> Check {
    let survey = &seen.ground.survey;
    let all = survey.sights.len() + survey.others.len();
    let servers = survey.sights.values().filter(|sight| sight.marks.is_managed()).count();
    Check::ok(
        "listing",
        format!("all {all} VMs and templates were listed; servers of dynvm: {servers}"),
    )
}

async fn clock(client: &Pool, seen: &Seen) -> Check {
    let shown = match client.host().servertime(&seen.ground.survey.coordinator).await {
        Ok(shown) => shown,
        Err(error) => return Check::fail("clock", error.to_string()).advice(error.advice()),
    };
    let ahead = shown.as_second().saturating_sub(Timestamp::now().as_second());
    let apart = span(ahead.unsigned_abs());
    let side = if ahead < 0 { "behind" } else { "ahead of" };
    let text = format!("the coordinator's clock is {apart} {side} this machine's");
    if ahead.saturating_abs() > SKEW_SECONDS {
        let advice = "let NTP set both: leases go by the pool's clock, and a jump of it holds deletions back";
        Check::warn("clock", text).advice(advice)
    } else {
        Check::ok("clock", text)
    }
}

fn rail(rail: &Rail) -> Check {
    let advice = match rail {
        Rail::Paused => "take the mark off the pool when you are done",
        Rail::MassExpiry { .. } => {
            "find out who shortened them (plan lists them); meant: ack, not meant: extend or keep"
        }
        Rail::CoordinatorChanged { .. } | Rail::ClockMoved { .. } | Rail::MaxDeletions { .. } => "it ends by itself",
        Rail::Incomplete { .. } | Rail::Unreadable { .. } => "look at the coordinator's health and its log",
    };
    Check::warn("rail", format!("{} holds deletions back: {rail}", rail.name())).advice(advice)
}

/// Servers that nobody deletes although nobody asked for that, and those that resist.
fn servers(seen: &Seen) -> Vec<Check> {
    let mut unlimited = Vec::new();
    let mut uncertain = Vec::new();
    for sight in seen.ground.survey.sights.values() {
        let verdict = classify(sight, seen.now, seen.ground.crew().policy.grace);
        let title = format!("{} ({})", sight.name, sight.uuid);
        if verdict == Verdict::Unlimited {
            unlimited.push(title);
        } else if let Verdict::Uncertain { why } = verdict {
            uncertain.push(format!("{title}: {why}"));
        }
    }
    let mut checks = Vec::new();
    if !unlimited.is_empty() {
        let text = format!("{} have no expiry and are never deleted", unlimited.len());
        let advice = "terraform apply writes it again; or delete them by hand";
        checks.push(Check::warn("servers", text).advice(advice).items(unlimited));
    }
    if !uncertain.is_empty() {
        let text = format!("{} are not surely servers and are never deleted", uncertain.len());
        let advice = "explain tells what is written on one";
        checks.push(Check::warn("servers", text).advice(advice).items(uncertain));
    }
    let quarantined = seen.ground.memory.quarantined();
    if quarantined > 0 {
        let text = format!("{quarantined} could not be deleted several times and are tried rarely");
        checks.push(Check::warn("servers", text).advice("plan says what the pool answered"));
    }
    checks
}
