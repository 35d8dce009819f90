// SPDX-License-Identifier: GPL-2.0-or-later
//! Every command line of the golden files gives the bytes and the text of the reference.

#[path = "../../core/tests/golden/metadata/reader.rs"]
mod golden;
mod image;

use golden::Golden;
use image::Image;

const CREATED: [&str; 15] = [
    "v08-flex-external-1MiB",
    "v08-flex-external-34MiB",
    "v08-index0",
    "v08-index1",
    "v08-internal-1GiB",
    "v08-internal-1MiB",
    "v08-internal-1TiB",
    "v08-internal-64MiB",
    "v08-internal-stripes7x64k",
    "v08-internal-unaligned",
    "v09-flex-external-34MiB-3peers",
    "v09-internal-1GiB-3peers",
    "v09-internal-1TiB-7peers",
    "v09-internal-64MiB-1peer",
    "v09-internal-64MiB-31peers",
];

/// One `$ drbdmeta ...` of a golden file.
struct Step {
    format: String,
    args: String,
    output: String,
    code: i32,
}

fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ drbdmeta ") {
            let words: Vec<&str> = command
                .split_whitespace()
                .filter(|word| *word != "--force")
                .collect();
            let ["0", format, "/dev/loop0", args @ ..] = words.as_slice() else {
                panic!("{line}")
            };
            steps.push(Step {
                format: format.to_string(),
                args: args.join(" "),
                output: String::new(),
                code: 0,
            });
            open = true;
        } else if let (Some(code), true) = (line.strip_prefix("rc="), open) {
            steps.last_mut().unwrap().code = code.parse().unwrap();
            open = false;
        } else if open {
            let step = steps.last_mut().unwrap();
            step.output.push_str(line);
            step.output.push('\n');
        }
    }
    steps
}

/// The dump without date, host and device; the flags word as it is on disk.
fn comparable(dump: &str, flags: Option<u32>) -> String {
    let mut lines: Vec<String> = dump.lines().map(str::to_string).collect();
    for line in lines.iter_mut().take(4).skip(1) {
        if let Some((_, command)) = line.split_once("> drbdmeta ") {
            let mut words: Vec<&str> = command.split_whitespace().collect();
            words[2] = "DEVICE";
            *line = format!("# HOST> drbdmeta {}", words.join(" "));
        } else if line.starts_with("# 2") && line.ends_with(']') {
            *line = "# DATE".to_string();
        }
    }
    if let Some(flags) = flags {
        for line in &mut lines {
            if line.starts_with("    flags 0x00000000") {
                *line = format!("    flags 0x{flags:08x};");
            }
        }
    }
    lines.join("\n")
}

#[test]
fn created_metadata_and_its_dump_are_those_of_the_reference() {
    for name in CREATED {
        let golden = Golden::read(name);
        let image = Image::new(golden.device_sectors() * 512);
        let superblock = golden.dump("superblock");
        // 9.22.0 prints 0 instead of the flags of v08; the bytes have them.
        let flags = u32::from_be_bytes(superblock.bytes[56..60].try_into().unwrap());
        let flags = name.starts_with("v08").then_some(flags);
        for step in steps(&golden.text) {
            let run = image.force(&step.format, &step.args).code(step.code);
            if step.args.ends_with("dump-md") {
                assert_eq!(
                    comparable(&run.stdout, None),
                    comparable(&step.output, flags),
                    "{name}"
                );
            } else if !step.args.contains("create-md") && !step.args.contains("set-gi") {
                assert_eq!(
                    run.stdout.trim_end(),
                    step.output.trim_end(),
                    "{name}: {}",
                    step.args
                );
            }
        }
        for part in ["superblock", "first AL block"] {
            let dump = golden.dump(part);
            assert!(
                image.read(dump.offset, 4096) == dump.bytes,
                "{name}: {part}"
            );
        }
    }
}

