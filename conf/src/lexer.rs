// SPDX-License-Identifier: GPL-2.0-or-later
//! Text to tokens (drbdadm.md section 3).
//!
//! A token is a word, a quoted string, an IPv6 address or one punctuation
//! character. Whether a word is a keyword, a number or an IPv4 address is the
//! parser's business: it knows what can stand there. A text the lexer cannot
//! read becomes a [`TokenKind::Bad`] token, so that a `skip` block may hold
//! anything and the parser reports only what it really came to.

use crate::source::{FileId, SourceMap, Span};

/// Longest unquoted word, in bytes.
pub const WORD_BYTES_MAX: usize = 128;
/// Longest quoted string, in bytes between the quotes.
pub const QUOTED_BYTES_MAX: usize = 255;

/// What a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// `{ } ; [ ] :`
    Punct(char),
    /// An unquoted word or number.
    Word,
    /// A quoted string; never a keyword.
    Quoted,
    /// An IPv6 address without brackets, perhaps with a `%scope`.
    Ipv6,
    /// Unreadable; the text is the reason.
    Bad,
    /// The end of the file.
    End,
}

/// One token.
#[derive(Clone, Debug)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Where it is.
    pub span: Span,
    /// Its text: of a quoted string the content, of a bad token the reason.
    pub text: String,
}

impl Token {
    /// Whether this is the punctuation character `c`.
    #[must_use]
    pub fn is_punct(&self, c: char) -> bool {
        self.kind == TokenKind::Punct(c)
    }

    /// Whether this is the unquoted word `word`.
    #[must_use]
    pub fn is_keyword(&self, word: &str) -> bool {
        self.kind == TokenKind::Word && self.text == word
    }

    /// Whether this can be a name or a value.
    #[must_use]
    pub fn is_text(&self) -> bool {
        matches!(self.kind, TokenKind::Word | TokenKind::Quoted)
    }
}

/// All tokens of a file; the last one is always [`TokenKind::End`].
#[must_use]
pub fn tokens(sources: &SourceMap, file: FileId) -> Vec<Token> {
    let text = sources.file(file).map_or("", |file| file.text.as_str());
    let mut lexer = Lexer {
        text,
        file,
        at: 0,
        out: Vec::new(),
    };
    while lexer.step() {}
    lexer.out
}

struct Lexer<'a> {
    text: &'a str,
    file: FileId,
    at: usize,
    out: Vec<Token>,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn push(&mut self, kind: TokenKind, bytes: usize, text: String) {
        let start = self.at;
        self.at += bytes;
        self.out.push(Token {
            kind,
            span: Span {
                file: self.file,
                start: u32::try_from(start).unwrap_or(u32::MAX),
                end: u32::try_from(self.at).unwrap_or(u32::MAX),
            },
            text,
        });
    }

    /// Makes one token or skips one blank; false at the end of the text.
    fn step(&mut self) -> bool {
        let Some(c) = self.rest().chars().next() else {
            self.push(TokenKind::End, 0, String::new());
            return false;
        };
        match c {
            ' ' | '\t' | '\r' | '\n' => self.at += 1,
            '#' => {
                let line = self.rest().find('\n').unwrap_or(self.rest().len());
                self.at += line;
            }
            '"' => self.quoted(),
            _ => {
                if let Some(length) = ipv6_length(self.rest()) {
                    let text = self.rest().get(..length).unwrap_or("").to_owned();
                    self.push(TokenKind::Ipv6, length, text);
                } else if is_word_char(c) {
                    self.word();
                } else if matches!(c, '{' | '}' | ';' | '[' | ']' | ':') {
                    self.push(TokenKind::Punct(c), c.len_utf8(), c.to_string());
                } else {
                    let reason = if c.is_ascii_graphic() {
                        format!("the character `{c}` must stand in double quotes")
                    } else {
                        format!("unexpected character U+{:04X}", u32::from(c))
                    };
                    self.push(TokenKind::Bad, c.len_utf8(), reason);
                }
            }
        }
        true
    }

    fn word(&mut self) {
        let length = self
            .rest()
            .find(|c| !is_word_char(c))
            .unwrap_or(self.rest().len());
        let text = self.rest().get(..length).unwrap_or("").to_owned();
        if length > WORD_BYTES_MAX {
            let reason = format!("word of {length} characters, more than {WORD_BYTES_MAX}");
            self.push(TokenKind::Bad, length, reason);
        } else {
            self.push(TokenKind::Word, length, text);
        }
    }

    fn quoted(&mut self) {
        let mut content = String::new();
        let mut escaped = false;
        for (offset, c) in self.rest().char_indices().skip(1) {
            match c {
                '\n' => {
                    let reason = "this string does not end on its line".to_owned();
                    self.push(TokenKind::Bad, offset, reason);
                    return;
                }
                _ if escaped => {
                    content.push(c);
                    escaped = false;
                }
                '\\' => escaped = true,
                '"' => {
                    // The limit counts what stands between the quotes.
                    if offset - 1 > QUOTED_BYTES_MAX {
                        let reason = format!(
                            "string of {} bytes, more than {QUOTED_BYTES_MAX}",
                            offset - 1
                        );
                        self.push(TokenKind::Bad, offset + 1, reason);
                    } else {
                        self.push(TokenKind::Quoted, offset + 1, content);
                    }
                    return;
                }
                _ => content.push(c),
            }
        }
        let length = self.rest().len();
        let reason = "this string has no end".to_owned();
        self.push(TokenKind::Bad, length, reason);
    }
}

