//! Values that many states have in common: each is kept once, so that it is compared and hashed by its place.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::ops::Deref;
use std::rc::Rc;

use fleet::ticket::{Board, Ticket};
use ulid::Ulid;

use crate::actor::{Actor, Event};
use crate::state::{TIMES, instant};

pub(crate) type Map = BTreeMap<String, String>;

/// A hasher for many small values, of which nobody chooses any to do harm.
#[derive(Clone, Copy, Default)]
pub(crate) struct Quick(u64);

/// A map by such hashes.
pub(crate) type QuickMap<K, V> = HashMap<K, V, BuildHasherDefault<Quick>>;

/// What became of an actor by an event.
type Afterwards = QuickMap<(Shared<Actor>, Event), Shared<Actor>>;

/// A value of which there is only one.
#[derive(Debug)]
pub(crate) struct Shared<T>(Rc<T>);

/// The pool's `other_config`, read.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) map: Map,
    pub(crate) board: Board,
    /// Who holds room by a live ticket, at each time: a ticket's own id, or the reservation's.
    pub(crate) live: [BTreeMap<u64, Ulid>; TIMES.len()],
}

impl Shared<Actor> {
    pub(crate) fn actor(actor: Actor) -> Self {
        thread_local! {
            static ALL: RefCell<HashSet<Rc<Actor>, BuildHasherDefault<Quick>>> = RefCell::default();
        }
        ALL.with_borrow_mut(|all| {
            if let Some(known) = all.get(&actor) {
                return Self(Rc::clone(known));
            }
            let new = Rc::new(actor);
            all.insert(Rc::clone(&new));
            Self(new)
        })
    }
}

impl Shared<Actor> {
    /// The actor after an event; asked of the product once.
    pub(crate) fn after(&self, event: Event) -> Self {
        thread_local! {
            static ALL: RefCell<Afterwards> = RefCell::default();
        }
        let key = (self.clone(), event);
        if let Some(known) = ALL.with_borrow(|all| all.get(&key).cloned()) {
            return known;
        }
        let mut actor = (**self).clone();
        actor.hear(&key.1);
        let after = Self::actor(actor);
        ALL.with_borrow_mut(|all| all.insert(key, after.clone()));
        after
    }
}

impl Shared<Keys> {
    pub(crate) fn keys(map: Map) -> Self {
        thread_local! {
            static ALL: RefCell<QuickMap<Map, Rc<Keys>>> = RefCell::default();
        }
        ALL.with_borrow_mut(|all| {
            if let Some(known) = all.get(&map) {
                return Self(Rc::clone(known));
            }
            let board = Board::read(map.iter().map(|(key, value)| (key.as_str(), value.as_str())));
            let holder = |(number, ticket): (u64, &Ticket)| (number, ticket.reservation().unwrap_or(ticket.id));
            let live = |time| board.live(instant(time)).map(holder).collect();
            let new = Rc::new(Keys {
                map: map.clone(),
                live: TIMES.map(live),
                board,
            });
            all.insert(map, Rc::clone(&new));
            Self(new)
        })
    }

    pub(crate) fn changed(&self, change: impl FnOnce(&mut Map)) -> Self {
        let mut map = self.map.clone();
        change(&mut map);
        Self::keys(map)
    }
}

impl Hasher for Quick {
    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Eq for Shared<T> {}

impl<T> Hash for Shared<T> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        Rc::as_ptr(&self.0).hash(hasher);
    }
}
