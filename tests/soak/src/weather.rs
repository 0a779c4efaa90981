//! Faults, at random: calls that are refused, cut, answered with rubbish or late; toolstacks that restart, coordinators that move,
//! storage that fills up.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use sim::{FaultKind, FaultRule};

use crate::dice::Dice;
use crate::world::Lab;

/// The actor's number, beside those of the pipelines.
const ACTOR: u64 = 1000;

/// A change of the weather.
#[derive(Clone, Copy, Debug)]
enum Weather {
    Strikes(&'static str, Strike, u64, u64),
    Restart(&'static str),
    Coordinator(&'static str),
    Full,
    Clear,
}

/// How a call fails.
#[derive(Clone, Copy, Debug)]
enum Strike {
    Busy,
    Throttled,
    Internal,
    InternalAfter,
    CutBefore,
    CutAfter,
    Truncate(u64),
    Http500,
    Late(u64),
    SessionInvalid,
    Hang,
}

/// Methods that are struck; with `Async.` or without.
const METHODS: [&str; 24] = [
    "*",
    "VM.*",
    "VM.get_*",
    "VM.clone",
    "VM.start*",
    "VM.set_other_config",
    "VM.set_tags",
    "VM.add_*",
    "VM.remove_*",
    "VM.provision",
    "VM.hard_shutdown",
    "VM.destroy",
    "VM.set_name_label",
    "VDI.*",
    "VDI.destroy",
    "VDI.set_other_config",
    "VBD.*",
    "pool.*",
    "pool.add_to_other_config",
    "host.*",
    "event.from",
    "task.*",
    "session.*",
    "PUT /import_raw_vdi",
];

fn throw(dice: &mut Dice) -> (Duration, Weather) {
    let pause = Duration::from_millis(dice.between(2_000, 30_000));
    let late = dice.between(500, 20_000);
    let keep = dice.between(0, 200);
    let strike = dice.weighted(&[
        (16, Strike::Busy),
        (6, Strike::Throttled),
        (8, Strike::Internal),
        (8, Strike::InternalAfter),
        (14, Strike::CutBefore),
        (18, Strike::CutAfter),
        (6, Strike::Truncate(keep)),
        (8, Strike::Http500),
        (10, Strike::Late(late)),
        (4, Strike::SessionInvalid),
        (2, Strike::Hang),
    ]);
    let strikes = Weather::Strikes(dice.one_of(&METHODS), strike, dice.between(0, 8), dice.between(1, 3));
    let pool = dice.one_of(&["lab1", "lab2"]);
    let host = dice.one_of(&["xen11", "xen12", "xen13"]);
    let weather = dice.weighted(&[
        (86, strikes),
        (3, Weather::Restart(pool)),
        (2, Weather::Coordinator(host)),
        (2, Weather::Full),
        (7, Weather::Clear),
    ]);
    (pause, weather)
}

impl Strike {
    fn kind(self) -> FaultKind {
        let error = |code: &str| (code.to_owned(), vec!["injected".to_owned()]);
        match self {
            Strike::Busy => {
                let (code, params) = error("OTHER_OPERATION_IN_PROGRESS");
                FaultKind::Error { code, params }
            }
            Strike::Throttled => {
                let (code, params) = error("TOO_MANY_PENDING_TASKS");
                FaultKind::Error { code, params }
            }
            Strike::Internal => {
                let (code, params) = error("INTERNAL_ERROR");
                FaultKind::Error { code, params }
            }
            Strike::InternalAfter => {
                let (code, params) = error("INTERNAL_ERROR");
                FaultKind::ErrorAfter { code, params }
            }
            Strike::CutBefore => FaultKind::CutBefore,
            Strike::CutAfter => FaultKind::CutAfter,
            Strike::Truncate(keep) => FaultKind::Truncate(keep),
            Strike::Http500 => FaultKind::Http500,
            Strike::Late(ms) => FaultKind::Delay(ms),
            Strike::SessionInvalid => FaultKind::SessionInvalid,
            Strike::Hang => FaultKind::Hang,
        }
    }
}

/// Makes weather until a time, and then a calm.
///
/// # Errors
/// The simulator does not know what is asked of it.
pub(crate) async fn make(lab: Arc<Lab>, seed: u64, until: Duration) -> Result<()> {
    let mut dice = Dice::new(seed, ACTOR);
    let mut due = Duration::ZERO;
    loop {
        let (pause, weather) = throw(&mut dice);
        lab.diary.planned(ACTOR, &format!("{pause:?} {weather:?}"));
        due += pause;
        if due >= until {
            break;
        }
        lab.until(due).await;
        change(&lab, weather).await?;
    }
    lab.until(until).await;
    lab.control.clear_faults();
    lab.note("weather", "calm");
    Ok(())
}

async fn change(lab: &Lab, weather: Weather) -> Result<()> {
    lab.note("weather", &format!("{weather:?}"));
    lab.diary.count("changes of the weather");
    match weather {
        Weather::Strikes(method, strike, skip, count) => lab.control.fault(FaultRule {
            skip,
            count,
            ..FaultRule::once(method, strike.kind())
        }),
        Weather::Restart(pool) => {
            lab.before_restart(pool);
            lab.control.restart_toolstack(pool)?;
        }
        Weather::Coordinator(host) => {
            lab.before_restart("lab1");
            lab.control.set_coordinator("lab1", host)?;
        }
        Weather::Full => {
            lab.control.set_sr_free("lab1", "ssd", 0)?;
            tokio::time::sleep(Duration::from_secs(60)).await;
            lab.control.set_sr_free("lab1", "ssd", 6000 << 30)?;
        }
        Weather::Clear => lab.control.clear_faults(),
    }
    Ok(())
}
