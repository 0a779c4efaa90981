//! Which servers a question is about.

use jiff::Timestamp;
use wildmatch::WildMatch;

use crate::row::{EndReason, ServerRow};

/// Which servers a question is about: those for which all that is set holds. The default is all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// The pool's name.
    pub pool: Option<String>,
    /// A glob (`*`, `?`) for the owner.
    pub owner: Option<String>,
    /// The OS alias.
    pub os: Option<String>,
    /// A glob (`*`, `?`) for the name.
    pub name: Option<String>,
    /// Why it ended.
    pub end_reason: Option<EndReason>,
    /// Only servers that were still there at this time or later.
    pub since: Option<Timestamp>,
    /// Only servers that were there before this time.
    pub until: Option<Timestamp>,
    /// Only servers of which no end is known.
    pub living: bool,
}

/// A filter whose globs are read.
#[derive(Debug, Clone)]
pub(crate) struct Matcher {
    filter: Filter,
    owner: Option<WildMatch>,
    name: Option<WildMatch>,
}

impl Matcher {
    pub(crate) fn new(filter: &Filter) -> Self {
        Self {
            filter: filter.clone(),
            owner: filter.owner.as_deref().map(WildMatch::new),
            name: filter.name.as_deref().map(WildMatch::new),
        }
    }

    pub(crate) fn matches(&self, row: &ServerRow) -> bool {
        let filter = &self.filter;
        is(&filter.pool, &row.pool)
            && is(&filter.os, &row.os)
            && is(&filter.end_reason, &row.end_reason)
            && like(&self.owner, &row.owner)
            && like(&self.name, &row.name)
            && (!filter.living || row.is_living())
            && self.was_there(row)
    }

    /// Whether the server's life touches the window. An end of it that is not known does not exclude it.
    fn was_there(&self, row: &ServerRow) -> bool {
        let ended_before = |since| row.deleted_at.is_some_and(|end| end < since);
        let began_after = |until| row.created_at.is_some_and(|birth| birth >= until);
        !self.filter.since.is_some_and(ended_before) && !self.filter.until.is_some_and(began_after)
    }
}

fn is<T: PartialEq>(wanted: &Option<T>, found: &Option<T>) -> bool {
    wanted.is_none() || wanted == found
}

fn like(wanted: &Option<WildMatch>, found: &Option<String>) -> bool {
    match (wanted, found) {
        (None, _) => true,
        (Some(glob), Some(text)) => glob.matches(text),
        (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::vm;

    fn at(second: i64) -> Option<Timestamp> {
        Some(Timestamp::from_second(second).unwrap())
    }

    #[test]
    fn everything_that_is_set_must_hold() {
        let row = ServerRow {
            name: Some("web-1".to_owned()),
            owner: Some("ci/nightly".to_owned()),
            pool: Some("lab1".to_owned()),
            os: Some("centos7".to_owned()),
            created_at: at(100),
            deleted_at: at(200),
            end_reason: Some(EndReason::Expired),
            ..ServerRow::new(vm(1))
        };
        let check = |expect: bool, filter: Filter| {
            assert_eq!(Matcher::new(&filter).matches(&row), expect, "{filter:?}");
        };
        let text = |text: &str| Some(text.to_owned());
        let all = Filter::default;
        check(true, all());
        check(
            true,
            Filter {
                pool: text("lab1"),
                os: text("centos7"),
                ..all()
            },
        );
        check(
            false,
            Filter {
                pool: text("lab"),
                ..all()
            },
        );
        check(
            false,
            Filter {
                os: text("windows"),
                pool: text("lab1"),
                ..all()
            },
        );
        check(
            true,
            Filter {
                owner: text("ci/*"),
                name: text("web-?"),
                ..all()
            },
        );
        check(
            false,
            Filter {
                owner: text("ci"),
                ..all()
            },
        );
        check(
            true,
            Filter {
                end_reason: Some(EndReason::Expired),
                ..all()
            },
        );
        check(
            false,
            Filter {
                end_reason: Some(EndReason::Failed),
                ..all()
            },
        );
        check(false, Filter { living: true, ..all() });
        check(
            true,
            Filter {
                since: at(200),
                until: at(101),
                ..all()
            },
        );
        check(
            false,
            Filter {
                since: at(201),
                ..all()
            },
        );
        check(
            false,
            Filter {
                until: at(100),
                ..all()
            },
        );
    }

    #[test]
    fn what_is_not_known_matches_no_word_and_every_time() {
        let row = ServerRow::new(vm(1));
        let any = Filter {
            owner: Some("*".to_owned()),
            ..Filter::default()
        };
        assert!(!Matcher::new(&any).matches(&row));
        let window = Filter {
            since: at(100),
            until: at(100),
            living: true,
            ..Filter::default()
        };
        assert!(Matcher::new(&window).matches(&row));
    }
}
