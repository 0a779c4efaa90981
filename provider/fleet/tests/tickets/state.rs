//! A pool with its tickets and servers, those who use them, and every state that can follow.

use std::collections::{BTreeMap, BTreeSet};

use fleet::ticket::{Call, Hold, Key, Room, Served, Value, released_key, ticket_key};
use jiff::Timestamp;
use ulid::Ulid;
use xenapi::Uuid;

use crate::actor::{Actor, Deed, Event};
use crate::shared::{Keys, Map, Shared};

/// When some tickets end.
const UNTIL: i64 = 1000;

/// The coordinator's clock: long before the end, a moment before nobody may rely on it by the slowest view, a moment after that, and
/// the end.
pub(crate) const TIMES: [i64; 4] = [0, UNTIL - 16, UNTIL - 14, UNTIL];

pub(crate) fn host() -> Uuid {
    Uuid::from_bytes([1; 16])
}

pub(crate) fn until(id: u128) -> Timestamp {
    instant(if id <= 2 { UNTIL } else { 2 * UNTIL })
}

pub(crate) fn instant(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// What may happen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct World {
    /// How many servers there is room for.
    pub(crate) room: u32,
    pub(crate) may_crash: bool,
    /// A call whose answer is lost may also be carried out later.
    pub(crate) may_be_late: bool,
    pub(crate) has_tool: bool,
    /// The time passes, and views of the clock are off by so many seconds.
    pub(crate) skew: Option<i64>,
    pub(crate) mistake: Option<Mistake>,
}

/// What somebody does wrong, so that a rule must break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// Looks at the servers before it reads the tickets.
    ServersFirst,
    /// Removes the mark before the ticket.
    MarkFirst,
    /// Clears the highest number too.
    Highest,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Vm {
    pub(crate) ticket: Ulid,
    pub(crate) reservation: Option<Ulid>,
    pub(crate) is_running: bool,
}

/// A tool that reads the map and later writes it back whole, once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Tool {
    Idle,
    Holds(Shared<Keys>),
    Over,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) keys: Shared<Keys>,
    pub(crate) vms: Vec<Vm>,
    pub(crate) time: usize,
    pub(crate) actors: Vec<Shared<Actor>>,
    pub(crate) tool: Tool,
    /// Calls that are on their way, whatever became of their senders.
    pub(crate) late: Vec<Deed>,
    /// What actors saw of the servers too early.
    early: BTreeMap<usize, Vec<Vm>>,
    /// Whose each number was.
    given: BTreeMap<u64, Ulid>,
    /// The numbers that were released.
    pub(crate) released: BTreeSet<(u64, Ulid)>,
    /// The tickets that a tool has taken away from those who rely on them, or whose number is of the time before it wrote.
    pub(crate) robbed: BTreeSet<Ulid>,
    /// Those whose number was counted before it wrote, and that are not added yet.
    pub(crate) stale: BTreeSet<Ulid>,
    /// The numbers of tickets that came late: their senders have taken others since, and these end by their time.
    pub(crate) nobodys: BTreeSet<u64>,
    /// What must not be.
    pub(crate) flaw: Option<&'static str>,
}

/// The pool's servers as one look shows them.
pub(crate) struct Seen {
    servers: Vec<Served>,
    running: u32,
    room: u32,
}

impl Room for Seen {
    fn servers(&self) -> &[Served] {
        &self.servers
    }

    fn takes(&self, held: &[Hold], asked: &Hold) -> bool {
        let on = |hold: &Hold| hold.hosts.values().sum::<u32>();
        let all = || held.iter().chain([asked]);
        let there = u32::try_from(self.servers.len()).unwrap();
        there + all().map(|hold| hold.servers).sum::<u32>() <= self.room
            && self.running + all().map(on).sum::<u32>() <= self.room
    }
}

