// SPDX-License-Identifier: GPL-2.0-or-later
//! Real runs, with scripts in the place of drbdsetup and drbdmeta: what is
//! called, what statuses become, what a failure leaves undone.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

const CONFIG: &str = "\
global { usage-count no; disable-ip-verification; cmd-timeout-short 1; }
resource r0 {
  device minor 1; disk /nonexistent/a; meta-disk internal;
  on alpha { address 10.1.1.31:7789; } on bravo { address 10.1.1.32:7789; }
}
resource r1 {
  device minor 2; disk /nonexistent/b; meta-disk internal;
  on alpha { address 10.1.1.31:7790; } on bravo { address 10.1.1.32:7790; }
}
";

struct Run {
    calls: Vec<String>,
    stdout: String,
    stderr: String,
    status: i32,
}

/// Runs drbdadm; `script` is the body of both helpers, in which `$all` is the
/// call. Every call is noted.
fn run(case: &str, script: &str, args: &[&str]) -> Run {
    let directory: PathBuf =
        std::env::temp_dir().join(format!("execute-{}-{case}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let config = directory.join("drbd.conf");
    std::fs::write(&config, CONFIG).unwrap();
    let log = directory.join("log");
    for name in ["drbdsetup", "drbdmeta"] {
        let path = directory.join(name);
        let text = format!(
            "#!/bin/sh\nall=\"{name} $*\"\necho \"$all\" >>{}\n{script}\n",
            log.display()
        );
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let output = Command::new(env!("CARGO_BIN_EXE_drbdadm"))
        .arg("-s")
        .arg(directory.join("drbdsetup"))
        .arg("-m")
        .arg(directory.join("drbdmeta"))
        .arg("-c")
        .arg(&config)
        .args(args)
        .env("__DRBD_NODE__", "alpha")
        .env("DRBD_DRIVER_VERSION_OVERRIDE", "9.90.0")
        .env("DRBDADM_RUN_DIRECTORY", directory.join("run"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let calls = std::fs::read_to_string(&log).unwrap_or_default();
    std::fs::remove_dir_all(&directory).unwrap();
    Run {
        calls: calls.lines().map(str::to_owned).collect(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        status: output.status.code().unwrap(),
    }
}

#[test]
fn up_calls_everything_in_order() {
    let run = run("up", "exit 0", &["up", "r0"]);
    let names: Vec<&str> = run
        .calls
        .iter()
        .map(|call| {
            let words: Vec<&str> = call.split(' ').collect();
            match words[0] {
                "drbdmeta" => *words.last().unwrap(),
                _ => words[1],
            }
        })
        .collect();
    assert_eq!(
        names,
        [
            "new-resource",
            "new-minor",
            "new-peer",
            "new-path",
            "repair-md",
            "apply-al",
            "attach",
            "connect"
        ]
    );
    assert_eq!((run.status, run.stdout.as_str()), (0, ""));
}

#[test]
fn a_failed_stage_is_the_last_one() {
    let script = "case $all in *'new-minor r0'*) exit 10;; esac; exit 0";
    let run = run("up-fails", script, &["up", "all"]);
    assert_eq!(run.status, 1);
    assert_eq!(
        run.calls,
        [
            "drbdsetup new-resource r0 0",
            "drbdsetup new-resource r1 0",
            "drbdsetup new-minor r0 1 0",
            "drbdsetup new-minor r1 2 0",
        ]
    );
    assert!(
        run.stderr.contains("terminated with exit code 10"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_metadata_tool_that_cannot_repair_is_no_obstacle() {
    let script = "case $all in *repair-md) echo usage; exit 20;; esac; exit 0";
    let run = run("repair", script, &["attach", "r0"]);
    assert_eq!(run.status, 0);
    assert_eq!(run.calls.len(), 3);
    assert_eq!(
        (run.stdout.as_str(), run.stderr.contains("usage")),
        ("", false)
    );
}

#[test]
fn a_disk_whose_log_cannot_be_applied_is_not_attached() {
    let script = "case $all in *apply-al) exit 1;; esac; exit 0";
    let run = run("apply", script, &["attach", "r0"]);
    assert_eq!(run.status, 1);
    assert!(!run.calls.iter().any(|call| call.contains("attach")));
}

#[test]
fn statuses_pass_through_and_the_worst_counts() {
    let script = "case $all in *'primary r0') exit 17;; esac; exit 0";
    let run = run("primary", script, &["primary", "all"]);
    assert_eq!(run.status, 17);
    assert_eq!(run.calls, ["drbdsetup primary r0", "drbdsetup primary r1"]);
}

#[test]
fn status_20_ends_the_run() {
    let run = run("fatal", "exit 20", &["primary", "all"]);
    assert_eq!(run.status, 20);
    assert_eq!(run.calls, ["drbdsetup primary r0"]);
}

#[test]
fn a_call_that_hangs_is_given_up() {
    // It must not keep the pipes of this test open.
    let script = "exec >/dev/null 2>&1 </dev/null; sleep 3";
    let run = run("hang", script, &["role", "r0"]);
    assert_eq!(run.status, 20);
    assert!(
        run.stderr.contains("did not terminate within 1 seconds"),
        "{}",
        run.stderr
    );
}

#[test]
fn the_disk_is_asked_if_the_kernel_cannot_answer() {
    let script = "case $all in drbdsetup*) echo no >&2; exit 10;; *) echo UpToDate;; esac";
    let asked = run("dstate", script, &["dstate", "r0"]);
    assert_eq!((asked.status, asked.stdout.as_str()), (0, "UpToDate\n"));
    assert_eq!(asked.calls.len(), 2);
    let answered = run("dstate-kernel", "echo UpToDate", &["dstate", "r0"]);
    assert_eq!(answered.calls, ["drbdsetup dstate 1"]);
}

/// The driver's reason is told, and not what drbdmeta says of an attached disk.
#[test]
fn a_refused_outdate_says_why() {
    let script = r#"case "$all" in
        drbdsetup*) echo "1: State change failed: (-6) Refusing to be Outdated while Connected" >&2; exit 11;;
        *) echo "is attached" >&2; exit 20;;
    esac"#;
    let refused = run("outdate-11", script, &["outdate", "r0"]);
    assert_eq!(refused.status, 11);
    assert!(
        refused.stderr.contains("(-6) Refusing"),
        "{}",
        refused.stderr
    );
    assert!(!refused
        .calls
        .iter()
        .any(|call| call.starts_with("drbdmeta")));
}

#[test]
fn outdate_translates_statuses() {
    let primary = run("outdate-17", "exit 17", &["outdate", "r0"]);
    assert_eq!((primary.status, primary.calls.len()), (17, 1));
    let worse = "case $all in drbdsetup*) exit 5;; *) exit 1;; esac";
    assert_eq!(run("outdate-5", worse, &["outdate", "r0"]).status, 5);
    let offline = "case $all in drbdsetup*) exit 10;; *) exit 0;; esac";
    assert_eq!(run("outdate-off", offline, &["outdate", "r0"]).status, 0);
}

#[test]
fn create_md_names_a_device_that_has_no_name() {
    let script = "case $all in *read-dev-uuid) echo 0000000000000000;; esac; exit 0";
    let named = run("create", script, &["create-md", "--force=yes", "r0"]);
    assert_eq!(named.status, 0);
    assert_eq!(
        named.calls[0],
        "drbdmeta 1 v09 /nonexistent/a internal create-md 1 --force"
    );
    let uuid = named.calls[2].rsplit(' ').next().unwrap();
    assert!(u64::from_str_radix(uuid, 16).unwrap() > 0, "{uuid}");
    let refused = run("create-no", "exit 40", &["create-md", "all"]);
    assert_eq!((refused.status, refused.calls.len()), (40, 1));
}

#[test]
fn status_without_a_resource_is_one_call() {
    let run = run("status", "exit 0", &["status", "--json"]);
    assert_eq!(run.calls, ["drbdsetup status --json"]);
}

#[test]
fn an_unknown_resource_changes_nothing() {
    let run = run("unknown", "exit 0", &["up", "r0", "r9"]);
    assert_eq!(run.status, 1);
    assert!(run.calls.is_empty());
    assert!(run
        .stderr
        .contains("'r9' not defined in your config (for this host)."));
    assert!(run.stderr.contains("r0, r1"));
}

#[test]
fn a_tool_that_is_not_there_is_named() {
    let run = run(
        "missing",
        "exit 0",
        &["-s", "/nonexistent/drbdsetup", "role", "r0"],
    );
    assert_eq!(run.status, 20);
    assert!(
        run.stderr.contains("/nonexistent/drbdsetup"),
        "{}",
        run.stderr
    );
}

#[test]
fn the_kernel_finds_the_handlers_of_a_file_in_any_place() {
    let directory = std::env::temp_dir().join(format!("execute-{}-handler", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let config = directory.join("elsewhere.conf");
    let handlers = "resource r0 { handlers { fence-peer \"echo fencing $DRBD_RESOURCE $DRBD_MINOR; exit 7\"; }";
    std::fs::write(&config, CONFIG.replace("resource r0 {", handlers)).unwrap();
    let drbdadm = |args: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_drbdadm"))
            .args(["-s", "/bin/true", "-m", "/bin/true"])
            .args(args)
            .env("__DRBD_NODE__", "alpha")
            .env("DRBD_DRIVER_VERSION_OVERRIDE", "9.90.0")
            .env("DRBDADM_RUN_DIRECTORY", directory.join("run"))
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let up = drbdadm(&["-c", &config.to_string_lossy(), "up", "all"]);
    assert_eq!(up.status.code(), Some(0));
    let fence = drbdadm(&["fence-peer", "r0"]);
    assert_eq!(String::from_utf8(fence.stdout).unwrap(), "fencing r0 1\n");
    assert_eq!(fence.status.code(), Some(7));
    // A handler nobody configured has done its work.
    let other = drbdadm(&["split-brain", "minor-2"]);
    assert_eq!(other.status.code(), Some(0));
    std::fs::remove_dir_all(&directory).unwrap();
}
