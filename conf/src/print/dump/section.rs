// SPDX-License-Identifier: GPL-2.0-or-later
//! Sections of options.

use super::{quoted, Out};
use crate::model::{DiskOptions, Opt, ProxyOptions, Sections};

/// The sections of a resource or of `common`, those that hold something.
pub(super) fn sections(out: &mut Out, sections: &Sections) {
    options(out, "options", &sections.options);
    options(out, "net", &sections.net);
    disk_options(out, &sections.disk);
    // Nothing but the 8.4 tools looks at it.
    let primary = match out.dialect.is_84() {
        true => sections.become_primary_on.as_slice(),
        false => &[],
    };
    if !sections.startup.is_empty() || sections.stacked_timeouts || !primary.is_empty() {
        out.open("startup");
        for opt in &sections.startup {
            option(out, opt);
        }
        if !primary.is_empty() {
            let names: Vec<String> = primary.iter().map(|name| quoted(name)).collect();
            out.field("become-primary-on", &names.join(" "));
        }
        if sections.stacked_timeouts {
            out.line("stacked-timeouts;");
        }
        out.close();
    }
    if !sections.proxy.is_empty() {
        out.open("proxy");
        proxy_options(out, &sections.proxy);
        out.close();
    }
    options(out, "handlers", &sections.handlers);
}

/// One section, unless it is empty.
pub(super) fn options(out: &mut Out, name: &str, list: &[Opt]) {
    if list.is_empty() {
        return;
    }
    out.open(name);
    for opt in list {
        option(out, opt);
    }
    out.close();
}

/// A `disk { }` section, unless it is empty.
pub(super) fn disk_options(out: &mut Out, options: &DiskOptions) {
    if options.is_empty() {
        return;
    }
    out.open("disk");
    for opt in options.iter() {
        option(out, opt);
    }
    out.close();
}

/// What stands between the braces of a `proxy { }`.
pub(super) fn proxy_options(out: &mut Out, options: &ProxyOptions) {
    for opt in &options.options {
        option(out, opt);
    }
    if !options.plugins.is_empty() {
        out.open("plugin");
        for plugin in &options.plugins {
            out.line(&format!("{plugin};"));
        }
        out.close();
    }
}

fn option(out: &mut Out, opt: &Opt) {
    let value = quoted(&opt.value);
    out.field(&opt.name, &format!("{value:>3}"));
}
