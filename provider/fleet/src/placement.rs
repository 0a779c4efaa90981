//! Which pool takes a server.

use crate::capacity::PoolCapacity;

/// The pool with most room; of equals the first. `None` when there is no room anywhere.
pub(crate) fn most_room(pools: &[PoolCapacity]) -> Option<usize> {
    let with_room = pools.iter().enumerate().filter(|(_, pool)| pool.available > 0);
    with_room
        .min_by_key(|(index, pool)| (std::cmp::Reverse(pool.available), *index))
        .map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pools(available: &[u32]) -> Vec<PoolCapacity> {
        let pool = |available: &u32| PoolCapacity {
            pool: "lab".into(),
            available: *available,
            limited_by: None,
            cpus_free: 0,
            cpus_total: 0,
            memory_free_mib: 0,
            memory_total_mib: 0,
            storage_free_bytes: 0,
            storage_total_bytes: 0,
            in_progress: 0,
        };
        available.iter().map(pool).collect()
    }

    #[test]
    fn the_emptiest_takes_it() {
        assert_eq!(most_room(&pools(&[])), None);
        assert_eq!(most_room(&pools(&[0, 0])), None);
        assert_eq!(most_room(&pools(&[0, 1])), Some(1));
        assert_eq!(most_room(&pools(&[3, 3, 2])), Some(0));
        assert_eq!(most_room(&pools(&[2, 5, 3])), Some(1));
    }
}
