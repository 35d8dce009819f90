// SPDX-License-Identifier: GPL-2.0-or-later
//! The top level of a file: global, common, resource, skip, include.

use std::path::{Path, PathBuf};

use super::{parse_text, parser, read_named, Parsed, Parser, Shared, INCLUDE_DEPTH_MAX};
use crate::diagnostic::Diagnostic;
use crate::lexer::TokenKind;
use crate::model::{Level, Requirement, Sections, Template, UsageCount};
use crate::source::Span;

const TOP: &[&str] = &["`global`", "`common`", "`resource`", "`include`", "`skip`"];
const REQUIRE: &str = "require-drbd-module-version-";

impl Parser<'_> {
    /// A whole file.
    pub(super) fn file(&mut self) {
        while !self.at_end() {
            self.statements(Self::top_level);
            if !self.at_end() {
                // A `}` that closes nothing.
                self.unexpected(TOP);
                self.bump();
            }
        }
    }

    fn top_level(&mut self) -> Parsed<()> {
        let token = self.peek();
        if token.kind != TokenKind::Word {
            return Err(self.unexpected(TOP));
        }
        match token.text.as_str() {
            "global" => self.global(),
            "common" => self.common(),
            "resource" => self.resource(),
            "include" => self.include(),
            "skip" => self.skip(),
            word if word.starts_with(REQUIRE) => {
                self.needs_9(&token, "drbd-utils 9");
                self.requirement()
            }
            _ => Err(self.unexpected(TOP)),
        }
    }

    fn global(&mut self) -> Parsed<()> {
        let span = self.bump().span;
        if let Some(first) = self.shared.global {
            self.report(
                Diagnostic::error(span, "a second `global` section")
                    .see(first, "the first one is here")
                    .help("merge the two"),
            );
        } else {
            self.shared.global = Some(span);
        }
        if !self.shared.config.resources.is_empty() {
            self.report(
                Diagnostic::warning(span, "`global` stands behind a resource")
                    .help("put the global section in front of all resource sections"),
            );
        }
        self.block(Self::global_option)?;
        Ok(())
    }

    fn global_option(&mut self) -> Parsed<()> {
        const NAMES: &[&str] = &[
            "`disable-ip-verification`",
            "`udev-always-use-vnr`",
            "`minor-count`",
            "`dialog-refresh`",
            "`usage-count`",
            "`cmd-timeout-short`",
            "`cmd-timeout-medium`",
            "`cmd-timeout-long`",
        ];
        let token = self.peek();
        let name = token.text.as_str();
        if token.kind != TokenKind::Word || !NAMES.contains(&format!("`{name}`").as_str()) {
            return Err(self.unexpected(NAMES));
        }
        self.bump();
        match name {
            "disable-ip-verification" => self.shared.config.global.disable_ip_verification = true,
            "udev-always-use-vnr" => self.shared.config.global.udev_always_use_vnr = true,
            "usage-count" => {
                let word = self.peek();
                self.shared.config.global.usage_count = match word.text.as_str() {
                    "yes" => UsageCount::Yes,
                    "no" => UsageCount::No,
                    "ask" => UsageCount::Ask,
                    _ => return Err(self.unexpected(&["`yes`", "`no`", "`ask`"])),
                };
                self.bump();
            }
            _ => {
                let (min, max) = match name {
                    "minor-count" => (1, 255),
                    "dialog-refresh" => (0, 600),
                    _ => (0, 900),
                };
                let (value, _) = self.integer(name, min, max)?;
                let global = &mut self.shared.config.global;
                let place = match name {
                    "minor-count" => &mut global.minor_count,
                    "dialog-refresh" => &mut global.dialog_refresh,
                    "cmd-timeout-short" => &mut global.cmd_timeout_short,
                    "cmd-timeout-medium" => &mut global.cmd_timeout_medium,
                    _ => &mut global.cmd_timeout_long,
                };
                *place = Some(value);
            }
        }
        self.expect(';')?;
        Ok(())
    }

    fn common(&mut self) -> Parsed<()> {
        self.bump();
        let mut sections = self.shared.config.common.take().unwrap_or_default();
        let parsed = self.common_body(&mut sections);
        self.shared.config.common = Some(sections);
        parsed
    }

    fn common_body(&mut self, sections: &mut Sections) -> Parsed<()> {
        let mut heads = super::resource::Heads::new("common");
        self.block(|parser| {
            let token = parser.peek();
            if parser.section_statement(sections, &mut heads, Level::Common)? {
                return Ok(());
            }
            if ["on", "floating", "stacked-on-top-of"]
                .iter()
                .any(|word| token.is_keyword(word))
            {
                parser.report(
                    Diagnostic::error(token.span, "`common` cannot have host sections")
                        .help("move it into a resource section"),
                );
                return Err(super::Abandon);
            }
            Err(parser.unexpected(&[
                "`options`",
                "`net`",
                "`disk`",
                "`startup`",
                "`handlers`",
                "`proxy`",
            ]))
        })?;
        Ok(())
    }

    fn requirement(&mut self) -> Parsed<()> {
        let token = self.bump();
        let relation = token.text.get(REQUIRE.len()..).unwrap_or("").to_owned();
        if !["eq", "ne", "gt", "ge", "lt", "le"].contains(&relation.as_str()) {
            self.at -= 1;
            return Err(self.unexpected(&[
                "`require-drbd-module-version-` with eq, ne, gt, ge, lt or le at its end",
            ]));
        }
        let word = self.text("a version such as 9.1.0")?;
        let parts: Vec<u32> = word
            .text
            .split('.')
            .map_while(|part| part.parse().ok())
            .collect();
        let [major, minor, patch] = parts[..] else {
            self.at -= 1;
            return Err(self.unexpected(&["a version such as 9.1.0"]));
        };
        self.shared.config.requirements.push(Requirement {
            relation,
            version: [major, minor, patch],
            span: token.span.to(word.span),
        });
        self.expect(';')?;
        Ok(())
    }

    fn include(&mut self) -> Parsed<()> {
        self.bump();
        let pattern = self.text("a file name in double quotes")?;
        self.expect(';')?;
        let full = self.directory.join(&pattern.text);
        let has_wildcard = pattern.text.contains(['*', '?', '[']);
        let mut paths: Vec<PathBuf> = match glob::glob(&full.to_string_lossy()) {
            Ok(found) => found.filter_map(Result::ok).collect(),
            Err(error) => {
                self.report(Diagnostic::error(
                    pattern.span,
                    format!("cannot read this pattern: {}", error.msg),
                ));
                return Ok(());
            }
        };
        paths.sort();
        if paths.is_empty() {
            if has_wildcard {
                self.shared
                    .config
                    .unmatched_includes
                    .push((pattern.span, pattern.text));
            } else {
                let error = std::fs::metadata(&full)
                    .err()
                    .map_or_else(String::new, |error| format!(": {error}"));
                self.report(
                    Diagnostic::error(
                        pattern.span,
                        format!("cannot read the include file {}{error}", full.display()),
                    )
                    .help("create it, or take the include statement out"),
                );
            }
        }
        for path in paths {
            self.include_file(&path, pattern.span, has_wildcard);
        }
        Ok(())
    }

    fn include_file(&mut self, path: &Path, span: Span, from_pattern: bool) {
        if self.shared.depth >= INCLUDE_DEPTH_MAX {
            self.report(Diagnostic::error(
                span,
                format!("includes are nested more than {INCLUDE_DEPTH_MAX} deep"),
            ));
            return;
        }
        if let Ok(real) = path.canonicalize() {
            if !self.shared.seen.insert(real) {
                return;
            }
        }
        match read_named(path) {
            Ok(text) => {
                self.shared.depth += 1;
                parse_text(self.shared, &path.to_string_lossy(), text, path);
                self.shared.depth -= 1;
            }
            Err(error) => {
                let message = format!("cannot read the include file {}: {error}", path.display());
                // A file may vanish between the listing and the reading.
                self.report(if from_pattern {
                    Diagnostic::warning(span, message)
                } else {
                    Diagnostic::error(span, message)
                });
            }
        }
    }

    /// `template-file "X";`
    pub(super) fn template(&mut self) -> Parsed<Option<Template>> {
        self.bump();
        let name = self.text("a file name in double quotes")?;
        self.expect(';')?;
        let path = self.directory.join(&name.text);
        let text = match read_named(&path) {
            Ok(text) => text,
            Err(error) => {
                self.report(Diagnostic::error(
                    name.span,
                    format!("cannot read the template {}: {error}", path.display()),
                ));
                return Ok(None);
            }
        };
        // A template is a configuration of its own; only its `common` counts.
        // It shares the source texts, so that its spans mean something here.
        let mut inner = Shared {
            seen: self.shared.seen.clone(),
            depth: self.shared.depth + 1,
            ..Shared::default()
        };
        if inner.depth > INCLUDE_DEPTH_MAX {
            self.report(Diagnostic::error(
                name.span,
                format!("templates are nested more than {INCLUDE_DEPTH_MAX} deep"),
            ));
            return Ok(None);
        }
        if let Ok(real) = path.canonicalize() {
            if !inner.seen.insert(real) {
                self.report(Diagnostic::error(
                    name.span,
                    "a template cannot be a file that is being read already",
                ));
                return Ok(None);
            }
        }
        inner.config.dialect = self.shared.config.dialect;
        std::mem::swap(&mut inner.config.sources, &mut self.shared.config.sources);
        let file_name = path.to_string_lossy().into_owned();
        parser(&mut inner, &file_name, text, &path).file();
        std::mem::swap(&mut inner.config.sources, &mut self.shared.config.sources);
        for diagnostic in inner.diagnostics.iter() {
            self.report(diagnostic.clone());
        }
        Ok(Some(Template {
            path: file_name,
            common: inner.config.common.unwrap_or_default(),
        }))
    }
}
