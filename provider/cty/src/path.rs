//! [`Path`]: where in a value something stands.

use std::fmt;

/// One step of a [`Path`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// An attribute of an object.
    Attribute(String),
    /// An element of a list or tuple, counted from 0.
    Index(i64),
    /// An element of a map.
    Key(String),
}

/// Where in a value something stands; prints as in HCL: `pools["lab1"].url`, `disks[0].size`.
///
/// The elements of a set have no address: a path ends at the set.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    steps: Vec<Step>,
}

impl Path {
    /// The value itself.
    #[must_use]
    pub const fn root() -> Path {
        Path { steps: Vec::new() }
    }

    /// The path one attribute further.
    #[must_use]
    pub fn attribute(&self, name: impl Into<String>) -> Path {
        self.step(Step::Attribute(name.into()))
    }

    /// The path one list element further.
    #[must_use]
    pub fn index(&self, index: usize) -> Path {
        self.step(Step::Index(i64::try_from(index).unwrap_or(i64::MAX)))
    }

    /// The path one map element further.
    #[must_use]
    pub fn key(&self, key: impl Into<String>) -> Path {
        self.step(Step::Key(key.into()))
    }

    /// The path with one more step.
    #[must_use]
    pub fn step(&self, step: Step) -> Path {
        let mut steps = self.steps.clone();
        steps.push(step);
        Path { steps }
    }

    /// The steps from the root on.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Says whether this is the value itself.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.steps.is_empty()
    }

    /// Says whether `other` is this path or lies below it.
    #[must_use]
    pub fn contains(&self, other: &Path) -> bool {
        other.steps.starts_with(&self.steps)
    }
}

impl From<&str> for Path {
    /// The attribute of that name.
    fn from(name: &str) -> Path {
        Path::root().attribute(name)
    }
}

impl From<&Path> for Path {
    fn from(path: &Path) -> Path {
        path.clone()
    }
}

impl FromIterator<Step> for Path {
    fn from_iter<I: IntoIterator<Item = Step>>(steps: I) -> Path {
        Path {
            steps: steps.into_iter().collect(),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.steps.iter().enumerate() {
            match step {
                Step::Attribute(name) if position == 0 => f.write_str(name)?,
                Step::Attribute(name) => write!(f, ".{name}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => write!(f, "[{key:?}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_print_as_in_hcl() {
        let cases = [
            (Path::root(), ""),
            (Path::from("name"), "name"),
            (Path::from("timeouts").attribute("create"), "timeouts.create"),
            (Path::from("pools").key("lab1").attribute("url"), r#"pools["lab1"].url"#),
            (Path::from("disks").index(2).attribute("size"), "disks[2].size"),
        ];
        for (path, text) in cases {
            assert_eq!(path.to_string(), text);
        }
    }

    #[test]
    fn a_path_contains_itself_and_what_is_below() {
        let pools = Path::from("pools");
        assert!(pools.contains(&pools));
        assert!(pools.contains(&pools.key("a")));
        assert!(!pools.key("a").contains(&pools));
        assert!(Path::root().contains(&pools));
    }
}
