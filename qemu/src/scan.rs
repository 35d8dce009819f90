// SPDX-License-Identifier: GPL-2.0-or-later
//! Finding kernel errors in a console.

/// Words that begin a report of the kernel about itself. Those that end or
/// begin with a letter count only as whole words.
const ALARMS: [&str; 29] = [
    "BUG:",
    "BUG ",
    "kernel BUG at",
    "WARNING:",
    "Oops",
    "KFENCE:",
    "KASAN:",
    "UBSAN:",
    "KCSAN:",
    "blocked for more than",
    "Call Trace:",
    "general protection",
    "refcount_t",
    "Kernel panic",
    "panicked at",
    "list_add corruption",
    "list_del corruption",
    "Unable to handle",
    "unable to handle",
    "stack segment",
    "double fault",
    "soft lockup",
    "hard LOCKUP",
    "detected stall",
    "self-detected stall",
    "Out of memory:",
    "page allocation failure",
    "unregister_netdevice: waiting",
    "INFO: possible",
];

/// Lines of context kept with a report.
const REPORT_LINES: usize = 60;

/// A report further down than this many lines is another one.
const GAP_LINES: usize = 12;

/// A report that is known and let pass.
#[derive(Clone, Debug)]
pub struct Known {
    /// Name for the reader.
    pub name: String,
    /// All of these must stand in the report.
    pub marks: Vec<String>,
}

impl Known {
    /// A known report with the given marks.
    #[must_use]
    pub fn new(name: &str, marks: &[&str]) -> Known {
        let marks = marks.iter().map(|mark| (*mark).to_owned()).collect();
        Known {
            name: name.to_owned(),
            marks,
        }
    }

    fn covers(&self, report: &str) -> bool {
        self.marks.iter().all(|mark| report.contains(mark))
    }
}

/// What the distribution's driver 8.4.11 is known to report.
#[must_use]
pub fn known_of_stock() -> Vec<Known> {
    vec![
        // It writes metadata, and so sleeps, inside an RCU read side when a
        // primary's I/O is resumed after a fence-peer handler's success.
        Known::new(
            "sleep in RCU after fence-peer",
            &["rcu_note_context_switch", "drbd_w_"],
        ),
        Known::new(
            "sleep in RCU after fence-peer",
            &["Voluntary context switch within RCU", "drbd_w_"],
        ),
    ]
}

/// The reports in `text` that none of `known` covers, each with what follows it.
#[must_use]
pub fn reports(text: &str, known: &[Known]) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        if !is_alarm(line) {
            at += 1;
            continue;
        }
        let end = end_of_report(&lines, at);
        let report = lines.get(at..end).unwrap_or_default().join("\n");
        if !known.iter().any(|known| known.covers(&report)) {
            found.push(report);
        }
        at = end;
    }
    found
}

/// A report goes on while there are alarms in it, up to its end mark.
fn end_of_report(lines: &[&str], start: usize) -> usize {
    let mut last_alarm = start;
    for (at, line) in lines.iter().enumerate().skip(start) {
        if line.contains("---[ end trace") || line.contains("---[ end Kernel panic") {
            return at + 1;
        }
        if at > start && line.contains("------------[ cut here ]") {
            return at;
        }
        if is_alarm(line) || line.contains("</TASK>") || is_register_dump(line) {
            last_alarm = at;
        }
        // In a trace the lines between the alarms begin with a space or a
        // register's name; the distance alone is good enough.
        if at - last_alarm > GAP_LINES.max(if in_trace(lines, last_alarm) { 40 } else { 0 })
            || at - start > REPORT_LINES
        {
            return at;
        }
    }
    lines.len()
}

/// A line of the registers, which stand between what is wrong and where it happened.
fn is_register_dump(line: &str) -> bool {
    ["RIP: ", "RSP: ", "CS:  ", "CR2: "]
        .iter()
        .any(|register| line.contains(register))
}

