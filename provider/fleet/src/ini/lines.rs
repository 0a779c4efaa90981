//! From a text to sections of keys and values: the dialect of Python's `RawConfigParser`, which wrote the rules of these files.
//!
//! A value is everything behind the first `=` or `:`, without the spaces around it: quotes, `%`, `\`, and `#` or `;` behind
//! other text belong to it. A section or key that is there twice is an error, as it was there.
//!
//! The parser is given one line at a time: so every message knows its line, one bad line hides no other, and nothing that is
//! there twice is lost.

use configparser::ini::{Ini, IniDefault};

use super::note::Notes;

/// The section of a line that names none; no text of one line can be called so.
const NONE: &str = "\n";

/// A section of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) entries: Vec<Entry>,
}

/// A key with its value.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) line: usize,
    pub(super) key: String,
    pub(super) value: String,
}

/// What a line is.
enum Line {
    Nothing,
    Header(String),
    Entry(String, String),
    Malformed,
}

/// Reads all sections; what is malformed goes to the notes.
pub(super) fn sections(text: &str, notes: &mut Notes) -> Vec<Section> {
    let mut parser = parser();
    let mut sections: Vec<Section> = Vec::new();
    for (number, text) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        match line(&mut parser, text) {
            Line::Nothing => {}
            Line::Header(name) => {
                if let Some(earlier) = sections.iter().find(|section| section.name == name) {
                    let text = format!("there is a section of this name in line {} already", earlier.line);
                    notes.fail_line(number, Some(&name), &text);
                }
                sections.push(Section {
                    line: number,
                    name,
                    entries: Vec::new(),
                });
            }
            Line::Entry(key, value) => match sections.last_mut() {
                Some(section) => {
                    let entry = Entry {
                        line: number,
                        key,
                        value,
                    };
                    if let Some(earlier) = section.entries.iter().find(|earlier| earlier.key == entry.key) {
                        let text = format!("the key is there in line {} already", earlier.line);
                        notes.fail(section, Some(&entry), text);
                    }
                    section.entries.push(entry);
                }
                None => notes.fail_line(number, None, "a key before the first section"),
            },
            Line::Malformed => {
                let section = sections.last().map(|section| section.name.as_str());
                notes.fail_line(number, section, "neither `[section]` nor `key = value`");
            }
        }
    }
    sections
}

fn parser() -> Ini {
    let mut rules = IniDefault::default();
    rules.default_section = NONE.to_owned();
    rules.case_sensitive = true;
    rules.enable_inline_comments = false;
    Ini::new_from_defaults(rules)
}

fn line(parser: &mut Ini, text: &str) -> Line {
    let Ok(sections) = parser.read(text.to_owned()) else {
        return Line::Malformed;
    };
    let Some((section, keys)) = sections.into_iter().next() else {
        return Line::Nothing;
    };
    match keys.into_iter().next() {
        Some((key, Some(value))) => Line::Entry(key, value),
        Some((_, None)) => Line::Malformed,
        None if section == NONE => Line::Nothing,
        None => Line::Header(section),
    }
}

/// Without the value, which may be a password.
impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} = ***", self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &[(&str, &[(&str, &str)])]) {
        let mut notes = Notes::new("lab.ini");
        let sections = sections(text, &mut notes);
        let (errors, _) = notes.sorted();
        assert!(errors.is_empty(), "{errors:?}");
        let found: Vec<(&str, Vec<(&str, &str)>)> = sections
            .iter()
            .map(|section| {
                let entries = section.entries.iter();
                let pairs = entries.map(|entry| (entry.key.as_str(), entry.value.as_str()));
                (section.name.as_str(), pairs.collect())
            })
            .collect();
        let expect: Vec<(&str, Vec<(&str, &str)>)> =
            expect.iter().map(|(name, pairs)| (*name, pairs.to_vec())).collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn sections_and_keys_keep_order_and_case() {
        check(
            "\u{feff}# a comment\r\n\r\n[b]\r\nTwo: 2\r\n  one=1  \r\n; a comment = no key\r\n  # another\r\n[ a ]\r\nempty =\r\n",
            &[("b", &[("Two", "2"), ("one", "1")]), ("a", &[("empty", "")])],
        );
    }

    #[test]
    fn values_are_taken_to_the_letter() {
        for password in [
            "a#b;c",
            "a # b ; c",
            "#leading",
            ";leading",
            "100%sure",
            "%(host.user)s",
            "${HOME}",
            "a=b:c",
            "==",
            "\"quoted\"",
            "'quoted'",
            "\"half",
            "back\\slash\\n",
            "ends in \\",
            "[brackets]",
            "пароль パス",
            "two  spaces",
        ] {
            check(
                &format!("[x]\np = {password}\nq: {password}\n"),
                &[("x", &[("p", password), ("q", password)])],
            );
        }
    }

    #[test]
    fn what_is_malformed_is_told_by_line() {
        let mut notes = Notes::new("lab.ini");
        sections("a = 1\n[open\n[x]\nb = 1\nno delimiter\nb = 2\n= 3\n[x]\n", &mut notes);
        let (errors, _) = notes.sorted();
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "lab.ini:1: a key before the first section",
                "lab.ini:2: neither `[section]` nor `key = value`",
                "lab.ini:5: [x]: neither `[section]` nor `key = value`",
                "lab.ini:6: [x] b: the key is there in line 4 already",
                "lab.ini:7: [x]: neither `[section]` nor `key = value`",
                "lab.ini:8: [x]: there is a section of this name in line 3 already",
            ]
        );
    }
}
