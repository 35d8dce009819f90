// SPDX-License-Identifier: GPL-2.0-or-later
//! Running programs inside a Debian root, as root or as an ordinary user.
//!
//! Everything happens in mount and process namespaces of its own: mounts vanish and no process is left when the
//! command ends, however it ends. An ordinary user becomes root of a user namespace (package `uidmap`).

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::Uid;

/// Mounts what a build needs inside `$1`, then runs the words after `--` there.
const ENTER: &str = r#"
root=$1; shift
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
[ ! -e /etc/resolv.conf ] || cat /etc/resolv.conf > "$root/etc/resolv.conf"
while [ "$1" != -- ]; do
    mkdir -p "$root$2"
    mount --bind "$1" "$root$2"
    shift 2
done
shift
exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
    DEBIAN_FRONTEND=noninteractive ${http_proxy:+http_proxy="$http_proxy"} \
    ${https_proxy:+https_proxy="$https_proxy"} "$@"
"#;

/// True when this process is root and needs no user namespace.
pub fn is_root() -> bool {
    Uid::effective().is_root()
}

/// `unshare` with namespaces of its own; the program and its arguments are to be appended.
pub fn namespace() -> Command {
    let mut command = Command::new("unshare");
    if !is_root() {
        command.args(["--user", "--map-root-user", "--map-auto"]);
    }
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--"]);
    command
}

/// A way into a Debian root.
#[derive(Debug, Clone)]
pub struct Root {
    path: PathBuf,
    binds: Vec<(PathBuf, String)>,
}

impl Root {
    /// The root at `path`.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            binds: Vec::new(),
        }
    }

    /// Shows the host's directory `outside` as `inside` while a command runs.
    #[must_use]
    pub fn bind(mut self, outside: impl Into<PathBuf>, inside: impl Into<String>) -> Self {
        self.binds.push((outside.into(), inside.into()));
        self
    }

    /// The root's own path on the host.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A command that runs `words` inside.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = namespace();
        command.args(["sh", "-euc", ENTER, "enter"]).arg(&self.path);
        for (outside, inside) in &self.binds {
            command.arg(outside).arg(inside);
        }
        command.arg("--").args(words);
        command
    }

    /// A command that runs a shell script inside; it stops at the first failing line.
    pub fn script(&self, text: &str, arguments: &[&str]) -> Command {
        let mut words = vec!["sh", "-euc", text, "script"];
        words.extend_from_slice(arguments);
        self.command(&words)
    }
}
