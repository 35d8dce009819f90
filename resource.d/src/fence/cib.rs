// SPDX-License-Identifier: GPL-2.0-or-later
//! What the handlers read of the cluster: its configuration from `cibadmin`, its own verdict on its nodes from `crm_mon`.

use std::collections::BTreeMap;

use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::constraint::{Constraint, Existing};

/// The part of the cluster's configuration that the handlers care for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Cib {
    /// This partition has quorum.
    pub(crate) quorate: bool,
    /// Id of the resource's clone.
    pub(crate) clone: Option<String>,
    /// Nodes that vanish are shot.
    pub(crate) stonith: bool,
    /// What the cluster calls the role of the promoted.
    pub(crate) promoted: String,
    /// Names of its nodes.
    pub(crate) nodes: Vec<String>,
    /// Our constraint, if there is one.
    pub(crate) existing: Option<Existing>,
}

/// What the cluster thinks of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Standing {
    /// It takes part.
    pub(crate) online: bool,
    /// It vanished and may still run something.
    pub(crate) unclean: bool,
    /// It is about to take part.
    pub(crate) pending: bool,
}

/// The first schema with the roles Promoted and Unpromoted.
const PROMOTED_SINCE: (u32, u32) = (3, 7);

fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = element.try_get_attribute(name).ok()??;
    Some(found.unescape_value().ok()?.into_owned())
}

fn is_true(text: &str) -> bool {
    ["true", "1", "yes", "on", "y"].contains(&text.to_ascii_lowercase().as_str())
}

