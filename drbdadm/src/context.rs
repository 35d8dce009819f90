// SPDX-License-Identifier: GPL-2.0-or-later
//! The configuration, resolved for this node.

use std::io::Read as _;

use drbd_conf::model::{Address, Family};
use drbd_conf::{Config, Diagnostics, LocalHost, Resolved, SourceMap};

use crate::cli::Request;
use crate::driver;
use crate::failure::{Failure, CONFIG};

/// Where a configuration is looked for.
const PLACES: &[&str] = &[
    "/etc/drbd-90.conf",
    "/etc/drbd-84.conf",
    "/etc/drbd-83.conf",
    "/etc/drbd-82.conf",
    "/etc/drbd-08.conf",
    "/etc/drbd.conf",
];

/// The name of this node: `__DRBD_NODE__`, or what `uname -n` says.
fn nodename() -> Result<String, Failure> {
    if let Ok(name) = std::env::var("__DRBD_NODE__") {
        eprintln!("\n   found __DRBD_NODE__ in environment\n   PRETENDING that I am >>{name}<<\n");
        return Ok(name);
    }
    let names = nix::sys::utsname::uname().map_err(|error| {
        Failure::new(CONFIG, format!("cannot tell the node name: {error}"), &[])
    })?;
    Ok(names.nodename().to_string_lossy().into_owned())
}

/// Whether an address is on an interface that is up.
pub(crate) fn has_address(address: &Address) -> bool {
    if matches!(address.family, Family::Sdp | Family::Ssocks) {
        return true;
    }
    let text = address.host.split('%').next().unwrap_or("");
    let Ok(wanted) = text.parse::<std::net::IpAddr>() else {
        return false;
    };
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else {
        // If the kernel cannot be asked, the administrator is believed.
        return true;
    };
    interfaces
        .filter(|interface| {
            interface
                .flags
                .contains(nix::net::if_::InterfaceFlags::IFF_UP)
        })
        .filter_map(|interface| interface.address)
        .any(|storage| {
            let v4 = storage
                .as_sockaddr_in()
                .map(|a| std::net::IpAddr::V4(a.ip()));
            let v6 = storage
                .as_sockaddr_in6()
                .map(|a| std::net::IpAddr::V6(a.ip()));
            v4.or(v6) == Some(wanted)
        })
}

/// Whether somebody can answer a question.
pub(crate) fn interactive() -> bool {
    use std::io::IsTerminal as _;
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// Reads and resolves the configuration. Findings are printed; an error ends
/// the run before anything has been done.
pub(crate) fn load(request: &Request) -> Result<Resolved, Failure> {
    let nodename = nodename()?;
    let dialect = driver::dialect();
    let (mut config, mut diagnostics) = read(request)?;
    for path in &request.config_to_test {
        let (tested, found) =
            drbd_conf::load_as(path, dialect).map_err(|error| missing(path, &error))?;
        if found.exit_code().is_some() {
            tell(request, &found, &tested.sources);
            return Err(Failure::ready(CONFIG, summary(&found)));
        }
        if tested.resources.is_empty() {
            continue;
        }
        // Both together must make one valid configuration.
        let joined = format!(
            "include \"{}\";\ninclude \"{}\";\n",
            absolute(&config.path),
            absolute(path)
        );
        (config, diagnostics) = drbd_conf::load_text_as("both files", joined, dialect);
    }
    let local = LocalHost {
        nodename: &nodename,
        has_address: &has_address,
        interactive: interactive(),
        peer: request.peer.as_deref(),
    };
    let readable = diagnostics.exit_code().is_none();
    tell(request, &diagnostics, &config.sources);
    if !readable {
        return Err(Failure::ready(CONFIG, summary(&diagnostics)));
    }
    if request.verbose > 0 {
        for (span, pattern) in &config.unmatched_includes {
            let place = drbd_conf::diagnostic::place(&config.sources, *span);
            eprintln!("{place}: note: no file matches {pattern}");
        }
    }
    let (resolved, diagnostics) = drbd_conf::resolve(config, &local);
    tell(request, &diagnostics, &resolved.config.sources);
    if let Some(status) = diagnostics.exit_code() {
        return Err(Failure::ready(status, summary(&diagnostics)));
    }
    requirements(&resolved.config)?;
    Ok(resolved)
}

fn tell(request: &Request, diagnostics: &Diagnostics, sources: &SourceMap) {
    if request.json {
        crate::json::print_diagnostics(diagnostics, sources);
    } else {
        eprint!("{}", diagnostics.render(sources));
    }
}

fn summary(diagnostics: &Diagnostics) -> String {
    let errors = diagnostics
        .iter()
        .filter(|d| d.severity != drbd_conf::Severity::Warning)
        .count();
    let noun = if errors == 1 { "error" } else { "errors" };
    format!("{errors} {noun} in the configuration; nothing was changed\n")
}

fn absolute(path: &str) -> String {
    std::path::absolute(path).map_or_else(|_| path.to_owned(), |p| p.display().to_string())
}

fn read(request: &Request) -> Result<(Config, Diagnostics), Failure> {
    let dialect = driver::dialect();
    match request.config.as_deref() {
        Some("-") => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|error| {
                    Failure::new(CONFIG, format!("cannot read standard input: {error}"), &[])
                })?;
            Ok(drbd_conf::load_text_as("STDIN", text, dialect))
        }
        Some(path) => drbd_conf::load_as(path, dialect).map_err(|error| missing(path, &error)),
        None => {
            let mut last = None;
            // `drbd-90.conf` is for generation 9 alone.
            let skipped = usize::from(dialect.is_84());
            for path in PLACES.iter().skip(skipped) {
                match drbd_conf::load_as(path, dialect) {
                    Ok(loaded) => return Ok(loaded),
                    Err(error) => last = Some(error),
                }
            }
            let error = last.map_or_else(String::new, |error| error.error.to_string());
            Err(Failure::new(
                CONFIG,
                format!("there is no configuration: /etc/drbd.conf: {error}"),
                &[
                    "write one, e.g. for two nodes:",
                    "  resource r0 {",
                    "    device minor 0; disk /dev/vdb; meta-disk internal;",
                    "    on NODE1 { address 10.0.0.1:7788; }",
                    "    on NODE2 { address 10.0.0.2:7788; }",
                    "  }",
                    "or name another file:   drbdadm -c FILE ...",
                ],
            ))
        }
    }
}

fn missing(path: &str, error: &drbd_conf::LoadError) -> Failure {
    Failure::new(CONFIG, error, &[&format!("check the name:   ls -l {path}")])
}

/// `require-drbd-module-version-...` of the configuration.
fn requirements(config: &Config) -> Result<(), Failure> {
    let Some(driver) = driver::version() else {
        return Ok(());
    };
    for requirement in &config.requirements {
        let met = match requirement.relation.as_str() {
            "eq" => driver.0 == requirement.version,
            "ne" => driver.0 != requirement.version,
            "gt" => driver.0 > requirement.version,
            "ge" => driver.0 >= requirement.version,
            "lt" => driver.0 < requirement.version,
            _ => driver.0 <= requirement.version,
        };
        if !met {
            let finding =
                drbd_conf::Diagnostic::error(requirement.span, format!("the driver is {driver}"))
                    .help("load another driver, or take the statement out");
            return Err(Failure::ready(CONFIG, finding.render(&config.sources)));
        }
    }
    Ok(())
}
