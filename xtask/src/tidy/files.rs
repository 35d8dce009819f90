// SPDX-License-Identifier: GPL-2.0-or-later
//! Rules about a file as a whole: its licence line, its length, no mirror's name.

use std::path::Path;

use super::{Finding, Sources};

/// A longer file wants to be two.
const LINES_MAX: usize = 600;

/// A file of tests is a list: it may be longer.
const TEST_LINES_MAX: usize = 800;

const LICENCE: &str = "SPDX-License-Identifier: GPL-2.0";

/// Package mirrors are whatever the machine's own apt uses; the words are split so that this file has none.
const MIRRORS: [&str; 3] = [
    concat!("deb.", "debian.org"),
    concat!("ftp.", "debian.org"),
    concat!("security.", "debian.org"),
];

pub(super) fn check(sources: &Sources) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, text) in sources {
        for (index, line) in text.lines().enumerate() {
            if MIRRORS.iter().any(|mirror| line.contains(mirror)) {
                findings.push(Finding::new(
                    file,
                    index + 1,
                    "names a package mirror: use the one of the machine's own apt",
                ));
            }
        }
        if !is_source(file) {
            continue;
        }
        // The first line may be `#!`.
        if !text.lines().take(2).any(|line| line.contains(LICENCE)) {
            findings.push(Finding::new(
                file,
                1,
                format!("does not begin with {LICENCE}-or-later"),
            ));
        }
        let lines = text.lines().count();
        let of_tests = file.iter().any(|part| part == "tests");
        let limit = if of_tests { TEST_LINES_MAX } else { LINES_MAX };
        if lines > limit {
            findings.push(Finding::new(
                file,
                limit + 1,
                format!("has {lines} lines: split it, {limit} are the limit"),
            ));
        }
    }
    findings
}

fn is_source(file: &Path) -> bool {
    // Captured bytes and outputs are what they are.
    if file
        .iter()
        .any(|part| part == "golden" || part == "fixtures")
    {
        return false;
    }
    file.file_name().is_some_and(|name| name == "Kbuild")
        || file.extension().is_some_and(|kind| {
            ["rs", "c", "h", "sh", "py"]
                .iter()
                .any(|known| kind == *known)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(file: &str, text: &str) -> Vec<String> {
        let sources = Sources::from([(file.into(), text.to_owned())]);
        check(&sources).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn wants_the_licence_line() {
        assert_eq!(found("a/b.rs", "//! Text.\n").len(), 1);
        assert!(found("a/b.rs", "// SPDX-License-Identifier: GPL-2.0-or-later\n").is_empty());
        assert!(found(
            "a/b.sh",
            "#!/bin/sh\n# SPDX-License-Identifier: GPL-2.0-or-later\n"
        )
        .is_empty());
        assert!(found("README.md", "# Title\n").is_empty());
        assert!(found("core/tests/golden/x.c", "int x;\n").is_empty());
    }

    #[test]
    fn limits_the_length() {
        let head = "// SPDX-License-Identifier: GPL-2.0-or-later\n";
        let long = format!("{head}{}", "\n".repeat(LINES_MAX));
        assert_eq!(
            found("a.rs", &long),
            [format!(
                "a.rs:601: has 601 lines: split it, {LINES_MAX} are the limit"
            )]
        );
        let fits = format!("{head}{}", "\n".repeat(LINES_MAX - 1));
        assert!(found("a.rs", &fits).is_empty());
    }

    #[test]
    fn no_mirror_by_name() {
        let line = format!("fetch\nfrom http://{}/debian\n", MIRRORS[0]);
        assert_eq!(found("README.md", &line).len(), 1);
    }
}
