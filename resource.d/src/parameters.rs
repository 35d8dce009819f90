// SPDX-License-Identifier: GPL-2.0-or-later
//! The agent's parameters: one table for the metadata and for reading them.

use crate::code::{Code, Failure};
use crate::environment::Environment;

/// What kind of value a parameter has, in the words of the metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `boolean`.
    Boolean,
    /// `string`.
    String,
    /// `integer`.
    Integer,
}

/// A parameter as the metadata tells it.
#[derive(Debug)]
pub(crate) struct Parameter {
    /// Name.
    pub(crate) name: &'static str,
    /// Kind of value.
    pub(crate) kind: Kind,
    /// Value when it is not given; `None` if it has to be.
    pub(crate) default: Option<&'static str>,
    /// A few words.
    pub(crate) short: &'static str,
    /// What it does.
    pub(crate) long: &'static str,
}

const fn parameter(
    name: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    short: &'static str,
    long: &'static str,
) -> Parameter {
    Parameter {
        name,
        kind,
        default,
        short,
        long,
    }
}

/// All of them.
pub(crate) const TABLE: [Parameter; 13] = [
    parameter("drbd_resource", Kind::String, None, "DRBD resource",
        "Name of the resource in the DRBD configuration."),
    parameter("drbdconf", Kind::String, Some("/etc/drbd.conf"), "configuration file",
        "Path of the DRBD configuration."),
    parameter("adjust_master_score", Kind::String, Some("0 10 1000 10000"), "promotion scores",
        "Four numbers that do not fall: the promotion score with merely consistent data, with UpToDate data at a peer \
         only, with UpToDate data here while a peer's disk is unknown, and with UpToDate data here. 0 is no score."),
    parameter("stop_outdates_secondary", Kind::Boolean, Some("false"), "outdate a stopped Secondary",
        "Outdate the data of this node when it is stopped, or loses its peer, while another node is promoted."),
    parameter("ignore_missing_notifications", Kind::Boolean, Some("false"), "accept a clone without notify",
        "Work although the clone is configured without notify=true."),
    parameter("wfc_timeout", Kind::Integer, Some("5"), "wait for a connection, seconds",
        "How long a start waits for a connection, so that the first promotion score knows the peer."),
    parameter("remove_master_score_if_peer_primary", Kind::String, Some("false"), "step back for a Primary peer",
        "true: a node whose peer is Primary with UpToDate data has no promotion score. unexpected: only while the cluster \
         does not know of a promoted instance."),
    parameter("fail_promote_early_if_peer_primary", Kind::Boolean, Some("false"), "one attempt beside a Primary peer",
        "Do not repeat a promotion that was refused while a peer is Primary."),
    parameter("unfence_if_all_uptodate", Kind::Boolean, Some("false"), "unfence in the monitor",
        "Have the monitor of a Primary run the handler unfence-peer when everything is UpToDate."),
    parameter("unfence_extra_args", Kind::String,
        Some("--quiet --flock-required --flock-timeout 0 --unfence-only-if-owner-match"), "arguments for that handler",
        "Further arguments of the handler unfence-peer, which reads them from the environment."),
    parameter("require_drbd_module_version_ge", Kind::String, Some("8.0.0"), "oldest driver",
        "The driver has to be of this version or newer; empty for any."),
    parameter("require_drbd_module_version_lt", Kind::String, Some("10.0.0"), "first driver that is too new",
        "The driver has to be older than this version; empty for any."),
    parameter("connect_only_after_promote", Kind::Boolean, Some("false"), "connect when promoted",
        "Connect to the peers only after the promotion, for stacked resources."),
];

/// Whether a node steps back for a peer that is Primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PeerPrimary {
    /// It does not.
    Keep,
    /// It does.
    Remove,
    /// It does if the cluster knows of no promoted instance.
    RemoveIfUnexpected,
}

/// A version of the driver: three numbers.
pub(crate) type Version = [u32; 3];

