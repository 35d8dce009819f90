// SPDX-License-Identifier: GPL-2.0-or-later
//! `meta-data`: what the agent tells of itself (OCF 1.1, ra-api.rng).

use quick_xml::events::{BytesDecl, BytesText, Event};
use quick_xml::writer::Writer;

use crate::parameters::{Kind, Parameter, TABLE};

/// Role and interval in seconds of a monitor.
type Monitor = Option<(&'static str, u32)>;

/// Actions and their advised limits in seconds.
const ACTIONS: [(&str, u32, Monitor); 10] = [
    ("start", 240, None),
    ("reload", 30, None),
    ("promote", 90, None),
    ("demote", 90, None),
    ("notify", 90, None),
    ("stop", 100, None),
    ("monitor", 20, Some(("Unpromoted", 20))),
    ("monitor", 20, Some(("Promoted", 10))),
    ("meta-data", 5, None),
    ("validate-all", 20, None),
];

const SHORT: &str = "Manages a DRBD resource as a promotable clone";
const LONG: &str = "Starts, stops and promotes a DRBD resource, and tells the cluster by promotion scores where its data \
     are good. The resource has to be a promotable clone with notify=true and one instance on a node.";

type Result = std::io::Result<()>;

fn parameter(writer: &mut Writer<Vec<u8>>, parameter: &Parameter) -> Result {
    let given = parameter.default.is_none();
    let flag = if given { "1" } else { "0" };
    let kind = match parameter.kind {
        Kind::Boolean => "boolean",
        Kind::String => "string",
        Kind::Integer => "integer",
    };
    // OCF 1.1 has unique-group as well, which the document type that agents are checked with does not know.
    writer
        .create_element("parameter")
        .with_attribute(("name", parameter.name))
        .with_attribute(("unique", flag))
        .with_attribute(("required", flag))
        .write_inner_content(|writer| {
            text(writer, "longdesc", parameter.long)?;
            text(writer, "shortdesc", parameter.short)?;
            let mut content = writer
                .create_element("content")
                .with_attribute(("type", kind));
            if let Some(default) = parameter.default {
                content = content.with_attribute(("default", default));
            }
            content.write_empty()?;
            Ok(())
        })?;
    Ok(())
}

fn text(writer: &mut Writer<Vec<u8>>, name: &str, content: &str) -> Result {
    let element = writer.create_element(name).with_attribute(("lang", "en"));
    element.write_text_content(BytesText::new(content))?;
    Ok(())
}

fn action(
    writer: &mut Writer<Vec<u8>>,
    name: &str,
    limit_s: u32,
    monitor: Option<(&str, u32)>,
) -> Result {
    let limit = format!("{limit_s}s");
    let mut element = writer
        .create_element("action")
        .with_attribute(("name", name))
        .with_attribute(("timeout", limit.as_str()));
    if let Some((role, interval_s)) = monitor {
        let interval = format!("{interval_s}s");
        element = element
            .with_attribute(("interval", interval.as_str()))
            .with_attribute(("role", role));
    }
    element.write_empty()?;
    Ok(())
}

fn agent(writer: &mut Writer<Vec<u8>>) -> Result {
    writer
        .create_element("version")
        .write_text_content(BytesText::new("1.1"))?;
    text(writer, "longdesc", LONG)?;
    text(writer, "shortdesc", SHORT)?;
    writer
        .create_element("parameters")
        .write_inner_content(|writer| {
            TABLE.iter().try_for_each(|known| parameter(writer, known))
        })?;
    writer
        .create_element("actions")
        .write_inner_content(|writer| {
            ACTIONS
                .iter()
                .try_for_each(|(name, limit_s, monitor)| action(writer, name, *limit_s, *monitor))
        })?;
    Ok(())
}

/// The whole document.
///
/// # Errors
///
/// Never: it is written into memory.
pub(crate) fn document() -> std::io::Result<Vec<u8>> {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", None, None)))?;
    let kind = BytesText::from_escaped(r#"resource-agent SYSTEM "ra-api-1.dtd""#);
    writer.write_event(Event::DocType(kind))?;
    writer
        .create_element("resource-agent")
        .with_attribute(("name", "drbd"))
        .with_attribute(("version", env!("CARGO_PKG_VERSION")))
        .write_inner_content(agent)?;
    let mut document = writer.into_inner();
    document.push(b'\n');
    Ok(document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_every_parameter_and_action_once() {
        let document = String::from_utf8(document().unwrap()).unwrap();
        for known in &TABLE {
            let mark = format!("<parameter name=\"{}\"", known.name);
            assert_eq!(document.matches(&mark).count(), 1, "{mark}");
        }
        assert_eq!(document.matches("<action name=\"monitor\"").count(), 2);
        assert!(document.contains("<!DOCTYPE resource-agent SYSTEM \"ra-api-1.dtd\">"));
        assert!(document.contains("<version>1.1</version>"));
        assert_eq!(document.matches("<shortdesc").count(), 1 + TABLE.len());
        assert_eq!(document.matches("<longdesc").count(), 1 + TABLE.len());
    }
}
