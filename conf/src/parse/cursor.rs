// SPDX-License-Identifier: GPL-2.0-or-later
//! Looking at tokens, taking them, and going on after a wrong one.

use super::{Abandon, Parsed, Parser};
use crate::diagnostic::Diagnostic;
use crate::lexer::{Token, TokenKind};
use crate::source::Span;
use crate::suggest::nearest;

impl Parser<'_> {
    /// The token `ahead` places on; the end of the file repeats for ever.
    pub(super) fn peek_at(&self, ahead: usize) -> Token {
        self.tokens
            .get(self.at + ahead)
            .or_else(|| self.tokens.last())
            .cloned()
            .unwrap_or(Token {
                kind: TokenKind::End,
                span: Span::default(),
                text: String::new(),
            })
    }

    pub(super) fn peek(&self) -> Token {
        self.peek_at(0)
    }

    pub(super) fn bump(&mut self) -> Token {
        let token = self.peek();
        if token.kind != TokenKind::End {
            self.at += 1;
        }
        token
    }

    /// The span of the token taken last.
    pub(super) fn last_span(&self) -> Span {
        self.at
            .checked_sub(1)
            .and_then(|at| self.tokens.get(at))
            .map_or_else(Span::default, |token| token.span)
    }

    pub(super) fn at_end(&self) -> bool {
        self.peek().kind == TokenKind::End
    }

    pub(super) fn report(&mut self, diagnostic: Diagnostic) {
        self.shared.diagnostics.push(diagnostic);
    }

    /// Reports that the next token is none of `expected`.
    pub(super) fn unexpected(&mut self, expected: &[&str]) -> Abandon {
        let token = self.peek();
        let wanted = match expected {
            [one] => one.to_string(),
            [init @ .., last] => format!("{} or {last}", init.join(", ")),
            [] => "something else".into(),
        };
        let found = match token.kind {
            TokenKind::End => "the file ends".to_owned(),
            TokenKind::Bad => token.text.clone(),
            TokenKind::Quoted => format!("got \"{}\"", shorten(&token.text)),
            _ => format!("got `{}`", shorten(&token.text)),
        };
        let mut diagnostic = Diagnostic::error(token.span, format!("{found}, expected {wanted}"));
        if token.kind == TokenKind::Word {
            if let Some(word) = nearest(&token.text, expected.iter().map(|word| bare(word))) {
                diagnostic = diagnostic.help(format!("did you mean `{word}`?"));
            }
        } else if token.kind == TokenKind::Quoted
            && expected.iter().any(|word| bare(word) == token.text)
        {
            diagnostic = diagnostic.help("keywords stand without quotes");
        }
        self.report(diagnostic);
        Abandon
    }

    /// Whether the file is read for a driver of generation 8.4.
    pub(super) fn is_84(&self) -> bool {
        self.shared.config.dialect.is_84()
    }

    /// Reports a statement or option that drivers of generation 8.4 lack. It is
    /// read all the same, so that its own errors are found, too.
    pub(super) fn needs_9(&mut self, token: &Token, since: &str) {
        if self.is_84() {
            self.report(
                Diagnostic::error(
                    token.span,
                    format!(
                        "`{}` came with {since}, the driver here is of generation 8.4",
                        token.text
                    ),
                )
                .help("take it out, or load a driver that has it: `rmmod drbd; modprobe drbd`"),
            );
        }
    }

    pub(super) fn expect(&mut self, c: char) -> Parsed<Span> {
        let token = self.peek();
        if token.is_punct(c) {
            self.bump();
            return Ok(token.span);
        }
        if c == ';' && self.at > 0 {
            // The place to type it is behind the token before.
            let before = self.last_span();
            let found = match token.kind {
                TokenKind::End => "the file ends".to_owned(),
                TokenKind::Bad => token.text.clone(),
                _ => format!("got `{}`", shorten(&token.text)),
            };
            let end = Span {
                start: before.end.saturating_sub(1),
                ..before
            };
            self.report(
                Diagnostic::error(token.span, format!("{found}, expected `;`"))
                    .see(end, "the statement before seems to end here"),
            );
            return Err(Abandon);
        }
        let wanted = format!("`{c}`");
        Err(self.unexpected(&[wanted.as_str()]))
    }

    /// A name or value, quoted or not.
    pub(super) fn text(&mut self, what: &str) -> Parsed<Token> {
        let token = self.peek();
        if token.is_text() || token.kind == TokenKind::Ipv6 {
            return Ok(self.bump());
        }
        Err(self.unexpected(&[what]))
    }

    /// A whole number without suffix between `min` and `max`.
    pub(super) fn integer(&mut self, what: &str, min: u32, max: u32) -> Parsed<(u32, Span)> {
        let token = self.peek();
        let number = token.text.parse::<u64>();
        let Ok(number) = number else {
            return Err(self.unexpected(&[what]));
        };
        if token.kind != TokenKind::Word || !token.text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(self.unexpected(&[what]));
        }
        self.bump();
        match u32::try_from(number) {
            Ok(value) if (min..=max).contains(&value) => Ok((value, token.span)),
            _ => {
                self.report(Diagnostic::error(
                    token.span,
                    format!("{what} {number} is out of range, {min} to {max} are allowed"),
                ));
                // The statement is otherwise well formed: go on behind it with
                // a value that causes no further errors.
                Ok((min, token.span))
            }
        }
    }

    /// `{ statement... }`; `statement` is called at the start of each one.
    /// Returns the span of the closing brace.
    pub(super) fn block(&mut self, statement: impl FnMut(&mut Self) -> Parsed<()>) -> Parsed<Span> {
        self.expect('{')?;
        let open = self.last_span();
        self.statements(statement);
        if self.at_end() {
            let end = self.peek().span;
            self.report(
                Diagnostic::error(end, "the file ends inside a section, expected `}`")
                    .see(open, "the section begins here"),
            );
            return Ok(end);
        }
        Ok(self.bump().span)
    }

    /// Statements up to a `}` or the end of the file, which stay where they are.
    pub(super) fn statements(&mut self, mut statement: impl FnMut(&mut Self) -> Parsed<()>) {
        loop {
            let token = self.peek();
            if token.is_punct('}') || token.kind == TokenKind::End {
                return;
            }
            let before = self.at;
            if statement(self).is_err() {
                self.recover();
            }
            if self.at == before {
                // Nothing was taken: never look at the same token twice.
                self.bump();
            }
        }
    }

    /// Skips the rest of a statement: behind its `;` or block, or up to the
    /// `}` of the section it is in.
    fn recover(&mut self) {
        let mut depth = 0_u32;
        loop {
            let token = self.peek();
            match token.kind {
                TokenKind::End => return,
                TokenKind::Punct('{') => depth += 1,
                TokenKind::Punct('}') if depth == 0 => return,
                TokenKind::Punct('}') => {
                    depth -= 1;
                    if depth == 0 {
                        self.bump();
                        return;
                    }
                }
                TokenKind::Punct(';') if depth == 0 => {
                    self.bump();
                    return;
                }
                _ => {}
            }
            self.bump();
        }
    }

    /// `skip ... { ... }`: everything up to the brace that closes the first one.
    pub(super) fn skip(&mut self) -> Parsed<()> {
        let start = self.bump().span;
        let mut depth = 0_u32;
        loop {
            let token = self.peek();
            match token.kind {
                TokenKind::End => {
                    self.report(
                        Diagnostic::error(token.span, "the file ends inside a skipped section")
                            .see(start, "the section begins here"),
                    );
                    return Ok(());
                }
                TokenKind::Punct(';' | '}') if depth == 0 => {
                    return Err(self.unexpected(&["`{`"]));
                }
                TokenKind::Punct('{') => depth += 1,
                TokenKind::Punct('}') => {
                    depth -= 1;
                    if depth == 0 {
                        self.bump();
                        return Ok(());
                    }
                }
                _ => {}
            }
            self.bump();
        }
    }
}

/// A keyword in a list of expected things is written in backquotes.
fn bare(word: &str) -> &str {
    word.trim_matches('`')
}

/// A token for a message: not longer than a line.
fn shorten(text: &str) -> String {
    if text.chars().count() > 40 {
        let head: String = text.chars().take(40).collect();
        format!("{head}...")
    } else {
        text.to_owned()
    }
}
