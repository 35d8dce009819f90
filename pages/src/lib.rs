// SPDX-License-Identifier: GPL-2.0-or-later
//! Completion scripts and manual pages, made from the definition that a program
//! reads its own command line with.
//!
//! Every tool answers `TOOL completion SHELL` and `TOOL man-pages DIRECTORY`, so
//! neither can say something that the tool does not do.

use std::io::{self, Write as _};
use std::path::Path;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

/// Section of the manual for the administrator's commands.
const SECTION: &str = "8";

/// A manual page: name of its file, and its text.
pub type Page = (String, Vec<u8>);

/// Does `completion` or `man-pages` if that is what the arguments (without the
/// program's name) ask for; returns the exit code, or `None` if they do not.
/// `more` are pages besides those of the commands; neither closure is called
/// otherwise.
pub fn serve(
    arguments: &[String],
    definition: impl FnOnce() -> Command,
    more: impl FnOnce() -> Vec<Page>,
) -> Option<u8> {
    match arguments {
        [word, shell] if word == "completion" => Some(match completion(definition(), shell) {
            Some(text) => report(io::stdout().write_all(&text)),
            None => {
                eprintln!("error: there is no completion for `{shell}`");
                eprintln!("  type:   completion bash, zsh or fish");
                1
            }
        }),
        [word, directory] if word == "man-pages" => Some(report(write_pages(
            definition(),
            &more(),
            Path::new(directory),
        ))),
        _ => None,
    }
}

fn report(result: io::Result<()>) -> u8 {
    match result {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("error: cannot write: {error}");
            1
        }
    }
}

/// The completion script of a shell; `None` if the shell is not known.
#[must_use]
pub fn completion(mut definition: Command, shell: &str) -> Option<Vec<u8>> {
    let shell = match shell {
        "bash" => Shell::Bash,
        "zsh" => Shell::Zsh,
        "fish" => Shell::Fish,
        _ => return None,
    };
    let name = definition.get_name().to_owned();
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut definition, name, &mut text);
    Some(text)
}

/// One page for the program and one for each command that its help shows.
///
/// # Errors
///
/// Those of writing to memory: none.
pub fn pages(mut definition: Command) -> io::Result<Vec<Page>> {
    // Global options become options of each command.
    definition.build();
    let name = definition.get_name().to_owned();
    let mut list = vec![page(definition.clone(), &name)?];
    for command in definition.get_subcommands() {
        if command.is_hide_set() || command.get_name() == "help" {
            continue;
        }
        let full = format!("{name}-{}", command.get_name());
        list.push(page(command.clone(), &full)?);
    }
    Ok(list)
}

fn page(command: Command, name: &str) -> io::Result<Page> {
    let command = command.name(name.to_owned()).display_name(name.to_owned());
    let man = Man::new(command).section(SECTION).manual("DRBD");
    let mut text = Vec::new();
    man.render(&mut text)?;
    Ok((format!("{name}.{SECTION}"), text))
}

fn write_pages(definition: Command, more: &[Page], directory: &Path) -> io::Result<()> {
    let mut list = pages(definition)?;
    list.extend_from_slice(more);
    for (name, text) in list {
        let section = name.rsplit('.').next().unwrap_or(SECTION);
        let directory = directory.join(format!("man{section}"));
        std::fs::create_dir_all(&directory)?;
        std::fs::write(directory.join(name), text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Arg;

    fn definition() -> Command {
        Command::new("tool")
            .about("Does things")
            .subcommand(
                Command::new("do")
                    .about("Does one thing")
                    .arg(Arg::new("how").long("how").help("In which way")),
            )
            .subcommand(Command::new("secret").hide(true))
    }

    #[test]
    fn pages_say_what_the_definition_says() {
        let pages = pages(definition()).unwrap();
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["tool.8", "tool-do.8"]);
        let text = String::from_utf8(pages[1].1.clone()).unwrap();
        assert!(text.contains("In which way"), "{text}");
        assert!(text.contains(".TH tool-do 8"), "{text}");
    }

    #[test]
    fn every_shell_knows_the_options() {
        for shell in ["bash", "zsh", "fish"] {
            let text = String::from_utf8(completion(definition(), shell).unwrap()).unwrap();
            assert!(text.contains("how"), "{shell}: {text}");
        }
        assert!(completion(definition(), "tcsh").is_none());
    }

    #[test]
    fn only_the_two_words_are_served() {
        let words = |line: &str| -> Vec<String> { line.split(' ').map(str::to_owned).collect() };
        assert_eq!(serve(&words("do --how well"), definition, Vec::new), None);
        assert_eq!(
            serve(&words("completion tcsh"), definition, Vec::new),
            Some(1)
        );
        let directory = tempfile::tempdir().unwrap();
        let line = format!("man-pages {}", directory.path().display());
        let more = || vec![("tool.conf.5".to_owned(), b"text".to_vec())];
        assert_eq!(serve(&words(&line), definition, more), Some(0));
        assert!(directory.path().join("man8/tool-do.8").is_file());
        assert!(directory.path().join("man5/tool.conf.5").is_file());
    }
}
