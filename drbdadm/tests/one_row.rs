// SPDX-License-Identifier: GPL-2.0-or-later
//! One row of the option table is enough: drbd.conf takes the option, drbd.conf(5) explains it, a command sets it.

use std::path::Path;
use std::process::Command;

use drbd_conf::{load_text, schema};
use drbd_core::config::{
    DeviceOptions, DiskOptions, Kind, NetOptions, OptionGroup, OptionSpec, PeerDeviceOptions,
    ResourceOptions,
};

fn drbdadm(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_drbdadm"))
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}");
    output.stdout
}

/// A value that the row takes.
fn value(row: &OptionSpec) -> String {
    match row.kind {
        Kind::Flag { .. } => "yes".to_owned(),
        Kind::Number { max, .. } => max.min(i64::from(u32::MAX)).to_string(),
        Kind::Choice { choices, .. } => choices[0].word.to_owned(),
        Kind::Text { .. } => "word".to_owned(),
    }
}

/// A resource with the option in the section it belongs to.
fn refused(section: &str, row: &OptionSpec, name: &str) -> String {
    let value = match name {
        // The configuration names another resource.
        "resync-after" => "other/0".to_owned(),
        _ => value(row),
    };
    let text = format!("resource r0 {{ {section} {{ {name} {value}; }} }}");
    let (config, found) = load_text("test.conf", text);
    match found.exit_code() {
        Some(_) => found.render(&config.sources),
        None => String::new(),
    }
}

fn check(section: &str, table: &[OptionSpec], page: &str) -> usize {
    let mut options = 0;
    for row in table {
        let Some(name) = row.option.filter(|name| !name.starts_with('_')) else {
            continue;
        };
        assert_eq!(refused(section, row, name), "", "{name}");
        assert!(
            page.contains(&format!("\n.TP\n\\fB{}", name.replace('-', "\\-"))),
            "{name} in drbd.conf(5)"
        );
        options += 1;
    }
    options
}

#[test]
fn every_row_is_everywhere() {
    let directory = tempfile::tempdir().unwrap();
    drbdadm(&["man-pages", &directory.path().to_string_lossy()]);
    let read = |name: &str| {
        let path: &Path = &directory.path().join(name);
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    let page = read("man5/drbd.conf.5");
    let counts = [
        check("options", ResourceOptions::TABLE, &page),
        check("net", NetOptions::TABLE, &page),
        check("disk", DiskOptions::TABLE, &page),
        check("disk", PeerDeviceOptions::TABLE, &page),
        check("disk", DeviceOptions::TABLE, &page),
    ];
    assert!(counts.iter().sum::<usize>() > 75, "{counts:?}");
    let completion = String::from_utf8(drbdadm(&["completion", "bash"])).unwrap();
    for scope in [
        schema::Scope::Resource,
        schema::Scope::Net,
        schema::Scope::Disk,
    ] {
        for option in schema::options(scope).filter(|option| option.changeable) {
            let name = option.name;
            assert!(
                name.starts_with('_') || completion.contains(&format!("--{name}")),
                "{name}"
            );
        }
    }
}
