// SPDX-License-Identifier: GPL-2.0-or-later
//! A handler's words: to the system's log, or the kernel's where there is none.

use std::io::Write;

use nix::syslog::{openlog, syslog, Facility, LogFlags, Priority, Severity};

/// Where words go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Log {
    facility: Facility,
}

impl Default for Log {
    fn default() -> Self {
        Log {
            facility: Facility::LOG_LOCAL5,
        }
    }
}

fn facility(name: &str) -> Option<Facility> {
    Some(match name {
        "auth" => Facility::LOG_AUTH,
        "daemon" => Facility::LOG_DAEMON,
        "kern" => Facility::LOG_KERN,
        "lpr" => Facility::LOG_LPR,
        "mail" => Facility::LOG_MAIL,
        "news" => Facility::LOG_NEWS,
        "syslog" => Facility::LOG_SYSLOG,
        "user" => Facility::LOG_USER,
        "uucp" => Facility::LOG_UUCP,
        "local0" => Facility::LOG_LOCAL0,
        "local1" => Facility::LOG_LOCAL1,
        "local2" => Facility::LOG_LOCAL2,
        "local3" => Facility::LOG_LOCAL3,
        "local4" => Facility::LOG_LOCAL4,
        "local5" => Facility::LOG_LOCAL5,
        "local6" => Facility::LOG_LOCAL6,
        "local7" => Facility::LOG_LOCAL7,
        _ => return None,
    })
}

impl Log {
    /// To that facility; the default's if there is none of that name.
    pub(crate) fn of_facility(name: &str) -> Self {
        let found = facility(name);
        let log = found.map_or_else(Log::default, |facility| Log { facility });
        if found.is_none() {
            log.warning(&format!("there is no log facility {name}"));
        }
        log
    }

    /// Something that is as it should be.
    pub(crate) fn info(&self, text: &str) {
        self.say(Severity::LOG_INFO, text);
    }

    /// Something that somebody should look at.
    pub(crate) fn warning(&self, text: &str) {
        self.say(Severity::LOG_WARNING, text);
    }

    fn say(&self, severity: Severity, text: &str) {
        if std::path::Path::new("/dev/log").exists() {
            let priority = Priority::new(severity, self.facility);
            let _ = openlog(
                Some(c"drbd-crm-fence-peer"),
                LogFlags::LOG_PID,
                self.facility,
            );
            let _ = syslog(priority, text);
        } else if let Ok(mut kernel) = std::fs::File::options().write(true).open("/dev/kmsg") {
            let _ = tell_kernel(&mut kernel, severity, text);
        }
        // Somebody may be trying it at a terminal.
        let _ = writeln!(std::io::stderr(), "{text}");
    }
}

/// Each write is a record of the kernel's log, which has its severity in front: so it has to be one.
fn tell_kernel(kernel: &mut impl Write, severity: Severity, text: &str) -> std::io::Result<()> {
    let record = format!("<{}>drbd-crm-fence-peer: {text}\n", severity as u8);
    kernel.write_all(record.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was written, write by write.
    #[derive(Default)]
    struct Records(Vec<String>);

    impl Write for Records {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.push(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_the_kernel_is_told_is_one_record() {
        let mut records = Records::default();
        tell_kernel(&mut records, Severity::LOG_WARNING, "not fenced").unwrap();
        assert_eq!(records.0, ["<4>drbd-crm-fence-peer: not fenced\n"]);
    }

    #[test]
    fn facilities_have_the_names_that_people_know() {
        assert_eq!(facility("local5"), Some(Facility::LOG_LOCAL5));
        assert_eq!(facility("daemon"), Some(Facility::LOG_DAEMON));
        assert_eq!(facility("loud"), None);
    }
}
