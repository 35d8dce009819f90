// SPDX-License-Identifier: GPL-2.0-or-later
//! What drbd.conf has to say for the resources of groups, so that a node that lost its peer waits until it was fenced.

use std::path::Path;

use drbd_conf::model::{self, Opt};
use drbd_conf::resolve::{resolve, LocalHost};
use drbd_conf::{load_as, Dialect};

use super::{Config, Finding, Group};

/// Where drbdadm looks.
pub const DRBD_CONF: &str = "/etc/drbd.conf";

/// The handler that asks this cluster.
const HANDLER: &str = "drbd-hactl fence-peer";

/// What does not fit in the drbd.conf at `path`; nothing when no group has a DRBD resource.
#[must_use]
pub fn check(config: &Config, path: &Path) -> Vec<Finding> {
    let mut wanted = wanted(config).peekable();
    if wanted.peek().is_none() {
        return Vec::new();
    }
    match read(path) {
        Ok(resources) => wanted
            .flat_map(|(group, name)| one(path, group, name, &resources))
            .collect(),
        Err(what) => vec![Finding::error(
            None,
            what,
            format!("look:  drbdadm -c {} dump all", path.display()),
        )],
    }
}

/// DRBD resources with the groups they are of.
fn wanted(config: &Config) -> impl Iterator<Item = (&Group, &toml::Spanned<String>)> {
    config.groups().flat_map(|group| {
        let resources = group.resource.iter().map(toml::Spanned::as_ref);
        resources.filter_map(move |resource| Some((group, resource.drbd.as_ref()?)))
    })
}

/// Its resources, whichever generation it is written for.
fn read(path: &Path) -> Result<Vec<model::Resource>, String> {
    let shown = path.display().to_string();
    let mut errors = String::new();
    for dialect in [Dialect::V9, Dialect::V84] {
        let (parsed, mut diagnostics) =
            load_as(&shown, dialect).map_err(|error| error.to_string())?;
        let local = LocalHost {
            nodename: "",
            has_address: &|_| false,
            interactive: false,
            peer: None,
        };
        let sources = parsed.sources.clone();
        if diagnostics.exit_code() != Some(10) {
            let (resolved, more) = resolve(parsed, &local);
            if more.exit_code() != Some(10) {
                return Ok(resolved.full);
            }
            diagnostics = more;
        }
        if errors.is_empty() {
            errors = diagnostics.render(&sources);
        }
    }
    Err(format!("{shown} has errors:\n{}", errors.trim_end()))
}

/// One resource of a group.
fn one(
    path: &Path,
    group: &Group,
    name: &toml::Spanned<String>,
    resources: &[model::Resource],
) -> Vec<Finding> {
    let file = path.display();
    let span = name.span();
    let name = name.as_ref();
    let Some(resource) = resources.iter().find(|known| known.name == *name) else {
        return vec![Finding::error(
            span,
            format!("{file} has no resource '{name}'"),
            "drbd is the name of a resource there:  drbdadm sh-resources",
        )];
    };
    let mut list = Vec::new();
    for node in &group.nodes {
        let known = |host: &model::Host| host.names.iter().any(|known| known == node.as_ref());
        if !resource.hosts.iter().any(known) {
            list.push(Finding::error(
                node.span(),
                format!("'{}' has no part in '{name}' of {file}", node.as_ref()),
                format!("name it there:  on {} {{ ... }}", node.as_ref()),
            ));
        }
    }
    let sections = &resource.sections;
    let net = &sections.net;
    // Generation 8.4 has it beside the disk's options.
    let fencing = value(net, "fencing").or_else(|| value(&sections.disk.disk, "fencing"));
    let fencing = fencing.unwrap_or("dont-care");
    if fencing != "resource-and-stonith" {
        list.push(Finding::warning(
            span.clone(),
            format!("'{name}' has fencing {fencing} in {file}: a Primary that lost its peer goes on before the peer is fenced, \
                     and writes can be lost when the peer takes over"),
            "put into the resource:  net { fencing resource-and-stonith; }",
        ));
    }
    let handler = value(&sections.handlers, "fence-peer");
    if !handler.is_some_and(|line| line.contains(HANDLER)) {
        list.push(Finding::warning(
            span.clone(),
            format!("the fence-peer handler of '{name}' in {file} does not ask this cluster"),
            format!("put into the resource:  handlers {{ fence-peer \"/usr/sbin/{HANDLER}\"; }}"),
        ));
    }
    if value(net, "allow-two-primaries").is_some_and(|value| value == "yes") {
        list.push(Finding::error(
            span,
            format!("'{name}' may be Primary on two nodes in {file}; a group runs on one"),
            "take it out:  allow-two-primaries",
        ));
    }
    list
}

