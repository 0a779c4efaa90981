//! Subscriptions: what somebody wants to hear, and the box where it waits.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{Change, EventClass, Token};
use crate::error::Error;
use crate::record::Class;
use crate::reference::Ref;

/// What a subscriber wants to hear of: whole classes, or single objects of them; and how soon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    classes: BTreeMap<EventClass, Option<BTreeSet<String>>>,
    tempo: Tempo,
    wants_tokens: bool,
}

/// How soon a subscriber wants to hear of a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Tempo {
    #[default]
    Prompt,
    OnCall,
    Patient,
}

impl Interest {
    /// All objects of these classes.
    pub fn classes(classes: &[EventClass]) -> Self {
        Self {
            classes: classes.iter().map(|class| (*class, None)).collect(),
            ..Self::default()
        }
    }

    /// One object.
    pub fn object<C: Class>(object: &Ref<C>) -> Self {
        Self::default().and_object(object)
    }

    /// All objects of one more class.
    #[must_use]
    pub fn and_class(mut self, class: EventClass) -> Self {
        self.classes.insert(class, None);
        self
    }

    /// One more object.
    #[must_use]
    pub fn and_object<C: Class>(mut self, object: &Ref<C>) -> Self {
        self.add(C::EVENT, object.as_str());
        self
    }

    /// Some seconds late, as long as nobody [hurries](Haste::hurry): who keeps a picture for later need not hear of each change at once,
    /// and changes that are told together cost the pool one look.
    #[must_use]
    pub fn on_call(mut self) -> Self {
        self.tempo = Tempo::OnCall;
        self
    }

    /// Some seconds late, whoever else hurries.
    #[must_use]
    pub fn patient(mut self) -> Self {
        self.tempo = Tempo::Patient;
        self
    }

    /// Also how far the changes go that were told ([`Notice::Reached`]).
    #[must_use]
    pub fn with_tokens(mut self) -> Self {
        self.wants_tokens = true;
        self
    }

    fn add(&mut self, class: EventClass, object: &str) {
        if let Some(objects) = self.classes.entry(class).or_insert_with(|| Some(BTreeSet::new())) {
            objects.insert(object.to_owned());
        }
    }

    /// How a call asks for exactly this.
    pub(super) fn subscriptions(&self) -> Vec<String> {
        let mut all = Vec::new();
        for (class, objects) in &self.classes {
            match objects {
                Some(objects) => all.extend(objects.iter().map(|object| format!("{class}/{object}"))),
                None => all.push(class.as_str().to_owned()),
            }
        }
        all
    }

    fn covers(&self, change: &Change) -> bool {
        match self.classes.get(&change.class) {
            Some(Some(objects)) => objects.contains(&change.object),
            Some(None) => true,
            None => false,
        }
    }
}

/// Why changes may have been missed.
#[derive(Clone, Debug)]
pub enum Loss {
    /// Listening has only just begun: what was read before may be older than the first change that will come.
    Fresh,
    /// The subscriber was too slow: changes of too many objects were waiting.
    Overflow,
    /// The session or the coordinator changed; listening goes on from here.
    Interrupted,
    /// The pool cannot be listened to at present; attempts go on, and [`Loss::Fresh`] or [`Loss::Interrupted`] follows.
    Unreachable(Error),
    /// The pool was logged out: nothing will come any more.
    Closed,
}

/// What a subscriber hears.
#[derive(Clone, Debug)]
pub enum Notice {
    /// An object changed. Of an object that changed again in the meantime this is the last change only.
    Change(Arc<Change>),
    /// All changes up to here have been told. Comes to those who [asked for it](Interest::with_tokens), after each answer of the pool.
    Reached(Token),
    /// Changes may have been missed: read again what matters.
    Lost(Loss),
}

/// When more than this many objects have changed, the subscriber has to read again. More than the VMs of all but the largest pools,
/// each of which may change while they are being listed; and each takes a few KiB.
const CAPACITY: usize = 8192;

/// How a subscriber is to be served now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// It hears of a change as soon as it can be told.
    Prompt,
    /// It is on call, and somebody waits for what it hears.
    Hurried,
    /// It is on call, and nobody does.
    OnCall,
    /// It can wait.
    Patient,
}

pub(super) struct Mailbox {
    inner: Mutex<Inner>,
    arrived: Notify,
}

