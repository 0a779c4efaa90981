//! Sessions: login, groups with a cap, expiry.

use std::collections::HashMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::db::{Cls, Ref};
use crate::failure::{Failure, Outcome};
use crate::pool::{Pool, State};
use crate::rbac::Role;
use crate::value::Value;

/// Sessions of the superuser without an originator, all tools together.
const CAP_ANONYMOUS: usize = 400;
/// Sessions of one originator, or of one other user.
const CAP_GROUP: usize = 500;
/// Seconds after which an unused session goes.
const EXPIRY: i64 = 24 * 3600;
/// `last_active` is written at most this often, in seconds.
const ACTIVE_STEP: i64 = 600;

/// Who calls.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) role: Role,
    /// The local superuser, whom no role is checked for.
    pub(crate) is_superuser: bool,
    group: String,
    last_active: i64,
    opened: u64,
    /// Cancelled at its end, which also ends its `event.from` calls.
    pub(crate) ended: CancellationToken,
}

/// All sessions of a pool.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    by_ref: HashMap<Ref, Session>,
    next: u64,
}

impl Sessions {
    fn oldest(&self, group: &str) -> Option<Ref> {
        let of_group = self.by_ref.iter().filter(|(_, s)| s.group == group);
        of_group
            .min_by_key(|(_, s)| (s.last_active, s.opened))
            .map(|(r, _)| r.clone())
    }

    fn count(&self, group: &str) -> usize {
        self.by_ref.values().filter(|s| s.group == group).count()
    }
}

/// `session.login_with_password`.
pub(crate) async fn login(pool: &Arc<Pool>, user: &str, password: &str, originator: &str) -> Outcome<Value> {
    let Some(role) = authenticate(pool, user, password) else {
        pool.pause(pool.latencies.bad_login_ms).await;
        let text = "Authentication failure";
        return Err(Failure::new("SESSION_AUTHENTICATION_FAILED", [user, text]));
    };
    pool.pause(pool.latencies.login_ms).await;
    Ok(Value::from(
        pool.with(|state| open(pool, state, user, role, originator)),
    ))
}

/// The role of a user whose password is right.
pub(crate) fn authenticate(pool: &Pool, user: &str, password: &str) -> Option<Role> {
    if user == pool.spec.username {
        return (password == pool.spec.password).then_some(Role::PoolAdmin);
    }
    let found = pool
        .spec
        .users
        .iter()
        .find(|u| u.name == user && u.password == password)?;
    Role::parse(&found.role)
}

fn open(pool: &Pool, state: &mut State, user: &str, role: Role, originator: &str) -> Ref {
    let is_root = user == pool.spec.username;
    let (group, cap) = match (is_root, originator) {
        (true, "") => (String::new(), CAP_ANONYMOUS),
        (true, _) => (format!("originator {originator}"), CAP_GROUP),
        (false, _) => (format!("user {user}"), CAP_GROUP),
    };
    while state.sessions.count(&group) >= cap {
        let Some(oldest) = state.sessions.oldest(&group) else {
            break;
        };
        close(state, &oldest);
    }
    let reference = state.random.reference();
    let uuid = state.random.uuid();
    let host = state.host_refs.first().cloned().unwrap_or_else(Ref::null);
    let permissions = if is_root {
        Value::Set(Vec::new())
    } else {
        role.permissions().clone()
    };
    let fields = vec![
        ("uuid", Value::from(uuid)),
        ("this_host", Value::from(host)),
        ("last_active", Value::Time(state.wall)),
        ("validation_time", Value::Time(state.wall)),
        ("pool", Value::Bool(false)),
        ("is_local_superuser", Value::Bool(is_root)),
        ("auth_user_name", Value::str(user)),
        ("originator", Value::str(originator)),
        ("rbac_permissions", permissions),
    ];
    state.db.create(Cls::Session, &reference, fields);
    state.sessions.next += 1;
    let session = Session {
        role,
        is_superuser: is_root,
        group,
        last_active: state.wall,
        opened: state.sessions.next,
        ended: CancellationToken::new(),
    };
    state.sessions.by_ref.insert(reference.clone(), session);
    reference
}

/// Opens a session without a password, for calls of the simulator itself.
pub(crate) fn open_internal(pool: &Pool, state: &mut State) -> Ref {
    open(pool, state, &pool.spec.username, Role::PoolAdmin, "dynvm-sim control")
}

/// The session of a call.
pub(crate) fn check(state: &mut State, reference: &Ref) -> Outcome<Session> {
    let now = state.wall;
    let Some(session) = state.sessions.by_ref.get_mut(reference) else {
        return Err(Failure::new("SESSION_INVALID", [reference.as_str()]));
    };
    if now - session.last_active >= ACTIVE_STEP {
        session.last_active = now;
        state
            .db
            .set_if(Cls::Session, reference, "last_active", Value::Time(now));
    }
    Ok(session.clone())
}

/// Ends a session and the polls in it.
pub(crate) fn close(state: &mut State, reference: &Ref) {
    if let Some(session) = state.sessions.by_ref.remove(reference) {
        session.ended.cancel();
    }
    state.db.delete(Cls::Session, reference);
}

/// Ends every session, as a restart of xapi does.
pub(crate) fn close_all(state: &mut State) {
    for session in state.sessions.by_ref.values() {
        session.ended.cancel();
    }
    state.sessions.by_ref.clear();
    state.db.forget_all(Cls::Session);
}

/// Ends sessions that nobody has used for a day.
pub(crate) fn collect(state: &mut State) {
    let now = state.wall;
    let old = state
        .sessions
        .by_ref
        .iter()
        .filter(|(_, s)| now - s.last_active > EXPIRY);
    let old: Vec<Ref> = old.map(|(r, _)| r.clone()).collect();
    for reference in old {
        close(state, &reference);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::world::{Latencies, World, build};

    fn pool() -> Pool {
        let world = World::from_hcl("pool \"p\" {\n  host \"h\" {\n  }\n}\n").unwrap();
        let spec = world.pools["p"].clone();
        let state = build::build(&spec, "p", 1, &[String::new()], 0);
        let clock = Clock::virtual_time(false);
        Pool::new(
            "p",
            spec,
            1,
            Latencies::zero(),
            clock,
            Vec::new(),
            state,
            CancellationToken::new(),
        )
    }

    #[tokio::test]
    async fn each_group_has_its_own_cap_and_loses_its_oldest() {
        let pool = pool();
        pool.with(|state| {
            let mut login = |user: &str, originator: &str| open(&pool, state, user, Role::PoolAdmin, originator);
            let sloppy = login("root", "");
            let mine = login("root", "mine");
            let poll = (0..CAP_ANONYMOUS - 1).map(|_| login("root", "")).collect::<Vec<_>>();
            let last = login("root", "");
            assert_eq!(
                check(state, &sloppy).unwrap_err().description(),
                ["SESSION_INVALID", sloppy.as_str()]
            );
            assert!(check(state, &mine).is_ok() && check(state, &poll[0]).is_ok() && check(state, &last).is_ok());
            assert_eq!(state.db.table(Cls::Session).rows.len(), CAP_ANONYMOUS + 1);
        });
    }

    #[tokio::test]
    async fn the_end_of_a_session_ends_its_polls_and_a_day_of_silence_ends_it() {
        let pool = pool();
        pool.with(|state| {
            let session = open(&pool, state, "root", Role::PoolAdmin, "x");
            let ended = check(state, &session).unwrap().ended;
            state.wall += EXPIRY + 1;
            collect(state);
            assert!(ended.is_cancelled());
            assert!(check(state, &session).is_err());
        });
    }
}