fn in_trace(lines: &[&str], at: usize) -> bool {
    lines
        .get(at)
        .is_some_and(|line| line.contains("Call Trace:"))
}

/// Whether the line is one a healthy kernel does not say.
fn is_alarm(line: &str) -> bool {
    if line.contains("Kernel command line:") || line.contains("Command line:") {
        return false;
    }
    ALARMS.iter().any(|alarm| {
        line.match_indices(alarm).any(|(at, _)| {
            let before = line.get(..at).and_then(|text| text.chars().next_back());
            let after = line
                .get(at + alarm.len()..)
                .and_then(|text| text.chars().next());
            let joins = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
            let word_end = alarm.chars().next_back().is_some_and(char::is_alphanumeric);
            !(joins(before) || word_end && joins(after))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_healthy_console_has_no_report() {
        let text = "[    0.0] Command line: panic_on_warn=1 WARNING: BUG: Oops\n\
            [    1.0] DEBUG: nothing\n[    1.1] drbd: registered\n[   2.0] Oopsie daisy\n";
        assert_eq!(reports(text, &[]), Vec::<String>::new());
    }

    #[test]
    fn each_alarm_is_one_report() {
        for alarm in ALARMS {
            let text = format!("[ 1.0] before\n[ 2.0] {alarm} and so on\n[ 3.0] after\n");
            let found = reports(&text, &[]);
            assert_eq!(found.len(), 1, "{alarm}");
            assert!(found
                .iter()
                .all(|report| report.starts_with(&format!("[ 2.0] {alarm}"))));
        }
    }

    const SLEEP: &str = "[9.0] ------------[ cut here ]------------\n\
        [9.0] WARNING: kernel/rcu/tree_plugin.h:332 at rcu_note_context_switch+0x5/0x6, CPU#1: drbd_w_r0/1\n\
        [9.0] Call Trace:\n[9.0]  <TASK>\n[9.0]  drbd_md_sync+0x1/0x2 [drbd]\n[9.0]  </TASK>\n\
        [9.0] ---[ end trace 0000000000000000 ]---\n";

    #[test]
    fn what_is_known_of_stock_passes_there_only() {
        assert_eq!(reports(SLEEP, &known_of_stock()).len(), 0);
        assert_eq!(reports(SLEEP, &[]).len(), 1);
    }

    #[test]
    fn registers_do_not_end_a_report() {
        let text = "[9.0] Voluntary context switch within RCU read-side critical section!\n\
            [9.0] WARNING: kernel/rcu/tree_plugin.h:332 at rcu_note_context_switch+0x5/0x6, CPU#0: drbd_w_r0/179\n\
            [9.1] Modules linked in: drbd lru_cache erofs overlay\n[9.1] CPU: 0 UID: 0 PID: 179 Comm: drbd_w_r0\n\
            [9.2] Hardware name: QEMU\n[9.2] RIP: 0010:rcu_note_context_switch+0x375/0x590\n[9.2] Code: 48 ff\n\
            [9.2] RSP: 0018:1 EFLAGS: 2\n[9.2] RAX: 1\n[9.2] RDX: 0\n[9.2] RBP: f\n[9.2] R10: 0\n[9.2] R13: 0\n\
            [9.2] FS:  0\n[9.2] CS:  0010 DS: 0000\n[9.2] CR2: 7 CR3: 1 CR4: 6\n[9.3] Call Trace:\n[9.3]  <TASK>\n\
            [9.3]  drbd_md_sync+0x6c/0x160 [drbd]\n[9.3]  </TASK>\n[9.3] ---[ end trace 0000000000000000 ]---\n";
        assert_eq!(reports(text, &known_of_stock()).len(), 0);
        assert_eq!(reports(text, &[]).len(), 1);
    }

    #[test]
    fn a_known_report_does_not_hide_the_next() {
        let text = format!("{SLEEP}[9.1] BUG: kernel NULL pointer dereference, address: 0\n");
        let found = reports(&text, &known_of_stock());
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("NULL pointer"));
    }
}
