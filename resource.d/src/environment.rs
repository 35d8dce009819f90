// SPDX-License-Identifier: GPL-2.0-or-later
//! What the cluster's resource manager passes in environment variables.

use std::collections::BTreeMap;
use std::time::Duration;

/// The variables.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment(BTreeMap<String, String>);

/// What a clone's notification is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notification {
    /// `pre` or `post`.
    pub(crate) kind: String,
    /// `start`, `stop`, `promote` or `demote`.
    pub(crate) operation: String,
}

impl Environment {
    /// Those of this process.
    pub(crate) fn of_process() -> Self {
        let utf8 = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Environment(std::env::vars_os().filter_map(utf8).collect())
    }

    /// One variable.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A parameter of the resource; an empty one counts as not given.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let value = self.get(&format!("OCF_RESKEY_{name}"));
        value.filter(|value| !value.is_empty())
    }

    /// What the cluster knows of the resource, by its name with dashes or underscores.
    pub(crate) fn meta(&self, name: &str) -> Option<&str> {
        self.get(&format!("OCF_RESKEY_CRM_meta_{}", name.replace('-', "_")))
    }

    /// A number among that, under the present or the former name.
    pub(crate) fn meta_number(&self, names: &[&str]) -> Option<u32> {
        names.iter().find_map(|name| self.meta(name)?.parse().ok())
    }

    /// Whether the monitor only asks what there is.
    pub(crate) fn is_probe(&self) -> bool {
        self.meta_number(&["interval"]) == Some(0)
    }

    /// How long the action may take.
    pub(crate) fn limit(&self) -> Option<Duration> {
        let ms: u64 = self.meta("timeout")?.parse().ok()?;
        Some(Duration::from_millis(ms))
    }

    /// What a notification tells.
    pub(crate) fn notification(&self) -> Option<Notification> {
        Some(Notification {
            kind: self.meta("notify_type")?.to_owned(),
            operation: self.meta("notify_operation")?.to_owned(),
        })
    }

    /// Nodes on which the clone is promoted, as far as the last notification told, less `own`.
    pub(crate) fn promoted_elsewhere(&self, own: &str) -> bool {
        let lists = [
            "notify_promoted_uname",
            "notify_master_uname",
            "notify_promote_uname",
        ];
        let mut nodes = lists
            .iter()
            .filter_map(|name| self.meta(name))
            .flat_map(str::split_whitespace);
        nodes.any(|node| !node.eq_ignore_ascii_case(own))
    }
}

#[cfg(test)]
impl Environment {
    /// These variables only.
    pub(crate) fn of(variables: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Environment(variables.iter().map(owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_parameter_is_not_given() {
        let env = Environment::of(&[("OCF_RESKEY_a", ""), ("OCF_RESKEY_b", "x")]);
        assert_eq!(env.parameter("a"), None);
        assert_eq!(env.parameter("b"), Some("x"));
    }

    #[test]
    fn only_other_nodes_count() {
        let name = "OCF_RESKEY_CRM_meta_notify_promoted_uname";
        assert!(!Environment::of(&[(name, "Alpha ")]).promoted_elsewhere("alpha"));
        assert!(Environment::of(&[(name, "alpha beta")]).promoted_elsewhere("alpha"));
        assert!(!Environment::default().promoted_elsewhere("alpha"));
    }
}
