// SPDX-License-Identifier: GPL-2.0-or-later
//! Host sections, addresses, proxies in front of a host.

use super::{Parsed, Parser};
use crate::diagnostic::Diagnostic;
use crate::lexer::TokenKind;
use crate::model::{Address, Family, Host, HostKind, HostProxy, Level, Opt, ProxyOptions};
use crate::source::Span;

/// Largest node id.
pub(crate) const NODE_ID_MAX: u32 = 31;

const HOST_WORDS: &[&str] = &[
    "`device`",
    "`disk`",
    "`meta-disk`",
    "`address`",
    "`node-id`",
    "`volume`",
    "`options`",
    "`proxy`",
    "`skip`",
];

impl Parser<'_> {
    /// `on NAME... { }`, `floating ADDRESS { }`, `stacked-on-top-of RES { }`.
    pub(super) fn host(&mut self, net: &mut Vec<Opt>) -> Parsed<Host> {
        let head = self.bump();
        let mut host = Host {
            kind: HostKind::On,
            names: Vec::new(),
            span: head.span,
            node_id: None,
            node_id_span: head.span,
            address: None,
            alternate_address: None,
            proxy: None,
            options: Vec::new(),
            volumes: Vec::new(),
        };
        match head.text.as_str() {
            "on" => host.names = self.names("a host name", '{')?,
            "floating" => {
                host.kind = HostKind::Floating;
                host.address = Some(self.address()?);
            }
            _ => {
                let lower = self.text("the resource below")?;
                host.kind = HostKind::Stacked { lower: lower.text };
            }
        }
        host.span = head.span.to(self.last_span());
        if host.kind == HostKind::Floating && self.peek().is_punct(';') {
            self.bump();
            return Ok(host);
        }
        self.block(|parser| parser.host_statement(&mut host, net))?;
        Ok(host)
    }

    fn host_statement(&mut self, host: &mut Host, net: &mut Vec<Opt>) -> Parsed<()> {
        if self.is_volume_statement(true) {
            return self.implicit_volume(&mut host.volumes, Level::Host, net);
        }
        let token = self.peek();
        if token.kind != TokenKind::Word {
            return Err(self.unexpected(HOST_WORDS));
        }
        match token.text.as_str() {
            "volume" => self.volume(&mut host.volumes, Level::Host, net),
            "skip" => self.skip(),
            "address" => {
                self.bump();
                let first = host.address.as_ref().map(|address| address.span);
                self.once(first.is_some(), &token, first.unwrap_or_default())?;
                host.address = Some(self.address()?);
                self.expect(';')?;
                Ok(())
            }
            "alternate-link-address" => {
                self.bump();
                host.alternate_address = Some(self.address()?);
                self.expect(';')?;
                Ok(())
            }
            "node-id" => {
                self.needs_9(&token, "DRBD 9");
                self.bump();
                self.once(host.node_id.is_some(), &token, host.node_id_span)?;
                let (id, span) = self.integer("node-id", 0, NODE_ID_MAX)?;
                host.node_id = Some(id);
                host.node_id_span = token.span.to(span);
                self.expect(';')?;
                Ok(())
            }
            "options" => {
                self.bump();
                let options =
                    self.option_block("options", crate::schema::Scope::Resource, Level::Host)?;
                for opt in options {
                    self.store(&mut host.options, opt);
                }
                Ok(())
            }
            "proxy" => {
                let first = host.proxy.as_ref().map(|proxy| proxy.span);
                self.once(first.is_some(), &token, first.unwrap_or_default())?;
                host.proxy = Some(self.host_proxy()?);
                Ok(())
            }
            _ => Err(self.unexpected(HOST_WORDS)),
        }
    }

    /// `proxy on NAME... { inside A; outside A; options { } }`
    pub(super) fn host_proxy(&mut self) -> Parsed<HostProxy> {
        let head = self.bump().span;
        if !self.peek().is_keyword("on") {
            return Err(self.unexpected(&["`on`"]));
        }
        self.bump();
        let mut proxy = HostProxy {
            names: self.names("a host name", '{')?,
            inside: None,
            outside: None,
            options: ProxyOptions::default(),
            span: head.to(self.last_span()),
        };
        self.block(|parser| {
            const WORDS: &[&str] = &["`inside`", "`outside`", "`options`"];
            let token = parser.peek();
            if token.is_keyword("options") {
                parser.bump();
                return parser.proxy_block(&mut proxy.options, Level::Host);
            }
            if !token.is_keyword("inside") && !token.is_keyword("outside") {
                return Err(parser.unexpected(WORDS));
            }
            parser.bump();
            let address = parser.address()?;
            parser.expect(';')?;
            if token.text == "inside" {
                proxy.inside = Some(address);
            } else {
                proxy.outside = Some(address);
            }
            Ok(())
        })?;
        let missing = match (&proxy.inside, &proxy.outside) {
            (None, _) => Some("inside"),
            (_, None) => Some("outside"),
            _ => None,
        };
        if let Some(missing) = missing {
            self.report(Diagnostic::error(
                proxy.span,
                format!("this proxy has no `{missing}` address"),
            ));
        }
        Ok(proxy)
    }

    /// `[ipv4|sdp|ssocks|sci] A.B.C.D:PORT` or `ipv6 [ADDRESS]:PORT`.
    pub(super) fn address(&mut self) -> Parsed<Address> {
        let start = self.peek().span;
        let word = self.peek();
        let family = match word.text.as_str() {
            "ipv4" => Some(Family::Ipv4),
            "ipv6" => Some(Family::Ipv6),
            "sdp" => Some(Family::Sdp),
            "ssocks" | "sci" => Some(Family::Ssocks),
            _ => None,
        }
        .filter(|_| word.kind == TokenKind::Word);
        if family.is_some() {
            self.bump();
        }
        let family = family.unwrap_or(Family::Ipv4);
        let host = if family == Family::Ipv6 {
            self.expect('[')?;
            let token = self.peek();
            if token.kind != TokenKind::Ipv6 {
                return Err(self.unexpected(&["an IPv6 address"]));
            }
            self.bump();
            self.expect(']')?;
            token.text
        } else {
            let token = self.peek();
            if token.kind != TokenKind::Word || !is_ipv4(&token.text) {
                let mut wanted = vec!["an IPv4 address such as 10.0.0.1"];
                if token.kind == TokenKind::Ipv6 || token.is_punct('[') {
                    wanted.push("`ipv6` in front of an IPv6 address");
                }
                return Err(self.unexpected(&wanted));
            }
            self.bump();
            token.text
        };
        self.expect(':')?;
        let port = self.port()?;
        Ok(Address {
            family,
            host,
            port: port.0,
            span: start.to(port.1),
        })
    }

    /// A TCP port.
    pub(super) fn port(&mut self) -> Parsed<(u16, Span)> {
        let (port, span) = self.integer("port", 1, u32::from(u16::MAX))?;
        Ok((u16::try_from(port).unwrap_or(u16::MAX), span))
    }
}

fn is_ipv4(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    parts.len() == 4
        && parts.iter().all(|part| {
            (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        })
}
