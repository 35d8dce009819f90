// SPDX-License-Identifier: GPL-2.0-or-later
//! Options of a connection (NET_CONF; section `net` of drbd.conf).

use super::choices::{
    AfterSb, Fencing, OnCongestion, Protocol, AFTER_SB_0P, AFTER_SB_1P, AFTER_SB_2P, FENCING,
    ON_CONGESTION, PROTOCOL, RR_CONFLICT,
};
use super::field::Field;
use super::group::{option_group, OptionGroup, Refusal};
use super::spec::{flag, s32, text, text_given, u32, word, OptionSpec, Scale, Unit};
use super::text::Text;
use super::value::Value;
use crate::genl::{RetCode, Tla};

const TLS: &str = "tls is not implemented in this version";
const RDMA: &str = "this option belongs to the rdma transport, which is not implemented";

option_group! {
    /// Options of a connection.
    NetOptions in Tla::NetConf;
    /// Secret that authenticates the peer.
    shared_secret: Text<64> = text(1, 64).option("shared-secret").sensitive().also_84();
    /// Digest that authenticates the peer.
    cram_hmac_alg: Text<64> = text(2, 64).option("cram-hmac-alg").also_84();
    /// Digest over replicated data.
    integrity_alg: Text<64> = text(3, 64).option("data-integrity-alg").also_84();
    /// Digest for online verify.
    verify_alg: Text<64> = text(4, 64).option("verify-alg").also_84();
    /// Digest for checksum-based resync.
    csums_alg: Text<64> = text(5, 64).option("csums-alg").also_84()
        .default_only("csums-alg: checksum-based resync is not implemented in this version");
    /// Replication protocol.
    wire_protocol: Protocol = word(6, PROTOCOL, 3).option("protocol").also_84();
    /// Pause between attempts to connect.
    connect_int: u32 = u32(7, 1, 120, 10).unit(Unit::Seconds).option("connect-int").also_84();
    /// Time after which an unanswered request ends the connection.
    timeout: u32 = u32(8, 1, 600, 60).unit(Unit::Deciseconds).option("timeout").also_84();
    /// Idle time after which the peer is pinged.
    ping_int: u32 = u32(9, 1, 120, 10).unit(Unit::Seconds).option("ping-int").also_84();
    /// Time for the answer to a ping.
    ping_timeo: u32 = u32(10, 1, 300, 5).unit(Unit::Deciseconds).option("ping-timeout").also_84();
    /// Size of the socket's send buffer; 0 for automatic.
    sndbuf_size: u32 = u32(11, 0, 128 << 20, 0).unit(Unit::Bytes).option("sndbuf-size").also_84().range_84(0, 10 << 20);
    /// Size of the socket's receive buffer; 0 for automatic.
    rcvbuf_size: u32 = u32(12, 0, 128 << 20, 0).unit(Unit::Bytes).option("rcvbuf-size").also_84().range_84(0, 10 << 20);
    /// Timeouts that one write may take before the peer is dropped; 0 for never.
    ko_count: u32 = u32(13, 0, 200, 7).option("ko-count").also_84();
    /// Writes between two barriers.
    max_epoch_size: u32 = u32(15, 1, 20_000, 2048).option("max-epoch-size").also_84();
    /// Recovery from split brain while no node is Primary.
    after_sb_0p: AfterSb = word(17, AFTER_SB_0P, 0).option("after-sb-0pri").also_84();
    /// Recovery from split brain while one node is Primary.
    after_sb_1p: AfterSb = word(18, AFTER_SB_1P, 0).option("after-sb-1pri").also_84();
    /// Recovery from split brain while both nodes are Primary.
    after_sb_2p: AfterSb = word(19, AFTER_SB_2P, 0).option("after-sb-2pri").also_84();
    /// What to do when the resync's direction contradicts the roles.
    rr_conflict: AfterSb = word(20, RR_CONFLICT, 0).option("rr-conflict").also_84()
        .only(&[0, 9, 10], "rr-conflict: 'retry-connect' and 'auto-discard' are not implemented in this version");
    /// What happens when the send queue is congested.
    on_congestion: OnCongestion = word(21, ON_CONGESTION, 0).option("on-congestion").also_84();
    /// Data in flight that counts as congestion; 0 for no limit.
    cong_fill: u32 = u32(22, 0, 10 << 21, 0).scale(Scale::Sectors).unit(Unit::Bytes).option("congestion-fill").also_84();
    /// Extents in use that count as congestion.
    cong_extents: u32 = u32(23, 67, 65_534, 1237).option("congestion-extents").also_84();
    /// Allow both nodes to be Primary.
    two_primaries: bool = flag(24, false).option("allow-two-primaries").also_84();
    /// Collect small packets before they are sent.
    tcp_cork: bool = flag(26, true).option("tcp-cork").also_84();
    /// Apply the after-sb policies also when the histories are unrelated by a third node.
    always_asbp: bool = flag(27, false).option("always-asbp").also_84();
    /// Compress bitmaps on the wire.
    use_rle: bool = flag(29, true).option("use-rle").also_84();
    /// Whether losing the peer asks for fencing.
    fencing_policy: Fencing = word(30, FENCING, 0).option("fencing").at_84(3, 7)
        .default_only("fencing: only 'dont-care' is implemented in this version");
    /// Name of the peer.
    name: Text<64> = text_given(31, 64).option("_name");
    /// Use csums-alg only after a crash of the primary.
    csums_after_crash_only: bool = flag(33, false).option("csums-after-crash-only").also_84()
        .default_only("csums-after-crash-only: checksum-based resync is not implemented in this version");
    /// Time for the peer to show that a fresh connection works; 0 for the ping timeout.
    sock_check_timeo: u32 = u32(34, 0, 300, 0).option("socket-check-timeout").also_84();
    /// Transport.
    transport_name: Text<128> = text(35, 128).option("transport").invariant()
        .only_text(&["", "tcp"], "transport: only 'tcp' is implemented in this version");
    /// Pages for data on its way through this node.
    max_buffers: u32 = u32(36, 32, 131_072, 2048).option("max-buffers").at_84(5, 14);
    /// Read from a peer when there is no local data.
    allow_remote_read: bool = flag(37, true).option("allow-remote-read")
        .default_only("allow-remote-read: only 'yes' is implemented in this version");
    /// Encrypt the connection.
    tls: bool = flag(38, false).option("tls").default_only(TLS);
    /// Key of the private key.
    tls_privkey: i32 = s32(39, i32::MIN as i64, i32::MAX as i64, 0).option("tls-privkey").default_only(TLS);
    /// Key of the certificate.
    tls_certificate: i32 = s32(40, i32::MIN as i64, i32::MAX as i64, 0).option("tls-certificate").default_only(TLS);
    /// Keyring of the handshake.
    tls_keyring: i32 = s32(41, i32::MIN as i64, i32::MAX as i64, 0).option("tls-keyring").default_only(TLS);
    /// Use all paths of the connection at once.
    load_balance_paths: bool = flag(42, false).option("load-balance-paths").invariant()
        .default_only("load-balance-paths is not implemented in this version");
    /// Receive buffer of the control stream.
    rdma_ctrl_rcvbuf_size: u32 = u32(43, 0, 10 << 20, 0).option("rdma-ctrl-rcvbuf-size").default_only(RDMA);
    /// Send buffer of the control stream.
    rdma_ctrl_sndbuf_size: u32 = u32(44, 0, 10 << 20, 0).option("rdma-ctrl-sndbuf-size").default_only(RDMA);
    check check_net;
}

// drbd9-api.md section 5, NEW_PEER: check_net_options.
fn check_net(options: &NetOptions) -> Result<(), Refusal> {
    if options.two_primaries && options.wire_protocol != Protocol::C {
        return Err(Refusal::new(RetCode::ERR_NOT_PROTO_C, ""));
    }
    if options.fencing_policy == Fencing::ResourceAndStonith && options.wire_protocol == Protocol::A
    {
        return Err(Refusal::new(RetCode::ERR_STONITH_AND_PROT_A, ""));
    }
    if options.on_congestion != OnCongestion::Block && options.wire_protocol != Protocol::A {
        return Err(Refusal::new(RetCode::ERR_CONG_NOT_PROTO_A, ""));
    }
    Ok(())
}
