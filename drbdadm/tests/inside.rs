// SPDX-License-Identifier: GPL-2.0-or-later
//! Calls of the programs installed beside drbdadm are carried out without a
//! process for each; everything else is started as ever.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A folder with drbdadm, a drbdmeta beside it that notes its calls, and disks.
struct Installed {
    folder: tempfile::TempDir,
}

impl Installed {
    /// `mark` is what the drbdmeta holds.
    fn new(mark: &str) -> Installed {
        let folder = tempfile::tempdir().unwrap();
        let installed = Installed { folder };
        std::fs::create_dir(installed.path("bin")).unwrap();
        std::fs::copy(env!("CARGO_BIN_EXE_drbdadm"), installed.path("bin/drbdadm")).unwrap();
        installed.program("bin/drbdmeta", mark);
        let mut config = "global { usage-count no; cmd-timeout-long 2; }\n".to_owned();
        for (name, minor) in [("r0", 9941), ("r1", 9942)] {
            let disk = installed.path(name);
            std::fs::File::create(&disk)
                .unwrap()
                .set_len(1 << 20)
                .unwrap();
            let line = format!(
                "--force --quiet -- - v09 {} internal create-md 1",
                disk.display()
            );
            let words = line.split(' ').filter(|word| *word != "--");
            assert_eq!(drbdmeta::main(words.map(Into::into)), 0);
            config.push_str(&format!(
                "resource {name} {{ device minor {minor}; disk {}; meta-disk internal;
                 on alpha {{ address 10.1.1.31:{minor}; }} on bravo {{ address 10.1.1.32:{minor}; }} }}\n",
                disk.display()
            ));
        }
        std::fs::write(installed.path("drbd.conf"), config).unwrap();
        installed
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A program that notes its arguments and succeeds.
    fn program(&self, name: &str, mark: &str) {
        let path = self.path(name);
        let text = format!(
            "#!/bin/sh\n# {mark}\necho \"{name} $*\" >>{}\necho started\n",
            self.path("log").display()
        );
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// `drbdadm ARGS` on files as disks.
    fn command(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .arg("-c")
            .arg(self.path("drbd.conf"))
            .arg("-W--force")
            .arg(format!("-W--lock-dir={}", self.folder.path().display()))
            .arg(format!("-W--var-lib-drbd={}", self.folder.path().display()))
            .args(args)
            .env("__DRBD_NODE__", "alpha")
            .env("DRBD_DRIVER_VERSION_OVERRIDE", "9.90.0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, args: &[&str]) -> (String, String, i32) {
        let output = self.command(&self.path("bin/drbdadm"), args).output();
        told(&output.unwrap())
    }
}

fn told(output: &Output) -> (String, String, i32) {
    (
        String::from_utf8(output.stdout.clone()).unwrap(),
        String::from_utf8(output.stderr.clone()).unwrap(),
        output.status.code().unwrap(),
    )
}

#[test]
fn the_program_beside_is_not_started() {
    let installed = Installed::new(drbdmeta::MARK);
    let (out, err, status) = installed.run(&["dump-md", "all"]);
    assert_eq!(status, 0, "{err}");
    assert_eq!(out.matches("la-size-sect").count(), 2, "{out}");
    assert_eq!(installed.log(), "");
}

#[test]
fn what_a_call_says_and_how_it_ends_is_the_same() {
    let installed = Installed::new(drbdmeta::MARK);
    std::fs::write(installed.path("r0"), vec![0; 1 << 20]).unwrap();
    let (out, err, status) = installed.run(&["dump-md", "r0"]);
    let mut arguments = vec![
        "--force".to_owned(),
        format!("--lock-dir={}", installed.folder.path().display()),
    ];
    let disk = installed.path("r0").display().to_string();
    arguments.extend(["9941", "v09", &disk, "internal", "dump-md"].map(str::to_owned));
    let expected = drbdmeta::main(arguments.into_iter().map(Into::into));
    assert_eq!((out.as_str(), status), ("", i32::from(expected)));
    assert!(expected > 0);
    assert!(err.contains("error: "), "{err}");
    // A program whose call may be answered by another is not heard.
    let (_, err, _) = installed.run(&["--json", "get-gi", "r0"]);
    assert!(!err.contains("error: "), "{err}");
}

#[test]
fn another_program_beside_is_started() {
    let installed = Installed::new("drbdmeta of somebody else");
    let (out, err, status) = installed.run(&["dump-md", "r0"]);
    assert_eq!((out.as_str(), status), ("started\n", 0), "{err}");
    assert!(installed.log().starts_with("bin/drbdmeta 9941 v09 "));
}

#[test]
fn a_program_that_was_named_is_started() {
    let installed = Installed::new(drbdmeta::MARK);
    let named = installed.path("bin/drbdmeta").display().to_string();
    let (out, err, _) = installed.run(&["-m", &named, "dump-md", "r0"]);
    assert_eq!(out, "started\n", "{err}");
}

#[test]
fn one_that_comes_first_in_the_search_path_is_started() {
    let installed = Installed::new(drbdmeta::MARK);
    std::fs::create_dir(installed.path("first")).unwrap();
    installed.program("first/drbdmeta", drbdmeta::MARK);
    let bin = installed.path("bin").display().to_string();
    let run = |path: String| {
        let mut command = installed.command(Path::new("drbdadm"), &["dump-md", "r0"]);
        told(&command.env("PATH", path).output().unwrap())
    };
    let first = installed.path("first").display().to_string();
    let (out, err, _) = run(format!("{first}:{bin}:/usr/bin:/bin"));
    assert_eq!(out, "started\n", "{err}");
    let (out, err, _) = run(format!("{bin}:{first}:/usr/bin:/bin"));
    assert!(out.contains("la-size-sect"), "{out}{err}");
}

/// A run whose call waits for a writer that does not come.
fn hanging(installed: &Installed) -> Child {
    let fifo = installed.path("drbd-minor-9941.lkbd");
    assert!(Command::new("mkfifo").arg(fifo).status().unwrap().success());
    installed
        .command(&installed.path("bin/drbdadm"), &["dump-superblock", "r0"])
        .spawn()
        .unwrap()
}

/// The worker of a run, once it has one.
fn worker(drbdadm: &Child) -> String {
    let list = format!("/proc/{0}/task/{0}/children", drbdadm.id());
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        let children = std::fs::read_to_string(&list).unwrap_or_default();
        if let [only] = children.split_whitespace().collect::<Vec<_>>()[..] {
            return only.to_owned();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("no worker");
}

/// Whether a process ends.
fn ends(pid: &str) -> bool {
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if state.is_empty() || state.contains(") Z ") {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

#[test]
fn a_call_that_hangs_is_given_up_and_keeps_nobody() {
    let installed = Installed::new(drbdmeta::MARK);
    let mut drbdadm = hanging(&installed);
    let worker = worker(&drbdadm);
    let status = drbdadm.wait().unwrap();
    assert_eq!(status.code(), Some(20));
    // What hangs goes on hanging, and has nothing more to do when it is let go.
    assert!(Path::new(&format!("/proc/{worker}/stat")).exists());
    let fifo = std::fs::OpenOptions::new();
    drop(
        fifo.clone()
            .write(true)
            .open(installed.path("drbd-minor-9941.lkbd")),
    );
    assert!(ends(&worker), "{worker}");
    let (_, err, _) = told(&drbdadm.wait_with_output().unwrap());
    assert!(err.contains("dump-superblock"), "{err}");
    assert!(err.contains("did not terminate within 2 seconds"), "{err}");
    assert_eq!(installed.log(), "");
}

#[test]
fn a_worker_that_is_killed_is_told_like_a_program() {
    let installed = Installed::new(drbdmeta::MARK);
    let drbdadm = hanging(&installed);
    let worker = worker(&drbdadm);
    let killed = Command::new("kill").args(["-9", &worker]).status();
    assert!(killed.unwrap().success());
    let (_, err, status) = told(&drbdadm.wait_with_output().unwrap());
    assert_eq!(status, 20);
    assert!(err.contains("was killed by signal 9"), "{err}");
}

#[test]
fn the_worker_is_no_command() {
    let output = Command::new(env!("CARGO_BIN_EXE_drbdadm"))
        .arg("--carry-out-calls")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (_, err, status) = told(&output);
    assert_eq!(status, 1);
    assert!(err.contains("--carry-out-calls is what drbdadm starts itself with"));
}
