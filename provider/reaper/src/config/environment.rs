//! What the environment may say: one pool, passwords, what is to be logged, and who asks.

use std::env;

use fleet::draft::{PoolDraft, PoolFault};
use xenapi::Secret;

/// What names a pool's password begin with.
const PASSWORD: &str = "DYNVM_PASSWORD_";
/// Who uses the reaper: under sudo the one who called it.
const PERSON: [&str; 3] = ["SUDO_USER", "USER", "LOGNAME"];

/// The environment as far as the reaper is concerned, read once per configuration.
#[derive(Clone, Default)]
pub struct Environment {
    variables: Vec<(String, String)>,
}

impl Environment {
    /// Reads the process's environment.
    #[must_use]
    pub fn of_this_process() -> Self {
        let texts =
            env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self {
            variables: texts.filter(|(name, _)| is_ours(name)).collect(),
        }
    }

    /// An environment of exactly these variables.
    #[must_use]
    pub fn of(variables: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            variables: variables.iter().map(owned).collect(),
        }
    }

    /// What is to be logged, if the environment says so: `DYNVM_LOG`.
    #[must_use]
    pub fn log_filter(&self) -> Option<String> {
        self.get("DYNVM_LOG")
    }

    /// Who uses the reaper, as far as is known: `user@host`.
    #[must_use]
    pub fn person(&self) -> String {
        let user = PERSON.iter().find_map(|name| self.get(name));
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let known = |name: &str| if name.is_empty() { "unknown" } else { name }.to_owned();
        format!("{}@{}", known(&user.unwrap_or_default()), known(host.trim()))
    }

    /// The pool that the environment names, if it names one: `DYNVM_URL` and its companions.
    pub(super) fn pool(&self) -> Result<Option<PoolDraft>, PoolFault> {
        PoolDraft::from_variables(|name| self.get(name))
    }

    /// The password of a pool that is given none in the file.
    pub(super) fn password(&self, pool: &str) -> Option<Secret> {
        self.get(&password_variable(pool)).map(Secret::from)
    }

    /// A variable that is set and not empty.
    fn get(&self, name: &str) -> Option<String> {
        let mut known = self.variables.iter();
        let found = known.find(|(known, value)| known == name && !value.is_empty());
        found.map(|(_, value)| value.clone())
    }
}

fn is_ours(name: &str) -> bool {
    name.starts_with("DYNVM_") || PERSON.contains(&name)
}

/// The variable that holds a pool's password: its name in capitals, each character but letters and digits as `_`.
pub(super) fn password_variable(pool: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    };
    let name: String = pool.chars().map(plain).collect();
    format!("{PASSWORD}{name}")
}

/// Without the values: some are passwords.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.variables.iter().map(|(name, _)| name))
            .finish()
    }
}
