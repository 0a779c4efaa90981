//! Decoding without a pool.

use tokio::io::AsyncBufRead;

use crate::error::ErrorKind;
use crate::event::{self, Change};
use crate::record::{Class, decode};
use crate::reference::Ref;
use crate::transport::Collect as _;
use crate::wire::{Answer, Cut, Raw, ReadError, Wire, read_answer};

/// Decodes the body of an answer of `get_all_records` or `get_all_records_where`, and hands out its records one by one as they come:
/// what [`Objects::each_where`](crate::Objects::each_where) does behind its request. For benches, fuzzers, and answers that were kept.
///
/// # Errors
/// [`ErrorKind::Failure`] if the answer is one, [`ErrorKind::Malformed`] if it cannot be understood, [`ErrorKind::Broken`] if it cannot
/// be read. What was handed out by then is a part of the listing only.
pub async fn decode_listing<C: Class>(
    wire: Wire,
    body: impl AsyncBufRead + Unpin,
    mut each: impl FnMut(Ref<C>, C::Record) + Send,
) -> Result<(), ErrorKind> {
    let mut take = |object: &str, record: Raw<'_>| {
        each(Ref::new(object), decode::<C>(object, record)?);
        Ok(())
    };
    whole(read_answer(body, wire, Cut::Members, &mut take).await)
}

/// Decodes the body of an answer of `event.from` as a [`Watcher`](crate::Watcher) does: a record that cannot be read is left out of its
/// change.
///
/// # Errors
/// As those of [`decode_listing`].
pub async fn decode_events(wire: Wire, body: impl AsyncBufRead + Unpin) -> Result<Vec<Change>, ErrorKind> {
    let mut events = event::Gathered::of_watcher();
    let cut = events.cut();
    whole(read_answer(body, wire, cut, &mut |name, part| events.take(name, part)).await)?;
    Ok(events.into_changes())
}

/// What an answer says that has been read to its end.
fn whole(read: Result<Answer, ReadError>) -> Result<(), ErrorKind> {
    match read {
        Ok(Answer::Success) => Ok(()),
        Ok(Answer::Failure(failure)) => Err(ErrorKind::Failure(failure)),
        Err(ReadError::Wire(error)) => Err(ErrorKind::Malformed(error.to_string())),
        Err(ReadError::Io(_)) => Err(ErrorKind::Broken),
    }
}
