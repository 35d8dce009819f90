// SPDX-License-Identifier: GPL-2.0-or-later
//! Running the user-mode helper (`usermode_helper` parameter).

use crate::sys as c;
use kernel::prelude::*;

/// Runs `path` with `args` (without the program name) and `env` and waits for its end.
///
/// HOME, TERM and PATH are added. Returns the exit code; a program that died of a signal counts as
/// 128 + signal. Errors: `ENOENT` and other failures to start it.
///
/// Context: task, preferably a kernel thread, with no lock held that a command of the helper could need: helpers call
/// `drbdsetup`.
pub(crate) fn run(path: &CStr, args: &[&CStr], env: &[&CStr]) -> Result<u8> {
    let mut argv = KVec::new();
    argv.push(path.as_char_ptr().cast_mut(), GFP_KERNEL)?;
    for arg in args {
        argv.push(arg.as_char_ptr().cast_mut(), GFP_KERNEL)?;
    }
    argv.push(core::ptr::null_mut(), GFP_KERNEL)?;
    let mut envp = KVec::new();
    for var in [
        c"HOME=/",
        c"TERM=linux",
        c"PATH=/sbin:/usr/sbin:/bin:/usr/bin",
    ] {
        envp.push(var.as_char_ptr().cast_mut(), GFP_KERNEL)?;
    }
    for var in env {
        envp.push(var.as_char_ptr().cast_mut(), GFP_KERNEL)?;
    }
    envp.push(core::ptr::null_mut(), GFP_KERNEL)?;
    // A killable wait does not alarm the hung-task watchdog when the program takes its time. Only
    // kernel threads, which nobody kills, may use it: a killed waiter would leave before the new
    // process has read our strings.
    // SAFETY: Only reads a flag of the current task.
    let killable = if unsafe { c::kg_current_is_kthread() } {
        c::UMH_KILLABLE
    } else {
        0
    };
    // SAFETY: Null-terminated arrays of C strings that live until the program has ended; the
    // strings are only read.
    let status = unsafe {
        c::call_usermodehelper(
            path.as_char_ptr(),
            argv.as_mut_ptr(),
            envp.as_mut_ptr(),
            (c::UMH_WAIT_PROC | killable) as c_int,
        )
    };
    if status < 0 {
        return Err(Error::from_errno(status));
    }
    let signal = (status & 0x7f) as u8;
    let exit = ((status >> 8) & 0xff) as u8;
    Ok(if signal != 0 { signal | 0x80 } else { exit })
}
