// SPDX-License-Identifier: GPL-2.0-or-later
//! Volumes: device, disk, meta-disk, and `volume N { }`.

use super::{Abandon, Parsed, Parser};
use crate::diagnostic::Diagnostic;
use crate::lexer::Token;
use crate::model::{Level, MetaDisk, MetaIndex, Opt, Volume};
use crate::source::Span;

/// Largest volume number.
const VOLUME_MAX: u32 = 65534;
/// Largest minor number: 20 bits.
const MINOR_MAX: u32 = 0xf_ffff;

/// Statements a volume is made of.
pub(super) const VOLUME_WORDS: &[&str] = &[
    "`device`",
    "`disk`",
    "`meta-disk`",
    "`flexible-meta-disk`",
    "`tiebreaker`",
];

impl Parser<'_> {
    /// Whether a volume statement comes next. `disk {` counts only if asked:
    /// directly in a resource it is a section of its own.
    pub(super) fn is_volume_statement(&self, disk_section: bool) -> bool {
        let token = self.peek();
        if token.is_keyword("disk") {
            return disk_section || !self.peek_at(1).is_punct('{');
        }
        VOLUME_WORDS
            .iter()
            .any(|word| token.is_keyword(word.trim_matches('`')))
    }

    /// A volume statement outside `volume { }`: it makes volume 0.
    pub(super) fn implicit_volume(
        &mut self,
        volumes: &mut Vec<Volume>,
        level: Level,
        net: &mut Vec<Opt>,
    ) -> Parsed<()> {
        let span = self.peek().span;
        if let Some(explicit) = volumes.iter().find(|volume| !volume.implicit) {
            let first = explicit.span;
            self.report(
                Diagnostic::error(span, "explicit and implicit volumes cannot be mixed")
                    .see(first, "an explicit volume is here")
                    .help("move the statement into a `volume` section"),
            );
            return Err(Abandon);
        }
        if volumes.is_empty() {
            volumes.push(Volume::new(0, true, span));
        }
        match volumes.first_mut() {
            Some(volume) => self.volume_statement(volume, level, net),
            None => Ok(()),
        }
    }

    /// `volume N { }`
    pub(super) fn volume(
        &mut self,
        volumes: &mut Vec<Volume>,
        level: Level,
        net: &mut Vec<Opt>,
    ) -> Parsed<()> {
        let head = self.bump().span;
        let (number, number_span) = self.integer("volume number", 0, VOLUME_MAX)?;
        let span = head.to(number_span);
        if let Some(implicit) = volumes.iter().find(|volume| volume.implicit) {
            let first = implicit.span;
            self.report(
                Diagnostic::error(span, "explicit and implicit volumes cannot be mixed")
                    .see(first, "this makes an implicit volume 0")
                    .help("move it into a `volume` section"),
            );
            return Err(Abandon);
        }
        if let Some(old) = volumes.iter().find(|volume| volume.number == number) {
            let first = old.span;
            self.report(
                Diagnostic::error(span, format!("volume {number} is here twice"))
                    .see(first, "the first one"),
            );
        }
        let mut volume = Volume::new(number, false, span);
        self.block(|parser| {
            if parser.peek().is_keyword("skip") {
                return parser.skip();
            }
            if parser.is_volume_statement(true) {
                return parser.volume_statement(&mut volume, level, net);
            }
            Err(parser.unexpected(VOLUME_WORDS))
        })?;
        // Lists are kept sorted by number.
        let at = volumes.partition_point(|other| other.number <= number);
        volumes.insert(at, volume);
        Ok(())
    }

    fn volume_statement(
        &mut self,
        volume: &mut Volume,
        level: Level,
        net: &mut Vec<Opt>,
    ) -> Parsed<()> {
        let token = self.peek();
        match token.text.as_str() {
            "device" => self.device(volume),
            "disk" if self.peek_at(1).is_punct('{') => {
                self.bump();
                let moved = self.disk_block(&mut volume.options, level)?;
                for opt in moved {
                    self.store(net, opt);
                }
                Ok(())
            }
            "disk" => {
                self.bump();
                self.once(volume.disk.is_some(), &token, volume.disk_span)?;
                let disk = self.text("a block device")?;
                volume.disk_span = token.span.to(disk.span);
                volume.disk = Some(disk.text);
                self.expect(';')?;
                Ok(())
            }
            "tiebreaker" => {
                self.needs_9(&token, "drbd-utils 9");
                self.bump();
                let word = self.peek();
                volume.tiebreaker = match word.text.as_str() {
                    "yes" => Some(true),
                    "no" => Some(false),
                    _ => return Err(self.unexpected(&["`yes`", "`no`"])),
                };
                self.bump();
                self.expect(';')?;
                Ok(())
            }
            _ => self.meta_disk(volume),
        }
    }

    /// Refuses a second statement of a kind.
    pub(super) fn once(&mut self, given: bool, token: &Token, first: Span) -> Parsed<()> {
        if given {
            self.report(
                Diagnostic::error(token.span, format!("a second `{}`", token.text))
                    .see(first, "the first one is here"),
            );
            return Err(Abandon);
        }
        Ok(())
    }

    fn device(&mut self, volume: &mut Volume) -> Parsed<()> {
        let token = self.bump();
        self.once(
            volume.device.is_some() || volume.minor.is_some(),
            &token,
            volume.device_span,
        )?;
        if !self.peek().is_keyword("minor") {
            let name = self.text("a device name, or `minor` and a number")?;
            let full = if name.text.starts_with("drbd") {
                format!("/dev/{}", name.text)
            } else {
                name.text
            };
            volume.device = Some(full);
        }
        let mut explicit = None;
        if self.peek().is_keyword("minor") {
            self.bump();
            explicit = Some(self.integer("minor number", 0, MINOR_MAX)?.0);
        }
        volume.device_span = token.span.to(self.last_span());
        let from_name = volume.device.as_deref().and_then(minor_of);
        if let (Some(name), Some(explicit), Some(from_name)) = (&volume.device, explicit, from_name)
        {
            if explicit != from_name {
                let message = format!("device {name} has minor {from_name}, not {explicit}");
                self.report(Diagnostic::error(volume.device_span, message).help(format!(
                    "write `device minor {explicit};`, or leave the minor out"
                )));
            }
        }
        volume.minor = explicit.or(from_name);
        if volume.minor.is_none() {
            let name = volume.device.clone().unwrap_or_default();
            self.report(
                Diagnostic::error(
                    volume.device_span,
                    format!("{name} says no minor number, and none is given"),
                )
                .help("write `device minor N;`"),
            );
        } else if volume
            .device
            .as_deref()
            .is_some_and(|name| name.starts_with("/dev/drbd_"))
        {
            let name = volume.device.clone().unwrap_or_default();
            self.report(
                Diagnostic::warning(
                    volume.device_span,
                    format!("udev makes no device node {name}"),
                )
                .help("use `device minor N;` and the link /dev/drbd/by-res/RESOURCE/VOLUME"),
            );
        }
        self.expect(';')?;
        Ok(())
    }

    fn meta_disk(&mut self, volume: &mut Volume) -> Parsed<()> {
        let token = self.bump();
        self.once(volume.meta_disk.is_some(), &token, volume.meta_disk_span)?;
        let device = self.text("`internal`, or a block device")?;
        let flexible = token.text == "flexible-meta-disk";
        let internal = device.text == "internal";
        let mut index = match (internal, flexible) {
            (true, true) => MetaIndex::FlexInternal,
            (true, false) => MetaIndex::Internal,
            (false, _) => MetaIndex::Flexible,
        };
        if !flexible && !internal && self.peek().is_punct('[') {
            self.bump();
            index = MetaIndex::Slot(self.integer("metadata slot", 0, 65535)?.0);
            self.expect(']')?;
        }
        volume.meta_disk_span = token.span.to(self.last_span());
        volume.meta_disk = Some(MetaDisk {
            device: device.text,
            index,
        });
        self.expect(';')?;
        Ok(())
    }
}

/// The minor number a device name ends in: `/dev/drbd7`.
fn minor_of(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("/dev/drbd")?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|minor| *minor <= MINOR_MAX)
}
