//! The pool's database: one table per class, in memory, with a generation counter that every write moves.
//!
//! Writing an equal value is no write. A write to a reference field keeps the set on the other side true, which is a
//! write to that object too. Deletions are remembered for a while, for `event.from`.

mod class;
pub(crate) mod filter;
mod record;
mod relation;
mod table;

use std::sync::Arc;

pub(crate) use class::{Cls, Ref};
pub(crate) use record::Record;
pub(crate) use table::Table;

use crate::failure::{Failure, Outcome};
use crate::value::{Map, Value};
use relation::forward;

/// All tables of a pool.
#[derive(Clone, Debug)]
pub(crate) struct Db {
    tables: Vec<Table>,
    generation: u64,
    message_generation: u64,
}

impl Db {
    pub(crate) fn new() -> Self {
        Self {
            tables: Cls::ALL.iter().map(|_| Table::default()).collect(),
            generation: 1000,
            message_generation: 1,
        }
    }

    /// The number of the latest write.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// The number of the latest message.
    pub(crate) fn message_generation(&self) -> u64 {
        self.message_generation
    }

    pub(crate) fn table(&self, cls: Cls) -> &Table {
        #[expect(clippy::indexing_slicing, reason = "one table per class")]
        &self.tables[cls as usize]
    }

    fn table_mut(&mut self, cls: Cls) -> &mut Table {
        #[expect(clippy::indexing_slicing, reason = "one table per class")]
        &mut self.tables[cls as usize]
    }

    pub(crate) fn exists(&self, cls: Cls, reference: &Ref) -> bool {
        self.table(cls).rows.contains_key(reference)
    }

    /// The object's record.
    pub(crate) fn record(&self, cls: Cls, reference: &Ref) -> Outcome<&Arc<Record>> {
        let row = self.table(cls).rows.get(reference);
        row.map(|row| &row.record)
            .ok_or_else(|| Failure::handle_invalid(cls, reference))
    }

    pub(crate) fn get(&self, cls: Cls, reference: &Ref, field: &str) -> Outcome<&Value> {
        Ok(self.record(cls, reference)?.get(field))
    }

    /// All objects of a class, in the order of their references.
    pub(crate) fn all(&self, cls: Cls) -> impl Iterator<Item = (&Ref, &Arc<Record>)> {
        self.table(cls)
            .rows
            .iter()
            .map(|(reference, row)| (reference, &row.record))
    }

    pub(crate) fn by_uuid(&self, cls: Cls, uuid: &str) -> Option<&Ref> {
        self.table(cls).by_uuid.get(uuid)
    }

    /// The pool object, of which there is one.
    pub(crate) fn pool(&self) -> Ref {
        self.table(Cls::Pool)
            .rows
            .keys()
            .next()
            .cloned()
            .unwrap_or_else(Ref::null)
    }

    /// Adds a row; fields not named take their defaults.
    pub(crate) fn create(&mut self, cls: Cls, reference: &Ref, fields: Vec<(&str, Value)>) {
        let record = Record::new(cls, fields);
        let generation = self.bump(cls);
        let links: Vec<_> = forward(cls)
            .iter()
            .map(|rel| (rel, record.get(rel.field).as_ref()))
            .collect();
        self.table_mut(cls).insert(reference, record, generation);
        for (rel, target) in links {
            self.link(rel.other, &target, rel.set, reference);
        }
    }

    /// Writes a field; an equal value is no write.
    pub(crate) fn set(&mut self, cls: Cls, reference: &Ref, field: &str, value: impl Into<Value>) -> Outcome<()> {
        let value = value.into();
        let old = self.get(cls, reference, field)?;
        if *old == value {
            return Ok(());
        }
        let links = forward(cls).iter().find(|rel| rel.field == field);
        let moved = links.map(|rel| (rel, old.as_ref(), value.as_ref()));
        let generation = self.bump(cls);
        self.table_mut(cls).write(reference, field, value, generation);
        if let Some((rel, old, new)) = moved {
            self.unlink(rel.other, &old, rel.set, reference);
            self.link(rel.other, &new, rel.set, reference);
        }
        Ok(())
    }

    /// Writes a field of an object that may be gone.
    pub(crate) fn set_if(&mut self, cls: Cls, reference: &Ref, field: &str, value: impl Into<Value>) {
        // A lost object is what this function is for.
        let _gone = self.set(cls, reference, field, value);
    }

    /// Changes a map field.
    pub(crate) fn edit_map(
        &mut self,
        cls: Cls,
        reference: &Ref,
        field: &str,
        edit: impl FnOnce(&mut Map),
    ) -> Outcome<()> {
        let mut map = self.get(cls, reference, field)?.as_map();
        edit(&mut map);
        self.set(cls, reference, field, map)
    }

    /// Moves a row's generation without changing it.
    pub(crate) fn touch(&mut self, cls: Cls, reference: &Ref) -> Outcome<()> {
        self.record(cls, reference)?;
        let generation = self.bump(cls);
        self.table_mut(cls).touch(reference, generation);
        Ok(())
    }

    /// Removes a row. References to it stay, as they do in the real database.
    pub(crate) fn delete(&mut self, cls: Cls, reference: &Ref) {
        let Ok(record) = self.record(cls, reference).cloned() else {
            return;
        };
        let generation = self.bump(cls);
        self.table_mut(cls).remove(reference, generation);
        for rel in forward(cls) {
            self.unlink(rel.other, &record.get(rel.field).as_ref(), rel.set, reference);
        }
    }

    /// Forgets a row at once and leaves no trace of the deletion, as a restart does with what is not persistent.
    pub(crate) fn forget_all(&mut self, cls: Cls) {
        *self.table_mut(cls) = Table::default();
    }

    fn bump(&mut self, cls: Cls) -> u64 {
        if cls == Cls::Message {
            self.message_generation += 1;
            self.message_generation
        } else {
            self.generation += 1;
            self.generation
        }
    }

    /// A member that has just come to name the target, and so is not in its set yet.
    fn link(&mut self, cls: Cls, target: &Ref, set: &str, member: &Ref) {
        if !self.exists(cls, target) {
            return;
        }
        let generation = self.bump(cls);
        let value = Value::from(member);
        self.table_mut(cls)
            .edit_set(target, set, generation, |items| items.push(value));
    }

    fn unlink(&mut self, cls: Cls, target: &Ref, set: &str, member: &Ref) {
        let Ok(current) = self.get(cls, target, set) else {
            return;
        };
        let value = Value::from(member);
        let Some(at) = current.as_set().iter().position(|item| *item == value) else {
            return;
        };
        let generation = self.bump(cls);
        self.table_mut(cls)
            .edit_set(target, set, generation, |items| drop(items.remove(at)));
    }
}
