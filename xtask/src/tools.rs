// SPDX-License-Identifier: GPL-2.0-or-later
//! Compiling the user-space programs with the host's cargo.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::module::install;
use crate::problem::Problem;
use crate::workspace;

/// Programs of `target/dist`: package and binary.
const PROGRAMS: [(&str, &str); 7] = [
    ("drbdadm", "drbdadm"),
    ("drbdsetup", "drbdsetup"),
    ("drbdmeta", "drbdmeta"),
    ("drbd-ocf", "drbd-ocf"),
    ("drbd-ha", "drbd-had"),
    ("drbd-ha", "drbd-hactl"),
    ("drbd-qemu", "drbd-agent"),
];

/// Names under which a program is something else: the handlers for Pacemaker are its agent's program.
const OTHER_NAMES: [(&str, &str); 2] = [
    ("drbd-crm-fence-peer", "drbd-ocf"),
    ("drbd-crm-unfence-peer", "drbd-ocf"),
];

/// Debian 13 has this one; a program that wants a newer one does not start there.
const GLIBC_MAX: (u32, u32) = (2, 41);

/// Compiles the programs and puts them into `dist`.
///
/// # Errors
///
/// When one does not compile, or needs a newer C library than Debian 13 has.
pub fn build(dist: &Path) -> Result<()> {
    let mut command = workspace::cargo();
    command.args([
        "build",
        "--release",
        "--message-format=json-render-diagnostics",
    ]);
    if !std::io::IsTerminal::is_terminal(&std::io::stderr()) {
        command.arg("--quiet");
    }
    for (package, program) in PROGRAMS {
        command.args(["--package", package, "--bin", program]);
    }
    let built = compiled(command, "the tools")?;
    for (_, program) in PROGRAMS {
        let from = place_of(&built, program)?;
        check_libc(from)?;
        install(from, &dist.join(program))?;
    }
    for (name, program) in OTHER_NAMES {
        link(program, &dist.join(name))?;
    }
    pages(dist)
}

/// Makes `name` another name of `program` beside it.
fn link(program: &str, name: &Path) -> Result<()> {
    if std::fs::read_link(name).is_ok_and(|there| there == Path::new(program)) {
        return Ok(());
    }
    // What is not there need not be removed.
    let _ = std::fs::remove_file(name);
    std::os::unix::fs::symlink(program, name)
        .with_context(|| format!("cannot make {}", name.display()))
}

/// Those that have manual pages and completions.
const WITH_PAGES: [&str; 5] = ["drbdadm", "drbdsetup", "drbdmeta", "drbd-had", "drbd-hactl"];

/// Shells that there are completions for, and how each names its files.
const SHELLS: [(&str, &str, &str); 3] = [("bash", "", ""), ("zsh", "_", ""), ("fish", "", ".fish")];

/// Has the tools write their manual pages and completions.
fn pages(dist: &Path) -> Result<()> {
    let run = |program: &str, args: &[&str]| -> Result<Vec<u8>> {
        let output = Command::new(dist.join(program)).args(args).output();
        let output = output.with_context(|| format!("cannot start {program}"))?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            let what = format!("{program} {} failed", args.join(" "));
            return Err(Problem::new(what, why, "").into());
        }
        Ok(output.stdout)
    };
    let man = dist.join("man");
    for program in WITH_PAGES {
        run(program, &["man-pages", &man.to_string_lossy()])?;
        for (shell, before, behind) in SHELLS {
            let directory = dist.join("completions").join(shell);
            std::fs::create_dir_all(&directory)
                .with_context(|| format!("cannot make {}", directory.display()))?;
            let text = run(program, &["completion", shell])?;
            let file = directory.join(format!("{before}{program}{behind}"));
            std::fs::write(&file, text)
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
    }
    Ok(())
}

/// An executable that cargo made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Executable {
    /// Name of the program or of the test, as its manifest gives it.
    target: String,
    path: PathBuf,
}

/// Runs a cargo that is asked for messages in JSON, and gives the executables that it made. `what` names them for the
/// reader of an error. They come in whatever order their compilers ended, and with a test come its package's programs.
pub(crate) fn compiled(mut command: Command, what: &str) -> Result<Vec<Executable>> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        let why = "the compiler's messages are above";
        return Err(Problem::new(format!("{what} do not compile"), why, "").into());
    }
    Ok(executables(&String::from_utf8_lossy(&output.stdout)))
}

