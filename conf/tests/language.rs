// SPDX-License-Identifier: GPL-2.0-or-later
//! The language: what is understood, what is refused, and how it is said.

use drbd_conf::{print, resolve, Config, Diagnostics, LocalHost, Resolved, Severity};

fn parse(text: &str) -> (Config, Diagnostics) {
    drbd_conf::load_text("t.conf", text.to_owned())
}

fn resolved(text: &str) -> (Resolved, Diagnostics) {
    let (config, found) = parse(text);
    assert_eq!(
        found.exit_code(),
        None,
        "{}\n{text}",
        found.render(&config.sources)
    );
    let local = LocalHost {
        nodename: "alpha",
        has_address: &|_| false,
        interactive: true,
        peer: None,
    };
    resolve(config, &local)
}

/// Resolves a text that must be right.
fn right(text: &str) -> Resolved {
    let (resolved, found) = resolved(text);
    let told = found.render(&resolved.config.sources);
    assert_eq!(found.exit_code(), None, "{told}\n{text}");
    resolved
}

/// Everything told about a text that must be wrong.
fn wrong(text: &str) -> String {
    let (config, found) = parse(text);
    if found.exit_code().is_some() {
        return found.render(&config.sources);
    }
    let (resolved, found) = resolved(text);
    let told = found.render(&resolved.config.sources);
    assert_eq!(found.exit_code(), Some(10), "{told}\n{text}");
    told
}

/// A pair of hosts with `more` in the resource.
fn pair(more: &str) -> String {
    format!(
        "resource r0 {{\n{more}\n  device minor 0; disk /dev/vdb; meta-disk internal;\n  \
         on alpha {{ node-id 0; address 10.0.0.1:7788; }}\n  \
         on bravo {{ node-id 1; address 10.0.0.2:7788; }}\n}}\n"
    )
}

fn options(list: &[drbd_conf::model::Opt]) -> String {
    let texts: Vec<String> = list
        .iter()
        .map(|opt| format!("{}={}", opt.name, opt.value))
        .collect();
    texts.join(" ")
}

#[test]
fn a_slip_is_shown_with_its_line_and_the_right_word() {
    let told = wrong(&pair("  net { tmeout 60; }"));
    assert_eq!(
        told,
        "t.conf:2:9: error: `tmeout` is not an option of `net`\n\
         \x202 |   net { tmeout 60; }\n\
         \x20  |         ^^^^^^\n\
         \x20 help: did you mean `timeout`?\n"
    );
}

#[test]
fn all_errors_of_a_file_are_told_in_one_run() {
    let told = wrong(&pair(
        "  net { timeout 0; protocol D; ko-count x; }\n  disk { on-io-error pas_on; }\n  optons { }",
    ));
    let heads: Vec<&str> = told.lines().filter(|l| l.contains(": error: ")).collect();
    assert_eq!(heads.len(), 5, "{told}");
    assert!(told.contains("t.conf:2:17: error: `timeout 0`: too small, the range is 1 to 600"));
    assert!(told.contains("`protocol D`: expected one of A, B, C"));
    assert!(told.contains("`ko-count x`: expected a number"));
    assert!(told.contains("did you mean `pass_on`?"));
    assert!(told.contains("did you mean `options`?"));
}

#[test]
fn an_option_in_the_wrong_section_is_sent_home() {
    let told = wrong(&pair("  net { al-extents 6433; }"));
    assert!(
        told.contains("`al-extents` belongs into `disk { }`"),
        "{told}"
    );
}

#[test]
fn secrets_are_not_repeated_in_messages() {
    let secret = "x".repeat(80);
    let (config, found) = parse(&pair(&format!("  net {{ shared-secret {secret}; }}")));
    let message = &found.iter().next().unwrap().message;
    assert!(!message.contains(&secret), "{message}");
    assert_eq!(found.exit_code(), Some(10));
    drop(config);
}

#[test]
fn legacy_spellings_mean_the_modern_options() {
    let resolved = right(
        "common { syncer { rate 33M; al-extents 257; verify-alg md5; cpu-mask 3; } }\n\
         resource r0 {\n  protocol B;\n  disk { no-disk-flushes; fencing resource-only; }\n  \
         net { no-tcp-cork; allow-two-primaries; }\n  handlers { outdate-peer \"/bin/true\"; }\n  \
         on alpha { device drbd3; disk /dev/sdb1; address 10.2.0.1:7788; flexible-meta-disk internal; }\n  \
         on bravo { device drbd3; disk /dev/sdb1; address 10.2.0.2:7788; flexible-meta-disk /dev/sdb2; }\n}\n",
    );
    let resource = &resolved.full[0];
    assert_eq!(
        options(&resource.sections.net),
        "verify-alg=md5 protocol=B fencing=resource-only tcp-cork=no allow-two-primaries=yes"
    );
    assert_eq!(options(&resource.sections.options), "cpu-mask=3");
    assert_eq!(
        options(&resource.sections.disk.disk),
        "al-extents=257 disk-flushes=no"
    );
    assert_eq!(
        options(&resource.sections.disk.peer_device),
        "resync-rate=33M"
    );
    assert_eq!(options(&resource.sections.handlers), "fence-peer=/bin/true");
    assert_eq!(
        resource.hosts[0].volumes[0].device.as_deref(),
        Some("/dev/drbd3")
    );
}

