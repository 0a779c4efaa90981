//! Calls, by class. Reads are the same for every class; writes stand in the file of theirs.

mod host;
mod network;
mod pool;
mod session;
mod storage;
mod task;
mod vm;

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

pub use self::network::NewVif;
pub use self::session::Rights;
pub use self::storage::{NewVbd, NewVdi};
pub use self::vm::{MemoryLimits, Template};

use crate::error::{Error, ErrorKind, Outcome};
use crate::pool::Pool;
use crate::query::Filter;
use crate::record::{Class, TextMap, decode};
use crate::reference::Ref;
use crate::transport::{Call, Collect, Repeat};
use crate::uuid::Uuid;
use crate::wire::{Cut, FromWire, Raw, Value, WireError, check_key};

/// The calls on the objects of one class.
pub struct Objects<'a, C> {
    pool: &'a Pool,
    class: PhantomData<fn() -> C>,
}

impl<C> Clone for Objects<'_, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Objects<'_, C> {}

impl<C> fmt::Debug for Objects<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Objects({})", self.pool.name())
    }
}

/// How many references one request names: a reference takes about 70 bytes of filter, and a body holds 300 KiB.
const BATCH: usize = 1500;

impl<'a, C> Objects<'a, C> {
    pub(crate) fn new(pool: &'a Pool) -> Self {
        Self {
            pool,
            class: PhantomData,
        }
    }

    /// Makes a write that may happen twice without harm.
    async fn set(self, method: &'static str, object: &Ref<C>, params: Vec<Value>) -> Result<(), Error> {
        self.act(method, object, params, self.pool.quick(), Repeat::Idempotent)
            .await
    }

    /// Makes a call on an object.
    async fn act<T: FromWire + Send>(
        self,
        method: &'static str,
        object: &Ref<C>,
        params: Vec<Value>,
        limit: Duration,
        repeat: Repeat,
    ) -> Result<T, Error> {
        let mut all = vec![Value::text(object.as_str())];
        all.extend(params);
        self.pool.value(method, Some(object.as_str()), all, limit, repeat).await
    }

    /// Makes a quick read of one value of an object.
    async fn get<T: FromWire + Send>(
        self,
        method: &'static str,
        object: &Ref<C>,
        params: Vec<Value>,
    ) -> Result<T, Error> {
        self.act(method, object, params, self.pool.quick(), Repeat::Idempotent)
            .await
    }

    /// Takes a reference that must not be null, such as that of a new object.
    fn made<D>(self, method: &'static str, object: &str, made: Ref<D>) -> Result<Ref<D>, Error> {
        if made.is_null() {
            return Err(self.pool.malformed(method, Some(object), "it names no object"));
        }
        Ok(made)
    }
}