struct Inner {
    interest: Interest,
    waiting: Waiting,
    /// How far the changes go that are waiting or were taken.
    reached: Option<Token>,
    loss: Option<Loss>,
    is_closed: bool,
    /// How many wait for what is heard here.
    hurries: usize,
}

impl Mailbox {
    pub(super) fn new(interest: Interest) -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::new(Inner {
                interest,
                waiting: Waiting::default(),
                reached: None,
                loss: None,
                is_closed: false,
                hurries: 0,
            }),
            arrived: Notify::new(),
        })
    }

    /// Puts a change in, if wanted; never waits.
    pub(super) fn put(&self, change: &Arc<Change>) {
        let mut inner = self.inner();
        if !inner.interest.covers(change) {
            return;
        }
        inner.waiting.put(change);
        if inner.waiting.len() > CAPACITY {
            inner.waiting = Waiting::default();
            inner.loss = Some(Loss::Overflow);
        }
        drop(inner);
        self.arrived.notify_one();
    }

    /// Says that all changes up to a token have been put in.
    pub(super) fn reach(&self, token: &Token) {
        let mut inner = self.inner();
        if inner.interest.wants_tokens {
            inner.reached = Some(token.clone());
            drop(inner);
            self.arrived.notify_one();
        }
    }

    /// Says that changes may have been missed; what was waiting is older and of no use any more.
    pub(super) fn lose(&self, loss: Loss) {
        let mut inner = self.inner();
        inner.waiting = Waiting::default();
        inner.reached = None;
        inner.is_closed |= matches!(loss, Loss::Closed);
        inner.loss = Some(loss);
        drop(inner);
        self.arrived.notify_one();
    }

    pub(super) fn classes(&self) -> BTreeSet<EventClass> {
        self.inner().interest.classes.keys().copied().collect()
    }

    pub(super) fn urgency(&self) -> Urgency {
        let inner = self.inner();
        match (inner.interest.tempo, inner.hurries) {
            (Tempo::Prompt, _) => Urgency::Prompt,
            (Tempo::OnCall, 0) => Urgency::OnCall,
            (Tempo::OnCall, _) => Urgency::Hurried,
            (Tempo::Patient, _) => Urgency::Patient,
        }
    }

    fn take(&self) -> Option<Notice> {
        let mut inner = self.inner();
        if let Some(loss) = inner.loss.take() {
            return Some(Notice::Lost(loss));
        }
        if let Some(change) = inner.waiting.take() {
            return Some(Notice::Change(change));
        }
        if let Some(token) = inner.reached.take() {
            return Some(Notice::Reached(token));
        }
        inner.is_closed.then_some(Notice::Lost(Loss::Closed))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last change of each object, in the order in which the objects first changed. Changes tell states, so nothing is lost with an
/// earlier one.
#[derive(Default)]
struct Waiting {
    order: VecDeque<Object>,
    last: HashMap<Object, Arc<Change>>,
}

type Object = (EventClass, String);

impl Waiting {
    fn put(&mut self, change: &Arc<Change>) {
        match self.last.entry((change.class, change.object.clone())) {
            Entry::Occupied(mut earlier) => {
                earlier.insert(Arc::clone(change));
            }
            Entry::Vacant(place) => {
                self.order.push_back(place.key().clone());
                place.insert(Arc::clone(change));
            }
        }
    }

    fn take(&mut self) -> Option<Arc<Change>> {
        let object = self.order.pop_front()?;
        self.last.remove(&object)
    }

    fn len(&self) -> usize {
        self.order.len()
    }
}

/// One subscriber's place; ends when dropped.
pub struct Subscription {
    mailbox: Arc<Mailbox>,
    wake: Arc<Notify>,
    since: Option<Token>,
    /// Keeps the place; gone before the watcher is woken, so that it sees that nobody is there.
    place: Option<Arc<()>>,
}

impl Subscription {
    pub(super) fn new(mailbox: Arc<Mailbox>, wake: Arc<Notify>, place: Arc<()>, since: Option<Token>) -> Self {
        Self {
            mailbox,
            wake,
            since,
            place: Some(place),
        }
    }

    /// From where on changes are told: all after this point, unless a loss says otherwise. `None` when the first notice will be a loss.
    pub fn since(&self) -> Option<&Token> {
        self.since.as_ref()
    }

    /// Waits for the next notice. Nothing is lost when the future is dropped. After [`Loss::Closed`] the same comes at once, again
    /// and again.
    pub async fn next(&mut self) -> Notice {
        loop {
            if let Some(notice) = self.mailbox.take() {
                return notice;
            }
            self.mailbox.arrived.notified().await;
        }
    }

    /// Gives the next notice if one is waiting.
    pub fn try_next(&mut self) -> Option<Notice> {
        self.mailbox.take()
    }

    /// The way to hurry it, for others than the one who listens.
    pub fn haste(&self) -> Haste {
        Haste {
            mailbox: Arc::clone(&self.mailbox),
            wake: Arc::clone(&self.wake),
        }
    }

    /// Wants to hear of one more object from now on. Read that object afterwards: what changed before this call is not told.
    pub fn watch_object<C: Class>(&self, object: &Ref<C>) {
        self.mailbox.inner().interest.add(C::EVENT, object.as_str());
        self.wake.notify_one();
    }

    /// Wants to hear of all objects of one more class from now on.
    pub fn watch_class(&self, class: EventClass) {
        self.mailbox.inner().interest.classes.insert(class, None);
        self.wake.notify_one();
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.place = None;
        self.wake.notify_one();
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subscription({:?})", self.mailbox.inner().interest)
    }
}

/// Hurries a subscription that is [on call](Interest::on_call); others are as prompt or patient as they are.
#[derive(Clone)]
pub struct Haste {
    mailbox: Arc<Mailbox>,
    wake: Arc<Notify>,
}

impl Haste {
    /// Has the subscription hear of changes at once, as long as what this gives is held: somebody waits for them.
    pub fn hurry(&self) -> Hurry {
        self.mailbox.inner().hurries += 1;
        self.wake.notify_one();
        Hurry {
            mailbox: Arc::clone(&self.mailbox),
        }
    }
}

impl fmt::Debug for Haste {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Haste({} waiting)", self.mailbox.inner().hurries)
    }
}

