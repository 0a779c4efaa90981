//! What a reading has found so far, and how offsets in the text become lines and columns.

use std::path::Path;

use super::error::{ConfigError, ConfigErrors, Place};

/// The messages of one reading of one text.
pub(super) struct Report<'a> {
    file: String,
    text: &'a str,
    errors: Vec<Located>,
    warnings: Vec<String>,
}

/// An error, with where it stands in the text and in the tree.
struct Located {
    offset: usize,
    path: String,
    error: ConfigError,
}

impl<'a> Report<'a> {
    pub(super) fn new(file: &Path, text: &'a str) -> Self {
        Self {
            file: file.display().to_string(),
            text,
            errors: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// An error about the attribute at this offset.
    pub(super) fn fail(&mut self, offset: usize, path: &str, text: impl AsRef<str>) {
        let error = ConfigError {
            place: self.place(offset),
            text: about(path, text.as_ref()),
        };
        self.errors.push(Located {
            offset,
            path: path.to_owned(),
            error,
        });
    }

    /// A warning about the attribute at this offset.
    pub(super) fn warn(&mut self, offset: usize, path: &str, text: &str) {
        let warning = format!("{}: {}", self.place(offset), about(path, text));
        self.warnings.push(warning);
    }

    /// The warnings, or all errors in the order of the text.
    pub(super) fn close(mut self) -> Result<Vec<String>, ConfigErrors> {
        if self.errors.is_empty() {
            return Ok(self.warnings);
        }
        self.errors.sort_by_key(|located| located.offset);
        let errors = self.errors.into_iter().map(|located| located.error);
        Err(ConfigErrors::new(errors.collect()))
    }

    /// Says whether there is an error already about this attribute, or something in it.
    pub(super) fn knows(&self, path: &str) -> bool {
        let mut inner = self.errors.iter().filter_map(|located| located.path.strip_prefix(path));
        inner.any(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    }

    fn place(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.get(line_start..).unwrap_or_default();
        Place::File {
            file: self.file.clone(),
            line: Some(before.matches('\n').count() + 1),
            column: Some(line.chars().count() + 1),
        }
    }
}

fn about(path: &str, text: &str) -> String {
    if path.is_empty() {
        text.to_owned()
    } else {
        format!("{path}: {text}")
    }
}