/// The values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parameters {
    /// drbd_resource.
    pub(crate) resource: String,
    /// drbdconf.
    pub(crate) conf: String,
    /// adjust_master_score.
    pub(crate) scores: [u32; 4],
    /// stop_outdates_secondary.
    pub(crate) stop_outdates: bool,
    /// ignore_missing_notifications.
    pub(crate) without_notifications: bool,
    /// wfc_timeout, seconds; 0 for no wait.
    pub(crate) connect_timeout_s: u32,
    /// remove_master_score_if_peer_primary.
    pub(crate) if_peer_primary: PeerPrimary,
    /// fail_promote_early_if_peer_primary.
    pub(crate) promote_once: bool,
    /// unfence_if_all_uptodate.
    pub(crate) unfence: bool,
    /// unfence_extra_args.
    pub(crate) unfence_args: String,
    /// require_drbd_module_version_ge.
    pub(crate) oldest: Option<Version>,
    /// require_drbd_module_version_lt.
    pub(crate) too_new: Option<Version>,
    /// connect_only_after_promote.
    pub(crate) connect_late: bool,
}

fn wrong(name: &str, value: &str, wanted: &str) -> Failure {
    Failure::new(
        Code::NotConfigured,
        format!("{name}: '{value}' is not {wanted}"),
    )
}

fn default_of(name: &str) -> &'static str {
    let found = TABLE.iter().find(|parameter| parameter.name == name);
    found
        .and_then(|parameter| parameter.default)
        .unwrap_or_default()
}

fn value<'a>(env: &'a Environment, name: &str) -> &'a str {
    env.parameter(name).unwrap_or_else(|| default_of(name))
}

fn boolean(env: &Environment, name: &str) -> Result<bool, Failure> {
    match value(env, name).to_ascii_lowercase().as_str() {
        "yes" | "true" | "1" | "on" | "y" => Ok(true),
        "no" | "false" | "0" | "off" | "n" => Ok(false),
        other => Err(wrong(name, other, "true or false")),
    }
}

/// Four numbers that do not fall.
fn scores(text: &str) -> Option<[u32; 4]> {
    let numbers: Vec<u32> = text
        .split_whitespace()
        .map(|word| word.parse().ok())
        .collect::<Option<_>>()?;
    let scores: [u32; 4] = numbers.try_into().ok()?;
    scores.is_sorted().then_some(scores)
}

/// Reads a version such as `9.2.10` or `8.4.11-1`.
pub(crate) fn version(text: &str) -> Option<Version> {
    let numbers = text.split(['-', '~', '+', ' ']).next()?;
    let mut parts = numbers.split('.').map(|part| part.parse().ok());
    let mut next = || parts.next().flatten();
    Some([next()?, next()?, next().unwrap_or(0)])
}

fn bound(env: &Environment, name: &str) -> Result<Option<Version>, Failure> {
    // Given, and empty: there is no bound.
    match env
        .get(&format!("OCF_RESKEY_{name}"))
        .unwrap_or_else(|| default_of(name))
    {
        "" => Ok(None),
        text => version(text)
            .map(Some)
            .ok_or_else(|| wrong(name, text, "a version such as 9.2.0")),
    }
}

/// Letters that a name of a resource or of a file may have.
fn is_plain(text: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-%+./:=@_".contains(letter);
    !text.is_empty() && text.chars().all(plain)
}

