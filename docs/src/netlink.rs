// SPDX-License-Identifier: GPL-2.0-or-later
//! The generic netlink family as a specification in the kernel's own format, from the tables of `drbd_core`.

use anyhow::{ensure, Context, Result};
use drbd_core::config::{
    ConnectParams, DetachParams, DeviceOptions, DisconnectParams, DiskOptions, ForgetPeerParams,
    InvalidateParams, InvalidatePeerParams, Kind, NetOptions, NewCurrentUuidParams, OptionGroup,
    OptionSpec, PeerDeviceOptions, ResizeParams, ResourceOptions, SetRoleParams, StartVerifyParams,
    SuspendIoParams, Wire,
};
use drbd_core::genl::state::{
    disk_flags, peer_flags, ConnectionState, DiskState, NotificationKind, ReplicationState, Role,
    TimeoutType, WriteOrdering,
};
use drbd_core::genl::{
    fields_of, Command, ConnectionInfo, ConnectionStatistics, DeviceInfo, DeviceStatistics,
    FieldKind, FieldSpec, HelperInfo, PathInfo, PeerDeviceInfo, PeerDeviceStatistics, Record,
    RenameResourceInfo, ResourceInfo, ResourceStatistics, RetCode, TimeoutParams, Tla,
    ATTRIBUTE_MAX, FAMILY_NAME, FAMILY_VERSION, FLAG_SET_DEFAULTS, MULTICAST_GROUP, NO_MINOR,
};

use crate::spec::{
    Attribute, AttributeSet, Attributes, Checks, Definition, Entry, Exchange, Family, Group, List,
    Member, Operation, Operations,
};

const HEAD: &str = "\
# SPDX-License-Identifier: GPL-2.0-or-later
# Made by `cargo xtask docs` from core/src/genl and core/src/config: change those, not this file.
---
";

const DOC: &str = "\
Control interface of DRBD, API version 2. A request that is no dump is answered by one message with the same \
command: in its header the return code (ret-code), and sentences for the administrator in cfg-reply. Requests may \
carry attributes in any order, unknown ones are ignored; repeated ones and wrong sizes are refused.";

const HEADER: &str = "drbd-genlmsghdr";
const TOP: &str = "drbd";

/// The text of `docs/netlink/drbd.yaml`.
///
/// # Errors
///
/// When a top level attribute or a type of states is in no table here.
pub fn text() -> Result<String> {
    let yaml = serde_yaml_ng::to_string(&family()?).context("cannot write YAML")?;
    let mut text = HEAD.to_owned();
    for line in yaml.lines() {
        text.push_str(&quoted(line));
        text.push('\n');
    }
    Ok(text)
}

/// The kernel's tools read YAML 1.1, where these words are truth values.
fn quoted(line: &str) -> String {
    match line.split_once("name: ") {
        Some((before, word @ ("y" | "n" | "yes" | "no" | "on" | "off"))) => {
            format!("{before}name: '{word}'")
        }
        _ => line.to_owned(),
    }
}

fn family() -> Result<Family> {
    let mut definitions = vec![header(), no_minor()];
    definitions.extend(states());
    definitions.push(ret_codes());
    let nests: Vec<(Tla, AttributeSet)> = (1..=ATTRIBUTE_MAX)
        .filter_map(Tla::from_number)
        .map(|tla| Ok((tla, nest(tla, &mut definitions)?)))
        .collect::<Result<_>>()?;
    let top = AttributeSet {
        name: TOP.to_owned(),
        doc: "What a message carries: nests only.".to_owned(),
        attributes: nests
            .iter()
            .map(|(tla, set)| top_level(*tla, set))
            .collect(),
    };
    let mut attribute_sets = vec![top];
    attribute_sets.extend(nests.into_iter().map(|(_, set)| set));
    Ok(Family {
        name: FAMILY_NAME.to_owned(),
        protocol: "genetlink-legacy",
        version: FAMILY_VERSION,
        kernel_policy: "global",
        doc: DOC.to_owned(),
        definitions,
        attribute_sets,
        operations: Operations {
            enum_model: "unified",
            fixed_header: HEADER,
            list: Command::ALL
                .iter()
                .map(|command| operation(*command))
                .collect(),
        },
        mcast_groups: List {
            list: vec![Group {
                name: MULTICAST_GROUP,
            }],
        },
    })
}