/// Puts a crashed disk of a golden file on an image.
fn crashed(golden: &Golden) -> (Image, &'static str) {
    let (bytes, index) = if golden.text.contains("index keyword: internal") {
        (64 << 20, "internal")
    } else {
        (1 << 20, "flex-external")
    };
    let image = Image::new(bytes);
    for part in ["superblock as found", "activity log as found"] {
        let dump = golden.dump(part);
        image.write(dump.offset, &dump.bytes);
    }
    (image, index)
}

fn dumps_of(golden: &Golden) -> Vec<String> {
    golden
        .text
        .split("\n$ drbdmeta ")
        .filter(|part| part.contains("# DRBD meta data dump"))
        .map(|part| {
            let start = part.find("# DRBD").unwrap();
            part[start..part.find("\nrc=").unwrap()].to_string()
        })
        .collect()
}

#[test]
fn a_crashed_log_is_applied_as_the_reference_does() {
    for name in ["v08-al-crashed-internal", "v08-al-crashed-flexext"] {
        let golden = Golden::read(name);
        let (image, index) = crashed(&golden);
        let dumps = dumps_of(&golden);
        let [forced, applied] = dumps.as_slice() else {
            panic!("{name}: {} dumps", dumps.len())
        };

        let unclean = image.force("v08", &format!("{index} dump-md")).code(0);
        let bitmap = |dump: &str| dump[dump.find("\nbm {").unwrap()..].trim_end().to_string();
        if name.ends_with("internal") {
            assert_eq!(bitmap(&unclean.stdout), bitmap(forced), "{name}");
            image
                .run("0", "v08", &format!("{index} --verbose verify-dump"))
                .refused(20, "cannot open");
        } else {
            // Bits set by single writes before the crash; the log and the writes are all there is.
            restore_bits(&image, forced);
        }
        let text = image.dir().join("unclean.txt");
        std::fs::write(&text, &unclean.stdout).unwrap();
        let refusal = image.force("v08", &format!("{index} restore-md {}", text.display()));
        refusal.refused(10, "unclean.txt:8:1: expected 'uuid', found 'unclean-dump'");

        let run = image.force("v08", &format!("{index} apply-al")).code(0);
        assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""));
        let after = image.force("v08", &format!("{index} dump-md")).code(0);
        assert_eq!(
            comparable(&after.stdout, None),
            comparable(applied, None),
            "{name}"
        );
        let superblock = golden.dump("superblock after apply-al");
        assert!(
            image.read(golden.dump("superblock as found").offset, 4096) == superblock.bytes,
            "{name}"
        );
        let log = Golden::read("v08-al-crashed-internal");
        let log = &log.dump("activity log after apply-al").bytes;
        assert!(
            &image.read(golden.dump("activity log as found").offset, 32 << 10) == log,
            "{name}"
        );
        // Silent when clean, and nothing changes.
        let run = image.force("v08", &format!("{index} apply-al")).code(0);
        assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""));
    }
}

/// Writes the bitmap of a dump to the image of the external log.
fn restore_bits(image: &Image, dump: &str) {
    let mut at = 36_864;
    for line in dump[dump.find("\nbm {").unwrap()..]
        .lines()
        .skip(2)
        .take_while(|line| *line != "}")
    {
        let line = line.trim();
        if line.starts_with('#') {
            continue;
        }
        let (count, words) = line
            .split_once(" times ")
            .map_or((1, line), |(n, word)| (n.parse().unwrap(), word));
        for _ in 0..count {
            for word in words
                .split(';')
                .map(str::trim)
                .filter(|word| !word.is_empty())
            {
                let word = u64::from_str_radix(word.trim_start_matches("0x"), 16).unwrap();
                image.write(at, &word.to_le_bytes());
                at += 8;
            }
        }
    }
}

