// SPDX-License-Identifier: GPL-2.0-or-later
//! What went wrong, why, and what to type next.

use std::fmt;

use drbd_core::genl::RetCode;
use drbd_netlink::{Error, Reply};

use crate::cli::Generation;
use crate::exit;

/// A command that did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// Drbd refused the request. The first lines are those of the stock tool: scripts look for them.
    Refused {
        /// Resource or minor as it was typed.
        object: String,
        /// Code of the reply.
        code: RetCode,
        /// Texts of the reply.
        texts: Vec<String>,
    },
    /// An object is not there.
    NoSuch {
        /// Object as it was typed.
        object: String,
        /// The sentence, as "No such resource".
        what: &'static str,
        /// What to type next.
        hint: String,
    },
    /// The kernel could not be asked.
    Kernel(Error),
    /// The module is not loaded and could not be.
    NoModule(String),
    /// The driver is not of the generation whose command line was used.
    OtherGeneration(Generation),
    /// The arguments make no sense.
    Usage(String),
    /// Something of the operating system failed.
    System(String),
}

impl Failure {
    /// Exit code of the program.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Refused { code, .. } => exit::of(*code),
            Self::NoSuch { .. } => exit::REFUSED,
            Self::Kernel(_)
            | Self::NoModule(_)
            | Self::OtherGeneration(_)
            | Self::Usage(_)
            | Self::System(_) => exit::USAGE,
        }
    }

    /// The failure of a reply that is no success.
    pub fn of_reply(object: &str, reply: Reply) -> Self {
        Self::Refused {
            object: object.to_owned(),
            code: reply.code,
            texts: reply.texts,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Kernel(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { object, code, texts } => {
                let what = if code.is_state_result() { "State change failed" } else { "Failure" };
                let text = code.text().unwrap_or("unknown code: this drbdsetup is older than the module");
                write!(f, "{object}: {what}: ({}) {text}", code.0)?;
                if !texts.is_empty() {
                    write!(f, "\nadditional info from kernel:")?;
                    texts.iter().try_for_each(|text| write!(f, "\n{text}"))?;
                }
                match hint(*code, object) {
                    Some(hint) => write!(f, "\n  try: {hint}"),
                    None => Ok(()),
                }
            }
            Self::NoSuch { object, what, hint } => write!(f, "{object}: {what}\n  try: {hint}"),
            Self::Kernel(Error::NoFamily) => {
                write!(f, "drbdsetup: {}\n  the drbd module is not loaded\n  try: modprobe drbd", Error::NoFamily)
            }
            Self::Kernel(error @ Error::ApiMismatch { .. }) => write!(
                f,
                "drbdsetup: {error}\n  a drbd module that no version of these tools knows is loaded\n  try: cat /proc/drbd"
            ),
            Self::Kernel(Error::Refused(error)) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                write!(f, "drbdsetup: {error}\n  configuring drbd needs CAP_NET_ADMIN and CAP_SYS_ADMIN\n  try: run it as root")
            }
            Self::Kernel(error) => write!(f, "drbdsetup: {error}\n  try: dmesg | tail"),
            Self::NoModule(why) => write!(
                f,
                "Could not connect to 'drbd' generic netlink family\n  {why}\n  try: modprobe drbd; dmesg | tail"
            ),
            Self::OtherGeneration(Generation::V84) => f.write_str(
                "drbdsetup: this is the command line of DRBD 8.4\n  the loaded module has the interface of generation 9\n  try: drbdsetup help, or load it for the old tools: rmmod drbd; modprobe drbd api_version=1",
            ),
            Self::OtherGeneration(Generation::V9) => f.write_str(
                "drbdsetup: this is the command line of DRBD 9\n  the loaded module has the interface of generation 8.4\n  try: cat /proc/drbd; drbdsetup help",
            ),
            Self::Usage(text) => write!(f, "{text}\n  try: drbdsetup help"),
            Self::System(text) => write!(f, "drbdsetup: {text}"),
        }
    }
}

/// What to type next.
fn hint(code: RetCode, object: &str) -> Option<String> {
    Some(match code {
        RetCode::ERR_RES_NOT_KNOWN => {
            "drbdsetup status   (lists the resources the kernel knows)".into()
        }
        RetCode::ERR_MINOR_INVALID => {
            "drbdsetup status --verbose   (lists the minors the kernel knows)".into()
        }
        RetCode::ERR_DISK_CONFIGURED => format!("drbdsetup detach {object}"),
        RetCode::ERR_MD_INVALID => "drbdmeta, or 'drbdadm create-md' for a new disk".into(),
        RetCode::ERR_MD_UNCLEAN => {
            "drbdmeta apply-al, or 'drbdadm apply-al', then attach again".into()
        }
        RetCode::ERR_OPEN_DISK | RetCode::ERR_OPEN_MD_DISK | RetCode::ERR_BDCLAIM_DISK => {
            "lsblk; findmnt   (shows who uses the device)".into()
        }
        RetCode::ERR_MINOR_CONFIGURED => format!("drbdsetup detach {object}"),
        RetCode::ERR_RES_IN_USE => {
            format!("drbdsetup down {object}   (takes its volumes down as well)")
        }
        RetCode::ERR_MINOR_OR_VOLUME_EXISTS => {
            "drbdsetup status --verbose   (shows which minors and volumes exist)".into()
        }
        RetCode::SS_TWO_PRIMARIES => format!(
            "drbdsetup status {object}; then 'drbdsetup secondary {object}' on the other node"
        ),
        RetCode::SS_NO_UP_TO_DATE_DISK => {
            format!("connect to a peer with UpToDate data, or (accepting loss) drbdsetup primary {object} --force")
        }
        RetCode::SS_DEVICE_IN_USE => {
            "umount the device or stop what has it open; fuser -v /dev/drbdN shows who".into()
        }
        RetCode::SS_IS_DISKLESS | RetCode::ERR_NO_DISK => "attach a disk first".into(),
        RetCode::SS_CONNECTED_OUTDATES => "disconnect first".into(),
        RetCode::SS_CW_FAILED_BY_PEER => {
            format!("drbdsetup status {object} --verbose; the peer's kernel log says why")
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_begin_with_the_lines_of_the_stock_tool() {
        let failure = Failure::Refused {
            object: "nosuch".into(),
            code: RetCode::ERR_RES_NOT_KNOWN,
            texts: vec!["unknown resource".into()],
        };
        assert!(failure.to_string().starts_with(
            "nosuch: Failure: (158) Unknown resource\nadditional info from kernel:\nunknown resource\n  try: "
        ));
        assert_eq!(failure.exit_code(), 10);
        let failure = Failure::Refused {
            object: "0".into(),
            code: RetCode::SS_CONNECTED_OUTDATES,
            texts: vec![],
        };
        assert!(failure
            .to_string()
            .starts_with("0: State change failed: (-6) Refusing to be Outdated while Connected"));
        assert_eq!(failure.exit_code(), 11);
    }
}
