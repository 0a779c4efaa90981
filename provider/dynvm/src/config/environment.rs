//! What the environment may say: one pool, and who is asking. The only place of the provider that reads settings from it.

use std::env;

use fleet::draft::{PoolDraft, PoolFault};

/// The environment as far as dynvm is concerned, read once per configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    variables: Vec<(String, String)>,
}

impl Environment {
    /// Reads the process's environment.
    pub(crate) fn of_this_process() -> Self {
        Self {
            variables: env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
        }
    }

    /// An environment of exactly these variables.
    #[cfg(test)]
    pub(crate) fn of(variables: &[(&str, &str)]) -> Self {
        Self {
            variables: variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    /// A variable that is set and not empty.
    fn get(&self, name: &str) -> Option<String> {
        self.variables
            .iter()
            .find(|(known, value)| known == name && !value.is_empty())
            .map(|(_, value)| value.clone())
    }

    /// The pool that the environment names, if it names one: `DYNVM_URL` and its companions.
    pub(crate) fn pool(&self) -> Result<Option<PoolDraft>, PoolFault> {
        PoolDraft::from_variables(|name| self.get(name))
    }

    /// Who asks for servers when the configuration does not say: `DYNVM_OWNER`, else the address of the CI job, else `user@host`.
    pub(crate) fn owner(&self) -> String {
        self.get("DYNVM_OWNER")
            .or_else(|| self.ci_job())
            .unwrap_or_else(|| self.user_at_host())
    }

    /// The address of the CI job this runs in, as the CI system itself names it.
    fn ci_job(&self) -> Option<String> {
        const ADDRESSES: &[&str] = &[
            "CI_JOB_URL",          // GitLab
            "BUILD_URL",           // Jenkins
            "BUILDKITE_BUILD_URL", // Buildkite
            "CIRCLE_BUILD_URL",    // CircleCI
            "DRONE_BUILD_LINK",    // Drone, Woodpecker
            "TRAVIS_BUILD_WEB_URL",
            "SEMAPHORE_WORKFLOW_URL",
        ];
        ADDRESSES
            .iter()
            .find_map(|name| self.get(name))
            .or_else(|| {
                let server = self.get("GITHUB_SERVER_URL")?;
                let repository = self.get("GITHUB_REPOSITORY")?;
                let run = self.get("GITHUB_RUN_ID")?;
                Some(format!("{server}/{repository}/actions/runs/{run}"))
            })
            .or_else(|| {
                let collection = self.get("SYSTEM_COLLECTIONURI")?;
                let project = self.get("SYSTEM_TEAMPROJECT")?;
                let build = self.get("BUILD_BUILDID")?;
                Some(format!("{collection}{project}/_build/results?buildId={build}"))
            })
    }

    fn user_at_host(&self) -> String {
        let user = self
            .get("USER")
            .or_else(|| self.get("LOGNAME"))
            .or_else(|| self.get("USERNAME"))
            .unwrap_or_else(|| "unknown".to_owned());
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
            .ok()
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .or_else(|| self.get("HOSTNAME"))
            .or_else(|| self.get("COMPUTERNAME"))
            .unwrap_or_else(|| "unknown".to_owned());
        format!("{user}@{host}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_is_empty_is_not_there() {
        let pool = |variables: &[(&str, &str)]| Environment::of(variables).pool().unwrap();
        assert!(pool(&[("DYNVM_URL", "")]).is_none());
        let found = pool(&[("DYNVM_URL", "https://10.1.0.11"), ("DYNVM_USERNAME", "")]);
        assert_eq!(found.expect("a pool").username, None);
    }

    #[test]
    fn the_owner_is_the_most_precise_that_is_known() {
        let job = ("CI_JOB_URL", "https://ci.example/job/7");
        let user = ("USER", "ada");
        let own = ("DYNVM_OWNER", "ci/nightly");
        assert_eq!(Environment::of(&[job, user, own]).owner(), "ci/nightly");
        assert_eq!(Environment::of(&[job, user]).owner(), "https://ci.example/job/7");
        assert!(Environment::of(&[user]).owner().starts_with("ada@"));
        let github = [
            ("GITHUB_SERVER_URL", "https://git.example"),
            ("GITHUB_REPOSITORY", "a/b"),
            ("GITHUB_RUN_ID", "9"),
        ];
        assert_eq!(
            Environment::of(&github).owner(),
            "https://git.example/a/b/actions/runs/9"
        );
    }
}
