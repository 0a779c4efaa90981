//! The shape of a case: from nothing to nothing.

use std::time::Duration;

use serde_json::Value as Json;

use crate::difference::difference;
use crate::lab::Lab;
use crate::state::State;
use crate::workspace::Workspace;

/// Freed storage is collected in the background.
const SETTLED: Duration = Duration::from_secs(10);

/// Applies the module, demands that a plan and a refresh find nothing, looks at the state, destroys, and demands the world of before.
#[track_caller]
pub fn whole_life(lab: &Lab, workspace: &Workspace, look: impl FnOnce(&State)) {
    let before = lab.world();
    workspace.apply();
    workspace.expect_empty_plan();
    workspace.expect_empty_refresh();
    look(&workspace.state());
    workspace.destroy();
    assert_unchanged(lab, &before);
    let left = workspace.temporary_files();
    assert!(left.is_empty(), "sockets and the like that were left behind: {left:?}");
}

/// Demands that the pools hold what they held before.
#[track_caller]
pub fn assert_unchanged(lab: &Lab, before: &Json) {
    let settled = lab.settles(SETTLED, || lab.world() == *before);
    if !settled {
        let text = difference(before, &lab.world());
        panic!("the world is not what it was before:\n{text}");
    }
}