#[test]
fn both_conversions_are_those_of_the_reference() {
    let golden = Golden::read("convert-v08-v09-v08");
    let image = Image::new(64 << 20);
    let at = 67_104_768;
    let [v08, v09, again] = golden.dumps.as_slice() else {
        panic!("three superblocks expected")
    };
    let gi = "1122334455667788:99aabbccddeeff00:0123456789abcdef:fedcba9876543210:1:1:0:1:1:1:1";
    image.force("v08", "internal create-md").code(0);
    image.force("v08", &format!("internal set-gi {gi}")).code(0);
    assert!(image.read(at, 4096) == v08.bytes);
    // Bitmap and log stay as they are.
    image.write(67_067_904, &[0xa5; 36 << 10]);
    image
        .run("0", "v09", "internal create-md 1")
        .refused(20, "cannot open");
    image.force("v09", "internal create-md 1").code(0);
    assert!(image.read(at, 4096) == v09.bytes);
    let run = image.force("v09", "internal get-gi --node-id 0").code(0);
    assert_eq!(run.stdout, "1122334455667788:0000000000000000:0123456789ABCDEF:FEDCBA9876543210:1:1:0:1:1:0:0:1:1:0:1:0\n");
    image.force("v08", "internal create-md").code(0);
    assert!(image.read(at, 4096) == again.bytes);
    assert!(image.read(67_067_904, 36 << 10) == [0xa5; 36 << 10]);
}

#[test]
fn a_restored_dump_gives_the_bytes_of_the_reference() {
    let golden = Golden::read("v08-bitmap-text");
    let text = &golden.text;
    let input =
        &text[text.find("version \"v08\"").unwrap()..text.find("\n--- bitmap bytes").unwrap()];
    let printed = &text[text.find("dump-md afterwards\n").unwrap() + 19
        ..text.find("\n\n--- after growing").unwrap()];
    let image = Image::new(64 << 20);
    let file = image.dir().join("dump.txt");
    std::fs::write(&file, input).unwrap();
    image
        .force("v08", &format!("internal verify-dump {}", file.display()))
        .code(0);
    image
        .force("v08", &format!("internal restore-md {}", file.display()))
        .code(0);
    assert!(image.read(67_067_904, 4096) == golden.dump("bitmap bytes").bytes);
    let dump = image.force("v08", "internal dump-md").code(0).stdout;
    assert_eq!(&dump[dump.find("bm {").unwrap()..].trim_end(), &printed);
    assert!(dump.contains("flags 0x00000091;"), "{dump}");
    // And the dump of the restored metadata restores the same.
    let before = image.read(67_067_904, 40_960);
    let run = image.run_with("0", "v08", "internal restore-md --force", &dump);
    run.code(0);
    assert!(image.read(67_067_904, 40_960) == before);
}

/// The text without comments, which tell of the device and not of its contents.
fn statements(dump: &str) -> Vec<&str> {
    dump.lines()
        .filter(|line| !line.trim_start().starts_with('#') && !line.trim().is_empty())
        .collect()
}

#[test]
fn every_dump_of_the_reference_is_restored_and_printed_again() {
    let mut restored = 0;
    for name in CREATED {
        let golden = Golden::read(name);
        // The bitmap of the largest is a quarter of a gigabyte.
        if name.contains("1TiB") {
            continue;
        }
        for step in steps(&golden.text) {
            let Some(index) = step.args.strip_suffix(" dump-md") else {
                continue;
            };
            let image = Image::new(golden.device_sectors() * 512);
            let restore = format!("{index} restore-md --force");
            let mut text = step.output.clone();
            if step.format == "v08" {
                // 9.22.0 prints 0 instead of the flags of v08; the bytes have them.
                let block = &golden.dump("superblock").bytes;
                let flags = u32::from_be_bytes(block[56..60].try_into().unwrap());
                let flags = format!("    flags 0x{flags:08x}");
                text = text.replacen("    flags 0x00000000", &flags, 1);
            }
            image.run_with("0", &step.format, &restore, &text).code(0);
            let again = image.force(&step.format, &step.args).code(0).stdout;
            assert_eq!(statements(&again), statements(&text), "{name}");
            // And once more from our own text.
            let ends = || {
                let bytes = golden.device_sectors() * 512;
                let last = bytes.saturating_sub(1 << 20);
                [image.read(0, 1 << 20), image.read(last, 1 << 20)]
            };
            let before = ends();
            image.run_with("0", &step.format, &restore, &again).code(0);
            assert!(ends() == before, "{name}");
            restored += 1;
        }
    }
    assert!(restored >= 13, "{restored}");
}
