// SPDX-License-Identifier: GPL-2.0-or-later
//! Every host gets its volumes, complete.

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::dialect::Dialect;
use crate::model::{Host, HostKind, MetaDisk, Resource, Volume};

/// Completes the volumes of all hosts and reports what is missing.
pub(super) fn complete(
    resources: &mut [Resource],
    dialect: Dialect,
    diagnostics: &mut Diagnostics,
) {
    for resource in resources.iter_mut() {
        let templates = resource.volumes.clone();
        for host in &mut resource.hosts {
            copy_from_resource(host, &templates, diagnostics);
        }
    }
    // Stacked hosts look at the devices below, so those come first.
    let below = resources.to_vec();
    for resource in resources.iter_mut() {
        for host in &mut resource.hosts {
            stack(host, &below);
        }
        for host in &mut resource.hosts {
            for volume in &mut host.volumes {
                // 8.4 wants to be told.
                if !dialect.is_84() && volume.meta_disk.is_none() && volume.disk.is_some() {
                    volume.meta_disk = Some(MetaDisk::internal());
                }
            }
        }
        same_volumes(resource, diagnostics);
        for host in &resource.hosts {
            for volume in &host.volumes {
                missing(resource, host, volume, dialect, diagnostics);
            }
        }
    }
}

fn copy_from_resource(host: &mut Host, templates: &[Volume], diagnostics: &mut Diagnostics) {
    if let (Some(own), Some(template)) = (host.volumes.first(), templates.first()) {
        if own.implicit != template.implicit {
            diagnostics.push(
                Diagnostic::error(
                    own.span,
                    "explicit and implicit volumes cannot be mixed in a resource",
                )
                .see(template.span, "the resource says it in the other way here"),
            );
            return;
        }
    }
    for template in templates {
        match host
            .volumes
            .iter_mut()
            .find(|volume| volume.number == template.number)
        {
            Some(volume) => {
                if volume.device.is_none() && volume.minor.is_none() {
                    volume.device.clone_from(&template.device);
                    volume.minor = template.minor;
                    volume.device_span = template.device_span;
                }
                if volume.disk.is_none() {
                    volume.disk.clone_from(&template.disk);
                    volume.disk_span = template.disk_span;
                }
                if volume.meta_disk.is_none() {
                    volume.meta_disk.clone_from(&template.meta_disk);
                    volume.meta_disk_span = template.meta_disk_span;
                }
                volume.tiebreaker = volume.tiebreaker.or(template.tiebreaker);
            }
            None => {
                let mut copy = template.clone();
                copy.derived = true;
                // Options come by inheritance, in their own order.
                copy.options = Default::default();
                let at = host
                    .volumes
                    .partition_point(|volume| volume.number < copy.number);
                host.volumes.insert(at, copy);
            }
        }
    }
}

/// A stacked volume lies on the device of the same volume below.
fn stack(host: &mut Host, resources: &[Resource]) {
    let HostKind::Stacked { lower } = &host.kind else {
        return;
    };
    let Some(lower) = resources.iter().find(|resource| resource.name == *lower) else {
        return;
    };
    let below = lower.local_host().or_else(|| lower.hosts.first());
    for volume in &mut host.volumes {
        if let Some(under) = below.and_then(|host| host.volume(volume.number)) {
            volume.disk = Some(under.device_path());
        }
        volume.meta_disk = Some(MetaDisk::internal());
    }
}

fn same_volumes(resource: &Resource, diagnostics: &mut Diagnostics) {
    let Some((first, others)) = resource.hosts.split_first() else {
        return;
    };
    for other in others {
        for (has, lacks) in [(first, other), (other, first)] {
            for volume in &has.volumes {
                if lacks.volume(volume.number).is_none() {
                    diagnostics.push(
                        Diagnostic::error(
                            volume.span,
                            format!(
                                "resource {}: volume {} is in `{}` but not in `{}`",
                                resource.name,
                                volume.number,
                                has.title(),
                                lacks.title()
                            ),
                        )
                        .see(lacks.span, "this host needs the same volumes")
                        .help(format!(
                            "add `volume {} {{ disk none; }}` there if that host has no disk for it",
                            volume.number
                        )),
                    );
                }
            }
        }
    }
}

fn missing(
    resource: &Resource,
    host: &Host,
    volume: &Volume,
    dialect: Dialect,
    diagnostics: &mut Diagnostics,
) {
    let mut report = |word: &str, example: &str| {
        let at = if volume.derived {
            host.span
        } else {
            volume.span
        };
        let which = if volume.implicit {
            String::new()
        } else {
            format!(" volume {}", volume.number)
        };
        diagnostics.push(
            Diagnostic::error(
                at,
                format!(
                    "resource {}, `{}`:{which} `{word}` is missing",
                    resource.name,
                    host.title()
                ),
            )
            .help(format!("add `{example}`")),
        );
    };
    if volume.device.is_none() && volume.minor.is_none() {
        report("device", "device minor 0;");
    }
    if volume.disk.is_none() && (volume.meta_disk.is_some() || dialect.is_84()) {
        report("disk", "disk /dev/...;");
    }
    if volume.meta_disk.is_none() && dialect.is_84() {
        report("meta-disk", "meta-disk internal;");
    }
}