fn header() -> Definition {
    Definition::Struct {
        name: HEADER.to_owned(),
        doc: "Begins every message, before the attributes.".to_owned(),
        members: vec![
            Member {
                name: "minor",
                kind: "u32",
                doc: "Minor number, or no-minor.",
            },
            Member {
                name: "flags",
                kind: "s32",
                doc: "Of a request: 1 to start from the defaults, not from the options in force. Of an answer or a notification: the ret-code.",
            },
        ],
    }
}

fn no_minor() -> Definition {
    // What the text above says of the flag is what the code reads.
    const _: () = assert!(FLAG_SET_DEFAULTS == 1);
    Definition::Const {
        name: "no-minor".to_owned(),
        doc: "The minor of a message that is not about one device.".to_owned(),
        value: i64::from(NO_MINOR),
    }
}

/// Words of the interface in the form that names have in such a specification.
fn kebab(name: &str) -> String {
    let mut out = String::new();
    let letters: Vec<char> = name.trim_matches('_').chars().collect();
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| letters.get(at));
        let after = letters.get(at + 1);
        // `UpToDate` has three words, `WFBitMapS` begins with one of two letters.
        let begins = letter.is_uppercase()
            && before.is_some_and(|before| {
                before.is_lowercase()
                    || (before.is_uppercase() && after.is_some_and(|after| after.is_lowercase()))
            });
        if begins && !out.ends_with('-') {
            out.push('-');
        }
        out.push(match letter {
            '_' | ' ' | '/' => '-',
            letter => letter.to_ascii_lowercase(),
        });
    }
    out
}

macro_rules! states {
    ($($name:ident: $doc:literal),+ $(,)?) => {
        vec![$(Definition::Enum {
            name: kebab($name::TYPE_NAME),
            doc: $doc.to_owned(),
            entries: $name::ALL
                .iter()
                .map(|state| Entry { name: kebab(state.name()), value: i64::from(state.number()) })
                .collect(),
        }),+]
    };
}

fn states() -> Vec<Definition> {
    let mut all = states! {
        Role: "Role of a node in a resource.",
        DiskState: "State of a disk, local or of a peer.",
        ConnectionState: "State of a connection.",
        ReplicationState: "State of replication or resync.",
        WriteOrdering: "How the order of dependent writes is kept on the backing device.",
        TimeoutType: "Which time limit a wait should use.",
        NotificationKind: "What a notification says about its object.",
    };
    all.push(flags(
        "disk-flags",
        "Flags of the local metadata.",
        &[
            ("consistent", disk_flags::CONSISTENT),
            ("primary-ind", disk_flags::PRIMARY_IND),
            ("was-up-to-date", disk_flags::WAS_UP_TO_DATE),
            ("crashed-primary", disk_flags::CRASHED_PRIMARY),
            ("al-clean", disk_flags::AL_CLEAN),
            ("al-disabled", disk_flags::AL_DISABLED),
            ("primary-lost-quorum", disk_flags::PRIMARY_LOST_QUORUM),
            ("have-quorum", disk_flags::HAVE_QUORUM),
        ],
    ));
    all.push(flags(
        "peer-flags",
        "Flags that the metadata keeps of a peer.",
        &[
            ("connected", peer_flags::CONNECTED),
            ("outdated", peer_flags::OUTDATED),
            ("fencing", peer_flags::FENCING),
            ("full-sync", peer_flags::FULL_SYNC),
            ("device-seen", peer_flags::DEVICE_SEEN),
            ("node-exists", peer_flags::NODE_EXISTS),
            ("have-bitmap", peer_flags::HAVE_BITMAP),
        ],
    ));
    all
}

fn flags(name: &str, doc: &str, bits: &[(&str, u32)]) -> Definition {
    Definition::Flags {
        name: name.to_owned(),
        doc: doc.to_owned(),
        entries: bits
            .iter()
            .map(|(name, bit)| Entry {
                name: (*name).to_owned(),
                value: i64::from(bit.trailing_zeros()),
            })
            .collect(),
    }
}

fn ret_codes() -> Definition {
    let mut codes: Vec<RetCode> = RetCode::ALL.to_vec();
    codes.sort();
    Definition::Enum {
        name: "ret-code".to_owned(),
        doc: "Code of an answer: from 101 on that of a request that was looked into, below that of a state change. 101 and 1 to 4 are success.".to_owned(),
        entries: codes
            .iter()
            .map(|code| Entry {
                name: kebab(&code.name().unwrap_or("").to_lowercase()),
                value: i64::from(code.0),
            })
            .collect(),
    }
}

