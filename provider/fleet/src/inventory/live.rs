//! Keeping the inventory: filled by whoever needs it first, followed by one task, read by all.
//!
//! It is followed patiently: as long as nobody waits for it to move on, it may lag some seconds behind the pool. A reader of own writes hurries what
//! those change.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use tokio::sync::watch;
use xenapi::{Haste, Hurry, Loss, Notice, Ref, Token, Vdi, VdiRecord};

use super::Inventory;
use super::fill::fill;
use super::following::Following;
use crate::error::{Error, VmName};
use crate::pool::{Fabric, Member};

/// How long a reader waits for its own writes to be in the picture. After that the picture is made anew.
const CATCH_UP: Duration = Duration::from_secs(5);
/// How long a reader waits for the picture to be made. A pool whose events never come would keep it waiting for ever.
const FILL: Duration = Duration::from_secs(120);
/// How often a reader looks again whose picture was lost or is behind. A pool that is read anew time and again is told of.
const TURNS: u32 = 6;

/// Which writes a reader must see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// What the events have told so far: how the pool was some seconds ago at the most.
    Seen,
    /// All that this process has written before.
    OwnWrites,
}

/// The inventory of one pool, on its way from empty to followed and back.
pub(crate) struct Live {
    state: Mutex<State>,
    /// How many pictures were begun: each has a number of its own, so that nobody takes one for another.
    begun: AtomicU64,
    /// Tells that the picture has moved on, or ended.
    moved: watch::Sender<()>,
}

type Filling = Shared<BoxFuture<'static, Result<(), Error>>>;

#[derive(Default)]
enum State {
    #[default]
    Empty,
    Filling(u64, Filling),
    Followed(u64, Box<Inventory>, Haste),
}

impl Default for Live {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            begun: AtomicU64::new(0),
            moved: watch::Sender::new(()),
        }
    }
}

impl Live {
    /// Looks at the picture; makes it first if there is none.
    pub(crate) async fn look<T>(
        &self,
        member: &Arc<Member>,
        freshness: Freshness,
        see: impl Fn(&Inventory) -> T,
    ) -> Result<T, Error> {
        // What is written from now on need not be seen: else somebody who writes all the time would keep this reader waiting for ever.
        let wanted = match freshness {
            Freshness::Seen => 0,
            Freshness::OwnWrites => member.writes(),
        };
        let unsteady = || Error::Unsteady {
            pool: member.name().to_owned(),
        };
        for _ in 0..TURNS {
            let filled = tokio::time::timeout(FILL, self.filled(member));
            filled.await.map_err(|_| unsteady())??;
            match self.peek(|inventory| (inventory.writes >= wanted).then(|| see(inventory))) {
                Some(Some(seen)) => return Ok(seen),
                Some(None) => self.catch_up(member, wanted).await?,
                // Lost at this moment: once more.
                None => {}
            }
        }
        Err(unsteady())
    }

    /// Looks at the picture if there is one that holds all own writes; asks nobody.
    pub(crate) fn glance<T>(&self, member: &Member, see: impl FnOnce(&Inventory) -> T) -> Option<T> {
        let wanted = member.writes();
        self.peek(|inventory| (inventory.writes >= wanted).then(|| see(inventory)))
            .flatten()
    }

    /// Keeps these disks in the picture too, as they change.
    pub(crate) fn keep(&self, disks: &[(Ref<Vdi>, VdiRecord)]) {
        if let State::Followed(_, inventory, _) = &mut *self.state() {
            inventory.servers.keep(disks);
        }
    }

    /// The fabric, while it is followed.
    pub(crate) fn fabric(&self) -> Option<Arc<Fabric>> {
        self.peek(|inventory| Arc::clone(inventory.fabric()))
    }

    /// Tells from now on when the picture moves on: to be taken before the look that what follows is compared with.
    pub(crate) fn moves(&self) -> watch::Receiver<()> {
        self.moved.subscribe()
    }

    /// Has the picture follow closely, as long as what this gives is held: somebody waits for its next move.
    pub(crate) fn hurry(&self) -> Option<Hurry> {
        self.followed().map(|(.., haste)| haste.hurry())
    }

