// SPDX-License-Identifier: GPL-2.0-or-later
//! Sections of options: options, net, disk, startup, handlers, proxy, syncer.

use super::{Abandon, Parsed, Parser};
use crate::diagnostic::Diagnostic;
use crate::lexer::{Token, TokenKind};
use crate::model::{DiskOptions, Level, Opt, ProxyOptions, Sections};
use crate::schema::{self, OptionSpec, Scope};
use crate::suggest::nearest;
use crate::value;

/// Where a `disk { }` section puts its options, in the order names are looked up.
const DISK: &[Scope] = &[Scope::Disk, Scope::PeerDevice, Scope::Device];
/// Sections of the present language, for "it belongs there".
const SECTIONS: &[(&str, &[Scope])] = &[
    ("options", &[Scope::Resource]),
    ("net", &[Scope::Net]),
    ("disk", DISK),
    ("startup", &[Scope::Startup]),
    ("handlers", &[Scope::Handlers]),
];

impl Parser<'_> {
    /// `{ option... }` of one group.
    pub(super) fn option_block(
        &mut self,
        section: &str,
        scope: Scope,
        level: Level,
    ) -> Parsed<Vec<Opt>> {
        let mut out = Vec::new();
        self.block(|parser| {
            if let Some((_, opt)) = parser.option(section, &[scope], level)? {
                parser.store(&mut out, opt);
            }
            Ok(())
        })?;
        Ok(out)
    }

    /// `disk { }`. Returns options of `net` that once stood here.
    pub(super) fn disk_block(&mut self, out: &mut DiskOptions, level: Level) -> Parsed<Vec<Opt>> {
        let mut net = Vec::new();
        self.block(|parser| {
            let name = parser.peek();
            if parser.is_84() {
                return parser.disk_option_84(out, level);
            }
            // 8.x had `fencing` in disk.
            if name.is_keyword("fencing") {
                if let Some((_, opt)) = parser.option("disk", &[Scope::Net], level)? {
                    parser.store(&mut net, opt);
                }
                return Ok(());
            }
            if let Some((scope, opt)) = parser.option("disk", DISK, level)? {
                let place = match scope {
                    Scope::PeerDevice => &mut out.peer_device,
                    Scope::Device => &mut out.device,
                    _ => &mut out.disk,
                };
                parser.store(place, opt);
            }
            Ok(())
        })?;
        Ok(net)
    }

    /// For 8.4 all options of a disk are of one kind, `fencing` included.
    fn disk_option_84(&mut self, out: &mut DiskOptions, level: Level) -> Parsed<()> {
        let scopes: &[Scope] = if self.peek().is_keyword("fencing") {
            &[Scope::Net]
        } else {
            DISK
        };
        if let Some((_, opt)) = self.option("disk", scopes, level)? {
            self.store(&mut out.disk, opt);
        }
        Ok(())
    }

    /// `syncer { }` of 8.3: its options go to where they belong today.
    pub(super) fn syncer_block(&mut self, sections: &mut Sections, level: Level) -> Parsed<()> {
        const ORDER: &[Scope] = &[Scope::Net, Scope::Disk, Scope::Resource, Scope::PeerDevice];
        self.block(|parser| {
            if let Some((scope, opt)) = parser.option("syncer", ORDER, level)? {
                let place = match scope {
                    Scope::Net => &mut sections.net,
                    Scope::Resource => &mut sections.options,
                    Scope::PeerDevice if !parser.is_84() => &mut sections.disk.peer_device,
                    _ => &mut sections.disk.disk,
                };
                parser.store(place, opt);
            }
            Ok(())
        })?;
        Ok(())
    }

    /// `startup { }`.
    pub(super) fn startup_block(&mut self, sections: &mut Sections, level: Level) -> Parsed<()> {
        self.block(|parser| {
            let token = parser.peek();
            if token.is_keyword("stacked-timeouts") {
                parser.bump();
                parser.expect(';')?;
                sections.stacked_timeouts = true;
                return Ok(());
            }
            if token.is_keyword("become-primary-on") {
                parser.bump();
                sections.become_primary_on = parser.names("a host name, or `both`", ';')?;
                return Ok(());
            }
            if let Some((_, opt)) = parser.option("startup", &[Scope::Startup], level)? {
                parser.store(&mut sections.startup, opt);
            }
            Ok(())
        })?;
        Ok(())
    }

    /// `{ option... plugin { line; ... } }` of a proxy.
    pub(super) fn proxy_block(&mut self, out: &mut ProxyOptions, level: Level) -> Parsed<()> {
        self.block(|parser| {
            if parser.peek().is_keyword("plugin") {
                parser.bump();
                parser.block(|parser| {
                    let words = parser.names("a plugin setting", ';')?;
                    out.plugins.push(words.join(" "));
                    Ok(())
                })?;
                return Ok(());
            }
            if let Some((_, opt)) = parser.option("proxy", &[Scope::Proxy], level)? {
                parser.store(&mut out.options, opt);
            }
            Ok(())
        })?;
        Ok(())
    }

    /// One or more names up to `end`, which is taken for `;` and left for `{`.
    pub(super) fn names(&mut self, what: &str, end: char) -> Parsed<Vec<String>> {
        let mut names = vec![self.text(what)?.text];
        while !self.peek().is_punct(end) {
            let wanted = format!("`{end}`");
            let token = self.peek();
            if !token.is_text() {
                return Err(self.unexpected(&[what, wanted.as_str()]));
            }
            names.push(self.bump().text);
        }
        if end == ';' {
            self.bump();
        }
        Ok(names)
    }

    /// Puts an option into a list; the last one of a name counts.
    pub(super) fn store(&mut self, list: &mut Vec<Opt>, opt: Opt) {
        if let Some(old) = list.iter_mut().find(|old| old.name == opt.name) {
            let first = old.span;
            if old.level == opt.level {
                self.shared.diagnostics.push(
                    Diagnostic::warning(opt.span, format!("`{}` is given again", opt.name))
                        .see(first, "this value has no effect"),
                );
            }
            *old = opt;
        } else {
            list.push(opt);
        }
    }

    /// One option statement. `Ok(None)`: read, and without effect.
    pub(super) fn option(
        &mut self,
        section: &str,
        scopes: &[Scope],
        level: Level,
    ) -> Parsed<Option<(Scope, Opt)>> {
        // `drbdsetup show` marks what it cannot name; harmless in a file.
        if self.peek().is_keyword("_unknown") {
            self.bump();
        }
        let token = self.peek();
        if token.kind != TokenKind::Word {
            return Err(self.unexpected(&[format!("an option of `{section}`").as_str()]));
        }
        let name = schema::modern_name(&token.text);
        let dialect = self.shared.config.dialect;
        let find = |name: &str| schema::find_in(dialect, scopes, name);
        let negated = name
            .strip_prefix("no-")
            .and_then(|positive| find(positive).filter(OptionSpec::is_flag));
        let Some(spec) = negated.or_else(|| find(name)) else {
            return self.unknown_option(section, scopes, &token);
        };
        self.bump();
        if !spec.is_in(dialect) {
            self.needs_9(&token, schema::since(spec.name).unwrap_or("DRBD 9"));
        }
        let given = self.peek();
        let value = if negated.is_some() {
            Some("no".to_owned())
        } else if given.is_punct(';') {
            None
        } else {
            Some(self.text(&format!("a value for `{name}`"))?.text)
        };
        self.check_value(&spec, value.as_deref(), &token, &given);
        let opt = Opt {
            name: spec.name.to_owned(),
            value: value.unwrap_or_else(|| "yes".to_owned()),
            span: token.span.to(self.last_span()),
            level,
        };
        self.expect(';')?;
        Ok(Some((spec.scope, opt)))
    }

    fn check_value(&mut self, spec: &OptionSpec, value: Option<&str>, name: &Token, given: &Token) {
        // Which host it means is known only when all hosts are.
        let by_host = spec.name == "after-sb-0pri"
            && value.is_some_and(|value| value.starts_with("discard-node-"));
        if by_host {
            return;
        }
        let dialect = self.shared.config.dialect;
        let Err(value::BadValue(reason)) = value::check_in(dialect, spec, value) else {
            return;
        };
        let span = if value.is_some() {
            given.span
        } else {
            name.span
        };
        let shown = match (value, spec.name) {
            (None, _) => String::new(),
            (Some(_), "shared-secret") => " ...".to_owned(),
            (Some(value), _) => format!(" {value}"),
        };
        let mut diagnostic = Diagnostic::error(span, format!("`{}{shown}`: {reason}", spec.name));
        if let Some(word) = value.and_then(|value| nearest(value, spec.words())) {
            diagnostic = diagnostic.help(format!("did you mean `{word}`?"));
        }
        self.report(diagnostic);
    }

    fn unknown_option(
        &mut self,
        section: &str,
        scopes: &[Scope],
        token: &Token,
    ) -> Parsed<Option<(Scope, Opt)>> {
        let name = schema::modern_name(&token.text);
        if schema::IGNORED.contains(&name) {
            self.bump();
            if !self.peek().is_punct(';') {
                self.text("a value")?;
            }
            self.expect(';')?;
            self.report(Diagnostic::warning(
                token.span,
                format!("`{name}` has no effect any more and is ignored"),
            ));
            return Ok(None);
        }
        let mut diagnostic = Diagnostic::error(
            token.span,
            format!("`{}` is not an option of `{section}`", token.text),
        );
        let home = SECTIONS
            .iter()
            .find(|(_, scopes)| schema::find(scopes, name).is_some());
        let known: Vec<&str> = scopes
            .iter()
            .flat_map(|scope| schema::options(*scope))
            .map(|spec| spec.name)
            .filter(|name| !name.starts_with('_'))
            .collect();
        if let Some((home, _)) = home {
            diagnostic = diagnostic.help(format!("`{name}` belongs into `{home} {{ }}`"));
        } else if let Some(word) = nearest(name, known.iter().copied()) {
            diagnostic = diagnostic.help(format!("did you mean `{word}`?"));
        } else {
            diagnostic = diagnostic.help(format!("the options are {}", known.join(", ")));
        }
        self.report(diagnostic);
        Err(Abandon)
    }
}
