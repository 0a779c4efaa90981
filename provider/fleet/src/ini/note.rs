//! What there is to say about a file: where, and what. Never a password.

use std::fmt;

use super::lines::{Entry, Section};

/// One message about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IniNote {
    /// The file's name, as it was given.
    pub file: String,
    /// The line, from 1; none for the file as a whole.
    pub line: Option<usize>,
    /// The section, without brackets.
    pub section: Option<String>,
    /// The key.
    pub key: Option<String>,
    /// What there is to say.
    pub text: String,
}

/// The messages of one reading.
pub(super) struct Notes {
    file: String,
    errors: Vec<IniNote>,
    warnings: Vec<IniNote>,
}

impl Notes {
    pub(super) fn new(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            errors: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// An error about a section or one of its keys.
    pub(super) fn fail(&mut self, section: &Section, entry: Option<&Entry>, text: impl Into<String>) {
        let note = self.note(section, entry, text.into());
        self.errors.push(note);
    }

    /// An error about a key that is not there.
    pub(super) fn fail_missing(&mut self, section: &Section, key: &str, text: impl Into<String>) {
        let note = self.note(section, None, text.into());
        self.errors.push(IniNote {
            key: Some(key.to_owned()),
            ..note
        });
    }

    /// An error about a line that belongs to no section, or has no form.
    pub(super) fn fail_line(&mut self, line: usize, section: Option<&str>, text: &str) {
        self.errors.push(IniNote {
            file: self.file.clone(),
            line: Some(line),
            section: section.map(str::to_owned),
            key: None,
            text: text.to_owned(),
        });
    }

    /// An error about the file.
    pub(super) fn fail_whole(&mut self, text: String) {
        self.errors.push(IniNote {
            file: self.file.clone(),
            line: None,
            section: None,
            key: None,
            text,
        });
    }

    /// A warning about a section or one of its keys.
    pub(super) fn warn(&mut self, section: &Section, entry: Option<&Entry>, text: impl Into<String>) {
        let note = self.note(section, entry, text.into());
        self.warnings.push(note);
    }

    /// Errors and warnings, each in the order of the file.
    pub(super) fn sorted(mut self) -> (Vec<IniNote>, Vec<IniNote>) {
        self.errors.sort_by_key(|note| note.line);
        self.warnings.sort_by_key(|note| note.line);
        (self.errors, self.warnings)
    }

    fn note(&self, section: &Section, entry: Option<&Entry>, text: String) -> IniNote {
        IniNote {
            file: self.file.clone(),
            line: Some(entry.map_or(section.line, |entry| entry.line)),
            section: Some(section.name.clone()),
            key: entry.map(|entry| entry.key.clone()),
            text,
        }
    }
}

impl IniNote {
    /// The message without file and line: `[xenhost1] host.name: ...`.
    pub fn about(&self) -> String {
        match (&self.section, &self.key) {
            (Some(section), Some(key)) => format!("[{section}] {key}: {}", self.text),
            (Some(section), None) => format!("[{section}]: {}", self.text),
            (None, _) => self.text.clone(),
        }
    }
}

impl fmt::Display for IniNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.about())
    }
}
