// SPDX-License-Identifier: GPL-2.0-or-later
//! systemd's and udev's own opinion of our units and rules.
//!
//! Both tools go on after a complaint and some of them end well all the same, so silence is what is asked for.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::cache::remove_tree;
use crate::enter;
use crate::problem::Problem;
use crate::process::is_installed;

/// Makes a root at `$1` of what the packages below `$2` have, with this machine's targets and, empty, the programs of
/// Debian that units start; then has our units and rules verified there, each with the tool that is installed.
const VERIFY: &str = r#"
root=$1; packages=$2
mkdir -p "$root/usr/bin"
ln -s usr/bin "$root/bin"
ln -s usr/lib "$root/lib"
for package in "$packages"/*; do
    cp -a "$package/." "$root/"
done
for program in sh true; do
    : > "$root/usr/bin/$program"; chmod 755 "$root/usr/bin/$program"
done
if command -v systemd-analyze >/dev/null; then
    cp -a /usr/lib/systemd/system/*.target "$root/usr/lib/systemd/system/" 2>/dev/null || cp -a /lib/systemd/system/*.target "$root/usr/lib/systemd/system/"
    cd "$root/usr/lib/systemd/system"
    systemd-analyze verify --root="$root" --man=no drbd*
fi
# Older ones do not know the word.
if command -v udevadm >/dev/null && udevadm --help | grep -qw verify; then
    udevadm verify --resolve-names=never --no-summary "$root"/usr/lib/udev/rules.d/*drbd*.rules
fi
"#;

/// The same in a Debian where the packages are installed. Templates are verified with an instance of systemd's choice.
pub(super) const VERIFY_INSTALLED: &str = r"
cd /usr/lib/systemd/system
systemd-analyze verify --man=no drbd*
udevadm verify --no-summary /usr/lib/udev/rules.d/*drbd*.rules
";

/// Verifies units and rules of the package trees below `trees` with this machine's tools; `scratch` becomes a directory
/// of its own. False when the machine has neither of them.
///
/// # Errors
///
/// What the tools complain of.
pub(super) fn verify(trees: &Path, scratch: &Path) -> Result<bool> {
    if !is_installed("systemd-analyze") && !is_installed("udevadm") {
        return Ok(false);
    }
    remove_tree(scratch)?;
    let mut command = enter::namespace();
    command
        .args(["sh", "-euc", VERIFY, "verify"])
        .args([scratch, trees]);
    let verdict = silent(&mut command);
    remove_tree(scratch)?;
    verdict.map(|()| true)
}

/// Runs a verifier, which is to end well and to say nothing.
///
/// # Errors
///
/// What it said.
pub(super) fn silent(command: &mut Command) -> Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .context("cannot start the verifiers of units and rules")?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    if output.status.success() && said.trim().is_empty() {
        return Ok(());
    }
    let why = format!("{}\n{}", output.status, said.trim_end());
    Err(Problem::new("systemd or udev complains of units or rules", why, "").into())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn write(path: &Path, text: &str, mode: u32) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// The verdict on a package with this unit, as far as this machine can tell.
    fn verdict(unit: &str) -> Option<Result<bool>> {
        if !is_installed("systemd-analyze") {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let trees = dir.path().join("trees");
        let tree = trees.join("p");
        write(
            &tree.join("usr/lib/systemd/system/drbd-x.service"),
            unit,
            0o644,
        );
        write(&tree.join("usr/sbin/drbd-x"), "", 0o755);
        Some(verify(&trees, &dir.path().join("root")))
    }

    #[test]
    fn a_good_unit_passes_and_a_bad_one_is_named() {
        let good = "[Unit]\nDescription=x\n[Service]\nExecStart=/usr/sbin/drbd-x\n";
        let Some(verdict_of_good) = verdict(good) else {
            return;
        };
        assert!(verdict_of_good.unwrap());
        for (from, to, told) in [
            ("Description", "Descriptoin", "Descriptoin"),
            ("/usr/sbin/drbd-x", "/usr/sbin/drbd-y", "/usr/sbin/drbd-y"),
        ] {
            let error = verdict(&good.replace(from, to)).unwrap().unwrap_err();
            assert!(error.to_string().contains(told), "{error}");
        }
    }

    #[test]
    fn whoever_says_something_complains() {
        let said = |script: &str| {
            silent(Command::new("sh").args(["-c", script])).map_err(|e| e.to_string())
        };
        assert_eq!(said("true"), Ok(()));
        assert!(said("echo oh").unwrap_err().contains("oh"));
        assert!(said("exit 3").unwrap_err().contains('3'));
    }
}
