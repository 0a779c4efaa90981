//! Marks of a reaper and of persons on a VM: put on both sides and taken from both, whatever becomes of single answers.

use fleet::lease::Mark;
use futures::future::join;
use xenapi::{Error, Failure, Outcome, Pool, Ref, Vm};

/// How often a key is put whose answer was lost.
const TRIES: u32 = 3;

/// Puts a mark on both sides. One that is there already is there. Both calls have ended when this has.
///
/// # Errors
/// A side refused it, or it is unknown whether it took it.
pub async fn put(client: &Pool, vm: &Ref<Vm>, mark: &Mark) -> Result<(), Error> {
    let text = mark.to_string();
    let (tag, key) = join(client.vm().add_tags(vm, &text), put_key(client, vm, &text)).await;
    tag.and(key)
}

/// Takes a mark from both sides, and tries the second whatever becomes of the first.
///
/// # Errors
/// A side has it still, or may have.
pub async fn take(client: &Pool, vm: &Ref<Vm>, mark: &Mark) -> Result<(), Error> {
    let text = mark.to_string();
    let tag = client.vm().remove_tags(vm, &text);
    let (tag, key) = join(tag, client.vm().remove_from_other_config(vm, &text)).await;
    tag.and(key)
}

async fn put_key(client: &Pool, vm: &Ref<Vm>, key: &str) -> Result<(), Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        match client.vm().add_to_other_config(vm, key, "").await {
            Err(error) if error.is_failure(Failure::is_duplicate_key) => return Ok(()),
            Err(error) if error.outcome() == Outcome::Rejected || tries == TRIES => return Err(error),
            Err(_) => {}
            Ok(()) => return Ok(()),
        }
    }
}
