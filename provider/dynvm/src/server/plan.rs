//! What a plan of `dynvm_server` needs beyond its table: the provider's settings, and what an update does to the lease.

use std::time::Duration;

use engine::diagnostics::Diagnostics;
use engine::plan::{Action, Draft};
use engine::private::Private;
use fleet::Image;

use super::admission::Room;
use super::{identity, lease, lost, place, request, reshape};
use crate::settings::{Lab, Settings};

/// Private state goes on as it is: when a server is replaced, its destroy is given what is left here by the plan for the new one.
pub(super) async fn plan(settings: &Settings, draft: &mut Draft<'_>, private: &Private) -> Diagnostics {
    let mut found = Diagnostics::new();
    if draft.action() == Action::Delete {
        return found;
    }
    if draft.action() == Action::Create {
        reshape::check_create(draft, &mut found);
    }
    match settings {
        Settings::Ready(lab) => {
            check_lease(draft, &mut found);
            default_ttl(lab, draft);
            check_ttl(lab, draft, &mut found);
            if draft.action() == Action::Create {
                found.extend(place::check(lab, draft.config()).err());
            }
            if !found.has_errors() {
                place::labels(lab, draft);
                lost::plan(draft, private, &mut found);
                template(lab, draft, &mut found).await;
                full_copy(lab, draft, &mut found).await;
                reshape::plan(lab, draft, private, &mut found).await;
                room(lab, draft, private, &mut found).await;
            }
        }
        Settings::Absent | Settings::Postponed(_) => {
            unknown_ttl(draft);
            reshape::unknowns(draft);
        }
    }
    lease::plan(settings, draft, &mut found).await;
    found
}

/// A null ttl takes the provider's at each plan; the text in the state stays while it means the same.
fn default_ttl(lab: &Lab, draft: &mut Draft<'_>) {
    if !draft.config().get("ttl").is_null() || lacks_lease(draft) {
        return;
    }
    if request::ttl(draft.prior()).ok() == Some(lab.default_ttl) {
        draft.keep("ttl");
    } else {
        draft.set("ttl", engine::duration::format(lab.default_ttl));
    }
}

/// Says whether it is an imported VM that has no lease, and is given none.
fn lacks_lease(draft: &Draft<'_>) -> bool {
    draft.action() == Action::Update && draft.prior().get("ttl").is_null() && draft.config().get("ttl").is_null()
}

/// A VM that somebody else made is not put under a lease by a default: it would be destroyed when that is over.
fn check_lease(draft: &Draft<'_>, found: &mut Diagnostics) {
    if lacks_lease(draft) {
        found.error_at(
            "ttl",
            "VM without a lease",
            format!(
                "\"{}\" has no lease: dynvm did not make it, or its marks are lost. With a `ttl` it becomes a server, which is destroyed when its lease is over; \
                 that is not done without being asked for. Give the `ttl`, or take the VM out of the state with `terraform state rm`.",
                draft.prior().get("name").as_str().unwrap_or_default(),
            ),
        );
    }
}

/// Without settings, a new server's default is not known yet; an old one keeps what it has.
fn unknown_ttl(draft: &mut Draft<'_>) {
    if draft.config().get("ttl").is_null() && draft.prior().is_null() {
        draft.mark_unknown("ttl");
    }
}

pub(crate) fn check_ttl(lab: &Lab, draft: &Draft<'_>, found: &mut Diagnostics) {
    let Ok(ttl) = request::ttl(draft.planned()) else {
        return;
    };
    if ttl > lab.max_ttl {
        let text = |duration: Duration| engine::duration::format(duration);
        found.error_at(
            "ttl",
            "ttl longer than allowed",
            format!(
                "A ttl of {} is longer than the provider's max_ttl of {}. Ask for less, and renew while the server is needed, or raise max_ttl.",
                text(ttl),
                text(lab.max_ttl)
            ),
        );
    }
}

/// Another text for the template replaces the server only if it means another template.
async fn template(lab: &Lab, draft: &mut Draft<'_>, found: &mut Diagnostics) {
    if draft.action() != Action::Update || !draft.is_changed("template") {
        return;
    }
    let wanted = draft.config().get("template").as_str().map(str::to_owned);
    let present = draft.prior().get("template_uuid").as_str().map(str::to_owned);
    let pool = draft.prior().get("pool").as_str().map(str::to_owned);
    if present.is_none() && draft.prior().get("template").is_null() {
        // An imported VM that dynvm did not make: what it was cloned from nobody knows.
        return;
    }
    let (Some(wanted), Some(present), Some(pool)) = (wanted, present, pool) else {
        draft.require_replace("template");
        return;
    };
    if wanted.eq_ignore_ascii_case(&present) {
        return;
    }
    match lab.fleet.resolve_template(&pool, &wanted).await {
        Ok(uuid) if uuid.to_string().eq_ignore_ascii_case(&present) => {}
        Ok(_) => draft.require_replace("template"),
        Err(error) => found.push(crate::diagnose::error(&error)),
    }
}

