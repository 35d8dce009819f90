// SPDX-License-Identifier: GPL-2.0-or-later
//! The words of a dump, each with its place.

use std::fmt;

/// What a token is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Token {
    /// `{ } [ ] ;`
    Mark(char),
    /// A keyword.
    Word(String),
    /// Text in quotes.
    Quoted(String),
    /// A decimal number, maybe negative.
    Number(i64),
    /// `0x` and exactly 8 digits.
    Hex32(u32),
    /// `0x` and exactly 16 digits.
    Hex64(u64),
    /// Something else.
    Unknown(String),
    /// The end.
    End,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Token::Mark(mark) => write!(f, "'{mark}'"),
            Token::Word(word) | Token::Unknown(word) => write!(f, "'{word}'"),
            Token::Quoted(text) => write!(f, "\"{text}\""),
            Token::Number(number) => write!(f, "{number}"),
            Token::Hex32(number) => write!(f, "{number:#010x}"),
            Token::Hex64(number) => write!(f, "{number:#018x}"),
            Token::End => f.write_str("the end"),
        }
    }
}

/// Reads tokens one after the other.
pub(crate) struct Tokens<'text> {
    text: &'text str,
    at: usize,
}

impl<'text> Tokens<'text> {
    pub(crate) fn new(text: &'text str) -> Self {
        Tokens { text, at: 0 }
    }

    /// The next token and where it begins.
    pub(crate) fn next(&mut self) -> (Token, usize) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if !trimmed.starts_with('#') {
                break;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
        let (start, rest) = (self.at, self.rest());
        let Some(first) = rest.chars().next() else {
            return (Token::End, start);
        };
        if matches!(first, '{' | '}' | '[' | ']' | ';') {
            self.at += 1;
            return (Token::Mark(first), start);
        }
        if first == '"' {
            let end = rest[1..]
                .find(['"', '\n'])
                .map_or(rest.len(), |end| end + 2)
                .min(rest.len());
            self.at += end;
            let quoted = &rest[..end];
            return (quoted_token(quoted), start);
        }
        let end = rest
            .find(|c: char| c.is_whitespace() || "{}[];\"#".contains(c))
            .unwrap_or(rest.len());
        self.at += end;
        (plain_token(&rest[..end]), start)
    }

    /// Line and column of a place, counted from 1.
    pub(crate) fn position(&self, at: usize) -> (usize, usize) {
        let before = &self.text[..at];
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        (
            before.matches('\n').count() + 1,
            before[line_start..].chars().count() + 1,
        )
    }

    fn rest(&self) -> &'text str {
        &self.text[self.at..]
    }
}

fn quoted_token(text: &str) -> Token {
    let inner = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    match inner {
        Some(inner) if (1..=20).contains(&inner.len()) => Token::Quoted(inner.to_string()),
        _ => Token::Unknown(text.trim_end().to_string()),
    }
}

fn plain_token(text: &str) -> Token {
    let unknown = || Token::Unknown(text.to_string());
    if let Some(digits) = text.strip_prefix("0x") {
        let hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        return match digits.len() {
            8 if hex => u32::from_str_radix(digits, 16).map_or_else(|_| unknown(), Token::Hex32),
            16 if hex => u64::from_str_radix(digits, 16).map_or_else(|_| unknown(), Token::Hex64),
            _ => unknown(),
        };
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.starts_with(|c: char| c.is_ascii_digit()) {
        let decimal = digits.len() <= 19 && digits.bytes().all(|digit| digit.is_ascii_digit());
        return text
            .parse()
            .ok()
            .filter(|_| decimal)
            .map_or_else(unknown, Token::Number);
    }
    if text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
    {
        return Token::Word(text.to_string());
    }
    unknown()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<Token> {
        let mut tokens = Tokens::new(text);
        std::iter::from_fn(|| Some(tokens.next().0).filter(|token| *token != Token::End)).collect()
    }

    #[test]
    fn each_kind_is_recognised() {
        assert_eq!(
            all("peer[0] {# ; }\n bitmap-index -1; 0x0000000a 0x000000000000000B \"v08\""),
            [
                Token::Word("peer".to_string()),
                Token::Mark('['),
                Token::Number(0),
                Token::Mark(']'),
                Token::Mark('{'),
                Token::Word("bitmap-index".to_string()),
                Token::Number(-1),
                Token::Mark(';'),
                Token::Hex32(10),
                Token::Hex64(11),
                Token::Quoted("v08".to_string()),
            ]
        );
    }

    #[test]
    fn what_is_malformed_is_no_number_and_no_string() {
        for text in [
            "0x1",
            "0x00000000000000000",
            "12345678901234567890",
            "1a",
            "\"open",
            "\"\"",
            "a_b",
            "ä",
        ] {
            assert_eq!(all(text), [Token::Unknown(text.to_string())], "{text}");
        }
    }

    #[test]
    fn places_count_from_one() {
        let mut tokens = Tokens::new("a\n  b");
        tokens.next();
        let (_, at) = tokens.next();
        assert_eq!(tokens.position(at), (2, 3));
    }
}
