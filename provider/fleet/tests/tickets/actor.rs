//! Those who take, use, change, release and clear tickets. What each does next is asked of the product's own machines; here is only
//! what a process wants, and when somebody relies on what it was told.

use std::collections::{BTreeMap, VecDeque};

use fleet::ticket::{Call, Clearing, Heard, Kind, Machine as _, PerServer, Releasing, Step, Taken, Taking, Ticket};
use jiff::Timestamp;
use ulid::Ulid;

use crate::shared::{Keys, Shared};
use crate::state::{Seen, Vm, host, until};

/// What a process is about to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Intent {
    Take(Ticket),
    /// Makes the servers of the ticket that was taken last.
    Make,
    /// Ends what was taken last.
    Release,
    Clear,
}

/// One atomic deed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Deed {
    Read,
    Look,
    Add(String, String),
    Remove(String),
    /// A clone with its spec, not started yet.
    Clone,
    /// Starts one of the own servers.
    Start,
    /// Goes on at some time.
    Go,
    Nothing,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Doing {
    Take(Box<Taking>),
    Make(u32),
    Release(Releasing),
    ToClear,
    Clear(Clearing),
    Hold,
    Over,
}

/// What happens to an actor.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Event {
    Read(Shared<Keys>, Timestamp),
    /// The servers that it saw, and for how many there is room.
    Looked(Vec<Vm>, u32),
    Called(Call),
    Lost,
    Cloned,
    Started,
    Went,
    Stopped,
}

/// What somebody relies on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Promise {
    pub(crate) ticket: Ticket,
    pub(crate) number: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Actor {
    intents: VecDeque<Intent>,
    doing: Doing,
    pub(crate) deed: Deed,
    /// It begins when a reservation of this id has been promised.
    pub(crate) after: Option<Ulid>,
    pub(crate) promise: Option<Promise>,
    /// How many answers may get lost still.
    pub(crate) losses: u8,
    /// How each of its tickets ended, in turn.
    pub(crate) ended: Vec<Taken>,
}

/// A ticket for servers on the one host; those of the ids 1 and 2 end while others go on.
pub(crate) fn ticket(id: u128, kind: Kind, servers: u32) -> Ticket {
    Ticket {
        id: Ulid(id),
        kind,
        each: PerServer::default(),
        hosts: BTreeMap::from([(host(), servers)]),
        until: until(id),
        by: String::new(),
    }
}

impl Actor {
    pub(crate) fn new(intents: impl IntoIterator<Item = Intent>) -> Self {
        let mut actor = Self {
            intents: intents.into_iter().collect(),
            doing: Doing::Over,
            deed: Deed::Nothing,
            after: None,
            promise: None,
            losses: 0,
            ended: Vec::new(),
        };
        actor.begin();
        actor
    }

    /// Takes a ticket, makes the servers, releases the ticket.
    pub(crate) fn creator(id: u128, servers: u32) -> Self {
        let take = Intent::Take(ticket(id, Kind::Creation, servers));
        Self::new([take, Intent::Make, Intent::Release])
    }

    /// The same in a reservation, once that is there.
    pub(crate) fn drawer(id: u128, of: u128, servers: u32) -> Self {
        let kind = Kind::Draw { of: Ulid(of) };
        let take = Intent::Take(ticket(id, kind, servers));
        Self::new([take, Intent::Make, Intent::Release]).after(of)
    }

    /// It begins when a reservation has been promised.
    pub(crate) fn after(mut self, of: u128) -> Self {
        self.after = Some(Ulid(of));
        self
    }

    pub(crate) fn reserver(id: u128, servers: u32, then: impl IntoIterator<Item = Intent>) -> Self {
        let take = Intent::Take(ticket(id, Kind::Reservation, servers));
        Self::new([take].into_iter().chain(then))
    }

    pub(crate) fn clearer() -> Self {
        Self::new([Intent::Clear])
    }

    pub(crate) fn losing(self, losses: u8) -> Self {
        Self { losses, ..self }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.doing == Doing::Over
    }

    pub(crate) fn is_clearing(&self) -> bool {
        matches!(self.doing, Doing::ToClear | Doing::Clear(_))
    }

    /// The ticket that it is about to take.
    pub(crate) fn wish(&self) -> Option<&Ticket> {
        match &self.doing {
            Doing::Take(taking) => Some(taking.ticket()),
            Doing::Make(_) | Doing::Release(_) | Doing::ToClear | Doing::Clear(_) | Doing::Hold | Doing::Over => None,
        }
    }

