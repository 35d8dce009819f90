// SPDX-License-Identifier: GPL-2.0-or-later
//! Requests that are refused, and why; accepted ones are in `tests/genl_golden.rs`.

use super::super::{Command, Context, Tla, Writer, FLAG_SET_DEFAULTS, NO_MINOR};
use super::*;

fn refused(
    command: Command,
    minor: u32,
    fill: impl FnOnce(&mut Writer<'_>),
) -> (i32, &'static str) {
    let mut buffer = [0; 512];
    let mut writer = Writer::new(&mut buffer);
    fill(&mut writer);
    let refusal = Request::decode(command, minor, 0, writer.bytes(), true).unwrap_err();
    (refusal.code.0, refusal.text)
}

fn peer(resource: &str, node_id: u32) -> Context<'_> {
    Context {
        peer_node_id: Some(node_id),
        ..Context::resource(resource)
    }
}

#[test]
fn objects_must_be_named() {
    assert_eq!(
        refused(Command::Primary, NO_MINOR, |_| ()),
        (162, "resource name missing")
    );
    assert_eq!(
        refused(Command::Detach, NO_MINOR, |_| ()),
        (127, "minor missing")
    );
    let only_resource = |w: &mut Writer<'_>| Context::resource("r0").encode_request(w).unwrap();
    assert_eq!(
        refused(Command::Connect, NO_MINOR, only_resource),
        (162, "peer node id missing")
    );
    let far = |w: &mut Writer<'_>| peer("r0", 40).encode_request(w).unwrap();
    assert_eq!(
        refused(Command::Connect, NO_MINOR, far),
        (162, "peer node id out of range")
    );
    let near = |w: &mut Writer<'_>| peer("r0", 1).encode_request(w).unwrap();
    assert_eq!(
        refused(Command::PauseSync, NO_MINOR, near),
        (162, "volume missing")
    );
    let alone = |w: &mut Writer<'_>| {
        Context {
            peer_node_id: Some(1),
            ..Context::default()
        }
        .encode_request(w)
        .unwrap();
    };
    assert_eq!(
        refused(Command::Connect, NO_MINOR, alone),
        (162, "peer node id without resource")
    );
    assert_eq!(
        refused(Command::NewPath, NO_MINOR, near),
        (126, "required attribute missing")
    );
    assert_eq!(refused(Command::ResourceState, NO_MINOR, |_| ()).0, 162);
}

#[test]
fn numbers_out_of_range_are_named() {
    let new_resource = |id: u32| {
        move |w: &mut Writer<'_>| {
            Context::resource("rx").encode_request(w).unwrap();
            w.nest(Tla::ResourceOpts, |w| w.put_u32(4, id)).unwrap();
        }
    };
    assert_eq!(
        refused(Command::NewResource, NO_MINOR, new_resource(32)),
        (162, "node id out of range")
    );
    let volume = |volume: u32| {
        move |w: &mut Writer<'_>| {
            Context {
                volume: Some(volume),
                ..Context::resource("r0")
            }
            .encode_request(w)
            .unwrap();
        }
    };
    assert_eq!(
        refused(Command::NewMinor, 1, volume(70_000)),
        (162, "requested volume id out of range")
    );
    assert_eq!(
        refused(Command::NewMinor, 1_048_576, volume(1)),
        (162, "requested minor out of range")
    );
    let forget = |w: &mut Writer<'_>| {
        Context::resource("r0").encode_request(w).unwrap();
        w.nest(Tla::ForgetPeerParms, |w| w.put_s32(1, 99)).unwrap();
    };
    assert_eq!(refused(Command::ForgetPeer, NO_MINOR, forget), (171, ""));
}

#[test]
fn required_invariant_and_repeated_options() {
    let context = |w: &mut Writer<'_>| Context::resource("r0").encode_request(w).unwrap();
    assert_eq!(
        refused(Command::NewResource, NO_MINOR, context),
        (126, "required attribute missing")
    );
    assert_eq!(
        refused(Command::Attach, 0, |_| ()),
        (126, "required attribute missing")
    );
    let unnamed = |w: &mut Writer<'_>| peer("r0", 2).encode_request(w).unwrap();
    assert_eq!(
        refused(Command::NewPeer, NO_MINOR, unnamed),
        (126, "required attribute missing")
    );
    let node_id = |w: &mut Writer<'_>| {
        context(w);
        w.nest(Tla::ResourceOpts, |w| w.put_u32(4, 1)).unwrap();
    };
    assert_eq!(
        refused(Command::ResourceOpts, NO_MINOR, node_id),
        (126, "can not change invariant setting")
    );
    let twice = |w: &mut Writer<'_>| {
        context(w);
        w.nest(Tla::SetRoleParms, |w| {
            w.put_flag(1, true)?;
            w.put_flag(1, true)
        })
        .unwrap();
    };
    assert_eq!(
        refused(Command::Primary, NO_MINOR, twice),
        (126, "malformed or repeated attribute")
    );
    let wide = |w: &mut Writer<'_>| {
        context(w);
        w.nest(Tla::SetRoleParms, |w| w.put_u32(1, 1)).unwrap();
    };
    assert_eq!(
        refused(Command::Primary, NO_MINOR, wide),
        (126, "invalid attribute value")
    );
}

#[test]
fn options_are_applied_to_what_is_in_force() {
    let mut buffer = [0; 256];
    let mut writer = Writer::new(&mut buffer);
    writer.nest(Tla::DiskConf, |w| w.put_u32(10, 200)).unwrap();
    writer.nest(Tla::NetConf, |w| w.put_u32(900, 1)).unwrap();
    let old = DiskOptions {
        md_flushes: false,
        ..DiskOptions::default()
    };
    for (flags, md_flushes) in [(0, false), (FLAG_SET_DEFAULTS, true)] {
        let request =
            Request::decode(Command::ChgDiskOpts, 3, flags, writer.bytes(), true).unwrap();
        let Request::DiskOptions { minor: 3, options } = request else {
            panic!("not disk-options")
        };
        let disk = options.apply(&old).unwrap();
        assert_eq!((disk.al_extents, disk.md_flushes), (200, md_flushes));
        assert!(options.names(10) && !options.names(19));
    }
}
