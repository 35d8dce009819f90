// SPDX-License-Identifier: GPL-2.0-or-later
//! Taking a finished package apart: is everything in it that should be, and as it should be?

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use super::content::Package;
use super::INSIDE;
use crate::enter::Root;
use crate::env::Env;
use crate::problem::Problem;
use crate::process::captured;

/// Lists the package `$1`, then checks its sums, scripts and configuration files in a directory of its own.
const TAKE_APART: &str = r#"
deb="/mnt/packages/$1"
dpkg-deb --contents "$deb"
rm -rf /tmp/apart; mkdir /tmp/apart; cd /tmp/apart
dpkg-deb --raw-extract "$deb" .
md5sum --quiet --check DEBIAN/md5sums >&2
for script in DEBIAN/preinst DEBIAN/postinst DEBIAN/prerm DEBIAN/postrm; do
    [ ! -e "$script" ] || sh -n "$script"
done
[ ! -e DEBIAN/conffiles ] || while read -r file; do test -f ".$file"; done < DEBIAN/conffiles
for field in Package Version Architecture Maintainer Installed-Size Section Priority Description; do
    dpkg-deb --field "$deb" "$field" | grep -q . || { echo "no field $field" >&2; exit 1; }
done
for program in usr/sbin/*; do
    [ ! -e "$program" ] || "./$program" --version >/dev/null
done
cd /; rm -rf /tmp/apart
"#;

/// One line of `dpkg-deb --contents`.
#[derive(Debug, PartialEq, Eq)]
struct Listed<'a> {
    mode: &'a str,
    owner: &'a str,
    path: &'a str,
}

/// Checks a package that was made.
///
/// # Errors
///
/// Everything that is wrong with it.
pub(super) fn check(env: &Env, directory: &Path, package: &Package) -> Result<()> {
    let root = Root::at(&env.toolchain_root).bind(directory, INSIDE);
    let listing = captured(&mut root.script(TAKE_APART, &[&package.file_name()]))?;
    let wrong = judge(package, &listing);
    if wrong.is_empty() {
        return Ok(());
    }
    let what = format!("the package {} is not as it has to be", package.name);
    Err(Problem::new(what, wrong.join("\n"), "").into())
}

fn judge(package: &Package, listing: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut found = BTreeMap::new();
    for listed in listing.lines().filter_map(read) {
        let path = listed.path.trim_start_matches("./");
        if listed.owner != "root/root" {
            wrong.push(format!("{path} belongs to {}", listed.owner));
        }
        if listed.mode.starts_with('d') {
            if listed.mode != "drwxr-xr-x" {
                wrong.push(format!("{path} is {}", listed.mode));
            }
            continue;
        }
        if !["usr/", "etc/"].iter().any(|top| path.starts_with(top)) {
            wrong.push(format!("{path} is neither in /usr nor in /etc"));
        }
        found.insert(path.trim_end_matches(".gz"), listed.mode);
    }
    for file in &package.files {
        match found.remove(file.to.as_str()) {
            Some(mode) if mode == letters(file.mode) => {}
            Some(mode) => wrong.push(format!("{} is {mode}", file.to)),
            None => wrong.push(format!("{} is missing", file.to)),
        }
    }
    wrong.extend(found.keys().map(|path| format!("{path} is too much")));
    wrong
}

/// `drwxr-xr-x root/root 0 2026-01-01 00:00 ./etc/`
fn read(line: &str) -> Option<Listed<'_>> {
    let (mode, rest) = line.split_once(' ')?;
    let (owner, _) = rest.split_once(' ')?;
    let (_, path) = line.split_once(" ./")?;
    Some(Listed { mode, owner, path })
}

/// A mode as `ls` writes it.
fn letters(mode: u32) -> String {
    let mut text = "-".to_owned();
    for at in (0..9).rev() {
        let letter = match at % 3 {
            2 => 'r',
            1 => 'w',
            _ => 'x',
        };
        text.push(if mode >> at & 1 == 1 { letter } else { '-' });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::content::File;
    use super::*;

    fn package() -> Package {
        let file = |to: &str, mode| File {
            from: "/dev/null".into(),
            to: to.to_owned(),
            mode,
        };
        Package {
            name: "p".to_owned(),
            version: "1".to_owned(),
            architecture: "all",
            fields: Vec::new(),
            about: ("", ""),
            files: vec![
                file("usr/sbin/p", 0o755),
                file("usr/share/man/man8/p.8", 0o644),
            ],
            scripts: Vec::new(),
            date: 0,
        }
    }

    const GOOD: &str = "\
drwxr-xr-x root/root         0 2026-01-01 00:00 ./usr/
-rwxr-xr-x root/root       100 2026-01-01 00:00 ./usr/sbin/p
-rw-r--r-- root/root        50 2026-01-01 00:00 ./usr/share/man/man8/p.8.gz
";

    #[test]
    fn takes_what_is_right() {
        assert_eq!(judge(&package(), GOOD), Vec::<String>::new());
    }

    #[test]
    fn tells_all_that_is_wrong() {
        for (from, to, told) in [
            ("root/root         0", "me/me 0", "usr/ belongs to me/me"),
            ("drwxr-xr-x", "drwxrwxr-x", "usr/ is drwxrwxr-x"),
            ("-rwxr-xr-x", "-rw-r--r--", "usr/sbin/p is -rw-r--r--"),
            (
                "./usr/sbin/p",
                "./opt/p",
                "opt/p is neither in /usr nor in /etc",
            ),
            ("./usr/sbin/p", "./usr/sbin/q", "usr/sbin/p is missing"),
            ("./usr/sbin/p", "./usr/sbin/q", "usr/sbin/q is too much"),
        ] {
            let wrong = judge(&package(), &GOOD.replace(from, to));
            assert!(wrong.iter().any(|line| line == told), "{told}: {wrong:?}");
        }
    }
}
