//! Whether the loops of the process make progress.
//!
//! ```text
//! watch --> running --tick--> running        no tick within the bound: stuck, until the next one
//!              |  \--retire--> forgotten     ended as it should
//!              \-----drop----> ended         ended by itself (a panic, a lost error): stays wrong until it is watched again
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The loops of the process, and when each last made progress. A clone is another handle on the same ones.
#[derive(Clone, Debug, Default)]
pub struct Health {
    watched: Arc<Mutex<Watched>>,
}

#[derive(Debug, Default)]
struct Watched {
    next: u64,
    loops: BTreeMap<u64, Loop>,
}

#[derive(Debug)]
struct Loop {
    name: String,
    bound: Duration,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Running { ticked: Instant },
    Ended,
}

/// A loop that makes no progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ailing {
    /// It has not ticked for longer than it said it might.
    Stuck {
        /// Which one.
        name: String,
        /// Time since its last tick.
        silent: Duration,
        /// How long it may be silent.
        bound: Duration,
    },
    /// It ended by itself.
    Ended {
        /// Which one.
        name: String,
    },
}

impl fmt::Display for Ailing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stuck { name, silent, bound } => write!(
                f,
                "{name}: no progress for {} s, at most {} s are normal",
                silent.as_secs(),
                bound.as_secs()
            ),
            Self::Ended { name } => write!(f, "{name}: has ended by itself"),
        }
    }
}

impl Health {
    /// Watches a loop that will tick at least once within each `bound`. A loop of the same name that ended by itself is forgotten:
    /// this one takes its place.
    pub fn watch(&self, name: impl Into<String>, bound: Duration) -> Pulse {
        let name = name.into();
        let mut watched = self.watched();
        watched
            .loops
            .retain(|_, other| other.name != name || matches!(other.state, State::Running { .. }));
        let id = watched.next;
        watched.next += 1;
        let ticked = Instant::now();
        let state = State::Running { ticked };
        watched.loops.insert(id, Loop { name, bound, state });
        drop(watched);
        Pulse {
            health: self.clone(),
            id,
        }
    }

    /// Lists the loops that make no progress; none in a sound process.
    pub fn ailing(&self) -> Vec<Ailing> {
        self.watched().loops.values().filter_map(Loop::ailing).collect()
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Loop {
    fn ailing(&self) -> Option<Ailing> {
        let name = self.name.clone();
        match self.state {
            State::Ended => Some(Ailing::Ended { name }),
            State::Running { ticked } => {
                let (silent, bound) = (ticked.elapsed(), self.bound);
                (silent > bound).then_some(Ailing::Stuck { name, silent, bound })
            }
        }
    }
}

/// The pulse of one loop. A loop that ends as it should retires its pulse; a pulse that is merely dropped tells that the loop died.
#[derive(Debug)]
#[must_use = "a pulse that is dropped means that its loop died"]
pub struct Pulse {
    health: Health,
    id: u64,
}

impl Pulse {
    /// The loop made progress.
    pub fn tick(&self) {
        let ticked = Instant::now();
        self.set(State::Running { ticked });
    }

    /// The loop ends because it was asked to.
    pub fn retire(self) {
        self.health.watched().loops.remove(&self.id);
    }

    fn set(&self, state: State) {
        if let Some(watched) = self.health.watched().loops.get_mut(&self.id) {
            watched.state = state;
        }
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        // Nothing is there any more after `retire`.
        self.set(State::Ended);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(health: &Health) -> Vec<String> {
        health.ailing().iter().map(ToString::to_string).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_loop_is_stuck_until_it_ticks() {
        let health = Health::default();
        let pulse = health.watch("pool lab1", Duration::from_secs(60));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(told(&health), [""; 0]);
        tokio::time::advance(Duration::from_secs(15)).await;
        assert_eq!(
            told(&health),
            ["pool lab1: no progress for 75 s, at most 60 s are normal"]
        );
        pulse.tick();
        assert_eq!(told(&health), [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn each_loop_has_its_own_bound() {
        let health = Health::default();
        let _slow = health.watch("pool lab1", Duration::from_secs(600));
        let _fast = health.watch("history", Duration::from_secs(10));
        tokio::time::advance(Duration::from_secs(11)).await;
        assert_eq!(
            told(&health),
            ["history: no progress for 11 s, at most 10 s are normal"]
        );
    }

    #[test]
    fn a_loop_that_retires_is_forgotten() {
        let health = Health::default();
        health.watch("pool lab1", Duration::from_secs(60)).retire();
        assert_eq!(told(&health), [""; 0]);
    }

    #[test]
    fn a_loop_that_dies_is_told_until_another_takes_its_place() {
        let health = Health::default();
        let pulse = health.watch("pool lab1", Duration::from_secs(60));
        let panicked = std::thread::spawn(move || {
            let _held = pulse;
            panic!("a fault in the loop");
        });
        assert!(panicked.join().is_err());
        assert_eq!(told(&health), ["pool lab1: has ended by itself"]);
        let _anew = health.watch("pool lab1", Duration::from_secs(60));
        assert_eq!(told(&health), [""; 0]);
    }

    #[test]
    fn a_loop_that_follows_another_of_its_name_is_not_forgotten_with_it() {
        let health = Health::default();
        let old = health.watch("pool lab1", Duration::from_secs(60));
        let new = health.watch("pool lab1", Duration::from_secs(60));
        old.retire();
        drop(new);
        assert_eq!(told(&health), ["pool lab1: has ended by itself"]);
    }
}
