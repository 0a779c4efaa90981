//! `event`: what changed since a token, from the state and not from a log.
//!
//! One event at most per object, with its newest snapshot. A row that came and went between two looks leaves nothing.

use std::collections::HashSet;
use std::ops::Bound;
use std::time::Duration;

use crate::clock::Pace;
use crate::context::Context;
use crate::db::{Cls, Ref, Table};
use crate::failure::{Failure, Outcome};
use crate::pool::State;
use crate::rpc::Args;
use crate::value::{Map, Value};

/// What a time-out of less than nothing means.
const FOREVER: f64 = 24.0 * 3600.0;

pub(super) async fn call(ctx: &Context, name: &str, args: &Args) -> Option<Outcome<Value>> {
    match name {
        "from" => Some(from(ctx, args).await),
        "inject" => Some(ctx.with(|state| inject(state, args.str(0), &args.reference(1)))),
        "get_current_id" => {
            Some(ctx.with(|state| Ok(Value::Int(i64::try_from(state.db.generation()).unwrap_or(i64::MAX)))))
        }
        _ => None,
    }
}

async fn from(ctx: &Context, args: &Args) -> Outcome<Value> {
    let wanted = Subscriptions::parse(args.get(0).as_set())?;
    let since = Token::parse(args.str(1))?;
    let timeout = args.get(2).as_float();
    let timeout = Duration::from_secs_f64(if timeout >= 0.0 { timeout.min(FOREVER) } else { FOREVER });
    let patience = tokio::time::sleep(timeout);
    tokio::pin!(patience);
    let deadline = ctx.pool.clock.now() + timeout;
    let mut changes = ctx.pool.watch();
    ctx.with(|state| state.counters.calls += 1);
    loop {
        changes.borrow_and_update();
        let batch = ctx.with(|state| look(state, &wanted, since));
        if !batch.events.is_empty() || timeout.is_zero() {
            ctx.with(|state| state.counters.events += batch.events.len() as u64);
            return Ok(batch.into_value());
        }
        tokio::select! {
            () = ctx.ended.cancelled() => return Err(Failure::new("SESSION_INVALID", [ctx.session.as_str()])),
            // Callers wait in real time, whatever the latencies are divided by.
            () = &mut patience => return Ok(batch.into_value()),
            () = virtual_timeout(ctx, deadline) => return Ok(batch.into_value()),
            changed = changes.changed() => if changed.is_err() { return Err(Failure::internal("the pool is gone")) },
        }
        ctx.pool.pause(ctx.pool.latencies.event_delay_ms).await;
    }
}

/// Ends when virtual time reaches the deadline, and keeps the call from counting as busy until then.
async fn virtual_timeout(ctx: &Context, deadline: Duration) {
    let clock = &ctx.pool.clock;
    if clock.is_virtual() {
        clock.sleep(deadline.saturating_sub(clock.now()), Pace::Idle).await;
    } else {
        std::future::pending().await
    }
}

fn inject(state: &mut State, class: &str, reference: &Ref) -> Outcome<Value> {
    let lower = class.to_lowercase();
    let cls = Cls::ALL.iter().find(|cls| cls.name().to_lowercase() == lower);
    let cls = *cls.ok_or_else(|| Failure::internal(&format!("Not_found class {class}")))?;
    let before = Token {
        generation: state.db.generation(),
        messages: state.db.message_generation(),
    };
    state.db.touch(cls, reference)?;
    Ok(Value::from(before.text()))
}

/// A position in the pool's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Token {
    generation: u64,
    messages: u64,
}

impl Token {
    fn parse(text: &str) -> Outcome<Self> {
        if text.is_empty() {
            return Ok(Self {
                generation: 0,
                messages: 0,
            });
        }
        let parts = text
            .split_once(',')
            .and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        let (generation, messages) = parts.ok_or_else(|| Failure::new("EVENT_FROM_TOKEN_PARSE_FAILURE", [text]))?;
        Ok(Self { generation, messages })
    }

    fn text(self) -> String {
        format!("{:020},{:020}", self.generation, self.messages)
    }
}

/// Which objects a caller asks about.
#[derive(Debug, Default)]
struct Subscriptions {
    classes: HashSet<Cls>,
    objects: HashSet<(Cls, Ref)>,
}

impl Subscriptions {
    fn parse(texts: &[Value]) -> Outcome<Self> {
        let mut wanted = Self::default();
        for text in texts {
            let text = text.as_str();
            let (class, object) = text.split_once('/').map_or((text, None), |(c, o)| (c, Some(o)));
            let class = class.to_lowercase();
            if class == "*" {
                wanted.classes.extend(Cls::ALL);
                continue;
            }
            let Some(cls) = Cls::ALL.iter().find(|cls| cls.name().to_lowercase() == class) else {
                // Classes that this model lacks have no objects here.
                if class.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !class.is_empty() {
                    continue;
                }
                return Err(Failure::new("EVENT_SUBSCRIPTION_PARSE_FAILURE", [text]));
            };
            match object {
                None => drop(wanted.classes.insert(*cls)),
                Some(object) => drop(wanted.objects.insert((*cls, Ref::new(object)))),
            }
        }
        wanted.classes.remove(&Cls::Session);
        wanted.classes.remove(&Cls::Event);
        Ok(wanted)
    }

