// SPDX-License-Identifier: GPL-2.0-or-later
//! What a request is said to carry is what its decoder looks into.

use drbd_core::genl::{Command, Context, Request, Tla, Writer, ATTRIBUTE_MAX};

/// Whether a request that names everything is refused for a nest `tla` whose content is no sequence of attributes.
fn looks_into(command: Command, tla: Tla) -> bool {
    let mut buffer = [0; 256];
    let mut writer = Writer::new(&mut buffer);
    let context = Context {
        volume: Some(0),
        peer_node_id: Some(1),
        ..Context::resource("r0")
    };
    context.encode_request(&mut writer).unwrap();
    writer
        .nest(tla, |w| w.put_raw(&[0xff, 0xff, 0, 0]))
        .unwrap();
    let request = Request::decode(command, 0, 0, writer.bytes(), false);
    request.is_err_and(|refusal| refusal.text == "malformed or repeated attribute")
}

#[test]
fn the_nests_of_a_request_are_those_that_are_looked_into() {
    for command in Command::ALL.iter().filter(|command| !command.is_event()) {
        for tla in (1..=ATTRIBUTE_MAX).filter_map(Tla::from_number) {
            if tla != Tla::CfgContext {
                let listed = command.request_nests().contains(&tla);
                assert_eq!(looks_into(*command, tla), listed, "{command:?} {tla:?}");
            }
        }
    }
}
