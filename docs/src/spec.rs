// SPDX-License-Identifier: GPL-2.0-or-later
//! The kernel's own format for netlink families, as far as this one needs it (schema `genetlink-legacy`: messages begin with
//! a header of the family's own).

use serde::Serialize;

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) protocol: &'static str,
    pub(crate) version: u8,
    pub(crate) kernel_policy: &'static str,
    pub(crate) doc: String,
    pub(crate) definitions: Vec<Definition>,
    pub(crate) attribute_sets: Vec<AttributeSet>,
    pub(crate) operations: Operations,
    pub(crate) mcast_groups: List<Group>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(crate) enum Definition {
    Const {
        name: String,
        doc: String,
        value: i64,
    },
    Enum {
        name: String,
        doc: String,
        entries: Vec<Entry>,
    },
    /// Entries are bits; `value` is the number of the bit.
    Flags {
        name: String,
        doc: String,
        entries: Vec<Entry>,
    },
    Struct {
        name: String,
        doc: String,
        members: Vec<Member>,
    },
}

impl Definition {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Const { name, .. }
            | Self::Enum { name, .. }
            | Self::Flags { name, .. }
            | Self::Struct { name, .. } => name,
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) value: i64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Member {
    pub(crate) name: &'static str,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) doc: &'static str,
}

#[derive(Debug, Serialize)]
pub(crate) struct AttributeSet {
    pub(crate) name: String,
    pub(crate) doc: String,
    pub(crate) attributes: Vec<Attribute>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Attribute {
    pub(crate) name: String,
    pub(crate) value: u16,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nested_attributes: Option<String>,
    #[serde(rename = "enum", skip_serializing_if = "Option::is_none")]
    pub(crate) words: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) enum_as_flags: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) multi_attr: bool,
    #[serde(skip_serializing_if = "Checks::is_empty")]
    pub(crate) checks: Checks,
    pub(crate) doc: String,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Checks {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_len: Option<usize>,
}

impl Checks {
    fn is_empty(&self) -> bool {
        self.max_len.is_none()
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Operations {
    pub(crate) enum_model: &'static str,
    pub(crate) fixed_header: &'static str,
    pub(crate) list: Vec<Operation>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Operation {
    pub(crate) name: String,
    pub(crate) value: u8,
    pub(crate) doc: String,
    pub(crate) attribute_set: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) flags: Vec<&'static str>,
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    pub(crate) request: Option<Exchange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dump: Option<Exchange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) event: Option<Attributes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mcgrp: Option<&'static str>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Exchange {
    pub(crate) request: Attributes,
    pub(crate) reply: Attributes,
}

#[derive(Debug, Serialize)]
pub(crate) struct Attributes {
    pub(crate) attributes: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct List<T> {
    pub(crate) list: Vec<T>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Group {
    pub(crate) name: &'static str,
}
