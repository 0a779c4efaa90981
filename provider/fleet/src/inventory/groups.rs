//! Groups: what belongs together under a key, kept while members come and go. So a question about one group costs what the group
//! holds, and not a walk over all that there is.

use std::collections::{BTreeMap, BTreeSet};

/// Members by key. A group ends with its last member.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Groups<K, V> {
    groups: BTreeMap<K, BTreeSet<V>>,
}

impl<K, V> Default for Groups<K, V> {
    fn default() -> Self {
        Self {
            groups: BTreeMap::new(),
        }
    }
}

impl<K: Ord, V: Ord> Groups<K, V> {
    /// Puts a member into a group. Once more changes nothing.
    pub(super) fn put(&mut self, key: K, member: V) {
        self.groups.entry(key).or_default().insert(member);
    }

    /// Takes a member out of a group.
    pub(super) fn remove(&mut self, key: &K, member: &V) {
        let Some(group) = self.groups.get_mut(key) else { return };
        group.remove(member);
        if group.is_empty() {
            self.groups.remove(key);
        }
    }

    /// The members of a group, in their order.
    pub(super) fn of<'a>(&'a self, key: &K) -> impl Iterator<Item = &'a V> + use<'a, K, V> {
        self.groups.get(key).into_iter().flatten()
    }

    /// How many members a group has.
    pub(super) fn count(&self, key: &K) -> usize {
        self.groups.get(key).map_or(0, BTreeSet::len)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn groups_are_what_a_recount_of_the_members_gives(
            changes in prop::collection::vec((any::<bool>(), 0_u8..4, 0_u8..6), 0..60)
        ) {
            let mut groups = Groups::default();
            let mut pairs = BTreeSet::new();
            for (comes, key, member) in changes {
                if comes {
                    groups.put(key, member);
                    pairs.insert((key, member));
                } else {
                    groups.remove(&key, &member);
                    pairs.remove(&(key, member));
                }
            }
            for key in 0..4 {
                let expect: Vec<u8> = pairs.iter().filter(|(of, _)| *of == key).map(|(_, member)| *member).collect();
                prop_assert_eq!(groups.count(&key), expect.len());
                prop_assert_eq!(groups.of(&key).copied().collect::<Vec<_>>(), expect);
            }
            let keys: BTreeSet<u8> = pairs.iter().map(|(key, _)| *key).collect();
            prop_assert!(groups.groups.keys().eq(&keys), "an empty group is none");
        }
    }
}
