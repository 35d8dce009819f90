// SPDX-License-Identifier: GPL-2.0-or-later
//! What is in which package.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::env::Env;
use crate::process::captured;
use crate::{kernel, module, tools, workspace};

use super::fail_over;

/// Debian's part of the version.
const REVISION: &str = "1";

/// A file of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where it comes from, on this machine.
    pub from: PathBuf,
    /// Where it goes, without the leading `/`.
    pub to: String,
    /// Its permissions.
    pub mode: u32,
}

/// A package.
#[derive(Debug, Clone)]
pub struct Package {
    /// Name.
    pub name: String,
    /// Version with Debian's part.
    pub version: String,
    /// `amd64`, or `all`.
    pub architecture: &'static str,
    /// Fields of the control file, beside those above.
    pub fields: Vec<(&'static str, String)>,
    /// First line of the description, and the others.
    pub about: (&'static str, &'static str),
    /// Files.
    pub files: Vec<File>,
    /// Maintainer scripts: name and text.
    pub scripts: Vec<(&'static str, String)>,
    /// Time stamp of everything in it: that of the last commit.
    pub date: u64,
}

impl Package {
    /// Name of its file.
    pub fn file_name(&self) -> String {
        format!("{}_{}_{}.deb", self.name, self.version, self.architecture)
    }

    /// Files below `/etc`, which are the administrator's.
    pub fn configuration(&self) -> impl Iterator<Item = String> + '_ {
        let files = self.files.iter().map(|file| format!("/{}", file.to));
        files.filter(|path| path.starts_with("/etc/"))
    }
}

/// Version without Debian's part.
pub(super) fn upstream() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// A unit of systemd.
macro_rules! unit {
    ($name:literal) => {
        (
            concat!("systemd/", $name),
            concat!("usr/lib/systemd/system/", $name),
            0o644,
        )
    };
}

/// Files of `packaging/` and where they go.
const PACKAGING: [(&str, &str, u32); 18] = [
    (
        "udev/65-drbd.rules",
        "usr/lib/udev/rules.d/65-drbd.rules",
        0o644,
    ),
    (
        "lib/modules-load.conf",
        "usr/lib/modules-load.d/drbd.conf",
        0o644,
    ),
    ("lib/tmpfiles.conf", "usr/lib/tmpfiles.d/drbd.conf", 0o644),
    (
        "lib/drbd-wait-promotable.sh",
        "usr/lib/drbd/scripts/drbd-wait-promotable.sh",
        0o755,
    ),
    ("etc/drbd.conf", "etc/drbd.conf", 0o644),
    (
        "etc/drbd.d/global_common.conf",
        "etc/drbd.d/global_common.conf",
        0o644,
    ),
    (
        "etc/modprobe.d/drbd.conf",
        "etc/modprobe.d/drbd.conf",
        0o644,
    ),
    (
        "etc/multipath/drbd.conf",
        "etc/multipath/conf.d/drbd.conf",
        0o644,
    ),
    unit!("drbd.service"),
    unit!("drbd@.service"),
    unit!("drbd@.target"),
    unit!("drbd-wait-promotable@.service"),
    unit!("drbd-promote@.service"),
    unit!("drbd-services@.target"),
    unit!("drbd-demote-or-escalate@.service"),
    unit!("drbd-lvchange@.service"),
    ("copyright", "usr/share/doc/drbd-rs-utils/copyright", 0o644),
    (
        "../CHANGELOG.md",
        "usr/share/doc/drbd-rs-utils/changelog",
        0o644,
    ),
];

/// Programs of `target/dist` and where they go.
const PROGRAMS: [(&str, &str); 4] = [
    ("drbdadm", "usr/sbin/drbdadm"),
    ("drbdsetup", "usr/sbin/drbdsetup"),
    ("drbdmeta", "usr/sbin/drbdmeta"),
    ("drbd-ocf", "usr/lib/ocf/resource.d/linbit/drbd"),
];

/// Every package, of what is in `target/dist`.
///
/// # Errors
///
/// When something was not built, or git cannot tell the date.
pub(super) fn all(env: &Env) -> Result<Vec<Package>> {
    let date = captured(Command::new("git").arg("-C").arg(workspace::root()).args([
        "log",
        "-1",
        "--format=%ct",
    ]))?;
    let date = date.trim().parse().context("git does not tell the date")?;
    Ok(vec![
        utils(date)?,
        fail_over::package(date)?,
        modules(&env.kernel_release, date)?,
        dkms(&env.kernel_release, date)?,
    ])
}

pub(super) fn packaging(name: &str) -> PathBuf {
    workspace::root().join("packaging").join(name)
}

pub(super) fn package(name: String, architecture: &'static str, date: u64) -> Package {
    Package {
        name,
        version: format!("{}-{REVISION}", upstream()),
        architecture,
        fields: vec![
            ("Section", "admin".to_owned()),
            ("Priority", "optional".to_owned()),
            (
                "Maintainer",
                "The authors of drbd-rs <root@localhost>".to_owned(),
            ),
        ],
        about: ("", ""),
        files: Vec::new(),
        scripts: Vec::new(),
        date,
    }
}

/// Copyright and changes, which every package has under its own name.
pub(super) fn documents(name: &str) -> [File; 2] {
    let document = |from: &str, to: &str| File {
        from: packaging(from),
        to: format!("usr/share/doc/{name}/{to}"),
        mode: 0o644,
    };
    [
        document("copyright", "copyright"),
        document("../CHANGELOG.md", "changelog"),
    ]
}

/// Files of `packaging/` as a package has them.
pub(super) fn from_packaging(files: &[(&str, &str, u32)]) -> Vec<File> {
    let file = |(from, to, mode): &(&str, &str, u32)| File {
        from: packaging(from),
        to: (*to).to_owned(),
        mode: *mode,
    };
    files.iter().map(file).collect()
}

/// Programs of `target/dist`, and the C library that they need, as a dependency.
pub(super) fn programs(programs: &[(&str, &str)]) -> Result<(Vec<File>, String)> {
    let mut files = Vec::new();
    let mut glibc = (2, 17);
    for (program, to) in programs {
        let from = workspace::dist().join(program);
        let bytes = fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
        glibc = glibc.max(tools::newest_glibc(&bytes).unwrap_or(glibc));
        files.push(File {
            from,
            to: (*to).to_owned(),
            mode: 0o755,
        });
    }
    let depends = format!("libc6 (>= {}.{}), libgcc-s1", glibc.0, glibc.1);
    Ok((files, depends))
}

/// Manual pages and completions of the programs that `wanted` takes by the name of the file.
pub(super) fn pages(wanted: impl Fn(&str) -> bool) -> Result<Vec<File>> {
    let dist = workspace::dist();
    let mut directories = Vec::new();
    for section in listed(&dist.join("man"))? {
        let to = format!("usr/share/man/{}", file_name(&section));
        directories.push((section, to));
    }
    for (shell, to) in [
        ("bash", "usr/share/bash-completion/completions"),
        ("zsh", "usr/share/zsh/vendor-completions"),
        ("fish", "usr/share/fish/vendor_completions.d"),
    ] {
        directories.push((dist.join("completions").join(shell), to.to_owned()));
    }
    let mut files = Vec::new();
    for (directory, to) in directories {
        for from in listed(&directory)? {
            let name = file_name(&from);
            if wanted(name.trim_start_matches('_')) {
                files.push(File {
                    to: format!("{to}/{name}"),
                    from,
                    mode: 0o644,
                });
            }
        }
    }
    Ok(files)
}

fn utils(date: u64) -> Result<Package> {
    let mut files = from_packaging(&PACKAGING);
    let (programs, depends) = programs(&PROGRAMS)?;
    files.extend(programs);
    files.extend(pages(|name| !fail_over::is_of(name))?);
    let mut made = package("drbd-rs-utils".to_owned(), "amd64", date);
    made.fields.extend([
        ("Depends", depends),
        ("Recommends", "drbd-rs-modules | drbd-rs-dkms".to_owned()),
        ("Provides", format!("drbd-utils (= {})", upstream())),
        ("Conflicts", "drbd-utils, drbd8-utils".to_owned()),
        ("Replaces", "drbd-utils, drbd8-utils".to_owned()),
    ]);
    made.about = (
        "replicated block devices: the administrator's tools",
        "drbdadm, drbdsetup and drbdmeta for the drbd modules of this project and of\n\
         the kernel (8.4), with the OCF agent ocf:linbit:drbd, systemd units, rules for\n\
         udev, manual pages and completions. It takes the place of drbd-utils and reads\n\
         the same configuration.",
    );
    made.files = files;
    made.scripts = vec![
        script("postinst", "utils.postinst", &[])?,
        script("postrm", "utils.postrm", &[])?,
    ];
    Ok(made)
}

fn modules(release: &str, date: u64) -> Result<Package> {
    let mut made = package(format!("drbd-rs-modules-{release}"), "amd64", date);
    made.fields.extend([
        ("Depends", "kmod".to_owned()),
        ("Recommends", "drbd-rs-utils".to_owned()),
        ("Provides", "drbd-rs-modules".to_owned()),
    ]);
    made.about = (
        "replicated block devices: the module, compiled for one kernel",
        "The kernel module drbd in Rust, for Debian's own kernel. It is installed in\n\
         updates/, where modprobe prefers it to the kernel's own.",
    );
    made.files = documents(&made.name).to_vec();
    made.files.push(File {
        from: workspace::dist().join("drbd.ko"),
        to: format!("usr/lib/modules/{release}/updates/drbd.ko"),
        mode: 0o644,
    });
    let words = [("@RELEASE@", release)];
    made.scripts = vec![
        script("postinst", "modules.postinst", &words)?,
        script("postrm", "modules.postrm", &words)?,
    ];
    Ok(made)
}

fn dkms(release: &str, date: u64) -> Result<Package> {
    let mut made = package("drbd-rs-dkms".to_owned(), "all", date);
    let source = module::source_package(release);
    made.fields.extend([
        // Debian's headers lack the metadata of the kernel's own crates, which is made of its source.
        (
            "Depends",
            format!(
                "dkms, rustc (>= 1.85), rust-src (>= 1.85), bindgen, libclang-dev, gcc, make, bc, flex, bison, \
                 libelf-dev, libssl-dev, dwarves, python3, xz-utils, {source} | linux-source (>= {})",
                kernel::series(release)
            ),
        ),
        ("Recommends", "drbd-rs-utils".to_owned()),
        ("Provides", "drbd-rs-modules".to_owned()),
    ]);
    made.about = (
        "replicated block devices: the module's sources, for DKMS",
        "The kernel module drbd in Rust, compiled on this machine for each kernel that\n\
         is configured for Rust.",
    );
    let place = format!("usr/src/drbd-rs-{}", upstream());
    made.files = documents(&made.name).to_vec();
    for source in module::sources()? {
        made.files.push(File {
            from: workspace::root().join(&source),
            to: format!("{place}/{}", source.display()),
            mode: 0o644,
        });
    }
    for (name, to) in [
        ("dkms/dkms.conf", "dkms.conf"),
        ("dkms/build.sh", "dkms/build.sh"),
    ] {
        made.files.push(File {
            from: packaging(name),
            to: format!("{place}/{to}"),
            mode: 0o644,
        });
    }
    let words = [("@VERSION@", upstream())];
    made.scripts = vec![
        script("postinst", "dkms.postinst", &words)?,
        script("prerm", "dkms.prerm", &words)?,
    ];
    Ok(made)
}

/// Files whose text has places to fill in.
pub(super) fn filled_in(text: &str) -> String {
    text.replace("@VERSION@", upstream())
}

pub(super) fn script(
    name: &'static str,
    file: &str,
    words: &[(&str, &str)],
) -> Result<(&'static str, String)> {
    let path = packaging("scripts").join(file);
    let mut text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    for (place, word) in words {
        text = text.replace(place, word);
    }
    Ok((name, text))
}

pub(super) fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

pub(super) fn listed(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<Vec<PathBuf>>>()?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_packaging_goes_somewhere() {
        let elsewhere = ["dkms/", "scripts/", "copyright"];
        let placed = || PACKAGING.iter().chain(&fail_over::PACKAGING);
        let root = workspace::root();
        for file in workspace::files().unwrap() {
            let Ok(name) = file.strip_prefix("packaging") else {
                continue;
            };
            let name = name.to_string_lossy();
            let known = placed().any(|(from, ..)| *from == name)
                || elsewhere.iter().any(|start| name.starts_with(*start));
            assert!(known, "{name} is in no package");
        }
        for (from, ..) in placed() {
            assert!(root.join("packaging").join(from).is_file(), "{from}");
        }
    }

    #[test]
    fn a_package_has_a_name_that_apt_takes() {
        let made = package("drbd-rs-modules-7.3.4+deb13-amd64".to_owned(), "amd64", 0);
        let expected = format!(
            "drbd-rs-modules-7.3.4+deb13-amd64_{}-1_amd64.deb",
            upstream()
        );
        assert_eq!(made.file_name(), expected);
    }
}
