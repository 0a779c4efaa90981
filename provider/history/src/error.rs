//! What can go wrong with a sink or a spool.

use std::path::PathBuf;
use std::time::Duration;

/// What can go wrong with a sink or a spool. Texts never hold a password and never repeat their source.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or a folder cannot be used.
    #[error("{doing} {}", path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Another process holds the file, and kept it for too long.
    #[error("{} is in use by another process", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// SQLite reports an error.
    #[error("{doing} the SQLite database {}", path.display())]
    Sqlite {
        /// What was being done.
        doing: &'static str,
        /// The database.
        path: PathBuf,
        /// Why it failed.
        source: rusqlite::Error,
    },
    /// The PostgreSQL server, or the way to it, reports an error.
    #[error("{doing} {sink}")]
    Postgres {
        /// What was being done.
        doing: &'static str,
        /// The sink, without password.
        sink: String,
        /// Why it failed.
        source: tokio_postgres::Error,
    },
    /// The certificates that `sslrootcert` names cannot be used.
    #[error("the certificate authorities for {sink} cannot be used: {reason}")]
    Authorities {
        /// The sink, without password.
        sink: String,
        /// What is wrong with them.
        reason: String,
    },
    /// A newer version of dynvm has been at the database.
    #[error("{sink} has the schema version {found}, and this version of dynvm knows only {known}: use a newer one")]
    Newer {
        /// The sink, without password.
        sink: String,
        /// The version of the database's schema.
        found: u32,
        /// The latest version that is known here.
        known: u32,
    },
    /// A column holds what dynvm never writes.
    #[error("{sink} holds a row that cannot be read: {reason}")]
    Unreadable {
        /// The sink, without password.
        sink: String,
        /// What is wrong with the row.
        reason: String,
    },
    /// It took longer than it may.
    #[error("{sink} did not take it within {limit:?}")]
    Late {
        /// The sink, without password.
        sink: String,
        /// How long it may take.
        limit: Duration,
    },
    /// Another process uses the spool.
    #[error("the spool {} is in use by another process", folder.display())]
    SpoolInUse {
        /// The spool's folder.
        folder: PathBuf,
    },
    /// An entry cannot be written as JSON.
    #[error("an entry cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    /// A worker thread ended early: the program is shutting down, or there is a fault in dynvm.
    #[error("the worker of the history ended early")]
    Worker(#[from] tokio::task::JoinError),
}

impl Error {
    /// Says whether only another process was in the way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        match self {
            Self::Busy { .. } | Self::SpoolInUse { .. } => true,
            Self::Sqlite { source, .. } => matches!(
                source.sqlite_error_code(),
                Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked)
            ),
            Self::File { .. }
            | Self::Postgres { .. }
            | Self::Authorities { .. }
            | Self::Newer { .. }
            | Self::Unreadable { .. }
            | Self::Late { .. }
            | Self::Json(_)
            | Self::Worker(_) => false,
        }
    }

    /// The error and all its causes on one line, as a log or a warning shows it.
    #[must_use]
    pub fn full(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}
