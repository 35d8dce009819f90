// SPDX-License-Identifier: GPL-2.0-or-later
//! A disk that a machine exports to others by iSCSI: the kernel's own target (LIO), configured through configfs, and open-iscsi
//! on those that use it.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use anyhow::Result;

use crate::services::LIMIT;
use crate::side::Side;
use crate::wait;

/// Name of the target.
const TARGET: &str = "iqn.2001-01.lab.store:data";

const PORT: u16 = 3260;

/// A disk of a machine, ready to be used by others.
pub struct Target {
    address: Ipv4Addr,
}

/// Name of that node as an initiator.
fn initiator(side: &Side) -> String {
    format!("iqn.2001-01.lab.node:{}", side.name())
}

impl Target {
    /// Exports `disk` of `store` to `users` and to nobody else, on the store's card of number `nic`.
    ///
    /// # Errors
    ///
    /// If the kernel refuses any of it.
    pub fn export(store: &Side, nic: u8, disk: &str, users: &[&Side]) -> Result<Target> {
        let address = store.node.ip(nic);
        let mut script = format!(
            "set -e
             modprobe -a configfs target_core_iblock iscsi_target_mod
             mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config
             cd /sys/kernel/config/target
             mkdir -p core/iblock_0/disk
             echo udev_path={disk} >core/iblock_0/disk/control
             echo {disk} >core/iblock_0/disk/udev_path
             echo 1 >core/iblock_0/disk/enable
             group=iscsi/{TARGET}/tpgt_1
             mkdir -p $group/lun/lun_0 $group/np/{address}:{PORT}
             ln -s $PWD/core/iblock_0/disk $group/lun/lun_0/disk
             echo 0 >$group/attrib/authentication
"
        );
        for user in users {
            let _ = writeln!(
                script,
                "user=$group/acls/{}
                 mkdir -p $user/lun_0
                 ln -s $PWD/$group/lun/lun_0 $user/lun_0/disk
                 echo 0 >$user/lun_0/write_protect",
                initiator(user)
            );
        }
        script += "echo 1 >$group/enable\n";
        store.sh(&script)?;
        Ok(Target { address })
    }

    /// Logs a node in; its name of the disk.
    ///
    /// # Errors
    ///
    /// If the target does not let it in, or no disk appears.
    pub fn log_in(&self, side: &Side) -> Result<String> {
        let name = format!("InitiatorName={}\n", initiator(side));
        side.node
            .put_mode("/etc/iscsi/initiatorname.iscsi", name.as_bytes(), 0o600)?;
        let address = self.address;
        // Without udev nobody loads the driver of a disk that appears, and an emulated machine may be deaf for seconds.
        side.node.sh_within(
            &format!(
                "set -e
                 modprobe -a sd_mod iscsi_tcp
                 mkdir -p /run/lock/iscsi
                 sed -i -e 's/^\\(node.conn\\[0\\].timeo.noop_out_[a-z]*\\) = .*/\\1 = 60/' /etc/iscsi/iscsid.conf
                 pgrep -x iscsid >/dev/null || iscsid
                 iscsiadm -m discovery -t sendtargets -p {address}:{PORT}
                 iscsiadm -m node -T {TARGET} -p {address}:{PORT} --login"
            ),
            LIMIT,
        )?;
        let look = || {
            let disks =
                side.sh("ls /sys/class/iscsi_session/session*/device/target*/*/block; true")?;
            Ok(disks.trim().to_owned())
        };
        let disk = wait::until("a disk of the target", LIMIT, look, |disk| !disk.is_empty())?;
        let disk = format!("/dev/{disk}");
        side.sh(&format!("test -b {disk}"))?;
        Ok(disk)
    }

    /// What the store says about the session of a node.
    ///
    /// # Errors
    ///
    /// If the store is gone, or does not export to that node.
    pub fn session(store: &Side, user: &Side) -> Result<String> {
        let user = initiator(user);
        store.sh(&format!(
            "cat /sys/kernel/config/target/iscsi/{TARGET}/tpgt_1/acls/{user}/info"
        ))
    }
}
