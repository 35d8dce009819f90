// SPDX-License-Identifier: GPL-2.0-or-later
//! One row of the option table is enough: attribute, specification, switch, manual page and completions follow from it.

use drbd_core::config::{
    DeviceOptions, DiskOptions, NetOptions, OptionGroup, PeerDeviceOptions, ResourceOptions,
};
use drbd_core::genl::{encode_group, find_nest, Attributes, Writer, RECORD_BYTES_MAX};
use drbdsetup::cli::program;

/// Commands that set each group.
const SETTERS: [(&str, &[&str]); 5] = [
    ("resource", &["new-resource", "resource-options"]),
    ("disk", &["attach", "disk-options"]),
    ("net", &["new-peer", "net-options"]),
    ("peer-device", &["peer-device-options"]),
    ("device", &["new-minor"]),
];

/// Every text that an option has to be in.
struct Texts {
    specification: String,
    pages: Vec<(String, String)>,
    completions: Vec<String>,
}

fn texts() -> Texts {
    let specification = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/netlink/drbd.yaml");
    let plain = |text: Vec<u8>| String::from_utf8(text).unwrap().replace('\\', "");
    Texts {
        specification: std::fs::read_to_string(specification).unwrap(),
        pages: drbd_pages::pages(program())
            .unwrap()
            .into_iter()
            .map(|(name, text)| (name, plain(text)))
            .collect(),
        completions: ["bash", "zsh", "fish"]
            .map(|shell| plain(drbd_pages::completion(program(), shell).unwrap()))
            .to_vec(),
    }
}

/// The places of every row of a group that has a name; panics for one that is missing.
fn count<G: OptionGroup>(group: &str, texts: &Texts) -> usize {
    let (_, setters) = SETTERS.iter().find(|(name, _)| *name == group).unwrap();
    let mut buffer = [0; RECORD_BYTES_MAX];
    let mut writer = Writer::new(&mut buffer);
    encode_group(&mut writer, &G::default(), true).unwrap();
    let nest = find_nest(writer.bytes(), G::TLA).unwrap().unwrap();
    let program = program();
    let mut places = 0;
    let mut found = |there: bool, name: &str, place: &str| {
        assert!(there, "{name} is missing in {place}");
        places += 1;
    };
    for row in G::TABLE {
        let Some(name) = row.option else {
            continue;
        };
        let attribute = Attributes::new(nest.payload)
            .flatten()
            .any(|attribute| attribute.nr == row.nr);
        found(attribute, name, "the attributes");
        let told = texts.specification.contains(&format!("Option {name}."));
        found(told, name, "docs/netlink/drbd.yaml");
        // What cannot change is offered where the object is created alone.
        for setter in setters
            .iter()
            .filter(|setter| !row.invariant || !setter.ends_with("-options"))
        {
            let command = program.find_subcommand(setter).unwrap();
            let switch = command
                .get_arguments()
                .any(|arg| arg.get_long() == Some(name));
            found(switch, name, setter);
            let page = format!("drbdsetup-{setter}.8");
            let (_, page) = texts.pages.iter().find(|(of, _)| *of == page).unwrap();
            found(page.contains(&format!("--{name}")), name, "its manual page");
        }
        for completion in &texts.completions {
            found(completion.contains(name), name, "a completion");
        }
    }
    places
}

#[test]
fn every_row_is_everywhere() {
    let texts = texts();
    let counts = [
        count::<ResourceOptions>("resource", &texts),
        count::<DiskOptions>("disk", &texts),
        count::<NetOptions>("net", &texts),
        count::<PeerDeviceOptions>("peer-device", &texts),
        count::<DeviceOptions>("device", &texts),
    ];
    // Seven places at least for each of some eighty options.
    assert!(counts.iter().sum::<usize>() > 7 * 75, "{counts:?}");
}