#[test]
fn options_without_effect_are_a_warning() {
    let (_, found) = parse(&pair(
        "  net { unplug-watermark 128; }\n  ignore-on charlie;",
    ));
    let severities: Vec<Severity> = found.iter().map(|d| d.severity).collect();
    assert_eq!(severities, [Severity::Warning, Severity::Warning]);
}

#[test]
fn quoted_keywords_are_names() {
    let resolved = right(
        "resource \"net\" { device minor 0; disk \"none\"; \
         on \"alpha\" { node-id 0; address 10.0.0.1:1; } \
         on \"disk\" { node-id 1; address 10.0.0.2:1; } }",
    );
    assert_eq!(resolved.full[0].name, "net");
    assert_eq!(resolved.full[0].hosts[1].names, ["disk"]);
}

#[test]
fn addresses_of_both_families_and_nothing_else() {
    for address in [
        "10.0.0.1",
        "10.0.0.1:0",
        "10.0.0.1:65536",
        "host:7788",
        "fd00::1:7788",
        "[fd00::1]:7788",
        "ipv6 10.0.0.1:7788",
        "ipv4 [fd00::1]:7788",
    ] {
        let text = pair("").replace("10.0.0.1:7788", address);
        assert!(wrong(&text).contains("t.conf:4:"), "{address}");
    }
    let text = pair("")
        .replace("10.0.0.1:", "ipv6 [fd00::1%eth0]:")
        .replace("10.0.0.2:", "ipv6 [fd00::2]:");
    let resolved = right(&text);
    let path = &resolved.full[0].connections[0].paths[0];
    assert_eq!(
        path.hosts[0].address.as_ref().unwrap().to_string(),
        "ipv6:[fd00::1%eth0]:7788"
    );
    let told = wrong(&pair("").replace("10.0.0.1:7788", "[fd00::1]:7788"));
    assert!(told.contains("`ipv6` in front"), "{told}");
}

#[test]
fn a_mesh_connects_every_pair() {
    let resolved = right(
        "resource r0 { volume 0 { device minor 0; disk /dev/vdb; }\n\
         on alpha { node-id 0; address 10.0.0.1:7; }\n\
         on bravo { node-id 1; address 10.0.0.2:7; }\n\
         on charlie { node-id 5; address 10.0.0.3:7; }\n\
         connection-mesh { hosts alpha bravo charlie; net { protocol A; } } }",
    );
    let ends: Vec<_> = resolved.full[0]
        .connections
        .iter()
        .map(|connection| connection.ends().unwrap())
        .collect();
    assert_eq!(ends, [[0, 1], [0, 2], [1, 2]]);
    assert_eq!(options(&resolved.full[0].connections[2].net), "protocol=A");
}

#[test]
fn connections_that_make_no_sense_are_refused() {
    let three = "connection { host alpha; host bravo; host alpha; }";
    assert!(wrong(&pair(three)).contains("this is a third"));
    assert!(wrong(&pair("connection { }")).contains("has no path"));
    assert!(wrong(&pair("connection { path { host alpha; } }")).contains("needs two ends"));
    assert!(wrong(&pair("connection { host alpha; host zulu; }"))
        .contains("resource r0 has no host `zulu`"));
    assert!(wrong(&pair("connection { host alpha; host alpha; }")).contains("the same host"));
    let twice = "connection { host alpha; host bravo; } connection { host bravo; host alpha; }";
    assert!(wrong(&pair(twice)).contains("a second connection between"));
    assert!(wrong(&pair("connection-mesh { hosts alpha; }")).contains("at least two hosts"));
}

#[test]
fn volumes_are_the_same_on_all_hosts() {
    let told = wrong(
        "resource r0 { on alpha { node-id 0; address 10.0.0.1:7; volume 0 { device minor 0; disk /dev/a; } }\n\
         on bravo { node-id 1; address 10.0.0.2:7; volume 1 { device minor 0; disk /dev/a; } } }",
    );
    assert!(told.contains("volume 0 is in `on alpha` but not in `on bravo`"));
    assert!(told.contains("volume 1 is in `on bravo` but not in `on alpha`"));
    let told = wrong(&pair("  volume 1 { device minor 4; disk /dev/c; }"));
    assert!(told.contains("explicit and implicit volumes cannot be mixed"));
}

#[test]
fn what_is_used_twice_is_told_once_for_each_host_section() {
    let second = pair("").replace("r0", "r1").replace(":7788", ":7789");
    let told = wrong(&(pair("") + &second));
    // The resource says it once for both hosts.
    assert_eq!(told.matches("minor 0 is used twice on alpha").count(), 1);
    assert_eq!(told.matches("disk /dev/vdb is used twice").count(), 1);
    assert!(told.contains("it is used here already"));
}

