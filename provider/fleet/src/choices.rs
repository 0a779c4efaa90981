//! What there is, for messages about what there is not: a bounded list, and the name that was perhaps meant.

use std::fmt;

/// How many names a message lists.
const SHOWN: usize = 12;

/// The names that a user could have given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choices {
    names: Vec<String>,
    meant: Option<String>,
}

impl Choices {
    /// Collects the names that there are, for one that was not found among them.
    pub fn new(wanted: &str, names: impl IntoIterator<Item = String>) -> Self {
        let mut names: Vec<String> = names.into_iter().collect();
        names.sort();
        names.dedup();
        let meant = nearest(wanted, &names);
        Self { names, meant }
    }

    /// The name that was perhaps meant.
    pub fn meant(&self) -> Option<&str> {
        self.meant.as_deref()
    }
}

impl fmt::Display for Choices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.names.is_empty() {
            return f.write_str("There is none");
        }
        if let Some(meant) = &self.meant {
            write!(f, "Did you mean {meant:?}? ")?;
        }
        f.write_str("There is: ")?;
        for (at, name) in self.names.iter().take(SHOWN).enumerate() {
            write!(f, "{}{name:?}", if at == 0 { "" } else { ", " })?;
        }
        match self.names.len().checked_sub(SHOWN) {
            Some(more) if more > 0 => write!(f, " and {more} more"),
            Some(_) | None => Ok(()),
        }
    }
}

fn nearest(wanted: &str, names: &[String]) -> Option<String> {
    let wanted = wanted.to_lowercase();
    let allowed = (wanted.chars().count() / 3).max(1);
    names
        .iter()
        .map(|name| (distance(&wanted, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, name)| name.clone())
}

/// Edits between two words: insertions, deletions, replacements.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for ((y, diagonal), above) in b.iter().zip(&row).zip(row.iter().skip(1)) {
            let left = next.last().copied().unwrap_or(i + 1);
            next.push((diagonal + usize::from(x != *y)).min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(wanted: &str, names: &[&str], expect: &str) {
        assert_eq!(
            Choices::new(wanted, names.iter().map(|name| (*name).to_owned())).to_string(),
            expect
        );
    }

    #[test]
    fn lists_what_there_is() {
        check("x", &[], "There is none");
        check("web", &["ssd", "hdd"], r#"There is: "hdd", "ssd""#);
        check(
            "centos",
            &["centos7", "debian12"],
            r#"Did you mean "centos7"? There is: "centos7", "debian12""#,
        );
        check("SSD", &["ssd", "ssd"], r#"Did you mean "ssd"? There is: "ssd""#);
    }

    #[test]
    fn a_long_list_is_cut() {
        let names: Vec<String> = (10..40).map(|n| format!("vm-{n}")).collect();
        let text = Choices::new("quite-another", names).to_string();
        assert!(text.ends_with(r#""vm-21" and 18 more"#), "{text}");
    }

    #[test]
    fn counts_edits() {
        for (a, b, expect) in [
            ("", "", 0),
            ("a", "", 1),
            ("", "ab", 2),
            ("kitten", "sitting", 3),
            ("flaw", "lawn", 2),
        ] {
            assert_eq!(distance(a, b), expect, "{a} {b}");
            assert_eq!(distance(b, a), expect, "{b} {a}");
        }
    }
}
