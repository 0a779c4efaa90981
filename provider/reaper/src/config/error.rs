//! What is wrong with a configuration, and where.

use std::fmt;
use std::path::Path;

use fleet::ini::{IniErrors, IniNote};

/// All that is wrong with a configuration; at least one error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct ConfigErrors(Vec<ConfigError>);

/// One error: `reaper.hcl:12:5: pools.lab1.url: ...`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {text}")]
pub struct ConfigError {
    /// Where.
    pub place: Place,
    /// What; with the attribute or key in front, if there is one.
    pub text: String,
}

/// Where an error is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the environment.
    Environment,
    /// In a file.
    File {
        /// Its name, as it was given.
        file: String,
        /// The line, from 1; none for the file as a whole.
        line: Option<usize>,
        /// The column, from 1, in characters; none for the line as a whole.
        column: Option<usize>,
    },
}

impl ConfigErrors {
    /// These errors.
    pub(super) fn new(errors: Vec<ConfigError>) -> Self {
        Self(errors)
    }

    /// The errors, in the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, ConfigError> {
        self.0.iter()
    }
}

impl ConfigError {
    /// An error about a file as a whole.
    pub(super) fn whole(file: &Path, text: String) -> Self {
        Self {
            place: Place::File {
                file: file.display().to_string(),
                line: None,
                column: None,
            },
            text,
        }
    }

    /// An error about the environment.
    pub(super) fn of_environment(text: String) -> Self {
        Self {
            place: Place::Environment,
            text,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Environment => f.write_str("environment"),
            Place::File { file, line, column } => {
                f.write_str(file)?;
                for number in [line, column].into_iter().flatten() {
                    write!(f, ":{number}")?;
                }
                Ok(())
            }
        }
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

impl From<IniErrors> for ConfigErrors {
    fn from(errors: IniErrors) -> Self {
        Self(errors.errors.into_iter().map(ConfigError::from).collect())
    }
}

impl From<IniNote> for ConfigError {
    fn from(note: IniNote) -> Self {
        let text = note.about();
        Self {
            place: Place::File {
                file: note.file,
                line: note.line,
                column: None,
            },
            text,
        }
    }
}

fn lines(errors: &[ConfigError]) -> String {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
