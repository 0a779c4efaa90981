//! What a pipeline does next, thrown before anything is known of what came of the last: so that the schedule follows from the seed.

use std::time::Duration;

use crate::dice::Dice;

/// A turn of a pipeline: one run of Terraform, which may be killed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// How long after the last one it is due; it begins later if that goes on still.
    pub(crate) pause: Duration,
    pub(crate) step: Step,
    /// How long after its begin the run is killed.
    pub(crate) killed_after: Option<Duration>,
    /// The state is lost afterwards, and with it all that is known of the servers.
    pub(crate) is_abandoned: bool,
}

/// A run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Removes what is tainted, and makes servers until there are so many.
    Apply(Order),
    /// Reserves room for the servers of an order, draws from it, and releases it.
    Reserve(Order),
    /// Changes one server.
    Change { which: u64, change: Change },
    /// Reads all servers.
    Refresh,
    /// Removes all servers.
    Destroy,
    /// No run: a person does something about one server, or beside them.
    Person { which: u64, act: Act },
}

/// Servers to have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    pub(crate) servers: usize,
    pub(crate) os: &'static str,
    pub(crate) ttl: Duration,
    pub(crate) has_user_data: bool,
}

/// A change of a server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    NameAndTags(u64),
    Ttl(Duration),
    Renew,
    Cpus(u32),
    Power(fleet::Power),
    Host(&'static str),
}

/// What a person does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    Destroy,
    AttachDisk,
    Keep,
    Unkeep,
    Extend,
    Snapshot,
    CopyHalted,
    Move(&'static str),
    SwitchOff,
    MakeOwn,
}

const HOSTS: [&str; 3] = ["xen11", "xen12", "xen13"];

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

impl Turn {
    pub(crate) fn throw(dice: &mut Dice) -> Self {
        let pause = Duration::from_millis(dice.between(10_000, 140_000));
        let order = Order {
            servers: usize::try_from(dice.between(1, 5)).unwrap_or(1),
            os: dice.one_of(&["debian12", "debian12", "centos7"]),
            ttl: minutes(dice.between(10, 40)),
            has_user_data: dice.percent(20),
        };
        let which = dice.between(0, 1000);
        let (change, act) = (Change::throw(dice), Act::throw(dice));
        let step = dice.weighted(&[
            (32, Step::Apply(order)),
            (6, Step::Reserve(order)),
            (28, Step::Change { which, change }),
            (8, Step::Refresh),
            (10, Step::Destroy),
            (16, Step::Person { which, act }),
        ]);
        let killed_after = Duration::from_millis(dice.between(0, 25_000));
        Self {
            pause,
            step,
            killed_after: dice.percent(25).then_some(killed_after),
            is_abandoned: dice.percent(4),
        }
    }
}

impl Change {
    fn throw(dice: &mut Dice) -> Self {
        use fleet::Power::{Halted, Running, Suspended};
        let number = dice.between(0, 99);
        let ttl = minutes(dice.between(8, 60));
        let cpus = dice.one_of(&[1, 2, 4]);
        let power = dice.one_of(&[Halted, Running, Running, Suspended]);
        let host = dice.one_of(&HOSTS);
        dice.weighted(&[
            (20, Change::NameAndTags(number)),
            (30, Change::Ttl(ttl)),
            (15, Change::Renew),
            (10, Change::Cpus(cpus)),
            (15, Change::Power(power)),
            (10, Change::Host(host)),
        ])
    }
}

impl Act {
    fn throw(dice: &mut Dice) -> Self {
        let host = dice.one_of(&HOSTS);
        dice.weighted(&[
            (14, Act::Destroy),
            (14, Act::AttachDisk),
            (10, Act::Keep),
            (20, Act::Unkeep),
            (10, Act::Extend),
            (10, Act::Snapshot),
            (8, Act::CopyHalted),
            (10, Act::Move(host)),
            (6, Act::SwitchOff),
            (3, Act::MakeOwn),
        ])
    }
}