/// Somebody waits for what a subscription hears; ends when dropped.
#[must_use = "the subscription is in a hurry only as long as this is held"]
pub struct Hurry {
    mailbox: Arc<Mailbox>,
}

impl Drop for Hurry {
    fn drop(&mut self) {
        let mut inner = self.mailbox.inner();
        inner.hurries = inner.hurries.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::ChangeOp;

    fn gone(object: &str) -> Arc<Change> {
        Arc::new(Change {
            class: EventClass::Vm,
            op: ChangeOp::Del,
            object: object.to_owned(),
            record: None,
        })
    }

    fn token(text: &str) -> Token {
        Token::new(Arc::from(text), 1)
    }

    #[test]
    fn a_point_is_told_after_all_changes_before_it() {
        let mailbox = Mailbox::new(Interest::classes(&[EventClass::Vm]).with_tokens());
        mailbox.put(&gone("a"));
        mailbox.reach(&token("0001"));
        mailbox.put(&gone("b"));
        mailbox.reach(&token("0002"));
        let mut told = Vec::new();
        while let Some(notice) = mailbox.take() {
            told.push(match notice {
                Notice::Change(change) => change.object.clone(),
                Notice::Reached(token) => format!("{token:?}"),
                Notice::Lost(loss) => format!("{loss:?}"),
            });
        }
        assert_eq!(told, ["a", "b", "Token(0002 of session 1)"]);
        assert!(token("0002").is_after(&token("0001")) && !token("0001").is_after(&token("0002")));
    }

    #[test]
    fn a_loss_takes_the_points_before_it_along() {
        let mailbox = Mailbox::new(Interest::classes(&[EventClass::Vm]).with_tokens());
        mailbox.reach(&token("0001"));
        mailbox.lose(Loss::Interrupted);
        assert!(matches!(mailbox.take(), Some(Notice::Lost(Loss::Interrupted))));
        assert!(mailbox.take().is_none());
    }

    #[test]
    fn who_did_not_ask_hears_of_no_points() {
        let mailbox = Mailbox::new(Interest::classes(&[EventClass::Vm]));
        mailbox.reach(&token("0001"));
        assert!(mailbox.take().is_none());
    }
}