impl Seen {
    pub(crate) fn new(vms: &[Vm], room: u32) -> Self {
        let servers = vms.iter().map(|vm| Served {
            ticket: Some(vm.ticket),
            reservation: vm.reservation,
            host: vm.is_running.then(host),
        });
        Self {
            servers: servers.collect(),
            running: u32::try_from(vms.iter().filter(|vm| vm.is_running).count()).unwrap(),
            room,
        }
    }
}

impl State {
    pub(crate) fn new(actors: impl IntoIterator<Item = Actor>) -> Self {
        Self {
            keys: Shared::keys(Map::new()),
            vms: Vec::new(),
            time: 0,
            actors: actors.into_iter().map(Shared::actor).collect(),
            tool: Tool::Idle,
            late: Vec::new(),
            early: BTreeMap::new(),
            given: BTreeMap::new(),
            released: BTreeSet::new(),
            robbed: BTreeSet::new(),
            stale: BTreeSet::new(),
            nobodys: BTreeSet::new(),
            flaw: None,
        }
    }

    /// The slowest view of the clock: by it a promise lasts longest.
    pub(crate) fn slow(&self, world: &World) -> Timestamp {
        instant(TIMES[self.time] - world.skew.unwrap_or_default())
    }

    /// All states that one deed of anybody leads to.
    pub(crate) fn successors(&self, world: &World) -> Vec<Self> {
        let mut next = Vec::new();
        for at in 0..self.actors.len() {
            self.act(at, world, &mut next);
        }
        for at in 0..self.late.len() {
            let mut after = self.clone();
            let deed = after.late.remove(at);
            after.call(&deed);
            after.flaw = None;
            if let Deed::Add(key, _) = &deed
                && let Some(Key::Ticket(number)) = Key::parse(key)
            {
                after.nobodys.insert(number);
            }
            next.push(after);
        }
        if world.skew.is_some() && self.time + 1 < TIMES.len() {
            next.push(self.clone().later());
        }
        if world.has_tool {
            next.extend(self.meddled());
        }
        for state in &mut next {
            state.judge(self, world);
        }
        next
    }

    fn later(mut self) -> Self {
        self.time += 1;
        self
    }

    fn meddled(&self) -> Option<Self> {
        let mut after = self.clone();
        match &self.tool {
            Tool::Idle => after.tool = Tool::Holds(self.keys.clone()),
            Tool::Holds(old) => {
                after.keys = old.clone();
                let adding = self.actors.iter().filter(|actor| matches!(actor.deed, Deed::Add(..)));
                after
                    .stale
                    .extend(adding.filter_map(|actor| actor.wish()).map(|ticket| ticket.id));
                after.tool = Tool::Over;
            }
            Tool::Over => return None,
        }
        Some(after)
    }

    /// An actor does its deed and hears of it, or not, or is killed.
    fn act(&self, at: usize, world: &World, next: &mut Vec<Self>) {
        let actor = &self.actors[at];
        if actor.deed == Deed::Nothing || !self.may_begin(actor) {
            return;
        }
        // Killed before it only looks, it is as good as killed after.
        if world.may_crash && !matches!(actor.deed, Deed::Read | Deed::Look) {
            next.push(self.with(at, Event::Stopped));
        }
        match actor.deed.clone() {
            Deed::Read => self.read(at, world, next),
            Deed::Look => {
                let mut after = self.clone();
                let vms = after.early.remove(&at).unwrap_or_else(|| self.vms.clone());
                next.push(after.with(at, Event::Looked(vms, world.room)));
            }
            deed @ (Deed::Add(..) | Deed::Remove(_)) => self.send(at, world, &deed, next),
            Deed::Clone => {
                let mut after = self.with(at, Event::Cloned);
                after.vms.extend(actor.server());
                after.vms.sort();
                next.push(after);
            }
            Deed::Start => {
                let mut after = self.with(at, Event::Started);
                let own = actor.server();
                let vm = after.vms.iter_mut().find(|vm| Some(&**vm) == own.as_ref());
                vm.unwrap().is_running = true;
                after.vms.sort();
                next.push(after);
            }
            Deed::Go => next.push(self.with(at, Event::Went)),
            Deed::Nothing => {}
        }
    }

