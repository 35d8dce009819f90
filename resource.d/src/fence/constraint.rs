// SPDX-License-Identifier: GPL-2.0-or-later
//! The constraint that keeps nodes without good data from being promoted.

use std::collections::BTreeSet;

use quick_xml::writer::Writer;

/// What tells a node in a rule: attribute and value, `#uname` and its name as a rule.
pub(crate) type Mark = (String, String);

/// The constraint as the cluster has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Existing {
    /// The clone that it is about.
    pub(crate) clone: String,
    /// The role that it forbids.
    pub(crate) role: String,
    /// The score.
    pub(crate) score: String,
    /// Nodes that it allows.
    pub(crate) allowed: BTreeSet<Mark>,
    /// There is something else in it, which nobody here understands.
    pub(crate) foreign: bool,
}

/// The constraint as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Constraint {
    /// What ids begin with.
    pub(crate) prefix: String,
    /// The clone.
    pub(crate) clone: String,
    /// The role that is forbidden.
    pub(crate) role: String,
    /// Nodes that are allowed, each with the number that its expression gets.
    pub(crate) allowed: Vec<(Option<u32>, Mark)>,
}

fn is_promoted(role: &str) -> bool {
    matches!(role, "Promoted" | "Master")
}

fn forbids(score: &str) -> bool {
    matches!(score, "-INFINITY" | "-infinity" | "-1000000")
}

impl Existing {
    /// Whether a node with that mark may be promoted, as far as this constraint goes.
    pub(crate) fn allows(&self, mark: &Mark) -> bool {
        !self.foreign && self.allowed.contains(mark)
    }
}

impl Constraint {
    /// Id of the constraint of that clone.
    pub(crate) fn id_of(prefix: &str, clone: &str) -> String {
        format!("{prefix}-{clone}")
    }

    /// Its id.
    pub(crate) fn id(&self) -> String {
        Self::id_of(&self.prefix, &self.clone)
    }

    /// Whether `existing` says the same.
    pub(crate) fn is(&self, existing: &Existing) -> bool {
        let allowed: BTreeSet<Mark> = self.allowed.iter().map(|(_, mark)| mark.clone()).collect();
        !existing.foreign
            && existing.clone == self.clone
            && is_promoted(&existing.role) == is_promoted(&self.role)
            && forbids(&existing.score)
            && existing.allowed == allowed
    }

    /// As an element of the cluster's configuration.
    pub(crate) fn xml(&self) -> String {
        let mut writer = Writer::new(Vec::new());
        // Writing into memory does not fail.
        let _ = self.write(&mut writer);
        String::from_utf8_lossy(&writer.into_inner()).into_owned()
    }

    fn write(&self, writer: &mut Writer<Vec<u8>>) -> std::io::Result<()> {
        let (prefix, clone) = (&self.prefix, &self.clone);
        let constraint = writer
            .create_element("rsc_location")
            .with_attribute(("rsc", clone.as_str()))
            .with_attribute(("id", self.id().as_str()));
        constraint.write_inner_content(|writer| {
            let rule = writer
                .create_element("rule")
                .with_attribute(("role", self.role.as_str()))
                .with_attribute(("score", "-INFINITY"))
                .with_attribute(("id", format!("{prefix}-rule-{clone}").as_str()));
            // Forbidden wherever it is none of these.
            rule.write_inner_content(|writer| {
                for (number, (attribute, value)) in &self.allowed {
                    let id = match number {
                        Some(number) => format!("{prefix}-expr-{number}-{clone}"),
                        None => format!("{prefix}-expr-{clone}"),
                    };
                    let expression = writer
                        .create_element("expression")
                        .with_attribute(("attribute", attribute.as_str()))
                        .with_attribute(("operation", "ne"))
                        .with_attribute(("value", value.as_str()))
                        .with_attribute(("id", id.as_str()));
                    expression.write_empty()?;
                }
                Ok(())
            })?;
            Ok(())
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::cib;
    use super::*;

    fn uname(name: &str) -> Mark {
        ("#uname".to_owned(), name.to_owned())
    }

    fn constraint(nodes: &[&str]) -> Constraint {
        let allowed = nodes.iter().zip(0..);
        Constraint {
            prefix: "drbd-fence-by-handler-r0".to_owned(),
            clone: "c".to_owned(),
            role: "Promoted".to_owned(),
            allowed: allowed.map(|(name, id)| (Some(id), uname(name))).collect(),
        }
    }

    #[test]
    fn it_is_the_one_that_people_know() {
        assert_eq!(
            constraint(&["alpha"]).xml(),
            "<rsc_location rsc=\"c\" id=\"drbd-fence-by-handler-r0-c\">\
             <rule role=\"Promoted\" score=\"-INFINITY\" id=\"drbd-fence-by-handler-r0-rule-c\">\
             <expression attribute=\"#uname\" operation=\"ne\" value=\"alpha\" id=\"drbd-fence-by-handler-r0-expr-0-c\"/>\
             </rule></rsc_location>"
        );
    }

    #[test]
    fn it_is_known_again() {
        let (one, both) = (constraint(&["alpha"]), constraint(&["alpha", "beta"]));
        let read = |constraint: &Constraint| {
            let text = format!("<cib><constraints>{}</constraints></cib>", constraint.xml());
            cib::read(&text, "r0", &constraint.prefix, Some("c"))
                .unwrap()
                .existing
                .unwrap()
        };
        assert!(one.is(&read(&one)) && both.is(&read(&both)));
        assert!(!one.is(&read(&both)) && !both.is(&read(&one)));
        assert!(read(&one).allows(&uname("alpha")) && !read(&one).allows(&uname("beta")));
        let old = Constraint {
            role: "Master".to_owned(),
            ..one.clone()
        };
        assert!(one.is(&read(&old)), "roles have two names");
    }
}
