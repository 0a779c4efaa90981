//! A server that has lost disks: what becomes of one whose destroy was interrupted between its disks and the VM.
//!
//! No pool gives a disk back, so the next plan replaces it. Only a server that is off is judged: no disk of a running one can be destroyed, and one that was
//! detached from it may come back.

use cty::Value;
use engine::diagnostics::Diagnostics;
use engine::plan::{Action, Draft};
use engine::private::Private;
use fleet::{PowerState, Server};

const DISK_BYTES: &str = "disk_bytes";
const LOST: &str = "disk_bytes_before_loss";

/// Notes in private state how much there was before disks were lost: the state itself goes on to say what there is. All disks that are attached count, those
/// of people too: which of them are the server's own is a matter of marks, and marks can be lost without a disk.
pub(super) fn note(private: &mut Private, known: &Value, server: &Server) {
    let before = before(private).into_iter().chain(known.get(DISK_BYTES).as_u64()).max();
    let lost = before.filter(|before| server.power_state == PowerState::Halted && server.attached_bytes < *before);
    match lost {
        None => drop(private.remove(LOST)),
        Some(before) => {
            if let Err(error) = private.set(LOST, before.to_string()) {
                tracing::error!(%error, "private state cannot be kept");
            }
        }
    }
}

/// Replaces such a server.
pub(super) fn plan(draft: &mut Draft<'_>, private: &Private, found: &mut Diagnostics) {
    let Some(before) = before(private) else { return };
    if !matches!(draft.action(), Action::Update | Action::NoOp) {
        return;
    }
    draft.mark_unknown(DISK_BYTES);
    draft.require_replace(DISK_BYTES);
    found.warning_at(
        DISK_BYTES,
        "Server has lost disks",
        format!(
            "\"{}\" is halted and had {before} bytes of disks, of which some are gone: a destroy that was interrupted leaves a server so. It is replaced.",
            draft.prior().get("name").as_str().unwrap_or_default(),
        ),
    );
}

fn before(private: &Private) -> Option<u64> {
    private.get_str(LOST)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::drafts::{applied, config, lab, planned_with};
    use super::super::rows::tests::server;
    use super::*;

    const DISK: u64 = 20 << 30;

    fn noted(private: &mut Private, known: u64, power_state: PowerState, attached_bytes: u64) -> Option<u64> {
        let server = Server {
            power_state,
            attached_bytes,
            ..server()
        };
        note(private, &Value::object([(DISK_BYTES, Value::from(known))]), &server);
        before(private)
    }

    #[test]
    fn only_what_a_server_that_is_off_has_less_is_lost_and_what_comes_back_is_not() {
        let mut private = Private::new();
        assert_eq!(noted(&mut private, 2 * DISK, PowerState::Running, DISK), None);
        assert_eq!(noted(&mut private, 2 * DISK, PowerState::Halted, 2 * DISK), None);
        assert_eq!(noted(&mut private, 2 * DISK, PowerState::Halted, 3 * DISK), None);
        assert_eq!(noted(&mut private, 2 * DISK, PowerState::Halted, DISK), Some(2 * DISK));
        // The state says now what there is.
        assert_eq!(noted(&mut private, DISK, PowerState::Halted, DISK), Some(2 * DISK));
        assert_eq!(noted(&mut private, DISK, PowerState::Halted, 2 * DISK), None);
    }

    #[tokio::test]
    async fn what_has_lost_disks_is_replaced_and_what_has_not_is_left() {
        let schema = super::super::schema::table();
        let config = config(&schema, &[]);
        let (first, _) = planned_with(&lab(), &schema, config.clone(), Value::Null, &Private::new()).await;
        let state = applied(&first);
        let mut private = Private::new();
        let (plan, found) = planned_with(&lab(), &schema, config.clone(), state.clone(), &private).await;
        assert_eq!((plan.requires_replace.len(), found.len()), (0, 0));

        private.set(LOST, DISK.to_string()).expect("a text");
        let (plan, found) = planned_with(&lab(), &schema, config.clone(), state, &private).await;
        assert_eq!(plan.requires_replace, [DISK_BYTES.into()]);
        assert_eq!(found, ["Server has lost disks"]);
        let (_, found) = planned_with(&lab(), &schema, config, Value::Null, &private).await;
        assert_eq!(found, [""; 0], "the new one has lost none");
    }
}
