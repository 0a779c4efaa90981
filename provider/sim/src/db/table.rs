//! One class's rows, with what `event.from` needs to know about their past.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use super::{Record, Ref};
use crate::value::Value;

/// Deletions remembered at most; when there are more, half of them is forgotten.
const DELETED_MOST: usize = 512;

/// A row and the generations at which it appeared and last changed.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) record: Arc<Record>,
    pub(crate) created: u64,
    pub(crate) modified: u64,
}

/// A deletion: when the row appeared and when it went.
#[derive(Clone, Debug)]
pub(crate) struct Deleted {
    pub(crate) reference: Ref,
    pub(crate) created: u64,
    pub(crate) at: u64,
}

/// The rows of a class.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) rows: BTreeMap<Ref, Row>,
    pub(crate) by_uuid: HashMap<Arc<str>, Ref>,
    /// Rows by the generation of their latest change, so that a look at what is new costs only what is new.
    pub(crate) by_change: BTreeMap<u64, Ref>,
    pub(crate) deleted: VecDeque<Deleted>,
}

impl Table {
    pub(super) fn insert(&mut self, reference: &Ref, record: Record, generation: u64) {
        let uuid = uuid_of(&record);
        self.by_uuid.insert(uuid, reference.clone());
        self.by_change.insert(generation, reference.clone());
        let row = Row {
            record: Arc::new(record),
            created: generation,
            modified: generation,
        };
        self.rows.insert(reference.clone(), row);
    }

    pub(super) fn write(&mut self, reference: &Ref, field: &str, value: Value, generation: u64) {
        let Some(row) = self.rows.get_mut(reference) else {
            return;
        };
        if field == "uuid" {
            self.by_uuid.remove(row.record.str("uuid"));
            self.by_uuid.insert(Arc::from(value.as_str()), reference.clone());
        }
        Arc::make_mut(&mut row.record).set(field, value);
        self.touch(reference, generation);
    }

    pub(super) fn edit_set(
        &mut self,
        reference: &Ref,
        field: &str,
        generation: u64,
        edit: impl FnOnce(&mut Vec<Value>),
    ) {
        let Some(row) = self.rows.get_mut(reference) else {
            return;
        };
        Arc::make_mut(&mut row.record).edit_set(field, edit);
        self.touch(reference, generation);
    }

    pub(super) fn touch(&mut self, reference: &Ref, generation: u64) {
        let Some(row) = self.rows.get_mut(reference) else {
            return;
        };
        self.by_change.remove(&row.modified);
        row.modified = generation;
        self.by_change.insert(generation, reference.clone());
    }

    pub(super) fn remove(&mut self, reference: &Ref, generation: u64) {
        let Some(row) = self.rows.remove(reference) else { return };
        self.by_uuid.remove(row.record.str("uuid"));
        self.by_change.remove(&row.modified);
        self.deleted.push_back(Deleted {
            reference: reference.clone(),
            created: row.created,
            at: generation,
        });
        if self.deleted.len() > DELETED_MOST {
            self.deleted.drain(..DELETED_MOST / 2);
        }
    }
}

fn uuid_of(record: &Record) -> Arc<str> {
    if let Value::Str(text) = record.get("uuid") {
        text.clone()
    } else {
        Arc::from("")
    }
}
