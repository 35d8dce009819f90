// SPDX-License-Identifier: GPL-2.0-or-later
//! Resync parameters, P_SYNC_PARAM and P_SYNC_PARAM89 (wire-protocol section 5.5).

use super::alg_name::AlgName;
use super::cursor::{Reader, Writer};
use super::dialect::{Dialect, SyncParamForm};
use super::error::WireError;

/// What the two nodes tell each other about resync and verify. Older forms carry less: what is missing is zero, or empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncParam {
    /// Fixed rate in KiB/s.
    pub resync_rate: u32,
    /// Digest of online verify (88 and later).
    pub verify_alg: AlgName,
    /// Digest of a checksum-based resync (89 and later).
    pub csums_alg: AlgName,
    /// Horizon of the controller in 0.1 s (95 and later, like the rest); 0 means fixed rate.
    pub c_plan_ahead: u32,
    /// Wanted delay in 0.1 s.
    pub c_delay_target: u32,
    /// Wanted amount in flight, in sectors.
    pub c_fill_target: u32,
    /// Ceiling in KiB/s.
    pub c_max_rate: u32,
}

impl SyncParam {
    /// What a node without a disk sends: the defaults of the options.
    pub const DEFAULT: Self = Self {
        resync_rate: 250,
        verify_alg: AlgName::EMPTY,
        csums_alg: AlgName::EMPTY,
        c_plan_ahead: 20,
        c_delay_target: 10,
        c_fill_target: 100,
        c_max_rate: 102_400,
    };

    pub(super) fn decode(dialect: Dialect, reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut param = Self {
            resync_rate: reader.u32()?,
            verify_alg: AlgName::EMPTY,
            csums_alg: AlgName::EMPTY,
            c_plan_ahead: 0,
            c_delay_target: 0,
            c_fill_target: 0,
            c_max_rate: 0,
        };
        match dialect.sync_param_form() {
            SyncParamForm::Rate => {}
            SyncParamForm::RateAndVerify => {
                param.verify_alg = AlgName::decode(reader.rest(), "verify-alg")?
            }
            SyncParamForm::Algorithms => param.decode_algorithms(reader)?,
            SyncParamForm::Controller => {
                param.decode_algorithms(reader)?;
                param.c_plan_ahead = reader.u32()?;
                param.c_delay_target = reader.u32()?;
                param.c_fill_target = reader.u32()?;
                param.c_max_rate = reader.u32()?;
            }
        }
        Ok(param)
    }

    fn decode_algorithms(&mut self, reader: &mut Reader<'_>) -> Result<(), WireError> {
        self.verify_alg = AlgName::decode_field(reader, "verify-alg")?;
        self.csums_alg = AlgName::decode_field(reader, "csums-alg")?;
        Ok(())
    }

    pub(super) fn encode(
        &self,
        dialect: Dialect,
        writer: &mut Writer<'_>,
    ) -> Result<(), WireError> {
        writer.u32(self.resync_rate)?;
        match dialect.sync_param_form() {
            SyncParamForm::Rate => Ok(()),
            SyncParamForm::RateAndVerify => self.verify_alg.encode_text(writer),
            SyncParamForm::Algorithms => self.encode_algorithms(writer),
            SyncParamForm::Controller => {
                self.encode_algorithms(writer)?;
                writer.u32(self.c_plan_ahead)?;
                writer.u32(self.c_delay_target)?;
                writer.u32(self.c_fill_target)?;
                writer.u32(self.c_max_rate)
            }
        }
    }

    fn encode_algorithms(&self, writer: &mut Writer<'_>) -> Result<(), WireError> {
        self.verify_alg.encode_field(writer)?;
        self.csums_alg.encode_field(writer)
    }
}
