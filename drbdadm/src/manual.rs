// SPDX-License-Identifier: GPL-2.0-or-later
//! The manual page of drbd.conf, made from the tables that its parser reads.

use drbd_conf::schema::{self, OptionSpec, Scope};
use drbd_core::config::{Kind as KernelKind, Unit, Value};
use roff::{bold, italic, roman, Inline, Roff};

/// Sections, what they are about, and whose options they take.
const SECTIONS: &[(&str, &str, &[Scope])] = &[
    (
        "options",
        "Options of a resource as a whole.",
        &[Scope::Resource],
    ),
    (
        "net",
        "Options of a connection; in a resource, for all of its connections.",
        &[Scope::Net],
    ),
    (
        "disk",
        "Options of the backing disk of a volume, and of its resync; in a resource, for all of its volumes.",
        &[Scope::Disk, Scope::PeerDevice, Scope::Device],
    ),
    (
        "startup",
        "How long to wait for peers when the machine starts.",
        &[Scope::Startup],
    ),
    (
        "handlers",
        "Programs that are run when something happens; each is a line for /bin/sh.",
        &[Scope::Handlers],
    ),
    ("proxy", "Read, printed, and used by nothing.", &[Scope::Proxy]),
];

/// `drbd.conf(5)`.
pub(crate) fn drbd_conf() -> drbd_pages::Page {
    let mut page = Roff::new();
    page.control("TH", ["drbd.conf", "5", "", "", "DRBD"]);
    heading(&mut page, "NAME");
    page.text([roman(
        "drbd.conf - what drbd replicates, between which machines, and how",
    )]);
    heading(&mut page, "DESCRIPTION");
    page.text([
        roman("The file consists of the sections "),
        bold("global"),
        roman(", "),
        bold("common"),
        roman(" and "),
        bold("resource"),
        roman(". What stands in "),
        bold("common"),
        roman(" holds for every resource; the more specific place wins. "),
        bold("drbdadm dump -v"),
        roman(" shows what follows from a file, "),
        bold("drbdadm sh-nop"),
        roman(" only reads it."),
    ]);
    heading(&mut page, "EXAMPLE");
    page.control("nf", []);
    page.text([roman(
        "resource r0 {\n    \
         volume 0 { device minor 0; disk /dev/vg0/r0; meta-disk internal; }\n    \
         on alpha { node-id 0; address 192.0.2.1:7789; }\n    \
         on beta  { node-id 1; address 192.0.2.2:7789; }\n    \
         net { protocol C; }\n}",
    )]);
    page.control("fi", []);
    for (name, about, scopes) in SECTIONS {
        heading(&mut page, &format!("SECTION {name}"));
        page.text([roman(*about)]);
        for spec in scopes.iter().flat_map(|scope| schema::options(*scope)) {
            if !spec.name.starts_with('_') {
                option(&mut page, &spec);
            }
        }
    }
    heading(&mut page, "SEE ALSO");
    page.text([
        bold("drbdadm"),
        roman("(8), "),
        bold("drbdsetup"),
        roman("(8)"),
    ]);
    ("drbd.conf.5".into(), page.render().into_bytes())
}

fn heading(page: &mut Roff, text: &str) {
    page.control("SH", [text]);
}

fn option(page: &mut Roff, spec: &OptionSpec) {
    page.control("TP", []);
    let mut head = vec![bold(spec.name)];
    head.extend(takes(spec));
    page.text(head);
    let mut text = spec.help.trim().to_owned();
    if let Some(default) = default(spec) {
        text.push_str(&format!(" Default: {default}."));
    }
    if let Some(version) = schema::since(spec.name) {
        text.push_str(&format!(" Since {version}."));
    }
    page.text([roman(text.trim().to_owned())]);
}

/// What a value may be.
fn takes(spec: &OptionSpec) -> Vec<Inline> {
    let words = spec.words();
    let number = match spec.kind {
        schema::Kind::Kernel(table) | schema::Kind::Clamped(table) => match table.kind {
            KernelKind::Number {
                min, max, scale, ..
            } => {
                let suffix = scale.suffix();
                let unit = unit(table.unit);
                Some(format!("{min}{suffix}..{max}{suffix}{unit}"))
            }
            _ => None,
        },
        schema::Kind::Number { max } => Some(format!("0..{max}")),
        _ => None,
    };
    let text = match (spec.is_flag(), words.is_empty(), number) {
        (true, ..) => "yes|no".to_owned(),
        (_, false, None) => words.join("|"),
        (_, false, Some(number)) => format!("{}|{number}", words.join("|")),
        (_, true, Some(number)) => number,
        (_, true, None) => "text".to_owned(),
    };
    vec![roman(" "), italic(text)]
}

fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Deciseconds => " (1/10 s)",
        Unit::Seconds => " (s)",
        Unit::Bytes => " (bytes)",
        _ => "",
    }
}

fn default(spec: &OptionSpec) -> Option<String> {
    let (schema::Kind::Kernel(table) | schema::Kind::Clamped(table)) = spec.kind else {
        return None;
    };
    Some(match table.default()? {
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::Int(number) => {
            let mut choices = table.choices().iter();
            let word = choices.find(|choice| choice.number == number);
            match (word, table.kind) {
                (Some(choice), _) => choice.word.to_owned(),
                (None, KernelKind::Number { scale, .. }) => format!("{number}{}", scale.suffix()),
                (None, _) => number.to_string(),
            }
        }
        Value::Text("") => return None,
        Value::Text(text) => text.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One row in the option table is the option everywhere: in the language,
    /// on drbdadm's command line, in the completions and in both manuals.
    #[test]
    fn an_option_of_the_table_is_in_five_places() {
        let page = |list: &[drbd_pages::Page], name: &str| -> String {
            let found = list.iter().find(|(file, _)| file == name);
            String::from_utf8(found.unwrap().1.clone())
                .unwrap()
                .replace('\\', "")
        };
        let definition = || crate::cli::definition(drbd_conf::Dialect::V9);
        let pages = drbd_pages::pages(definition()).unwrap();
        let conf = page(&[drbd_conf()], "drbd.conf.5");
        let bash = drbd_pages::completion(definition(), "bash").unwrap();
        let bash = String::from_utf8(bash).unwrap();
        for (scope, command) in [
            (Scope::Resource, "resource-options"),
            (Scope::Net, "net-options"),
            (Scope::PeerDevice, "peer-device-options"),
            (Scope::Disk, "attach"),
        ] {
            let manual = page(&pages, &format!("drbdadm-{command}.8"));
            let mut options = 0;
            for spec in schema::options(scope).filter(|spec| !spec.name.starts_with('_')) {
                let long = format!("--{}", spec.name);
                let places = [
                    schema::find(&[scope], spec.name).is_some(),
                    crate::command::find(command, drbd_conf::Dialect::V9).is_some_and(|found| {
                        let list = found.options.arguments(drbd_conf::Dialect::V9);
                        list.iter().any(|arg| arg.get_long() == Some(spec.name))
                    }),
                    bash.contains(&long),
                    manual.contains(&long),
                    conf.contains(spec.name),
                ];
                assert_eq!(
                    places.iter().filter(|there| **there).count(),
                    5,
                    "{} {places:?}",
                    spec.name
                );
                options += 1;
            }
            assert!(options > 5, "{command}");
        }
    }
}