impl Parameters {
    /// Reads them; scores that make no sense are those of the default, and the second value says so.
    ///
    /// # Errors
    ///
    /// A value that is none of its kind, or none where one has to be: wrong on every node.
    pub(crate) fn read(env: &Environment) -> Result<(Self, Option<String>), Failure> {
        let resource = env.parameter("drbd_resource").ok_or_else(|| {
            Failure::new(
                Code::NotConfigured,
                "drbd_resource is not set: name the DRBD resource",
            )
        })?;
        let conf = value(env, "drbdconf");
        for (name, text) in [("drbd_resource", resource), ("drbdconf", conf)] {
            if !is_plain(text) {
                return Err(wrong(
                    name,
                    text,
                    "a plain name: letters, digits and -%+./:=@_",
                ));
            }
        }
        let wanted = value(env, "adjust_master_score");
        let own = scores(wanted);
        let warning = own.is_none().then(|| {
            format!("adjust_master_score: '{wanted}' is not four numbers that do not fall: taking the default")
        });
        let wait = value(env, "wfc_timeout");
        let parameters = Parameters {
            resource: resource.to_owned(),
            conf: conf.to_owned(),
            scores: own.unwrap_or(DEFAULT_SCORES),
            stop_outdates: boolean(env, "stop_outdates_secondary")?,
            without_notifications: boolean(env, "ignore_missing_notifications")?,
            // No number is no wait, as it was with the agent that people know.
            connect_timeout_s: wait.parse().unwrap_or(0),
            if_peer_primary: match value(env, "remove_master_score_if_peer_primary") {
                "unexpected" => PeerPrimary::RemoveIfUnexpected,
                _ if boolean(env, "remove_master_score_if_peer_primary")? => PeerPrimary::Remove,
                _ => PeerPrimary::Keep,
            },
            promote_once: boolean(env, "fail_promote_early_if_peer_primary")?,
            unfence: boolean(env, "unfence_if_all_uptodate")?,
            unfence_args: value(env, "unfence_extra_args").to_owned(),
            oldest: bound(env, "require_drbd_module_version_ge")?,
            too_new: bound(env, "require_drbd_module_version_lt")?,
            connect_late: boolean(env, "connect_only_after_promote")?,
        };
        Ok((parameters, warning))
    }
}

const DEFAULT_SCORES: [u32; 4] = [0, 10, 1000, 10_000];

#[cfg(test)]
impl Parameters {
    /// The defaults.
    pub(crate) fn of(resource: &str) -> Self {
        let env = Environment::of(&[("OCF_RESKEY_drbd_resource", resource)]);
        Parameters::read(&env).unwrap().0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(more: &[(&str, &str)]) -> Result<(Parameters, Option<String>), Failure> {
        let mut all = vec![("OCF_RESKEY_drbd_resource", "r0")];
        all.extend(more);
        Parameters::read(&Environment::of(&all))
    }

    #[test]
    fn the_table_has_the_defaults() {
        let parameters = Parameters::of("r0");
        assert_eq!(parameters.scores, DEFAULT_SCORES);
        assert_eq!(
            scores(default_of("adjust_master_score")),
            Some(DEFAULT_SCORES)
        );
        assert_eq!(
            (parameters.oldest, parameters.too_new),
            (Some([8, 0, 0]), Some([10, 0, 0]))
        );
        assert_eq!(
            (parameters.conf.as_str(), parameters.connect_timeout_s),
            ("/etc/drbd.conf", 5)
        );
    }

    #[test]
    fn what_is_wrong_is_wrong_everywhere() {
        assert_eq!(
            Parameters::read(&Environment::default()).unwrap_err().code,
            Code::NotConfigured
        );
        for (name, value) in [
            ("OCF_RESKEY_stop_outdates_secondary", "maybe"),
            ("OCF_RESKEY_drbdconf", "/etc/a;reboot"),
            ("OCF_RESKEY_require_drbd_module_version_ge", "nine"),
        ] {
            let failure = read(&[(name, value)]).unwrap_err();
            assert_eq!(failure.code, Code::NotConfigured);
            assert!(failure.reason.contains(value), "{failure}");
        }
    }

    #[test]
    fn scores_that_fall_are_not_taken() {
        for bad in ["1 2 3", "4 3 2 1", "a b c d", "1 2 3 4 5"] {
            let (parameters, warning) = read(&[("OCF_RESKEY_adjust_master_score", bad)]).unwrap();
            assert_eq!(parameters.scores, DEFAULT_SCORES);
            assert!(warning.unwrap().contains(bad));
        }
    }

    #[test]
    fn versions() {
        assert_eq!(version("8.4.11"), Some([8, 4, 11]));
        assert_eq!(version("9.90.0-1 (api:2)"), Some([9, 90, 0]));
        assert_eq!(version("9"), None);
        let none = read(&[("OCF_RESKEY_require_drbd_module_version_lt", "")])
            .unwrap()
            .0;
        assert_eq!(none.too_new, None);
    }
}