    fn tables(&self) -> impl Iterator<Item = Cls> {
        let asked = |cls: &Cls| self.classes.contains(cls) || self.objects.iter().any(|(c, _)| c == cls);
        Cls::ALL.iter().copied().filter(move |cls| asked(cls))
    }

    fn has(&self, cls: Cls, reference: &Ref) -> bool {
        self.classes.contains(&cls) || self.objects.contains(&(cls, reference.clone()))
    }
}

struct Batch {
    events: Vec<Value>,
    counts: Map,
    token: Token,
}

impl Batch {
    fn into_value(self) -> Value {
        Value::Map(Map::from([
            ("events".into(), Value::Set(self.events)),
            ("valid_ref_counts".into(), Value::Map(self.counts)),
            ("token".into(), Value::from(self.token.text())),
        ]))
    }
}

/// What is new: messages first, then rows that appeared, that changed, that went.
fn look(state: &State, wanted: &Subscriptions, since: Token) -> Batch {
    let db = &state.db;
    let token = Token {
        generation: db.generation(),
        messages: db.message_generation(),
    };
    let (mut first, mut added, mut changed, mut gone) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for cls in wanted.tables() {
        let table = db.table(cls);
        let from = if cls == Cls::Message {
            since.messages
        } else {
            since.generation
        };
        for (reference, is_new) in news(table, from) {
            if !wanted.has(cls, reference) {
                continue;
            }
            let Some(row) = table.rows.get(reference) else { continue };
            let snapshot = Some(Value::Record(row.record.clone()));
            match (cls, is_new) {
                (Cls::Message, _) => first.push(event(cls, reference, "add", 0, snapshot)),
                (_, true) => added.push(event(cls, reference, "add", row.modified, snapshot)),
                (_, false) => changed.push(event(cls, reference, "mod", row.modified, snapshot)),
            }
        }
        for dead in table.deleted.iter().filter(|d| d.at > from && d.created <= from) {
            if wanted.has(cls, &dead.reference) {
                let id = if cls == Cls::Message { 0 } else { dead.at };
                gone.push(event(cls, &dead.reference, "del", id, None));
            }
        }
    }
    first.append(&mut added);
    first.append(&mut changed);
    first.append(&mut gone);
    Batch {
        events: first,
        counts: counts(state),
        token,
    }
}

/// Rows that changed after a generation, by reference, and whether they are new.
fn news(table: &Table, from: u64) -> Vec<(&Ref, bool)> {
    let range = table.by_change.range((Bound::Excluded(from), Bound::Unbounded));
    let mut found: Vec<(&Ref, bool)> = range
        .map(|(_, r)| (r, table.rows.get(r).is_some_and(|row| row.created > from)))
        .collect();
    found.sort_unstable();
    found
}

fn event(cls: Cls, reference: &Ref, operation: &str, id: u64, snapshot: Option<Value>) -> Value {
    let mut map = Map::from([
        ("id".into(), Value::from(id.to_string())),
        ("timestamp".into(), Value::str("0.0")),
        ("class".into(), Value::from(cls.name().to_lowercase())),
        ("operation".into(), Value::str(operation)),
        ("ref".into(), Value::from(reference)),
    ]);
    if let Some(snapshot) = snapshot {
        map.insert("snapshot".into(), snapshot);
    }
    Value::Map(map)
}

fn counts(state: &State) -> Map {
    let tables = Cls::ALL.iter().filter(|cls| !matches!(cls, Cls::Event | Cls::Message));
    let count = |cls: Cls| i32::try_from(state.db.table(cls).rows.len()).unwrap_or(i32::MAX);
    tables
        .map(|cls| (cls.name().to_lowercase().into(), Value::Int32(count(*cls))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_a_fixed_width() {
        let token = Token {
            generation: 12,
            messages: 3,
        };
        assert_eq!(token.text(), "00000000000000000012,00000000000000000003");
        assert_eq!(Token::parse(&token.text()), Ok(token));
        assert_eq!(
            Token::parse("x").unwrap_err().description(),
            ["EVENT_FROM_TOKEN_PARSE_FAILURE", "x"]
        );
    }

    #[test]
    fn subscriptions_know_classes_and_objects() {
        let wanted = Subscriptions::parse(&[Value::str("VM"), Value::str("task/OpaqueRef:1")]).unwrap();
        assert!(wanted.has(Cls::Vm, &Ref::new("any")));
        assert!(wanted.has(Cls::Task, &Ref::new("OpaqueRef:1")) && !wanted.has(Cls::Task, &Ref::new("OpaqueRef:2")));
        assert_eq!(
            Subscriptions::parse(&[Value::str("")]).unwrap_err().code,
            "EVENT_SUBSCRIPTION_PARSE_FAILURE"
        );
    }
}
