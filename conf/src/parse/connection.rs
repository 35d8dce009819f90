// SPDX-License-Identifier: GPL-2.0-or-later
//! Connections, paths and meshes.

use super::{Abandon, Parsed, Parser};
use crate::diagnostic::Diagnostic;
use crate::model::{Connection, Level, Mesh, Opt, Path, PathHost, PeerDevice};
use crate::schema::Scope;

const CONNECTION_WORDS: &[&str] = &[
    "`host`",
    "`address`",
    "`path`",
    "`net`",
    "`disk`",
    "`volume`",
    "`skip`",
];

impl Parser<'_> {
    /// `connection [NAME] { }`
    pub(super) fn connection(&mut self) -> Parsed<Connection> {
        let head = self.bump().span;
        let mut connection = Connection {
            name: None,
            paths: Vec::new(),
            net: Vec::new(),
            disk: Vec::new(),
            peer_devices: Vec::new(),
            span: head,
            derived: false,
        };
        if !self.peek().is_punct('{') {
            let name = self.text("`{`")?;
            connection.span = head.to(name.span);
            self.report(
                Diagnostic::warning(name.span, "names of connections have gone out of use")
                    .help("leave it out: a connection is named after the peer"),
            );
            connection.name = Some(name.text);
        }
        let mut heads = super::resource::Heads::new("connection");
        self.block(|parser| parser.connection_statement(&mut connection, &mut heads))?;
        if connection.paths.is_empty() {
            self.report(
                Diagnostic::error(connection.span, "this connection has no path")
                    .help("name its two ends: `host A; host B;`"),
            );
        }
        for path in &connection.paths {
            if path.hosts.len() < 2 {
                self.report(
                    Diagnostic::error(path.span, "a connection needs two ends")
                        .help("name both: `host A; host B;`"),
                );
            }
        }
        Ok(connection)
    }

    fn connection_statement(
        &mut self,
        connection: &mut Connection,
        heads: &mut super::resource::Heads,
    ) -> Parsed<()> {
        let token = self.peek();
        if token.is_keyword("host") || token.is_keyword("address") {
            let end = self.path_host()?;
            if !connection.paths.iter().any(|path| path.implicit) {
                connection.paths.push(Path {
                    hosts: Vec::new(),
                    implicit: true,
                    span: connection.span,
                });
            }
            if let Some(path) = connection.paths.iter_mut().find(|path| path.implicit) {
                return self.add_end(path, end);
            }
            return Ok(());
        }
        if token.is_keyword("path") {
            self.bump();
            let mut path = Path {
                hosts: Vec::new(),
                implicit: false,
                span: token.span,
            };
            self.block(|parser| {
                let token = parser.peek();
                if token.is_keyword("host") || token.is_keyword("address") {
                    let end = parser.path_host()?;
                    return parser.add_end(&mut path, end);
                }
                Err(parser.unexpected(&["`host`", "`address`"]))
            })?;
            connection.paths.push(path);
            return Ok(());
        }
        if token.is_keyword("net") {
            self.bump();
            heads.once(self, "net", token.span);
            for opt in self.option_block("net", Scope::Net, Level::Connection)? {
                self.store(&mut connection.net, opt);
            }
            return Ok(());
        }
        if token.is_keyword("disk") {
            self.bump();
            heads.once(self, "disk", token.span);
            for opt in self.option_block("disk", Scope::PeerDevice, Level::Connection)? {
                self.store(&mut connection.disk, opt);
            }
            return Ok(());
        }
        if token.is_keyword("volume") {
            return self.peer_device(connection);
        }
        if token.is_keyword("skip") {
            return self.skip();
        }
        Err(self.unexpected(CONNECTION_WORDS))
    }

    /// `volume N { disk { } }` of a connection.
    fn peer_device(&mut self, connection: &mut Connection) -> Parsed<()> {
        let head = self.bump().span;
        let (number, number_span) = self.integer("volume number", 0, 65534)?;
        let span = head.to(number_span);
        if let Some(old) = connection
            .peer_devices
            .iter()
            .find(|old| old.number == number)
        {
            let first = old.span;
            self.report(
                Diagnostic::error(span, format!("volume {number} is here twice"))
                    .see(first, "the first one"),
            );
        }
        let mut options: Vec<Opt> = Vec::new();
        self.block(|parser| {
            if parser.peek().is_keyword("skip") {
                return parser.skip();
            }
            if !parser.peek().is_keyword("disk") {
                return Err(parser.unexpected(&["`disk`"]));
            }
            parser.bump();
            for opt in parser.option_block("disk", Scope::PeerDevice, Level::PeerDevice)? {
                parser.store(&mut options, opt);
            }
            Ok(())
        })?;
        connection.peer_devices.push(PeerDevice {
            number,
            options,
            derived: false,
            span,
        });
        Ok(())
    }

    fn add_end(&mut self, path: &mut Path, end: PathHost) -> Parsed<()> {
        if path.hosts.len() >= 2 {
            self.report(
                Diagnostic::error(end.span, "a connection has two ends, this is a third")
                    .help("write one `connection` for each pair, or a `connection-mesh`"),
            );
            return Ok(());
        }
        path.hosts.push(end);
        Ok(())
    }

    /// `host NAME [address A | port P] [via ...];` or `address A [via ...];`
    fn path_host(&mut self) -> Parsed<PathHost> {
        let head = self.bump();
        let mut end = PathHost {
            name: None,
            address: None,
            port: None,
            proxy: None,
            outside_address: None,
            span: head.span,
            host: None,
        };
        if head.text == "host" {
            end.name = Some(self.text("a host name")?.text);
            end.span = head.span.to(self.last_span());
            if self.peek().is_keyword("address") {
                self.bump();
                end.address = Some(self.address()?);
            } else if self.peek().is_keyword("port") {
                self.bump();
                end.port = Some(self.port()?.0);
            }
        } else {
            end.address = Some(self.address()?);
            end.span = head.span.to(self.last_span());
        }
        if self.peek().is_keyword("via") {
            self.bump();
            let token = self.peek();
            if token.is_keyword("proxy") {
                end.proxy = Some(self.host_proxy()?);
                // The block ends the statement; a `;` behind it is welcome.
                if self.peek().is_punct(';') {
                    self.bump();
                }
                return Ok(end);
            }
            if !token.is_keyword("outside-address") {
                return Err(self.unexpected(&["`proxy`", "`outside-address`"]));
            }
            self.bump();
            end.outside_address = Some(self.address()?);
        }
        if !self.peek().is_punct(';') && end.address.is_none() && end.port.is_none() {
            return Err(self.unexpected(&["`address`", "`port`", "`via`", "`;`"]));
        }
        self.expect(';')?;
        Ok(end)
    }

    /// `connection-mesh { hosts A B C; net { } }`
    pub(super) fn mesh(&mut self) -> Parsed<Mesh> {
        let head = self.bump().span;
        let mut mesh = Mesh {
            hosts: Vec::new(),
            net: Vec::new(),
            span: head,
        };
        self.block(|parser| {
            let token = parser.peek();
            if token.is_keyword("hosts") {
                parser.bump();
                loop {
                    let name = parser.text("a host name")?;
                    mesh.hosts.push((name.text, name.span));
                    if parser.peek().is_punct(';') {
                        parser.bump();
                        return Ok(());
                    }
                }
            }
            if token.is_keyword("net") {
                parser.bump();
                for opt in parser.option_block("net", Scope::Net, Level::Mesh)? {
                    parser.store(&mut mesh.net, opt);
                }
                return Ok(());
            }
            if token.is_keyword("skip") {
                return parser.skip();
            }
            Err(parser.unexpected(&["`hosts`", "`net`"]))
        })?;
        if mesh.hosts.len() < 2 {
            self.report(
                Diagnostic::error(mesh.span, "a mesh needs at least two hosts")
                    .help("name them: `hosts A B C;`"),
            );
            return Err(Abandon);
        }
        Ok(mesh)
    }
}
