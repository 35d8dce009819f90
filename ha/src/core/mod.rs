// SPDX-License-Identifier: GPL-2.0-or-later

//! What decides: no I/O, no clock, no threads.
