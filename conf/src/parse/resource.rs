// SPDX-License-Identifier: GPL-2.0-or-later
//! Resource sections, and what they share with `common`.

use std::collections::BTreeMap;

use super::{Parsed, Parser};
use crate::diagnostic::Diagnostic;
use crate::lexer::TokenKind;
use crate::model::{HostKind, Level, Opt, Resource, Sections};
use crate::schema::{self, Scope};
use crate::source::Span;

const RESOURCE_WORDS: &[&str] = &[
    "`on`",
    "`floating`",
    "`stacked-on-top-of`",
    "`volume`",
    "`device`",
    "`disk`",
    "`meta-disk`",
    "`options`",
    "`net`",
    "`startup`",
    "`handlers`",
    "`proxy`",
    "`connection`",
    "`connection-mesh`",
    "`template-file`",
    "`protocol`",
    "`syncer`",
    "`ignore-on`",
    "`skip`",
];

/// Heads of the sections seen: each may stand once.
pub(super) struct Heads {
    owner: String,
    seen: BTreeMap<String, Span>,
}

impl Heads {
    pub(super) fn new(owner: &str) -> Heads {
        Heads {
            owner: owner.to_owned(),
            seen: BTreeMap::new(),
        }
    }

    /// Reports a second section of a kind; its options are read all the same.
    pub(super) fn once(&mut self, parser: &mut Parser<'_>, section: &str, span: Span) {
        if let Some(first) = self.seen.get(section) {
            parser.report(
                Diagnostic::error(span, format!("a second `{section}` in {}", self.owner))
                    .see(*first, "the first one is here")
                    .help("merge the two"),
            );
        } else {
            self.seen.insert(section.to_owned(), span);
        }
    }
}

impl Parser<'_> {
    /// `resource NAME { }`
    pub(super) fn resource(&mut self) -> Parsed<()> {
        self.bump();
        let name = self.text("a resource name")?;
        let mut resource = Resource {
            name: name.text.clone(),
            span: name.span,
            open: self.peek().span,
            template: None,
            sections: Sections::default(),
            volumes: Vec::new(),
            hosts: Vec::new(),
            connections: Vec::new(),
            meshes: Vec::new(),
            local: None,
        };
        if let Some(first) = self.shared.resources.get(&name.text).copied() {
            self.report(
                Diagnostic::error(
                    name.span,
                    format!("a second resource named `{}`", name.text),
                )
                .see(first, "the first one is here"),
            );
        } else {
            self.shared.resources.insert(name.text.clone(), name.span);
        }
        if name.text == "all" || name.text.contains('/') {
            self.report(Diagnostic::warning(
                name.span,
                "no command can select a resource of this name",
            ));
        }
        self.expect('{')?;
        let mut heads = Heads::new(&format!("resource {}", name.text));
        self.statements(|parser| parser.resource_statement(&mut resource, &mut heads));
        if self.at_end() {
            let end = self.peek().span;
            self.report(
                Diagnostic::warning(end, "the file ends inside a resource, expected `}`")
                    .see(name.span, "the resource begins here"),
            );
        } else {
            self.bump();
        }
        self.shared.config.resources.push(resource);
        Ok(())
    }

    fn resource_statement(&mut self, resource: &mut Resource, heads: &mut Heads) -> Parsed<()> {
        let token = self.peek();
        if token.kind != TokenKind::Word {
            return Err(self.unexpected(RESOURCE_WORDS));
        }
        if self.is_volume_statement(false) {
            let mut net = Vec::new();
            let parsed =
                self.implicit_volume(&mut resource.volumes, Level::ResourceVolume, &mut net);
            self.moved_to_net(resource, net);
            return parsed;
        }
        match token.text.as_str() {
            "on" | "floating" | "stacked-on-top-of" => self.resource_host(resource, heads),
            "volume" => {
                let mut net = Vec::new();
                let parsed = self.volume(&mut resource.volumes, Level::ResourceVolume, &mut net);
                self.moved_to_net(resource, net);
                parsed
            }
            "connection" => {
                self.needs_9(&token, "DRBD 9");
                let connection = self.connection()?;
                resource.connections.push(connection);
                Ok(())
            }
            "connection-mesh" => {
                self.needs_9(&token, "DRBD 9");
                let mesh = self.mesh()?;
                resource.meshes.push(mesh);
                Ok(())
            }
            "template-file" => {
                self.needs_9(&token, "drbd-utils 9");
                heads.once(self, "template-file", token.span);
                resource.template = self.template()?;
                Ok(())
            }
            "ignore-on" => {
                self.bump();
                self.text("a host name")?;
                self.expect(';')?;
                self.report(Diagnostic::warning(
                    token.span,
                    "`ignore-on` has had no effect since drbd 9 and is ignored",
                ));
                Ok(())
            }
            "skip" => self.skip(),
            _ => {
                if self.section_statement(&mut resource.sections, heads, Level::Resource)? {
                    return Ok(());
                }
                Err(self.unexpected(RESOURCE_WORDS))
            }
        }
    }

    fn resource_host(&mut self, resource: &mut Resource, heads: &mut Heads) -> Parsed<()> {
        let mut net = Vec::new();
        let host = self.host(&mut net)?;
        self.moved_to_net(resource, net);
        if host.kind == HostKind::On {
            for name in &host.names {
                heads.once(self, &format!("on {name}"), host.span);
            }
        } else {
            heads.once(self, &host.title(), host.span);
        }
        resource.hosts.push(host);
        Ok(())
    }

    fn moved_to_net(&mut self, resource: &mut Resource, net: Vec<Opt>) {
        for opt in net {
            self.store(&mut resource.sections.net, opt);
        }
    }

    /// A section that both a resource and `common` can have; false if the next
    /// token begins none.
    pub(super) fn section_statement(
        &mut self,
        sections: &mut Sections,
        heads: &mut Heads,
        level: Level,
    ) -> Parsed<bool> {
        let token = self.peek();
        if token.kind != TokenKind::Word {
            return Ok(false);
        }
        match token.text.as_str() {
            "protocol" => {
                let Some(protocol) = schema::find(&[Scope::Net], "protocol") else {
                    return Ok(false);
                };
                if let Some((_, opt)) = self.option("net", &[protocol.scope], level)? {
                    self.store(&mut sections.net, opt);
                }
                return Ok(true);
            }
            "options" | "net" | "disk" | "startup" | "handlers" | "proxy" | "syncer" => {
                self.bump();
                heads.once(self, &token.text, token.span);
            }
            "skip" => {
                self.skip()?;
                return Ok(true);
            }
            _ => return Ok(false),
        }
        match token.text.as_str() {
            "options" => {
                let options = self.option_block("options", Scope::Resource, level)?;
                self.store_all(&mut sections.options, options);
            }
            "net" => {
                let options = self.option_block("net", Scope::Net, level)?;
                self.store_all(&mut sections.net, options);
            }
            "handlers" => {
                let options = self.option_block("handlers", Scope::Handlers, level)?;
                self.store_all(&mut sections.handlers, options);
            }
            "disk" => {
                let moved = self.disk_block(&mut sections.disk, level)?;
                self.store_all(&mut sections.net, moved);
            }
            "startup" => self.startup_block(sections, level)?,
            "proxy" => self.proxy_block(&mut sections.proxy, level)?,
            _ => self.syncer_block(sections, level)?,
        }
        Ok(true)
    }

    fn store_all(&mut self, list: &mut Vec<Opt>, options: Vec<Opt>) {
        for opt in options {
            self.store(list, opt);
        }
    }
}