/// Disks on another storage repository than the template's are copied in full, which takes minutes: that is worth a word in the plan. A pool that cannot be
/// asked now says so in the apply.
async fn full_copy(lab: &Lab, draft: &Draft<'_>, found: &mut Diagnostics) {
    let config = draft.config();
    let Some(storage) = config.get("storage").as_str() else {
        return;
    };
    if draft.action() != Action::Create {
        return;
    }
    let image = match (config.get("os").as_str(), config.get("template").as_str()) {
        (Some(os), _) => Image::Os(os.to_owned()),
        (None, Some(template)) => Image::Template(template.to_owned()),
        (None, None) => return,
    };
    if let Ok(Some(what)) = lab
        .fleet
        .full_copy(&image, config.get("pool").as_str(), Some(storage))
        .await
    {
        found.warning_at("storage", "Full copy", what);
    }
}

/// Says whether a server finds room that the plan would make. One of which the plan does not know enough is not spoken of, and counts nothing.
async fn room(lab: &Lab, draft: &Draft<'_>, private: &Private, found: &mut Diagnostics) {
    if !draft.prior().is_null() {
        if let Some(name) = identity::failed_as(private) {
            lab.admission.stays(name);
        }
        return;
    }
    let config = draft.config();
    let Some(wish) = request::wish(config) else {
        return;
    };
    // What draws from a reservation has its room, whatever else there is.
    let room = if identity::is_of_a_server(private) || !config.get("capacity_id").is_null() {
        Room::Inherited
    } else {
        Room::New
    };
    let name = config.get("name").as_str().unwrap_or_default();
    if let Some(room) = lab.admission.room(name, room) {
        let outlook = lab.fleet.foresee(&wish).await;
        let lacking = place::without_os(lab, config);
        found.extend(lab.admission.told(room, config, outlook, &lacking));
    }
}

#[cfg(test)]
mod tests {
    use cty::Value;

    use super::super::drafts::{applied, config, lab, planned, unknown};
    use super::*;

    #[tokio::test]
    async fn a_second_plan_changes_nothing() {
        let schema = super::super::schema::table();
        for fields in [
            &[][..],
            &[("ttl", "90m".into())],
            &[("tags", Value::set(["a"]))],
            &[("cpus", 4.into())],
        ] {
            let config = config(&schema, fields);
            let (first, found) = planned(&lab(), &schema, config.clone(), Value::Null).await;
            assert_eq!(found, [""; 0]);
            let state = applied(&first);
            let (second, _) = planned(&lab(), &schema, config, state.clone()).await;
            assert_eq!(second.planned, state, "{fields:?}");
            assert!(second.requires_replace.is_empty());
        }
    }

    #[tokio::test]
    async fn name_tags_and_options_leave_all_else_known() {
        let schema = super::super::schema::table();
        let (first, _) = planned(&lab(), &schema, config(&schema, &[]), Value::Null).await;
        let state = applied(&first);
        for (name, value) in [
            ("name", "other".into()),
            ("tags", Value::set(["a"])),
            ("wait_for_ip", false.into()),
            ("ip_cidrs", Value::list(["10.0.0.0/8"])),
            ("timeouts", Value::object([("read", Value::from("2m"))])),
        ] {
            let config = config(&schema, &[(name, value)]);
            let (plan, found) = planned(&lab(), &schema, config, state.clone()).await;
            assert_eq!((unknown(&plan), found), (vec![], vec![]), "{name}");
            assert_ne!(plan.planned.get(name), state.get(name), "{name} changes");
            assert!(plan.requires_replace.is_empty(), "{name}");
        }
    }

    #[tokio::test]
    async fn a_ttl_over_the_longest_is_refused() {
        let schema = super::super::schema::table();
        let (_, found) = planned(&lab(), &schema, config(&schema, &[("ttl", "25h".into())]), Value::Null).await;
        assert_eq!(found, ["ttl longer than allowed"]);
    }

    #[tokio::test]
    async fn settings_that_are_not_known_yet_leave_the_ttl_open() {
        let schema = super::super::schema::table();
        let postponed = Settings::Postponed("pools".to_owned());
        let (plan, found) = planned(&postponed, &schema, config(&schema, &[]), Value::Null).await;
        assert_eq!(found, [""; 0]);
        assert!(plan.planned.get("ttl").is_unknown());
    }

    #[tokio::test]
    async fn place_and_image_replace() {
        let schema = super::super::schema::table();
        let (first, _) = planned(&lab(), &schema, config(&schema, &[("cpus", 2.into())]), Value::Null).await;
        let state = applied(&first);
        for (name, value) in [
            ("os", "rocky9".into()),
            ("storage", "other".into()),
            ("network", "other".into()),
        ] {
            let (plan, _) = planned(&lab(), &schema, config(&schema, &[(name, value)]), state.clone()).await;
            let paths: Vec<String> = plan.requires_replace.iter().map(ToString::to_string).collect();
            assert_eq!(paths, [name]);
        }
    }
}