    /// Looks at the picture as it is, if there is one; asks nobody.
    pub(crate) fn peek<T>(&self, see: impl FnOnce(&Inventory) -> T) -> Option<T> {
        match &*self.state() {
            State::Followed(_, inventory, _) => Some(see(inventory)),
            State::Empty | State::Filling(..) => None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the picture, together with all others who need it at the same time. It is made by a task of its own: whoever gives up leaves
    /// nothing half-way.
    async fn filled(&self, member: &Arc<Member>) -> Result<(), Error> {
        let filling = {
            let mut state = self.state();
            match &*state {
                State::Followed(..) => return Ok(()),
                State::Filling(_, filling) => filling.clone(),
                State::Empty => {
                    let serial = self.begun.fetch_add(1, Ordering::AcqRel);
                    let made = member.followers.spawn(begin(Arc::clone(member), serial));
                    // The task goes without an answer only when the runtime ends.
                    let filling = async { made.await.unwrap_or(Err(Error::Cancelled { left: None })) };
                    let filling = filling.boxed().shared();
                    *state = State::Filling(serial, filling.clone());
                    filling
                }
            }
        };
        filling.await
    }

    /// Waits until the picture holds so many of this process's writes.
    async fn catch_up(&self, member: &Arc<Member>, wanted: u64) -> Result<(), Error> {
        let Some((serial, fabric, haste)) = self.followed() else {
            return Ok(());
        };
        let mut moved = self.moved.subscribe();
        let touched = member.client()?.inject(&fabric.object).await;
        let point =
            touched.map_err(|cause| Error::call("asking for the point of the events", VmName::unknown(), cause))?;
        // Not before the pool was touched: a call for events from now on tells of that in any case, and is the only one that it takes.
        let _hurry = haste.hurry();
        let passed = async {
            while self.is_before(&point) {
                // The sender lives as long as this does.
                let _ = moved.changed().await;
            }
        };
        if tokio::time::timeout(CATCH_UP, passed).await.is_err() {
            tracing::warn!(pool = member.name(), "the pool's events are late: it is read anew");
            self.forget(serial);
        } else if let State::Followed(number, inventory, _) = &mut *self.state()
            && *number == serial
            && inventory.reached.is_after(&point)
        {
            inventory.writes = inventory.writes.max(wanted);
        } else {
            self.forget(serial);
        }
        Ok(())
    }

    /// Says whether the picture has not passed a point yet. One that is gone, or of another session, has nothing to wait for.
    fn is_before(&self, point: &Token) -> bool {
        self.peek(|inventory| inventory.reached.is_comparable(point) && !inventory.reached.is_after(point))
            .unwrap_or(false)
    }

    /// The picture's number and fabric, and what hurries it.
    fn followed(&self) -> Option<(u64, Arc<Fabric>, Haste)> {
        match &*self.state() {
            State::Followed(serial, inventory, haste) => Some((*serial, Arc::clone(inventory.fabric()), haste.clone())),
            State::Empty | State::Filling(..) => None,
        }
    }

    /// Gives up one picture; another one that has taken its place stays.
    fn forget(&self, serial: u64) {
        let mut state = self.state();
        if matches!(&*state, State::Followed(number, ..) if *number == serial) {
            *state = State::Empty;
        }
        drop(state);
        self.moved.send_replace(());
    }

    /// Ends the filling of that number, if it is still awaited.
    fn end_filling(&self, serial: u64, state: State) {
        let mut present = self.state();
        if matches!(&*present, State::Filling(number, _) if *number == serial) {
            *present = state;
        }
    }
}

async fn begin(member: Arc<Member>, serial: u64) -> Result<(), Error> {
    match fill(&member).await {
        Ok((inventory, events)) => {
            member
                .live
                .end_filling(serial, State::Followed(serial, Box::new(inventory), events.haste()));
            member.followers.spawn(follow(Arc::clone(&member), serial, events));
            Ok(())
        }
        Err(error) => {
            member.live.end_filling(serial, State::Empty);
            Err(error)
        }
    }
}

/// Puts in what the pool tells, until something may have been missed.
async fn follow(member: Arc<Member>, serial: u64, mut events: Following) {
    loop {
        let notice = events.next().await;
        let goes_on = match &mut *member.live.state() {
            State::Followed(number, inventory, _) if *number == serial => put_in(inventory, notice),
            State::Followed(..) | State::Empty | State::Filling(..) => return,
        };
        if !goes_on {
            return member.live.forget(serial);
        }
        member.live.moved.send_replace(());
    }
}

fn put_in(inventory: &mut Inventory, notice: Notice) -> bool {
    match notice {
        Notice::Change(change) => inventory.apply(&change),
        Notice::Reached(token) => inventory.reached = token,
        Notice::Lost(Loss::Fresh | Loss::Overflow | Loss::Interrupted | Loss::Unreachable(_) | Loss::Closed) => {
            return false;
        }
    }
    true
}