fn is_word_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-')
}

/// Length of the IPv6 address at the start of `text`, with its `%scope`.
///
/// Only a text that really is one counts: `10.1.1.31:7789` and `a:b` are not.
fn ipv6_length(text: &str) -> Option<usize> {
    let run = text
        .find(|c: char| !(c.is_ascii_hexdigit() || matches!(c, ':' | '.')))
        .unwrap_or(text.len());
    let candidate = text.get(..run)?;
    // The longest address is 45 bytes; a longer run needs no parsing.
    if run > 45 || candidate.matches(':').count() < 2 {
        return None;
    }
    candidate.parse::<std::net::Ipv6Addr>().ok()?;
    let rest = text.get(run..)?;
    match rest.strip_prefix('%') {
        Some(scope) => {
            let length = scope
                .find(|c: char| !is_word_char(c))
                .unwrap_or(scope.len());
            (length > 0).then_some(run + 1 + length)
        }
        None => Some(run),
    }
}

/// Whether a text would be read back as one unquoted word.
#[must_use]
pub fn is_plain_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_word_char)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lex(text: &str) -> Vec<(TokenKind, String)> {
        let mut sources = SourceMap::default();
        let file = sources.add("t".into(), text.into());
        tokens(&sources, file)
            .into_iter()
            .map(|token| (token.kind, token.text))
            .collect()
    }

    #[test]
    fn addresses_of_both_families() {
        let words = lex("10.1.1.31:7789; [fd00:0:0:1::a%eth0]:7900 /dev/sdd[0]");
        let texts: Vec<&str> = words.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "10.1.1.31",
                ":",
                "7789",
                ";",
                "[",
                "fd00:0:0:1::a%eth0",
                "]",
                ":",
                "7900",
                "/dev/sdd",
                "[",
                "0",
                "]",
                ""
            ]
        );
        assert_eq!(words[5].0, TokenKind::Ipv6);
    }

    #[test]
    fn strings_and_comments() {
        assert_eq!(
            lex("\"a # \\\"b\\\" {\" # x"),
            [
                (TokenKind::Quoted, "a # \"b\" {".to_owned()),
                (TokenKind::End, String::new())
            ]
        );
    }

    #[test]
    fn limits_are_refused_not_cut() {
        assert_eq!(lex(&"a".repeat(128))[0].0, TokenKind::Word);
        assert_eq!(lex(&"a".repeat(129))[0].0, TokenKind::Bad);
        assert_eq!(
            lex(&format!("\"{}\"", "a".repeat(255)))[0].0,
            TokenKind::Quoted
        );
        assert_eq!(
            lex(&format!("\"{}\"", "a".repeat(256)))[0].0,
            TokenKind::Bad
        );
        assert_eq!(lex("\"abc\ndef\"")[0].0, TokenKind::Bad);
        assert_eq!(lex("\"abc")[0].0, TokenKind::Bad);
        assert_eq!(lex("a+b")[1].0, TokenKind::Bad);
    }
}