/// The value of an option; the last statement counts.
fn value<'a>(options: &'a [Opt], name: &str) -> Option<&'a str> {
    let mut known = options.iter().rev();
    known
        .find(|option| option.name == name)
        .map(|option| option.value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    const GROUP: &str = r#"
[cluster]
name = "lab"
keyfile = "/etc/drbd-ha.key"
[[node]]
name = "n1"
id = 1
links = ["10.0.0.1:7799"]
[[node]]
name = "n2"
id = 2
links = ["10.0.0.2:7799"]
[[fence_device]]
name = "power"
agent = "fence_x"
targets = { n1 = "1", n2 = "2" }
[[group]]
name = "db"
nodes = ["n1", "n2"]
[[group.resource]]
drbd = "r0"
"#;

    fn findings(resource: &str) -> Vec<String> {
        let (config, _) = config::parse("ha.toml", GROUP.to_owned()).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), resource).unwrap();
        let list = check(&config, file.path());
        let shown = file.path().display().to_string();
        let text = |finding: Finding| {
            let what = finding.what.replace(&shown, "FILE");
            format!("{:?}: {what}", finding.severity)
        };
        list.into_iter().map(text).collect()
    }

    fn resource(net: &str, rest: &str) -> String {
        format!(
            "global {{ usage-count no; }}\nresource r0 {{\n net {{ {net} }}\n {rest}\n device minor 0; disk /dev/x; meta-disk internal;\n \
             on n1 {{ address 10.0.0.1:7788; }}\n on n2 {{ address 10.0.0.2:7788; }}\n}}\n"
        )
    }

    #[test]
    fn a_resource_that_waits_for_fencing_is_good() {
        let handlers = "handlers { fence-peer \"/usr/sbin/drbd-hactl fence-peer\"; }";
        let good = resource("fencing resource-and-stonith;", handlers);
        assert_eq!(findings(&good), [] as [String; 0]);
        let common = format!(
            "common {{ net {{ fencing resource-and-stonith; }} {handlers} }}\n{}",
            resource("", "")
        );
        assert_eq!(findings(&common), [] as [String; 0]);
        let old = resource(
            "",
            &format!("disk {{ fencing resource-and-stonith; }} {handlers}"),
        );
        assert_eq!(findings(&old), [] as [String; 0]);
    }

    #[test]
    fn what_loses_writes_is_told() {
        let found = findings(&resource("", ""));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].starts_with("Warning: 'r0' has fencing dont-care in FILE"),
            "{found:?}"
        );
        assert!(found[1].contains("does not ask this cluster"), "{found:?}");
        let found = findings(&resource(
            "fencing resource-only; allow-two-primaries yes;",
            "",
        ));
        assert!(found[0].contains("fencing resource-only"), "{found:?}");
        assert!(
            found[2].starts_with("Error: 'r0' may be Primary on two nodes"),
            "{found:?}"
        );
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        let found = findings(&resource("", "").replace("r0", "r1"));
        assert_eq!(found, ["Error: FILE has no resource 'r0'"]);
        let found = findings(&resource("", "").replace("on n2", "on n3"));
        assert!(
            found[0].starts_with("Error: 'n2' has no part in 'r0'"),
            "{found:?}"
        );
        let found = findings("resource r0 { fnord yes; }");
        assert!(found[0].starts_with("Error: FILE has errors"), "{found:?}");
    }
}