fn top_level(tla: Tla, set: &AttributeSet) -> Attribute {
    Attribute {
        name: set.name.clone(),
        value: tla.number(),
        kind: "nest",
        nested_attributes: Some(set.name.clone()),
        // A reply has one of them for each sentence.
        multi_attr: tla == Tla::CfgReply,
        doc: tla.about().trim().to_owned(),
        ..Attribute::default()
    }
}

/// The content of a top level attribute: options, or states and figures.
fn nest(tla: Tla, definitions: &mut Vec<Definition>) -> Result<AttributeSet> {
    let attributes = if let Some(table) = options_of(tla) {
        table.iter().map(|row| option(row, definitions)).collect()
    } else {
        let fields = record_of(tla).unwrap_or(fields_of(tla));
        ensure!(!fields.is_empty(), "nobody knows what is in {tla:?}");
        let fields = fields
            .iter()
            .map(|field| field_attribute(tla, field, definitions));
        let mut fields = fields.collect::<Result<Vec<Attribute>>>()?;
        fields.sort_by_key(|field| field.value);
        fields
    };
    Ok(AttributeSet {
        name: kebab(&format!("{tla:?}")),
        doc: tla.about().trim().to_owned(),
        attributes,
    })
}

fn options_of(tla: Tla) -> Option<&'static [OptionSpec]> {
    fn group<G: OptionGroup>() -> (Tla, &'static [OptionSpec]) {
        (G::TLA, G::TABLE)
    }
    let groups = [
        group::<ResourceOptions>(),
        group::<DiskOptions>(),
        group::<NetOptions>(),
        group::<PeerDeviceOptions>(),
        group::<DeviceOptions>(),
        group::<SetRoleParams>(),
        group::<ResizeParams>(),
        group::<StartVerifyParams>(),
        group::<NewCurrentUuidParams>(),
        group::<DisconnectParams>(),
        group::<DetachParams>(),
        group::<ConnectParams>(),
        group::<InvalidateParams>(),
        group::<InvalidatePeerParams>(),
        group::<SuspendIoParams>(),
        group::<ForgetPeerParams>(),
    ];
    let mut groups = groups.into_iter();
    groups.find(|(of, _)| *of == tla).map(|(_, table)| table)
}

fn record_of(tla: Tla) -> Option<&'static [FieldSpec]> {
    fn record<R: Record>() -> (Tla, &'static [FieldSpec]) {
        (R::TLA, R::FIELDS)
    }
    let records = [
        record::<ResourceInfo>(),
        record::<DeviceInfo>(),
        record::<ConnectionInfo>(),
        record::<PeerDeviceInfo>(),
        record::<ResourceStatistics>(),
        record::<DeviceStatistics>(),
        record::<ConnectionStatistics>(),
        record::<PeerDeviceStatistics>(),
        record::<PathInfo>(),
        record::<HelperInfo>(),
        record::<TimeoutParams>(),
        record::<RenameResourceInfo>(),
    ];
    let mut records = records.into_iter();
    records.find(|(of, _)| *of == tla).map(|(_, fields)| fields)
}

fn option(row: &OptionSpec, definitions: &mut Vec<Definition>) -> Attribute {
    let words = matches!(row.kind, Kind::Choice { .. }).then(|| kebab(row.field));
    if let Some(name) = &words {
        definitions.push(Definition::Enum {
            name: name.clone(),
            doc: row.help.trim().to_owned(),
            entries: row
                .choices()
                .iter()
                .map(|choice| Entry {
                    name: kebab(choice.word),
                    value: choice.number,
                })
                .collect(),
        });
    }
    Attribute {
        name: kebab(row.field),
        value: row.nr,
        kind: match row.wire() {
            Wire::Flag => "u8",
            Wire::U32 => "u32",
            Wire::S32 => "s32",
            Wire::U64 => "u64",
            Wire::Text => "string",
        },
        words,
        checks: Checks {
            max_len: match row.kind {
                Kind::Text { capacity, .. } => Some(capacity),
                Kind::Flag { .. } | Kind::Number { .. } | Kind::Choice { .. } => None,
            },
        },
        doc: about_option(row),
        ..Attribute::default()
    }
}

