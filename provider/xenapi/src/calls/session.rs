//! What the user of the session may do.

use std::collections::BTreeSet;

use crate::error::Error;
use crate::pool::Pool;
use crate::session::Session;
use crate::transport::{Call, One, Repeat};
use crate::wire::{FromWire, Value};

const IS_SUPERUSER: &str = "session.get_is_local_superuser";
const PERMISSIONS: &str = "session.get_rbac_permissions";

/// What a user may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Everything: nothing is checked for the local superuser.
    Superuser,
    /// What its roles permit.
    Permissions(BTreeSet<String>),
}

impl Rights {
    /// Tells whether a method such as `VM.hard_shutdown` may be called. Of permissions that hold for single keys of a map only
    /// the one for all counts.
    pub fn allow(&self, method: &str) -> bool {
        match self {
            Self::Superuser => true,
            Self::Permissions(names) => names.contains(&method.to_ascii_lowercase()),
        }
    }
}

impl Pool {
    /// Reads what the user may do.
    ///
    /// # Errors
    /// The calls failed.
    pub async fn rights(&self) -> Result<Rights, Error> {
        let session = self.caller().sessions().get().await?;
        if self.about::<bool>(&session, IS_SUPERUSER).await? {
            return Ok(Rights::Superuser);
        }
        let names: BTreeSet<String> = self.about(&session, PERMISSIONS).await?;
        let names = names.into_iter().map(|name| name.to_ascii_lowercase());
        Ok(Rights::Permissions(names.collect()))
    }

    /// Reads a field of the session. Its reference is a secret: the call is made on that very session, whose reference no error
    /// shows, and names no object.
    async fn about<T: FromWire + Send>(&self, session: &Session, method: &'static str) -> Result<T, Error> {
        let call = Call {
            method,
            params: vec![Value::text(session.id.expose())],
            limit: self.quick(),
            repeat: Repeat::Idempotent,
            object: None,
        };
        let mut one = One::default();
        self.caller().once(session, &call, &mut one).await?;
        one.0.ok_or_else(|| self.malformed(method, None, "it holds no value"))
    }
}