/// Calls `visit` with the names of the elements around each element, and the element.
fn walk(text: &str, mut visit: impl FnMut(&[String], &BytesStart<'_>)) -> Result<(), String> {
    let mut reader = Reader::from_str(text);
    let mut around: Vec<String> = Vec::new();
    loop {
        match reader.read_event() {
            Ok(Event::Start(element)) => {
                visit(&around, &element);
                around.push(String::from_utf8_lossy(element.name().as_ref()).into_owned());
            }
            Ok(Event::Empty(element)) => visit(&around, &element),
            Ok(Event::End(_)) => drop(around.pop()),
            Ok(Event::Eof) if around.is_empty() => return Ok(()),
            Ok(Event::Eof) => return Err("it ends too early".to_owned()),
            Ok(_) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// The role's name in a configuration of that schema, `pacemaker-3.9` say.
fn promoted_in(schema: &str) -> &'static str {
    let version = schema.strip_prefix("pacemaker-").and_then(|version| {
        let (major, minor) = version.split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    });
    // Every version takes the old name.
    if version.is_some_and(|version: (u32, u32)| version >= PROMOTED_SINCE) {
        "Promoted"
    } else {
        "Master"
    }
}

/// Reads the whole configuration for `resource`, whose constraint's id begins with `prefix` and whose clone is `clone`,
/// if that is known.
///
/// # Errors
///
/// When it is no XML.
pub(crate) fn read(
    text: &str,
    resource: &str,
    prefix: &str,
    clone: Option<&str>,
) -> Result<Cib, String> {
    let mut cib = Cib {
        clone: clone.map(str::to_owned).or(clone_of(text, resource)?),
        stonith: true,
        promoted: promoted_in("").to_owned(),
        ..Cib::default()
    };
    let wanted = Constraint::id_of(prefix, cib.clone.as_deref().unwrap_or_default());
    let mut inside = false;
    walk(text, |around, element| {
        let get = |name: &str| attribute(element, name);
        let within = |name: &str| around.iter().any(|outer| outer == name);
        match element.name().as_ref() {
            b"cib" => {
                cib.quorate = get("have-quorum").is_some_and(|value| is_true(&value));
                cib.promoted = promoted_in(&get("validate-with").unwrap_or_default()).to_owned();
            }
            b"nvpair" if within("crm_config") => {
                let name = get("name").unwrap_or_default();
                if ["stonith-enabled", "stonith_enabled", "fencing-enabled"]
                    .contains(&name.as_str())
                {
                    cib.stonith = get("value").is_none_or(|value| is_true(&value));
                }
            }
            b"node" if within("nodes") && get("type").as_deref() != Some("ping") => {
                cib.nodes.extend(get("uname"))
            }
            b"rsc_location" => {
                inside = get("id").as_deref() == Some(&wanted);
                if inside {
                    cib.existing = Some(Existing {
                        clone: get("rsc").unwrap_or_default(),
                        // One without a rule says something about every node.
                        foreign: get("node").is_some() || get("score").is_some(),
                        ..Existing::default()
                    });
                }
            }
            name if inside && within("rsc_location") => {
                if let Some(existing) = &mut cib.existing {
                    inner(existing, name, &get);
                }
            }
            _ => {}
        }
    })?;
    Ok(cib)
}

/// What stands in a constraint.
fn inner(existing: &mut Existing, name: &[u8], get: &impl Fn(&str) -> Option<String>) {
    match name {
        b"rule" if existing.score.is_empty() => {
            existing.role = get("role").unwrap_or_default();
            existing.score = get("score").unwrap_or_default();
            existing.foreign |= get("boolean-op").is_some_and(|value| value == "or");
        }
        b"expression" => match (get("operation").as_deref(), get("attribute"), get("value")) {
            (Some("ne"), Some(attribute), Some(value)) => {
                existing.allowed.insert((attribute, value));
            }
            _ => existing.foreign = true,
        },
        _ => existing.foreign = true,
    }
}

/// The clone with a primitive for `resource`.
fn clone_of(text: &str, resource: &str) -> Result<Option<String>, String> {
    let (mut last, mut found) = (None, None);
    walk(text, |around, element| {
        let get = |name: &str| attribute(element, name);
        match element.name().as_ref() {
            b"clone" | b"master" if around.last().is_some_and(|outer| outer == "resources") => {
                last = get("id")
            }
            b"nvpair"
                if found.is_none()
                    && get("name").as_deref() == Some("drbd_resource")
                    && get("value").as_deref() == Some(resource)
                    && around
                        .iter()
                        .any(|outer| outer == "clone" || outer == "master")
                    && around.iter().any(|outer| outer == "primitive") =>
            {
                found = last.clone();
            }
            _ => {}
        }
    })?;
    Ok(found)
}

/// Reads `crm_mon --output-as=xml`: whether there is a coordinator, and where each node stands, by its name in lower case.
///
/// # Errors
///
/// When it is no XML.
pub(crate) fn read_monitor(text: &str) -> Result<(bool, BTreeMap<String, Standing>), String> {
    let (mut coordinator, mut nodes) = (false, BTreeMap::new());
    walk(text, |around, element| {
        let get = |name: &str| attribute(element, name);
        let flag = |name: &str| get(name).is_some_and(|value| is_true(&value));
        match element.name().as_ref() {
            b"current_dc" => coordinator = flag("present"),
            b"node" if around.last().is_some_and(|outer| outer == "nodes") => {
                let standing = Standing {
                    online: flag("online"),
                    unclean: flag("unclean"),
                    pending: flag("pending"),
                };
                let name = get("name").unwrap_or_default().to_ascii_lowercase();
                nodes.insert(name, standing);
            }
            _ => {}
        }
    })?;
    Ok((coordinator, nodes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CIB: &str = r##"<cib crm_feature_set="3.20.0" validate-with="pacemaker-4.0" have-quorum="1" dc-uuid="1">
      <configuration><crm_config><cluster_property_set id="o"><nvpair id="a" name="stonith-enabled" value="true"/>
      </cluster_property_set></crm_config><nodes><node id="1" uname="alpha"/><node id="2" uname="beta"/></nodes>
      <resources><primitive id="other"/><clone id="ms"><meta_attributes id="m"/><primitive id="p" class="ocf"
      provider="linbit" type="drbd"><instance_attributes id="i"><nvpair id="n" name="drbd_resource" value="r0"/>
      </instance_attributes></primitive></clone></resources><constraints>
      <rsc_location rsc="ms" id="f-r0-ms"><rule role="Promoted" score="-INFINITY" id="r"><expression id="e"
      attribute="#uname" operation="ne" value="alpha"/></rule></rsc_location></constraints></configuration></cib>"##;

    #[test]
    fn the_configuration() {
        let cib = read(CIB, "r0", "f-r0", None).unwrap();
        assert!(cib.quorate && cib.stonith);
        assert_eq!(
            (cib.clone.as_deref(), cib.promoted.as_str()),
            (Some("ms"), "Promoted")
        );
        assert_eq!(cib.nodes, ["alpha", "beta"]);
        let existing = cib.existing.unwrap();
        assert!(existing.allows(&("#uname".to_owned(), "alpha".to_owned())));
        assert!(!existing.foreign);
        assert_eq!(read(CIB, "r1", "f-r1", None).unwrap().clone, None);
        assert_eq!(read(CIB, "r0", "g-r0", None).unwrap().existing, None);
    }

    #[test]
    fn what_is_different() {
        let off = CIB
            .replace("value=\"true\"", "value=\"false\"")
            .replace("have-quorum=\"1\"", "have-quorum=\"0\"");
        let cib = read(
            &off.replace("pacemaker-4.0", "pacemaker-3.6"),
            "r0",
            "f-r0",
            None,
        )
        .unwrap();
        assert!(!cib.quorate && !cib.stonith);
        assert_eq!(cib.promoted, "Master");
        let odd = CIB.replace("operation=\"ne\"", "operation=\"eq\"");
        assert!(
            read(&odd, "r0", "f-r0", None)
                .unwrap()
                .existing
                .unwrap()
                .foreign
        );
        assert!(read(&CIB[..CIB.len() - 6], "r0", "f-r0", None).is_err());
        assert!(read("Connection to the CIB failed", "r0", "f-r0", None)
            .unwrap()
            .clone
            .is_none());
    }

    #[test]
    fn where_nodes_stand() {
        let text = r#"<pacemaker-result><summary><current_dc present="true" with_quorum="true"/></summary><nodes>
          <node name="Alpha" online="true" unclean="false" pending="false"/>
          <node name="beta" online="false" unclean="true"/></nodes><resources><resource id="p"><node name="alpha"
          id="1" cached="true"/></resource></resources></pacemaker-result>"#;
        let (coordinator, nodes) = read_monitor(text).unwrap();
        assert!(coordinator);
        assert_eq!(nodes.len(), 2);
        assert!(nodes["alpha"].online && !nodes["alpha"].unclean && nodes["beta"].unclean);
    }
}