    fn end(&mut self) {
        self.intents.clear();
        self.doing = Doing::Over;
        self.deed = Deed::Nothing;
        self.losses = 0;
    }

    fn begin(&mut self) {
        let Some(intent) = self.intents.pop_front() else {
            self.end();
            return;
        };
        self.doing = match intent {
            Intent::Take(mut ticket) => {
                if let (Kind::Change { replaces, .. }, Some(promise)) = (&mut ticket.kind, &self.promise) {
                    *replaces = promise.number;
                }
                Doing::Take(Box::new(Taking::new(ticket)))
            }
            Intent::Make => Doing::Make(self.promise.as_ref().map_or(0, |promise| promise.ticket.servers())),
            Intent::Release => {
                let promise = self.promise.take();
                let taken = promise.map(|promise| (promise.number, promise.ticket.id));
                Doing::Release(Releasing::new(taken))
            }
            Intent::Clear => Doing::ToClear,
        };
        self.go_on(Heard::Nothing);
    }

    /// Asks the product's machine for the next step.
    fn go_on(&mut self, heard: Heard<'_>) {
        match &mut self.doing {
            Doing::Take(taking) => {
                let step = taking.next(heard);
                let ticket = taking.ticket().clone();
                self.step(step, |actor, taken| actor.took(ticket, taken));
            }
            Doing::Release(releasing) => {
                let step = releasing.next(heard);
                self.step(step, |actor, _| actor.begin());
            }
            Doing::Clear(clearing) => {
                let step = clearing.next(heard);
                self.step(step, |actor, _| actor.begin());
            }
            Doing::ToClear => self.deed = Deed::Read,
            Doing::Make(0) => self.begin(),
            Doing::Make(_) => self.deed = Deed::Clone,
            Doing::Hold | Doing::Over => {}
        }
    }

    fn step<T>(&mut self, step: Step<T>, end: impl FnOnce(&mut Self, T)) {
        self.deed = match step {
            Step::Read => Deed::Read,
            Step::Look => Deed::Look,
            Step::Add { key, value } => Deed::Add(key, value),
            Step::Remove(key) => Deed::Remove(key),
            Step::Done(ended) => return end(self, ended),
        };
    }

    fn took(&mut self, ticket: Ticket, taken: Taken) {
        self.ended.push(taken);
        match taken {
            Taken::Admitted(number) => self.promise = Some(Promise { ticket, number }),
            // A change that is refused leaves what was before.
            Taken::Refused(_) | Taken::Unsettled if self.promise.is_some() => {}
            Taken::Refused(_) | Taken::Unsettled => return self.end(),
        }
        if self.intents.front() == Some(&Intent::Make) {
            self.begin();
        } else {
            self.doing = Doing::Hold;
            self.deed = Deed::Go;
        }
    }

    /// What becomes of it.
    pub(crate) fn hear(&mut self, event: &Event) {
        match event {
            Event::Read(keys, now) => {
                self.after = None;
                if self.doing == Doing::ToClear {
                    self.doing = Doing::Clear(Clearing::new(&keys.board, *now));
                    self.go_on(Heard::Nothing);
                } else {
                    self.go_on(Heard::Read(keys.board.clone(), *now));
                }
            }
            Event::Looked(vms, room) => self.go_on(Heard::Servers(&Seen::new(vms, *room))),
            Event::Called(call) => self.go_on(Heard::Call(*call)),
            Event::Lost => {
                self.losses -= 1;
                self.go_on(Heard::Call(Call::Unknown));
            }
            Event::Cloned => self.deed = Deed::Start,
            Event::Started => {
                if let Doing::Make(left) = &mut self.doing {
                    *left -= 1;
                }
                self.go_on(Heard::Nothing);
            }
            Event::Went => self.begin(),
            // Killed, or too late to go on: nobody relies on what it was promised.
            Event::Stopped => {
                self.promise = None;
                self.end();
            }
        }
    }

    /// The server that it makes.
    pub(crate) fn server(&self) -> Option<Vm> {
        let ticket = &self.promise.as_ref()?.ticket;
        Some(Vm {
            ticket: ticket.id,
            reservation: ticket.draws_from(),
            is_running: false,
        })
    }
}