#[test]
fn a_node_id_is_needed_where_it_cannot_be_derived() {
    let connection = "connection { host alpha; host bravo; }";
    let told = wrong(&pair(connection).replace("node-id 1; ", ""));
    assert!(
        told.contains("resource r0, `on bravo`: `node-id` is missing"),
        "{told}"
    );
    let both = pair("")
        .replace("node-id 0; ", "")
        .replace("node-id 1; ", "");
    let ids: Vec<_> = right(&both).full[0]
        .hosts
        .iter()
        .map(|host| host.node_id.unwrap())
        .collect();
    assert_eq!(ids.iter().sum::<u32>(), 1);
}

#[test]
fn stacking_needs_what_lies_below() {
    let stacked = "resource u { stacked-on-top-of nosuch { device minor 9; address 10.0.1.1:7; node-id 0; }\n\
                   on charlie { node-id 1; device minor 9; disk /dev/x; address 10.0.1.2:7; } }";
    assert!(wrong(&(pair("") + stacked)).contains("there is no resource `nosuch`"));
    let resolved = right(&(pair("") + &stacked.replace("nosuch", "r0")));
    let host = resolved.resource("u").unwrap().local_host().unwrap();
    assert_eq!(host.names, ["alpha", "bravo"]);
    assert_eq!(host.volumes[0].disk.as_deref(), Some("/dev/drbd0"));
}

#[test]
fn options_of_this_host_win_over_those_of_the_resource() {
    let text = pair("  options { cpu-mask 1; auto-promote no; }")
        .replace("node-id 0;", "node-id 0; options { cpu-mask 2; }")
        .replace("node-id 1;", "node-id 1; options { cpu-mask 3; }");
    let resolved = right(&text);
    assert_eq!(
        options(&resolved.full[0].sections.options),
        "cpu-mask=2 auto-promote=no"
    );
}

#[test]
fn discard_node_names_a_host_of_the_resource() {
    right(&pair("  net { after-sb-0pri discard-node-bravo; }"));
    let told = wrong(&pair("  net { after-sb-0pri discard-node-zulu; }"));
    assert!(told.contains("resource r0 has no host `zulu`"), "{told}");
}

#[test]
fn resync_after_finds_its_volume_or_is_told() {
    let second = pair("  disk { resync-after r0; }")
        .replace("resource r0", "resource r1")
        .replace("minor 0", "minor 1")
        .replace("vdb", "vdc")
        .replace(":7788", ":7789");
    let resolved = right(&(pair("") + &second));
    assert_eq!(resolved.minor_of("r0"), Some(0));
    assert_eq!(resolved.minor_of("r1/0"), Some(1));
    assert_eq!(resolved.minor_of("r1/1"), None);
    assert!(wrong(&pair("  disk { resync-after r7; }")).contains("no volume `r7`"));
}

#[test]
fn skipped_text_may_be_anything() {
    right(&format!(
        "skip {{ what ever {{ %&/ \"x }}\" }} }}\n{}",
        pair("  skip { on zulu { } }")
    ));
    assert!(wrong("skip resource r1 {").contains("the file ends inside a skipped section"));
    assert!(wrong("skip;").contains("expected `{`"));
}

#[test]
fn includes_nest_and_a_file_is_read_once() {
    let directory = std::env::temp_dir().join(format!("language-{}", std::process::id()));
    std::fs::create_dir_all(directory.join("d")).unwrap();
    let main = directory.join("main.conf");
    let inner = "include \"../main.conf\";\ninclude \"d/none-*.res\";\n";
    std::fs::write(directory.join("d/inner.conf"), inner).unwrap();
    std::fs::write(&main, "include \"d/*.conf\";\nresource r0 { oops; }\n").unwrap();
    let (config, found) = drbd_conf::load(&main.to_string_lossy()).unwrap();
    let told = found.render(&config.sources);
    assert_eq!(found.len(), 1, "{told}");
    assert!(
        told.starts_with(&format!("{}:2:15: error:", main.display())),
        "{told}"
    );
    assert_eq!(config.unmatched_includes.len(), 1);
    std::fs::write(directory.join("d/inner.conf"), "include \"nothing.conf\";").unwrap();
    let (config, found) = drbd_conf::load(&main.to_string_lossy()).unwrap();
    assert_eq!(found.exit_code(), Some(10));
    assert!(found
        .render(&config.sources)
        .contains("inner.conf:1:9: error: cannot read"));
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_with_its_name() {
    let error = drbd_conf::load("/nonexistent/drbd.conf").unwrap_err();
    assert!(error.to_string().contains("/nonexistent/drbd.conf"));
}

#[test]
fn values_are_quoted_when_they_must_be() {
    let text = pair("  net { shared-secret \"a \\\"b\\\\ #\"; }");
    let dump = print::dump_all(&right(&text), false);
    assert!(
        dump.contains("shared-secret    \"a \\\"b\\\\ #\";"),
        "{dump}"
    );
    right(&dump);
}