/// Help, range, unit and default: numbers out of range are refused by the tools and taken to the nearer end by the module,
/// which no `checks` could say.
fn about_option(row: &OptionSpec) -> String {
    let mut doc = row.help.trim().to_owned();
    if let Some(name) = row.option {
        doc.push_str(&format!(" Option {name}."));
    }
    if let Kind::Number {
        min, max, scale, ..
    } = row.kind
    {
        let suffix = scale.suffix();
        doc.push_str(&format!(" Range {min}{suffix} to {max}{suffix}"));
        for choice in row.choices() {
            doc.push_str(&format!(", {} for {}", choice.number, choice.word));
        }
        doc.push('.');
    }
    if !row.unit.word().is_empty() {
        doc.push_str(&format!(" Unit {}.", row.unit.word()));
    }
    if let Some(default) = row.default() {
        let shown = row.show(default).to_string();
        if !shown.is_empty() {
            doc.push_str(&format!(" Default {shown}."));
        }
    }
    if row.required {
        doc.push_str(" Required when the object is created.");
    }
    if row.invariant {
        doc.push_str(" Cannot be changed later.");
    }
    doc
}

fn field_attribute(tla: Tla, field: &FieldSpec, definitions: &[Definition]) -> Result<Attribute> {
    let mut attribute = Attribute {
        name: kebab(field.name),
        value: field.nr,
        doc: field.help.trim().to_owned(),
        // Told of a connection, the ends of each path follow each other.
        multi_attr: tla == Tla::PathParms,
        ..Attribute::default()
    };
    attribute.kind = match field.kind {
        FieldKind::Flag => "u8",
        FieldKind::U32 => "u32",
        FieldKind::U64 => "u64",
        FieldKind::Text(max) => {
            attribute.checks.max_len = Some(max);
            "string"
        }
        FieldKind::Bytes(max) => {
            attribute.checks.max_len = Some(max);
            "binary"
        }
        FieldKind::State(name) => {
            let name = kebab(name);
            ensure!(
                definitions.iter().any(|known| known.name() == name),
                "the states {name} are not described"
            );
            attribute.words = Some(name);
            "u32"
        }
    };
    let flags = match (tla, field.name) {
        (Tla::DeviceStatistics, "disk_flags") => Some("disk-flags"),
        (Tla::PeerDeviceStatistics, "flags") => Some("peer-flags"),
        _ => None,
    };
    if let Some(flags) = flags {
        attribute.words = Some(flags.to_owned());
        attribute.enum_as_flags = true;
    }
    Ok(attribute)
}

fn operation(command: Command) -> Operation {
    let names = |nests: &[Tla]| Attributes {
        attributes: nests.iter().map(|tla| kebab(&format!("{tla:?}"))).collect(),
    };
    let exchange = || {
        let mut nests = vec![Tla::CfgContext];
        nests.extend(command.request_nests());
        Exchange {
            request: names(&nests),
            reply: names(command.told_nests()),
        }
    };
    let mut operation = Operation {
        name: kebab(&format!("{command:?}")),
        value: command.number(),
        doc: command.about().trim().to_owned(),
        attribute_set: TOP,
        ..Operation::default()
    };
    if command.needs_privilege() {
        operation.flags.push("admin-perm");
    }
    if command.is_event() {
        operation.event = Some(names(command.told_nests()));
        operation.mcgrp = Some(MULTICAST_GROUP);
    } else if command.is_dump() {
        operation.dump = Some(exchange());
    } else {
        operation.request = Some(exchange());
    }
    operation
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_would_be_truth_values_are_quoted() {
        assert_eq!(quoted("  - name: no"), "  - name: 'no'");
        assert_eq!(quoted("  - name: none"), "  - name: none");
        assert!(!text().unwrap().contains("name: off\n"));
    }

    #[test]
    fn words_of_the_interface_become_names() {
        for (word, name) in [
            ("UpToDate", "up-to-date"),
            ("WFBitMapS", "wf-bit-map-s"),
            ("StandAlone", "stand-alone"),
            ("wire_protocol", "wire-protocol"),
            ("NewCUuid", "new-c-uuid"),
            ("after-sb-0pri", "after-sb-0pri"),
            ("A", "a"),
        ] {
            assert_eq!(kebab(word), name);
        }
    }
}
