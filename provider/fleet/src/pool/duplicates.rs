//! Entries that lead to one and the same pool: which of them serves.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::join_all;

use super::Member;
use crate::config::Duplicates;

/// Leaves out each entry that gives way to an earlier one of the same pool. A pool that cannot be looked at stays: whoever
/// asks it is told why.
pub(crate) async fn serving(members: Vec<Arc<Member>>) -> Vec<Arc<Member>> {
    let gives_way = |member: &Arc<Member>| member.settings.duplicates == Duplicates::GiveWay;
    if members.len() < 2 || !members.iter().any(gives_way) {
        return members;
    }
    let looks = join_all(members.iter().map(Member::fabric)).await;
    let mut first = BTreeMap::new();
    let mut serving = Vec::new();
    for (member, look) in members.iter().zip(looks) {
        if let Ok(fabric) = look {
            let earlier: &mut Arc<Member> = first.entry(fabric.uuid).or_insert_with(|| Arc::clone(member));
            if !Arc::ptr_eq(earlier, member) && gives_way(member) {
                member.say_merged(earlier.name());
                continue;
            }
        }
        serving.push(Arc::clone(member));
    }
    serving
}