impl<C: Class> Objects<'_, C> {
    /// Reads one object (`get_record`).
    ///
    /// # Errors
    /// `is_gone` if the object does not exist.
    pub async fn record(self, object: &Ref<C>) -> Result<C::Record, Error> {
        let call = Call {
            method: C::GET_RECORD,
            params: vec![Value::text(object.as_str())],
            limit: self.pool.quick(),
            repeat: Repeat::Idempotent,
            object: Some(object.as_str().to_owned()),
        };
        let mut single = Single::<C> { object, record: None };
        self.pool.caller().call_on(call, &mut single).await?;
        let none = || {
            self.pool
                .malformed(C::GET_RECORD, Some(object.as_str()), "it holds no record")
        };
        single.record.ok_or_else(none)
    }

    /// Finds an object by its UUID (`get_by_uuid`).
    ///
    /// # Errors
    /// `is_gone` if there is none.
    pub async fn by_uuid(self, uuid: Uuid) -> Result<Ref<C>, Error> {
        let text = uuid.to_string();
        let value = self
            .pool
            .value(
                C::GET_BY_UUID,
                Some(&text),
                vec![Value::text(text.as_str())],
                self.pool.quick(),
                Repeat::Idempotent,
            )
            .await?;
        self.made(C::GET_BY_UUID, &text, value)
    }

    /// Reads one object by its UUID in one request; `None` if there is none.
    ///
    /// # Errors
    /// The call failed.
    pub async fn record_by_uuid(self, uuid: Uuid) -> Result<Option<(Ref<C>, C::Record)>, Error> {
        Ok(self.records_where(&Filter::uuid(uuid)).await?.into_iter().next())
    }

    /// Reads the objects that match (`get_all_records_where`), in the pool's order. Meant for what fits in one time limit of a
    /// quick call.
    ///
    /// # Errors
    /// The call failed, or a record cannot be decoded: never a part of the list.
    pub async fn records_where(self, filter: &Filter) -> Result<Vec<(Ref<C>, C::Record)>, Error> {
        let mut list = List::<C>(Vec::new());
        self.listing(filter, self.pool.quick(), &mut list).await?;
        Ok(list.0)
    }

    /// Reads all objects of the class, with only the fields that the record has.
    ///
    /// # Errors
    /// As for [`Objects::records_where`].
    pub async fn all_records(self) -> Result<Vec<(Ref<C>, C::Record)>, Error> {
        self.records_where(&Filter::all()).await
    }

    /// Hands out the objects that match one by one while the answer comes in. Is not repeated once the first one was handed out.
    ///
    /// # Errors
    /// The call failed or a record cannot be decoded; what was handed out by then is a part of the list only.
    pub async fn each_where(
        self,
        filter: &Filter,
        limit: Duration,
        each: impl FnMut(Ref<C>, C::Record) + Send,
    ) -> Result<(), Error> {
        let mut stream = Stream::<C, _> {
            each,
            has_begun: false,
            class: PhantomData,
        };
        self.listing(filter, limit, &mut stream).await
    }

    /// Reads these objects, many in one request. Null references and objects that do not exist are left out, the order is
    /// the pool's.
    ///
    /// # Errors
    /// As for [`Objects::records_where`].
    pub async fn records_by_ref(self, objects: &[Ref<C>]) -> Result<Vec<(Ref<C>, C::Record)>, Error> {
        let wanted: Vec<&Ref<C>> = objects
            .iter()
            .filter(|object| !object.is_null())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let mut all = Vec::with_capacity(wanted.len());
        for batch in wanted.chunks(BATCH) {
            let filter = Filter::refers_any("_ref", batch.iter().copied());
            all.extend(self.records_where(&filter).await?);
        }
        Ok(all)
    }

    /// Finds the objects that match (`get_all_where`).
    ///
    /// # Errors
    /// The call failed.
    pub async fn refs_where(self, filter: &Filter) -> Result<Vec<Ref<C>>, Error> {
        let params = vec![Value::text(filter.to_string())];
        self.pool
            .value(C::GET_ALL_WHERE, None, params, self.pool.quick(), Repeat::Idempotent)
            .await
    }

    /// Finds objects by name, whatever characters it has (`get_by_name_label`). Classes without names answer `is_unsupported`.
    ///
    /// # Errors
    /// The call failed.
    pub async fn by_name_label(self, name: &str) -> Result<Vec<Ref<C>>, Error> {
        let params = vec![Value::text(name)];
        self.pool
            .value(
                C::GET_BY_NAME_LABEL,
                None,
                params,
                self.pool.quick(),
                Repeat::Idempotent,
            )
            .await
    }

    async fn listing(self, filter: &Filter, limit: Duration, collect: &mut dyn Collect) -> Result<(), Error> {
        let call = Call {
            method: C::GET_ALL_RECORDS_WHERE,
            params: vec![Value::text(filter.to_string())],
            limit,
            repeat: Repeat::Idempotent,
            object: None,
        };
        self.pool.caller().call_on(call, collect).await.map(drop)
    }
}

/// The calls that every class with `other_config` and `tags` has; the method names stand with the class.
impl<C> Objects<'_, C> {
    async fn add_pair(self, method: &'static str, object: &Ref<C>, key: &str, value: &str) -> Result<(), Error> {
        check_key(key).map_err(|error| {
            let kind = ErrorKind::Unsendable(error.to_string());
            Error::new(kind, Outcome::NotSent, self.pool.name(), method).with_object(Some(object.as_str().to_owned()))
        })?;
        // A second time would fail with a duplicate key although the first one was ours: not to be repeated blindly.
        let params = vec![Value::text(key), Value::text(value)];
        self.act(method, object, params, self.pool.quick(), Repeat::Once).await
    }

    async fn set_map(self, method: &'static str, object: &Ref<C>, map: &TextMap) -> Result<(), Error> {
        self.set(method, object, vec![Value::map(map)]).await
    }
}

/// Takes the record of one object.
struct Single<'a, C: Class> {
    object: &'a Ref<C>,
    record: Option<C::Record>,
}

impl<C: Class> Collect for Single<'_, C> {
    fn cut(&self) -> Cut {
        Cut::Whole
    }

    fn restart(&mut self) -> bool {
        self.record = None;
        true
    }

    fn take(&mut self, _name: &str, part: Raw<'_>) -> Result<(), WireError> {
        self.record = Some(decode::<C>(self.object.as_str(), part)?);
        Ok(())
    }
}

/// Takes the records of a listing.
struct List<C: Class>(Vec<(Ref<C>, C::Record)>);

impl<C: Class> Collect for List<C> {
    fn cut(&self) -> Cut {
        Cut::Members
    }

    fn restart(&mut self) -> bool {
        self.0.clear();
        true
    }

    fn take(&mut self, object: &str, part: Raw<'_>) -> Result<(), WireError> {
        self.0.push((Ref::new(object), decode::<C>(object, part)?));
        Ok(())
    }
}

/// Hands on the records of a listing.
struct Stream<C, F> {
    each: F,
    has_begun: bool,
    class: PhantomData<fn() -> C>,
}

impl<C: Class, F: FnMut(Ref<C>, C::Record) + Send> Collect for Stream<C, F> {
    fn cut(&self) -> Cut {
        Cut::Members
    }

    fn restart(&mut self) -> bool {
        !self.has_begun
    }

    fn take(&mut self, object: &str, part: Raw<'_>) -> Result<(), WireError> {
        let record = decode::<C>(object, part)?;
        self.has_begun = true;
        (self.each)(Ref::new(object), record);
        Ok(())
    }
}
