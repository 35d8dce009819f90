// SPDX-License-Identifier: GPL-2.0-or-later
//! Texts of the files read, and positions in them.
//!
//! Everything the parser makes carries a [`Span`]: twelve bytes that name a file
//! and a range in it. Lines and columns are computed only when somebody has to
//! be told.

/// Index of a file in a [`SourceMap`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(u32);

/// A range of bytes in one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// Offset of the first byte.
    pub start: u32,
    /// Offset behind the last byte; equal to `start` at the end of a file.
    pub end: u32,
}

impl Span {
    /// The range from the start of `self` to the end of `last`.
    #[must_use]
    pub fn to(self, last: Span) -> Span {
        if self.file == last.file && last.end >= self.start {
            Span {
                end: last.end,
                ..self
            }
        } else {
            self
        }
    }
}

/// Where a byte is, as an editor shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineColumn {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1; a tab is one character.
    pub column: u32,
}

/// One file as it was read.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// The name as given: on the command line, or as an include matched it.
    pub name: String,
    /// The whole text.
    pub text: String,
    line_starts: Vec<u32>,
}

/// All files of one run.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    files: Vec<SourceFile>,
}

impl SourceMap {
    /// Adds a file. Text beyond 4 GiB is cut: a span could not point there.
    pub fn add(&mut self, name: String, mut text: String) -> FileId {
        if text.len() > u32::MAX as usize {
            let mut cut = u32::MAX as usize;
            while !text.is_char_boundary(cut) {
                cut -= 1;
            }
            text.truncate(cut);
        }
        let mut line_starts = vec![0];
        for (offset, byte) in text.bytes().enumerate() {
            if byte == b'\n' {
                line_starts.push(u32::try_from(offset + 1).unwrap_or(u32::MAX));
            }
        }
        let id = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        self.files.push(SourceFile {
            name,
            text,
            line_starts,
        });
        id
    }

    /// The file, or `None` for an id of another map.
    #[must_use]
    pub fn file(&self, id: FileId) -> Option<&SourceFile> {
        self.files.get(id.0 as usize)
    }

    /// Name of the file a span is in; `?` for a span of another map.
    #[must_use]
    pub fn name(&self, span: Span) -> &str {
        self.file(span.file).map_or("?", |file| file.name.as_str())
    }

    /// The text a span covers.
    #[must_use]
    pub fn text(&self, span: Span) -> &str {
        self.file(span.file)
            .and_then(|file| file.text.get(span.start as usize..span.end as usize))
            .unwrap_or("")
    }

    /// Line and column of the first byte of a span.
    #[must_use]
    pub fn position(&self, span: Span) -> LineColumn {
        let Some(file) = self.file(span.file) else {
            return LineColumn { line: 0, column: 0 };
        };
        let line_index = file
            .line_starts
            .partition_point(|start| *start <= span.start)
            .saturating_sub(1);
        let line_start = file.line_starts.get(line_index).copied().unwrap_or(0);
        let before = file
            .text
            .get(line_start as usize..span.start as usize)
            .unwrap_or("");
        LineColumn {
            line: u32::try_from(line_index + 1).unwrap_or(u32::MAX),
            column: u32::try_from(before.chars().count() + 1).unwrap_or(u32::MAX),
        }
    }

    /// The line a span starts on, without its line end.
    #[must_use]
    pub fn line(&self, span: Span) -> &str {
        let Some(file) = self.file(span.file) else {
            return "";
        };
        let line_index = file
            .line_starts
            .partition_point(|start| *start <= span.start)
            .saturating_sub(1);
        let start = file.line_starts.get(line_index).copied().unwrap_or(0) as usize;
        let rest = file.text.get(start..).unwrap_or("");
        rest.split(['\n', '\r']).next().unwrap_or("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_from_one() {
        let mut map = SourceMap::default();
        let file = map.add("x".into(), "a\nä b\r\nlast".into());
        let at = |start| {
            let span = Span {
                file,
                start,
                end: start + 1,
            };
            (map.position(span), map.line(span).to_owned())
        };
        assert_eq!(at(0).0, LineColumn { line: 1, column: 1 });
        assert_eq!(at(5).0, LineColumn { line: 2, column: 3 });
        assert_eq!(at(5).1, "ä b");
        assert_eq!(at(8).1, "last");
    }
}