    pub(crate) fn may_begin(&self, actor: &Actor) -> bool {
        let mut promises = self.promises();
        actor
            .after
            .is_none_or(|of| promises.any(|promise| promise.ticket.reservation() == Some(of)))
    }

    fn read(&self, at: usize, world: &World, next: &mut Vec<Self>) {
        if world.mistake == Some(Mistake::ServersFirst) && !self.early.contains_key(&at) {
            let mut after = self.clone();
            after.early.insert(at, self.vms.clone());
            next.push(after);
            return;
        }
        let keys = match world.mistake {
            Some(Mistake::Highest) if self.actors[at].is_clearing() => {
                let higher = |map: &mut Map| drop(map.insert(ticket_key(1 << 40), String::new()));
                self.keys.changed(higher)
            }
            Some(_) | None => self.keys.clone(),
        };
        let views = match world.skew {
            Some(skew) => vec![-skew, skew],
            None => vec![0],
        };
        for off in views {
            let now = instant(TIMES[self.time] + off);
            next.push(self.with(at, Event::Read(keys.clone(), now)));
        }
    }

    fn send(&self, at: usize, world: &World, deed: &Deed, next: &mut Vec<Self>) {
        let deed = &match (world.mistake, deed) {
            (Some(Mistake::MarkFirst), Deed::Remove(key)) if self.actors[at].is_clearing() => {
                Deed::Remove(other_key(key))
            }
            (Some(_) | None, deed) => deed.clone(),
        };
        let mut after = self.clone();
        let call = after.call(deed);
        next.push(after.with(at, Event::Called(call)));
        if self.actors[at].losses > 0 {
            next.push(after.with(at, Event::Lost));
            let not_done = self.with(at, Event::Lost);
            if world.may_be_late {
                let mut late = not_done.clone();
                late.late.push(deed.clone());
                next.push(late);
            }
            next.push(not_done);
        }
    }

    fn with(&self, at: usize, event: Event) -> Self {
        let mut after = self.clone();
        after.actors[at] = self.actors[at].after(event);
        after
    }

    /// A call that changes a key reaches the pool.
    fn call(&mut self, deed: &Deed) -> Call {
        match deed {
            Deed::Add(key, _) if self.keys.map.contains_key(key) => Call::AlreadyThere,
            Deed::Add(key, value) => {
                self.note(key, value);
                self.keys = self.keys.changed(|map| drop(map.insert(key.clone(), value.clone())));
                Call::Done
            }
            Deed::Remove(key) => {
                self.keys = self.keys.changed(|map| drop(map.remove(key)));
                Call::Done
            }
            Deed::Read | Deed::Look | Deed::Clone | Deed::Start | Deed::Go | Deed::Nothing => Call::Done,
        }
    }

    /// Remembers what was added, and says if a number is given twice.
    fn note(&mut self, key: &str, value: &str) {
        match (Key::parse(key), Value::parse(value)) {
            (Some(Key::Ticket(number)), Value::Ticket(ticket)) => {
                let first = *self.given.entry(number).or_insert(ticket.id);
                if first != ticket.id && self.tool != Tool::Over {
                    self.flaw.get_or_insert("a number is given twice");
                }
                self.given.insert(number, ticket.id);
                self.robbed.remove(&ticket.id);
                self.robbed.extend(self.stale.take(&ticket.id));
            }
            (Some(Key::Released(number)), _) => {
                let id = Ulid::from_string(value).unwrap();
                if self.keys.board.numbers_of(id).any(|own| own == number) {
                    self.released.insert((number, id));
                }
            }
            other => panic!("{key}: {other:?}"),
        }
    }
}

fn other_key(key: &str) -> String {
    match Key::parse(key) {
        Some(Key::Ticket(number)) => released_key(number),
        Some(Key::Released(number)) => ticket_key(number),
        other => panic!("{key}: {other:?}"),
    }
}
