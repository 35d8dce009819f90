// SPDX-License-Identifier: GPL-2.0-or-later
//! An image file with metadata, and the program run on it.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "each test binary uses a part of it"
)]

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// What a run printed and how it ended.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// Checks the exit code.
    #[track_caller]
    pub fn code(self, code: i32) -> Run {
        assert_eq!(self.code, code, "{self:?}");
        self
    }

    /// Checks that it failed with three lines: what, why, what next.
    #[track_caller]
    pub fn refused(self, code: i32, what: &str) -> Run {
        let lines: Vec<&str> = self.stderr.lines().collect();
        let at = lines
            .iter()
            .position(|line| line.starts_with("error: "))
            .unwrap_or_else(|| panic!("{self:?}"));
        assert!(lines[at].contains(what), "{self:?}");
        assert_eq!(lines.len(), at + 3, "{self:?}");
        assert!(
            lines[at + 1..]
                .iter()
                .all(|line| line.starts_with("  ") && line.len() > 2),
            "{self:?}"
        );
        self.code(code)
    }
}

/// A sparse file in its own directory.
pub struct Image {
    dir: TempDir,
}

impl Image {
    pub fn new(bytes: u64) -> Image {
        let image = Image {
            dir: tempfile::tempdir().unwrap(),
        };
        File::create(image.path()).unwrap().set_len(bytes).unwrap();
        image
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn file(&self) -> File {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.path())
            .unwrap()
    }

    pub fn resize(&self, bytes: u64) {
        self.file().set_len(bytes).unwrap();
    }

    pub fn write(&self, offset: u64, bytes: &[u8]) {
        self.file().write_all_at(bytes, offset).unwrap();
    }

    pub fn read(&self, offset: u64, bytes: usize) -> Vec<u8> {
        let mut buffer = vec![0; bytes];
        self.file().read_exact_at(&mut buffer, offset).unwrap();
        buffer
    }

    /// Runs `drbdmeta MINOR FORMAT FILE ARGS...`, answering no question.
    pub fn run(&self, minor: &str, format: &str, args: &str) -> Run {
        self.run_with(minor, format, args, "")
    }

    /// The same with --force, which a regular file needs.
    pub fn force(&self, format: &str, args: &str) -> Run {
        self.run("0", format, &format!("{args} --force"))
    }

    /// Runs with text on standard input.
    pub fn run_with(&self, minor: &str, format: &str, args: &str, input: &str) -> Run {
        let mut child = Command::new(env!("CARGO_BIN_EXE_drbdmeta"))
            .args([minor, format])
            .arg(self.path())
            .args(args.split_whitespace())
            .arg("--lock-dir")
            .arg(self.dir())
            .arg("--var-lib-drbd")
            .arg(self.dir().join("lib"))
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        use std::io::Write as _;
        // A program that refuses before it reads closes the pipe.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        Run {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}