/// Where the executable of `target` is.
pub(crate) fn place_of<'a>(built: &'a [Executable], target: &str) -> Result<&'a Path> {
    let found = built.iter().find(|executable| executable.target == target);
    let found = found.with_context(|| format!("cargo did not say where it put {target}"))?;
    Ok(&found.path)
}

/// The executables in cargo's messages.
fn executables(messages: &str) -> Vec<Executable> {
    let executable = |message: serde_json::Value| {
        Some(Executable {
            target: message.pointer("/target/name")?.as_str()?.to_owned(),
            path: message.get("executable")?.as_str()?.into(),
        })
    };
    messages
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter_map(executable)
        .collect()
}

fn check_libc(program: &Path) -> Result<()> {
    let content =
        std::fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    match newest_glibc(&content) {
        Some(wanted) if wanted > GLIBC_MAX => Err(Problem::new(
            format!("{} does not run on Debian 13", program.display()),
            format!(
                "it needs glibc {}.{}, Debian 13 has {}.{}",
                wanted.0, wanted.1, GLIBC_MAX.0, GLIBC_MAX.1
            ),
            "build on Debian 13 or older",
        )
        .into()),
        _ => Ok(()),
    }
}

/// The newest symbol version `GLIBC_a.b` that a program names.
pub(crate) fn newest_glibc(content: &[u8]) -> Option<(u32, u32)> {
    const MARK: &[u8] = b"GLIBC_";
    content
        .windows(MARK.len() + 5)
        .filter_map(|window| window.strip_prefix(MARK))
        .filter_map(|version| {
            let text: String = version
                .iter()
                .map(|byte| char::from(*byte))
                .take_while(|byte| byte.is_ascii_digit() || *byte == '.')
                .collect();
            let (major, minor) = text.split_once('.')?;
            let minor = minor.split('.').next()?;
            Some((major.parse().ok()?, minor.parse().ok()?))
        })
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_each_executable_in_any_order() {
        let message = |target: &str, path: &str| {
            format!("{{\"reason\":\"compiler-artifact\",\"target\":{{\"name\":\"{target}\"}},\"executable\":{path}}}")
        };
        let messages = [
            message("clap", "null"),
            message("bench", "\"/t/release/bench\""),
            message("scenarios", "\"/t/release/deps/scenarios-1\""),
            "no json".to_owned(),
        ];
        for order in [[0, 1, 2, 3], [3, 2, 1, 0]] {
            let built = executables(&order.map(|at| messages[at].clone()).join("\n"));
            let place = |target| place_of(&built, target);
            assert_eq!(built.len(), 2);
            assert_eq!(
                place("scenarios").unwrap(),
                Path::new("/t/release/deps/scenarios-1")
            );
            assert_eq!(place("bench").unwrap(), Path::new("/t/release/bench"));
            assert!(place("demo").unwrap_err().to_string().contains("demo"));
        }
    }

    #[test]
    fn finds_the_newest_symbol_version() {
        let content = b"\0GLIBC_2.2.5\0\0GLIBC_2.34\0GLIBC_2.3\0GLIBC_PRIVATE\0..........";
        assert_eq!(newest_glibc(content), Some((2, 34)));
        assert_eq!(newest_glibc(b"static"), None);
    }

    #[test]
    fn another_name_leads_to_the_program() {
        let dir = tempfile::tempdir().unwrap();
        let name = dir.path().join("handler");
        std::fs::write(&name, "old").unwrap();
        std::fs::write(dir.path().join("agent"), "new").unwrap();
        for _ in 0..2 {
            link("agent", &name).unwrap();
            assert_eq!(std::fs::read_to_string(&name).unwrap(), "new");
        }
    }

    #[test]
    fn refuses_a_too_new_c_library() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("tool");
        std::fs::write(&program, b"\0GLIBC_2.99\0.....").unwrap();
        assert!(check_libc(&program)
            .unwrap_err()
            .to_string()
            .contains("2.99"));
        std::fs::write(&program, b"\0GLIBC_2.41\0.....").unwrap();
        check_libc(&program).unwrap();
    }
}
