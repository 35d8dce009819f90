// SPDX-License-Identifier: GPL-2.0-or-later
//! `docs/netlink/drbd.yaml` is what the tables say today, and follows the rules of its format.

use std::collections::BTreeSet;
use std::path::Path;

use serde_yaml_ng::Value;

fn written() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("netlink/drbd.yaml");
    std::fs::read_to_string(path).unwrap()
}

fn parsed() -> Value {
    serde_yaml_ng::from_str(&written()).unwrap()
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value
        .get(key)
        .and_then(Value::as_sequence)
        .map_or(&[], Vec::as_slice)
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or("")
}

fn names(list: &[Value]) -> BTreeSet<&str> {
    let names: BTreeSet<&str> = list.iter().map(|item| text(item, "name")).collect();
    assert_eq!(names.len(), list.len(), "a name comes twice");
    for name in &names {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        assert!(!name.is_empty() && name.bytes().all(fits), "{name}");
    }
    names
}

#[test]
fn it_is_what_the_tables_say() {
    for (name, text) in drbd_docs::all().unwrap() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == text,
            "docs/{name} is old: cargo xtask docs writes it"
        );
    }
}

/// Keys that the schema allows; it takes no others.
fn only(value: &Value, keys: &[&str]) {
    for key in value.as_mapping().unwrap().keys() {
        let key = key.as_str().unwrap();
        assert!(keys.contains(&key), "{key} in {value:?}");
    }
}

#[test]
fn the_family_is_complete() {
    let family = parsed();
    only(
        &family,
        &[
            "name",
            "protocol",
            "version",
            "kernel-policy",
            "doc",
            "definitions",
            "attribute-sets",
            "operations",
            "mcast-groups",
        ],
    );
    assert_eq!(text(&family, "name"), "drbd");
    assert_eq!(text(&family, "protocol"), "genetlink-legacy");
    assert_eq!(names(list(&family["mcast-groups"], "list")).len(), 1);
}

#[test]
fn definitions_have_values_of_their_own() {
    let family = parsed();
    let definitions = list(&family, "definitions");
    names(definitions);
    for definition in definitions {
        let kind = text(definition, "type");
        assert!(
            ["const", "enum", "flags", "struct"].contains(&kind),
            "{kind}"
        );
        assert!(!text(definition, "doc").is_empty());
        if ["enum", "flags"].contains(&kind) {
            let entries = list(definition, "entries");
            assert!(!entries.is_empty());
            names(entries);
            let values: BTreeSet<i64> = entries
                .iter()
                .map(|entry| entry["value"].as_i64().unwrap())
                .collect();
            assert_eq!(values.len(), entries.len(), "{definition:?}");
            if kind == "flags" {
                assert!(values.iter().all(|bit| (0..32).contains(bit)));
            }
        }
    }
}

#[test]
fn attributes_are_typed_and_lead_somewhere() {
    const KEYS: [&str; 9] = [
        "name",
        "value",
        "type",
        "nested-attributes",
        "enum",
        "enum-as-flags",
        "multi-attr",
        "checks",
        "doc",
    ];
    let family = parsed();
    let sets = list(&family, "attribute-sets");
    let known_sets = names(sets);
    let known_enums = names(list(&family, "definitions"));
    for set in sets {
        let attributes = list(set, "attributes");
        names(attributes);
        let mut numbers = BTreeSet::new();
        for attribute in attributes {
            only(attribute, &KEYS);
            let kind = text(attribute, "type");
            let types = ["u8", "u32", "s32", "u64", "string", "binary", "nest"];
            assert!(types.contains(&kind), "{attribute:?}");
            let number = attribute["value"].as_u64().unwrap();
            assert!(number > 0 && numbers.insert(number), "{attribute:?}");
            let inner = text(attribute, "nested-attributes");
            assert_eq!(kind == "nest", known_sets.contains(inner), "{attribute:?}");
            let words = text(attribute, "enum");
            assert!(words.is_empty() || known_enums.contains(words), "{words}");
            assert!(!text(attribute, "doc").is_empty(), "{attribute:?}");
        }
    }
}

#[test]
fn every_operation_says_what_it_carries() {
    let family = parsed();
    let operations = &family["operations"];
    let header = text(operations, "fixed-header");
    assert!(names(list(&family, "definitions")).contains(header));
    let top = &list(&family, "attribute-sets")[0];
    let known = names(list(top, "attributes"));
    let all = list(operations, "list");
    assert!(all.len() > 40);
    names(all);
    let mut numbers = BTreeSet::new();
    for operation in all {
        assert!(numbers.insert(operation["value"].as_u64().unwrap()));
        assert!(!text(operation, "doc").is_empty());
        let mut told = Vec::new();
        for way in ["do", "dump"] {
            for message in ["request", "reply"] {
                if let Some(message) = operation.get(way).and_then(|way| way.get(message)) {
                    told.push(list(message, "attributes"));
                }
            }
        }
        if let Some(event) = operation.get("event") {
            assert_eq!(text(operation, "mcgrp"), "events");
            told.push(list(event, "attributes"));
        }
        assert!(!told.is_empty(), "{operation:?}");
        for name in told.into_iter().flatten() {
            assert!(known.contains(name.as_str().unwrap()), "{name:?}");
        }
    }
}
